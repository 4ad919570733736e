"""A book from a file: whatever it says is taken exactly, or refused with a sentence."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bestex import book_file, config
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.messages import Side
from services.router.offline import plan_on_book

NOW = 1_700_000_000 * SECOND
CONFIG = config.load(None, {})


def venue(name: str, price: Any, size: Any, **more: Any) -> dict[str, Any]:
    return {"venue": name, "bids": [["99.9", "100"]], "asks": [[price, size]], **more}


def given(*venues: dict[str, Any]) -> bytes:
    return json.dumps({"symbol": "X/Y", "venues": list(venues)}).encode()


def plan(data: bytes, qty: str = "1000", side: Side = Side.BUY, **more: Any) -> m.Plan:
    request = m.PlanRequest(**{"symbol": "X/Y", "side": side, "qty": Decimal(qty), **more})
    return plan_on_book(request, data, CONFIG, NOW)


def test_a_ticket_of_ten_sends_all_of_it_to_the_venue_that_holds_it() -> None:
    found = plan(
        given(
            venue("one", "100.00", "600", ticket_fee="10"),
            venue("two", "100.01", "500", ticket_fee=10),
            venue("three", "100.01", "1000", ticket_fee="10"),
        )
    )
    assert [(leg.venue, leg.qty, leg.fee) for leg in found.legs] == [("three", Decimal(1000), Decimal(10))]
    assert (found.total_cost, found.gap_bps, found.error) == (Decimal(100020), 0.0, None)
    assert {left.venue for left in found.left_out} == {"one", "two"}


def test_numbers_keep_their_digits_whether_they_are_strings_or_not() -> None:
    read = book_file.read(
        given(venue("a", 100.125, "0.00300"), venue("b", "100.5", 7, min_notional="0.0000001")), CONFIG, NOW
    )
    assert (read.book.price_scale, read.book.qty_scale) == (4, 3)
    assert [column.ask_px for column in read.book.venues] == [[1_001_250], [1_005_000]]
    assert [column.ask_qty for column in read.book.venues] == [[3], [7_000]]


def test_fees_and_minimums_are_the_files() -> None:
    dear = venue("dear", "100", "1000", taker_fee_bps="20")
    found = plan(given(dear, venue("cheap", "100.1", "1000", taker_fee_bps=1, min_qty="900")), "800")
    assert [leg.venue for leg in found.legs] == ["dear"]
    found = plan(given(dear, venue("cheap", "100.1", "1000", taker_fee_bps=1, min_qty="800")), "800")
    assert [(leg.venue, leg.fee) for leg in found.legs] == [("cheap", Decimal("8.008"))]


def test_more_than_there_is_is_planned_as_far_as_it_goes_and_says_so() -> None:
    found = plan(given(venue("a", "100", "600")))
    assert (found.routed_qty, found.error) == (Decimal(600), None)
    assert found.text


@pytest.mark.parametrize(
    ("venues", "reason"),
    [
        ([venue("a", "100", "600", asks=[])], "no_liquidity"),
        ([venue("a", "-1", "600", bids=[])], "bad_book"),
        ([venue("a", "100", "0")], "bad_book"),
        ([venue("a", "99", "600")], "crossed_book"),
        ([venue("a", "100", "600", asks=[["101", "1"], ["100", "1"]])], "bad_book"),
    ],
)
def test_a_book_that_cannot_be_traded_on_gives_no_route_and_a_reason(venues: list[Any], reason: str) -> None:
    found = plan(given(*venues))
    assert found.error is not None
    assert found.left_out[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (given(venue("a", "100", "1", fee="1")), "unknown field `fee`"),
        (given({"venue": "a", "asks": []}), "missing required field `bids`"),
        (given(), "names no venue"),
        (given(venue("a", "100", "1"), venue("a", "101", "1")), "names a venue twice"),
        (given(venue("a", "1e-40", "1")), "digits"),
        (given(venue("a", "NaN", "1")), "no number|cannot be read"),
        (given(venue("a", "ten", "1")), "cannot be read"),
    ],
)
def test_what_is_no_book_is_refused_with_a_sentence(data: bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan(data)


def test_every_other_strategy_is_priced_beside_it() -> None:
    found = plan(given(venue("a", "100", "600"), venue("b", "100.1", "600")), compare=True)
    costs = {other.strategy: other for other in found.others}
    assert found.strategy not in costs
    assert len(costs) == 9
    whole = [other for other in costs.values() if other.routed_qty == found.routed_qty]
    assert whole
    assert all(other.total_cost >= found.total_cost for other in whole)
