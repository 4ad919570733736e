"""What a displayed ladder says, and the split that takes the same share everywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from bestex.clock import SECOND
from bestex.impact import Room, VenueDepth, split_bps, spread, take

PRICES, SIZES = [100_00, 100_10, 100_30], [5, 10, 20]


def test_taking_walks_the_levels_exactly() -> None:
    taken = take(PRICES, SIZES, 7)
    assert taken is not None
    assert (taken.qty, taken.notional) == (7, 5 * 100_00 + 2 * 100_10)
    assert (taken.touch, taken.worst, taken.after, taken.levels) == (100_00, 100_10, 100_10, 1)
    assert taken.move_bps == pytest.approx(10)
    assert taken.cost_bps == pytest.approx(10 * 2 / 7)


def test_a_level_that_is_used_up_moves_the_touch_though_it_was_not_passed() -> None:
    taken = take(PRICES, SIZES, 5)
    assert taken is not None
    assert (taken.worst, taken.after) == (100_00, 100_10)


def test_what_is_not_there_is_not_taken() -> None:
    taken = take(PRICES, SIZES, 99)
    assert taken is not None
    assert (taken.qty, taken.after, taken.levels, taken.move_bps) == (35, None, 3, None)
    assert take([], [], 1) is None


def test_a_sell_moves_the_bid_as_far() -> None:
    taken = take([100_00, 99_90], [5, 5], 6)
    assert taken is not None
    assert taken.move_bps == pytest.approx(10)
    assert taken.cost_bps == pytest.approx(10 / 6)


def test_half_of_what_was_taken_is_back_after_a_half_life() -> None:
    venue = VenueDepth(depth=100, bps_at_depth=5, half_life_ns=SECOND)
    assert venue.peak_bps(100) == 5
    assert venue.peak_bps(25) == 2.5
    assert venue.peak_bps(0, taken=50, elapsed_ns=SECOND) == venue.peak_bps(25)
    assert venue.peak_bps(25, taken=50, elapsed_ns=10**6 * SECOND) == 2.5


def room(venue: str, depth: int, most: int = 10**9, lot: int = 1, rank: int = 1) -> Room:
    return Room(venue, depth, most, lot, rank)


def test_a_split_takes_the_same_share_of_each() -> None:
    assert spread(600, [room("a", 1_000), room("b", 2_000), room("c", 3_000)]) == {
        "a": 100, "b": 200, "c": 300,
    }  # fmt: skip


def test_who_is_full_leaves_the_rest_to_the_others() -> None:
    assert spread(600, [room("a", 1_000, most=40), room("b", 2_000), room("c", 2_000)]) == {
        "a": 40, "b": 280, "c": 280,
    }  # fmt: skip
    assert spread(600, [room("a", 1_000, most=40), room("b", 2_000, most=50)]) == {"a": 40, "b": 50}


def test_what_coarse_lots_leave_goes_to_finer_ones() -> None:
    parts = spread(1_005, [room("a", 1_000, lot=100), room("b", 1_000, lot=1)])
    assert sum(parts.values()) == 1_005
    assert parts["a"] % 100 == 0


def test_a_coarse_lot_is_left_over_for_the_coarse_venue() -> None:
    assert spread(390, [room("a", 1_000, lot=100), room("b", 1_000, lot=10)]) == {"a": 200, "b": 190}


def test_a_single_lot_goes_to_the_lower_rank() -> None:
    alike = [room("a", 10, lot=5, rank=2), room("b", 10, lot=5, rank=1)]
    assert spread(5, alike) == {"b": 5}


rooms = st.lists(
    st.tuples(
        st.integers(0, 10**6), st.integers(0, 10**5), st.sampled_from([1, 3, 10, 100]), st.integers(1, 3)
    ),
    max_size=5,
).map(lambda drawn: [room(name, *one) for name, one in zip("abcde", drawn, strict=False)])


@given(qty=st.integers(0, 10**6), rooms=rooms)
def test_a_split_conserves_keeps_lots_and_room_and_does_not_look_at_the_order(
    qty: int, rooms: list[Room]
) -> None:
    parts = spread(qty, rooms)
    assert sum(parts.values()) <= qty
    by_name = {each.venue: each for each in rooms}
    for venue, part in parts.items():
        assert 0 < part <= by_name[venue].most
        assert part % by_name[venue].lot == 0
    usable = [each for each in rooms if each.depth]
    if all(each.lot == 1 for each in usable):
        assert sum(parts.values()) == min(qty, sum(each.most for each in usable))
    for other in itertools.islice(itertools.permutations(rooms), 6):
        assert spread(qty, other) == parts


@given(
    qty=st.integers(1_000, 10**5),
    depths=st.lists(st.integers(10**5, 10**6), min_size=2, max_size=4),
    moved=st.integers(1, 500),
)
def test_no_other_split_is_expected_to_move_prices_less(qty: int, depths: list[int], moved: int) -> None:
    names = "abcd"[: len(depths)]
    venues = {
        name: VenueDepth(depth=depth, half_life_ns=SECOND) for name, depth in zip(names, depths, strict=True)
    }
    parts = spread(qty, [room(name, depth) for name, depth in zip(names, depths, strict=True)])
    least = split_bps(venues, parts)
    for giver, taker in itertools.permutations(names, 2):
        amount = min(moved, parts[giver])
        if amount > 2:  # whole units: the last one may lie on either side
            other = parts | {giver: parts[giver] - amount, taker: parts[taker] + amount}
            assert split_bps(venues, other) >= least


def test_the_split_is_that_of_a_numerical_minimum() -> None:
    depths, most = [1_000.0, 4_000.0, 500.0], [10**9, 150, 10**9]
    parts = spread(400, [room(n, int(d), most=m) for n, d, m in zip("abc", depths, most, strict=True)])
    found = minimize(
        lambda q: sum(x**1.5 / d**0.5 for x, d in zip(q, depths, strict=True)),
        [100, 100, 100],
        bounds=[(0, m) for m in most],
        constraints={"type": "eq", "fun": lambda q: sum(q) - 400},
    )
    assert [parts[name] for name in "abc"] == pytest.approx(list(found.x), abs=1.5)


def test_nothing_moves_nothing() -> None:
    assert split_bps({}, {}) == 0
    assert spread(0, [room("a", 10)]) == {}
