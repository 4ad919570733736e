"""split_evenly: equal parts; what one venue cannot hold goes to the others."""

from __future__ import annotations

from tests.unit.router.strategies.market import column, configured, route_of, shown, taken

THREE = configured(a="", b="", c="")


def quantities(name: str, *args: object, **more: object) -> dict[str, int]:
    return {venue: qty for venue, (qty, _) in taken(route_of(name, *args, **more)).items()}  # type: ignore[arg-type]


def test_every_venue_gets_the_same() -> None:
    book = shown(
        column("a", {100_00: 5_000}), column("b", {101_00: 5_000}), column("c", {100_50: 200, 100_60: 200})
    )
    route = route_of("split_evenly", 900, THREE, book)
    assert taken(route) == {"a": (300, 100_00), "b": (300, 101_00), "c": (300, 100_60)}


def test_what_does_not_divide_goes_to_the_first_by_priority() -> None:
    book = shown(*(column(venue, {100_00: 5_000}) for venue in "cba"))
    assert quantities("split_evenly", 1_001, THREE, book) == {"a": 334, "b": 334, "c": 333}


def test_what_one_venue_does_not_hold_goes_to_the_others_in_equal_parts() -> None:
    book = shown(column("a", {100_00: 100}), column("b", {100_00: 5_000}), column("c", {100_00: 5_000}))
    assert quantities("split_evenly", 900, THREE, book) == {"a": 100, "b": 400, "c": 400}


def test_parts_are_on_each_venues_lot_and_still_sum() -> None:
    settings = configured(a='lot = "0.1"', b='lot = "0.01"', c="")
    book = shown(*(column(venue, {100_00: 5_000}) for venue in "abc"))
    # A third of 1.000 is 0.333: 0.3 and 0.33 on the lots. Of the 0.037 left, half is 0.018 each for b and c.
    assert quantities("split_evenly", 1_000, settings, book) == {"a": 300, "b": 340, "c": 360}


def test_a_part_below_a_venues_minimum_goes_to_the_others() -> None:
    settings = configured(a='min_qty = "0.5"', b="", c="")
    book = shown(*(column(venue, {100_00: 5_000}) for venue in "abc"))
    route = route_of("split_evenly", 900, settings, book)
    assert taken(route) == {"b": (450, 100_00), "c": (450, 100_00)}
    assert route.left_out["a"].startswith("below_minimum: 300 is below the venue's minimum")


def test_with_fewer_splits_those_that_hold_the_most_are_used() -> None:
    book = shown(column("a", {100_00: 300}), column("b", {100_00: 900}), column("c", {100_00: 500}))
    assert quantities("split_evenly", 600, THREE, book, max_splits=2) == {"b": 300, "c": 300}


def test_more_than_all_books_hold_takes_all_that_they_hold() -> None:
    book = shown(column("a", {100_00: 300}), column("b", {100_00: 200}))
    route = route_of("split_evenly", 600, THREE, book)
    assert taken(route) == {"a": (300, 100_00), "b": (200, 100_00)}
    assert route.text == "the books hold only a part of it within the limits"
    assert route.left_out == {"c": "no_book: no book heard"}
