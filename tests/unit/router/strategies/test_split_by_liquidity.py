"""split_by_liquidity: parts in proportion to what is shown."""

from __future__ import annotations

import pytest

from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

THREE = configured(a="", b="", c="")
BOOK = shown(
    column("a", {100_00: 1_000, 100_10: 2_000}), column("b", {100_05: 1_500}), column("c", {100_02: 500})
)


def test_each_part_is_the_venues_share_of_all_liquidity() -> None:
    # 3.000, 1.500 and 0.500 of 5.000
    assert taken(route_of("split_by_liquidity", 1_000, THREE, BOOK)) == {
        "a": (600, 100_00),
        "b": (300, 100_05),
        "c": (100, 100_02),
    }


def test_only_liquidity_within_the_limit_counts() -> None:
    # 1.000 and 0.500 of 1.500
    route = route_of("split_by_liquidity", 900, THREE, BOOK, limit=100_02)
    assert taken(route) == {"a": (600, 100_00), "c": (300, 100_02)}


def test_in_quote_a_dearer_quantity_weighs_more() -> None:
    book = shown(column("a", {50_00: 1_000}), column("b", {100_00: 1_000}))
    in_base = taken(route_of("split_by_liquidity", 900, THREE, book, liquidity_type="base"))
    in_quote = taken(route_of("split_by_liquidity", 900, THREE, book, liquidity_type="quote"))
    assert in_base == {"a": (450, 50_00), "b": (450, 100_00)}
    assert in_quote == {"a": (300, 50_00), "b": (600, 100_00)}


@pytest.mark.parametrize(
    ("percent", "venues"), [(0, "abc"), (10, "abc"), (10.5, "ab"), (30, "ab"), (31, "a")]
)
def test_a_venue_below_the_least_share_is_left_out_with_the_reason(percent: float, venues: str) -> None:
    route = route_of("split_by_liquidity", 1_000, THREE, BOOK, min_liquidity_percent=percent)
    assert set(taken(route)) == set(venues)
    assert route.qty == 1_000
    why = "not_selected: less of the liquidity than min_liquidity_percent"
    assert route.left_out == {venue: why for venue in "abc" if venue not in venues}


def test_what_a_share_of_the_slice_forbids_goes_to_the_others_in_proportion() -> None:
    # a may have half: 500. b and c have 3 to 1 of the other half, on lots of 0.001.
    route = route_of("split_by_liquidity", 1_000, THREE, BOOK, max_volume_pct="50%")
    assert taken(route) == {"a": (500, 100_00), "b": (375, 100_05), "c": (125, 100_02)}


def test_with_fewer_splits_those_that_show_the_most_are_used() -> None:
    assert taken(route_of("split_by_liquidity", 900, THREE, BOOK, max_splits=2)) == {
        "a": (600, 100_00),
        "b": (300, 100_05),
    }
