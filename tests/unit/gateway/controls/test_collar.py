"""No price far beyond a fresh reference."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, US, Time
from bestex.errors import Code
from bestex.messages import BookStatus, Side, Tif
from tests.unit.gateway.bench import START, SYMBOL, VENUE, Bench, book, working
from tests.unit.gateway.controls.controlled import code_of, limited

# The reference is 60,000 and the collar 5 %: 63,000 and 57,000.


@pytest.mark.parametrize(
    ("side", "price", "code"),
    [
        (Side.BUY, "63000", None),
        (Side.BUY, "63000.1", Code.PRICE_COLLAR),
        (Side.BUY, "10000", None),
        (Side.SELL, "57000", None),
        (Side.SELL, "56999.9", Code.PRICE_COLLAR),
        (Side.SELL, "110000", None),
    ],
)
def test_a_price_is_refused_only_beyond_the_collar_on_the_harmful_side(
    bench: Bench, side: Side, price: str, code: Code | None
) -> None:
    assert code_of(bench, "c1", side=side, price=Decimal(price)) is code


def test_without_a_fresh_reference_nothing_is_sent() -> None:
    bench = limited("")
    bench.hear(book(at_ns=START))
    bench.now = START + 5 * SECOND
    assert code_of(bench, "c1") is None
    bench.now += US
    assert code_of(bench, "c2", parent_id="p2") is Code.NO_REFERENCE
    bench.hear(book(at_ns=bench.now))
    assert code_of(bench, "c3", parent_id="p2") is None


def test_a_gateway_that_has_heard_no_book_sends_nothing() -> None:
    bench = limited("")
    bench.core.controls.collar._books.clear()
    assert code_of(bench, "c1") is Code.NO_REFERENCE


def column(venue: str, bid: int, ask: int, at_ns: int = START, basis: int = 0, **more: Any) -> m.VenueColumn:
    status = more.get("status", BookStatus.LIVE)
    return m.VenueColumn(venue, status, basis, at_ns, at_ns, [bid], [1], [ask], [1])


def consolidated(*columns: m.VenueColumn) -> m.ConsolidatedBook:
    return m.ConsolidatedBook(SYMBOL, 1, START, 2, 5, False, False, list(columns))


def test_the_venues_own_fresh_book_comes_before_the_consolidated_one(bench: Bench) -> None:
    bench.hear(consolidated(column("sim_b", 59_990_00, 60_010_00), column(VENUE, 65_990_00, 66_010_00)))
    assert code_of(bench, "c1", price=Decimal("69300")) is None
    assert code_of(bench, "c2", price=Decimal("69300.1")) is Code.PRICE_COLLAR


def test_a_stale_own_book_gives_way_to_the_consolidated_mid_moved_by_the_basis(bench: Bench) -> None:
    bench.now = START + 10 * SECOND
    own = column(VENUE, 80_000_00, 80_001_00, basis=1_000_00)
    bench.hear(consolidated(column("sim_b", 59_990_00, 60_010_00, at_ns=bench.now), own))
    assert code_of(bench, "c1", price=Decimal("64050")) is None
    assert code_of(bench, "c2", price=Decimal("64050.1")) is Code.PRICE_COLLAR


def test_a_book_with_one_side_is_no_reference(bench: Bench) -> None:
    empty = m.VenueColumn(VENUE, BookStatus.LIVE, 0, START, START, [59_990_00], [1], [], [])
    bench.hear(consolidated(empty))
    assert code_of(bench, "c1") is Code.NO_REFERENCE


def test_a_replace_is_held_to_the_collar_too(bench: Bench) -> None:
    working(bench)
    terms: dict[str, Any] = {"child_id": "c1", "parent_id": "p1", "venue": VENUE, "symbol": SYMBOL}
    terms |= {"qty": Decimal("0.02"), "expires_at": Time(START + SECOND)}
    (event,) = bench.hear(m.ChildReplace(price=Decimal("63000.1"), **terms))
    assert isinstance(event, m.ExecReplaceRejected)
    assert event.code is Code.PRICE_COLLAR
    assert bench.tags()[-1] == "replace_rejected"


def test_it_can_be_turned_off() -> None:
    bench = limited("[limits.collar]\nenabled = false\n")
    assert code_of(bench, "c1", price=Decimal("90000"), tif=Tif.GTC) is None
