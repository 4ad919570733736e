"""Dividing by weights: proportional, on lots, within rooms, and nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.strategies.apportion import apportion

venues = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.integers(1, 10**9), st.integers(0, 500), st.sampled_from([1, 2, 5, 7, 100])),
    max_size=6,
)


def test_the_rest_of_a_full_venue_is_divided_by_the_others_weights() -> None:
    parts = apportion(100, {"a": 6, "b": 3, "c": 1}, {"a": 20, "b": 100, "c": 100}, {"a": 1, "b": 1, "c": 1})
    assert parts == {"a": 20, "b": 60, "c": 20}


def test_a_coarse_lot_is_taken_whole_where_it_is_due() -> None:
    parts = apportion(150, {"a": 2, "b": 1}, {"a": 1_000, "b": 1_000}, {"a": 100, "b": 1})
    assert parts == {"a": 100, "b": 50}


def test_nobody_to_give_to_gets_nothing() -> None:
    assert apportion(100, {}, {}, {}) == {}


@given(qty=st.integers(0, 5_000), venues=venues)
def test_what_is_not_given_fits_nowhere(qty: int, venues: dict[str, tuple[int, int, int]]) -> None:
    weights = {venue: weight for venue, (weight, _, _) in venues.items()}
    rooms = {venue: lots * lot for venue, (_, lots, lot) in venues.items()}
    lots = {venue: lot for venue, (_, _, lot) in venues.items()}
    parts = apportion(qty, weights, rooms, lots)
    left = qty - sum(parts.values())
    assert left >= 0
    for venue, part in parts.items():
        assert (part % lots[venue], part <= rooms[venue]) == (0, True)
        assert left < lots[venue] or rooms[venue] - part < lots[venue]
