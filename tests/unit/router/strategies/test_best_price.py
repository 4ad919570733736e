"""best_price: one venue, the one whose first level is best."""

from __future__ import annotations

from bestex.messages import Side
from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

TWO = configured(a='taker_bps = "10"', b="")


def test_the_best_price_takes_all_that_its_book_holds_and_no_other_venue_any() -> None:
    book = shown(column("a", {100_00: 300, 100_05: 500}), column("b", {100_01: 5_000}))
    route = route_of("best_price", 1_000, TWO, book)
    assert taken(route) == {"a": (800, 100_05)}
    assert route.left_out == {"b": "not_selected: other venues were better"}
    assert route.text == "lots, minimums, shares or the strategy leave a part of it"


def test_a_sell_goes_to_the_highest_bid() -> None:
    book = shown(column("a", {101_00: 1}, {99_00: 500}), column("b", {101_00: 1}, {99_01: 500}))
    assert taken(route_of("best_price", 400, TWO, book, Side.SELL)) == {"b": (400, 99_01)}


def test_venues_are_compared_without_their_basis_and_paid_at_their_own_price() -> None:
    book = shown(column("a", {100_00: 500}), column("b", {100_20: 500}, basis=30))
    assert taken(route_of("best_price", 400, TWO, book)) == {"b": (400, 100_20)}


def test_a_best_price_below_the_venues_minimum_is_passed_by() -> None:
    settings = configured(a='min_qty = "0.5"', b="")
    book = shown(column("a", {100_00: 400}), column("b", {100_01: 5_000}))
    route = route_of("best_price", 1_000, settings, book)
    assert taken(route) == {"b": (1_000, 100_01)}
    assert route.left_out["a"].startswith("below_minimum: 400 is below the venue's minimum of 500")
