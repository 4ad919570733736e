"""The touch as it stood before a trade, and the volatility before a start."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from bestex.clock import SECOND
from bestex.messages import BookStatus, ConsolidatedBook, VenueColumn
from bestex.shortfall import Touch
from services.backtester.lab.compare.quotes import Quotes

T0 = 1_750_000_000 * SECOND


def book(at_ns: int, mid: int = 100_00, basis: int = -23_00, symbol: str = "X/Y") -> ConsolidatedBook:
    """Spot one cent around the mid, a perpetual `basis` from it and two cents around."""
    columns = [
        VenueColumn(
            venue=venue,
            status=BookStatus.LIVE,
            recv_ns=at_ns,
            venue_ns=at_ns,
            basis=shift,
            bid_px=[mid + shift - half],
            bid_qty=[1],
            ask_px=[mid + shift + half],
            ask_qty=[1],
        )
        for venue, shift, half in (("spot", 0, 1), ("perp", basis, 2))
    ]
    return ConsolidatedBook(symbol, 1, at_ns, 2, 0, False, False, columns)


def test_the_touch_is_the_last_one_before_and_of_all_venues_less_their_basis() -> None:
    quotes = Quotes("X/Y")
    quotes.hear("", book(T0))
    quotes.hear("", book(T0 + SECOND, mid=101_00, basis=-22_00))
    quotes.hear("", book(T0 + SECOND, mid=500_00, symbol="Z/Y"))
    quotes.hear("", "something else")
    assert quotes.touch(T0 - 1) is None
    assert quotes.mid(T0 - 1) is None
    assert quotes.touch(T0, "spot") == Touch(D("99.99"), D("100.01"), D(0))
    assert quotes.touch(T0 + SECOND - 1, "perp") == Touch(D("99.99"), D("100.01"), D(-23))
    assert quotes.touch(T0 + 9 * SECOND, "perp") == Touch(D("100.99"), D("101.01"), D(-22))
    assert quotes.mid(T0 + 9 * SECOND) == 101


def test_a_book_without_a_side_leaves_the_last_touch() -> None:
    quotes = Quotes("X/Y")
    quotes.hear("", book(T0))
    quotes.hear("", ConsolidatedBook("X/Y", 2, T0 + 1, 2, 0, False, False, []))
    assert quotes.mid(T0 + SECOND) == 100


def test_volatility_is_of_changes_from_second_to_second() -> None:
    quotes = Quotes("X/Y")
    for second in range(11):
        quotes.hear("", book(T0 + second * SECOND, mid=100_00 + second % 2 * 10))
    assert quotes.volatility_bps(T0 + 10 * SECOND, 10 * SECOND) == pytest.approx(10, rel=1e-3)
    assert quotes.volatility_bps(T0 + 4 * SECOND, 10 * SECOND) is None, "five mids are four changes"
