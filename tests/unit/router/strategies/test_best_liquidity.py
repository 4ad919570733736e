"""best_liquidity: one venue, the one that shows the most within the limit."""

from __future__ import annotations

import pytest

from bestex.messages import Side
from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

THREE = configured(a="", b="", c="")


def test_the_venue_with_the_most_gets_all_whatever_its_price() -> None:
    book = shown(
        column("a", {100_00: 900}), column("b", {100_50: 600, 100_60: 600}), column("c", {100_00: 1_100})
    )
    route = route_of("best_liquidity", 800, THREE, book)
    assert taken(route) == {"b": (800, 100_60)}
    assert set(route.left_out) == {"a", "c"}


def test_only_what_is_within_the_limit_counts() -> None:
    book = shown(column("a", {100_00: 900}), column("b", {100_50: 600, 100_60: 600}))
    route = route_of("best_liquidity", 800, THREE, book, limit=100_50)
    assert taken(route) == {"a": (800, 100_00)}


@pytest.mark.parametrize(("liquidity_type", "venue"), [("base", "a"), ("quote", "b")])
def test_liquidity_is_quantity_or_its_value(liquidity_type: str, venue: str) -> None:
    # 1.000 at 50.00 is worth 50; 0.600 at 100.00 is worth 60.
    book = shown(column("a", {51_00: 1}, {50_00: 1_000}), column("b", {101_00: 1}, {50_50: 1, 50_00: 980}))
    cheap = shown(column("a", {50_00: 1_000}), column("b", {100_00: 600}))
    chosen = taken(route_of("best_liquidity", 500, THREE, cheap, liquidity_type=liquidity_type))
    assert list(chosen) == [venue]
    # The side that is taken is the one that counts: 1.000 at 50.00 against 0.981 at some 50.00.
    sold = taken(route_of("best_liquidity", 500, THREE, book, Side.SELL, liquidity_type=liquidity_type))
    assert list(sold) == ["a"]


def test_a_tie_goes_to_the_lower_priority_number_and_a_full_venue_takes_no_part() -> None:
    book = shown(column("b", {100_00: 500}), column("a", {100_00: 500}))
    assert list(taken(route_of("best_liquidity", 100, THREE, book))) == ["a"]


def test_a_venue_without_the_least_share_is_left_out_even_if_it_is_the_best() -> None:
    book = shown(column("a", {100_00: 400}), column("b", {100_00: 300}), column("c", {100_00: 300}))
    route = route_of("best_liquidity", 100, THREE, book, min_liquidity_percent=50)
    assert route.allocations == []
    assert set(route.left_out.values()) == {"not_selected: less of the liquidity than min_liquidity_percent"}
