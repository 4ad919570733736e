"""Nothing is tested that was fitted on, nor what touches it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.clock import SECOND
from bestex.errors import UsageError
from services.backtester.lab.search.folds import Fold, Slot, Validation, divide, purge, spread

WINDOW_NS = 30 * SECOND


def slots(count: int, every_ns: int = 20 * SECOND, window_ns: int = WINDOW_NS) -> list[Slot]:
    return [Slot(n, n * every_ns, n * every_ns + window_ns) for n in range(count)]


def extent(there: list[Slot], numbers: tuple[int, ...]) -> tuple[int, int]:
    return min(there[n].begin_ns for n in numbers), max(there[n].end_ns for n in numbers)


def check(there: list[Slot], fold: Fold, embargo_ns: int) -> None:
    begin_ns, end_ns = extent(there, fold.test)
    for number in fold.train:
        slot = there[number]
        assert slot.end_ns < begin_ns - embargo_ns or slot.begin_ns > end_ns + embargo_ns


@given(
    count=st.integers(30, 120),
    every_s=st.integers(1, 60),
    window_s=st.integers(1, 60),
    embargo_s=st.integers(0, 60),
    folds=st.integers(2, 8),
    validation=st.sampled_from(["walk_forward", "purged"]),
)
def test_no_window_that_was_fitted_on_overlaps_a_tested_one_or_its_embargo(
    count: int, every_s: int, window_s: int, embargo_s: int, folds: int, validation: Validation
) -> None:
    there = slots(count, every_s * SECOND, window_s * SECOND)
    try:
        made = divide(there, folds, validation, embargo_s * SECOND)
    except UsageError:
        return
    assert len(made) == folds
    tested = [number for fold in made for number in fold.test]
    assert len(tested) == len(set(tested)), "nothing is tested twice"
    for fold in made:
        assert not set(fold.train) & set(fold.test)
        check(there, fold, embargo_s * SECOND)


def test_walking_forward_fits_on_the_past_alone_and_tests_all_but_the_first_stretch() -> None:
    there = slots(60)
    made = divide(there, 5, "walk_forward", 0)
    for fold in made:
        assert max(fold.train) < min(fold.test)
    assert [number for fold in made for number in fold.test] == list(range(10, 60))
    assert [len(fold.train) for fold in made] == [9, 19, 29, 39, 49], "one each is purged"


def test_walking_forward_over_the_last_stretches_forgets_those_before() -> None:
    made = divide(slots(60), 5, "walk_forward", 0, stretches=2)
    assert [(min(fold.train), max(fold.train)) for fold in made] == [
        (0, 8),
        (0, 18),
        (10, 28),
        (20, 38),
        (30, 48),
    ]


def test_purging_takes_out_what_is_near_on_both_sides() -> None:
    there = slots(60)
    made = divide(there, 5, "purged", 25 * SECOND)
    assert [number for fold in made for number in fold.test] == list(range(60))
    middle = made[2]
    assert middle.test == tuple(range(24, 36))
    # Of 30 s each, 20 s apart: within 25 s of the stretch lie the two before it and the two after it.
    assert middle.train == (*range(22), *range(38, 60))


def test_a_window_that_touches_the_embargo_is_out_and_the_next_one_is_in() -> None:
    tested = [Slot(5, 1_000, 2_000)]
    fitted = [Slot(1, 0, 899), Slot(2, 0, 900), Slot(3, 2_100, 3_000), Slot(4, 2_101, 3_000)]
    assert [slot.number for slot in purge(fitted, tested, 100)] == [1, 4]


def test_too_few_to_fit_on_is_said_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"fold 1 has 3 scenarios to be fitted on.*fewer --folds"):
        divide(slots(24), 5, "walk_forward", 0)
    with pytest.raises(UsageError, match="from 2 to"):
        divide(slots(24), 1, "purged", 0)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13])
def test_the_first_of_a_spread_list_lie_over_all_of_it(count: int) -> None:
    numbers = list(range(100, 100 + count))
    found = spread(numbers)
    assert sorted(found) == numbers
    assert found[0] == 100
    if count == 8:
        assert found == [100, 104, 102, 106, 101, 105, 103, 107]
