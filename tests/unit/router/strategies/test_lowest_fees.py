"""lowest_fees: the cheapest taker fee first, then the next."""

from __future__ import annotations

from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

FEES = configured(a='taker_bps = "5"', b='taker_bps = "-1"', c='taker_bps = "2"')
BOOK = shown(
    column("a", {100_00: 5_000}), column("b", {101_00: 300, 101_10: 100}), column("c", {100_50: 350})
)


def test_the_cheapest_fee_takes_what_it_can_and_the_next_ones_the_rest() -> None:
    route = route_of("lowest_fees", 1_000, FEES, BOOK)
    assert taken(route) == {"b": (400, 101_10), "c": (350, 100_50), "a": (250, 100_00)}
    assert (route.qty, route.left_out, route.text) == (1_000, {}, "")


def test_a_venue_that_is_not_needed_is_not_used() -> None:
    route = route_of("lowest_fees", 600, FEES, BOOK)
    assert taken(route) == {"b": (400, 101_10), "c": (200, 100_50)}
    assert route.left_out == {"a": "not_selected: other venues were better"}


def test_with_fewer_splits_the_cheapest_are_kept_and_not_the_largest() -> None:
    assert set(taken(route_of("lowest_fees", 1_000, FEES, BOOK, max_splits=2))) == {"b", "c"}


def test_equal_fees_go_by_priority() -> None:
    settings = configured(a='taker_bps = "2"', b='taker_bps = "2"')
    book = shown(column("b", {100_00: 500}), column("a", {100_10: 500}))
    assert taken(route_of("lowest_fees", 500, settings, book)) == {"a": (500, 100_10)}


def test_a_venue_beyond_the_limit_takes_no_part() -> None:
    route = route_of("lowest_fees", 600, FEES, BOOK, limit=100_50)
    assert taken(route) == {"c": (350, 100_50), "a": (250, 100_00)}
    assert route.left_out == {"b": "out_of_limit: its best price is beyond the limit"}
