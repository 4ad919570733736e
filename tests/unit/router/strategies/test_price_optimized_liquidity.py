"""price_optimized_liquidity: the best prices of all venues, or nothing where they show too little."""

from __future__ import annotations

import pytest

from bestex.messages import Side
from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

NAME = "price_optimized_liquidity"
THREE = configured(a='taker_bps = "50"', b="", c="")
BOOK = shown(
    column("a", {100_00: 300, 100_20: 500}), column("b", {100_10: 400}), column("c", {101_00: 9_000})
)


def test_the_best_prices_are_taken_whichever_venue_has_them_and_whatever_it_charges() -> None:
    route = route_of(NAME, 1_000, THREE, BOOK)
    assert taken(route) == {"a": (600, 100_20), "b": (400, 100_10)}
    assert route.left_out == {"c": "not_selected: other venues were better"}


def test_without_enough_within_the_slippage_nothing_is_routed() -> None:
    # 0.2 % beyond 100.00 is 100.20: 1.200 are shown up to there.
    assert route_of(NAME, 1_200, THREE, BOOK, max_slippage_percent=0.2).qty == 1_200
    route = route_of(NAME, 1_201, THREE, BOOK, max_slippage_percent=0.2)
    assert route.allocations == []
    assert route.left_out["a"].startswith("no_liquidity: all venues show less than the quantity")
    assert route.left_out["c"] == "out_of_limit: its best price is beyond max_slippage_percent"
    assert route.text == "the books hold only a part of it within the limits"


def test_the_limit_holds_beside_the_slippage() -> None:
    assert route_of(NAME, 700, THREE, BOOK, limit=100_10, max_slippage_percent=0.2).qty == 700
    assert route_of(NAME, 701, THREE, BOOK, limit=100_10, max_slippage_percent=0.2).qty == 0


@pytest.mark.parametrize(("liquidity_type", "routed"), [("base", 0), ("quote", 900)])
def test_liquidity_in_quote_is_compared_with_the_value_at_the_limit(liquidity_type: str, routed: int) -> None:
    # 1.000 sold at 50.00 or better is worth 50.00; the bids show 0.900 worth 54.00.
    settings = configured(a="", b="")
    book = shown(column("a", {61_00: 1}, {60_00: 900}))
    route = route_of(NAME, 1_000, settings, book, Side.SELL, limit=50_00, liquidity_type=liquidity_type)
    assert route.qty == routed


def test_a_thin_venue_does_not_count_towards_what_is_enough() -> None:
    book = shown(column("a", {100_00: 50}), column("b", {100_00: 950}))
    assert route_of(NAME, 1_000, THREE, book).qty == 1_000
    route = route_of(NAME, 1_000, THREE, book, min_liquidity_percent=10)
    assert route.qty == 0
    assert route.left_out["a"] == "not_selected: less of the liquidity than min_liquidity_percent"


def test_an_empty_market_is_said_to_be_one() -> None:
    route = route_of(NAME, 100, THREE, shown(column("a", {})))
    assert (route.qty, route.text) == (0, "the books hold none of it within the limits")
    assert route.left_out["a"] == "no_liquidity: nothing on that side"
