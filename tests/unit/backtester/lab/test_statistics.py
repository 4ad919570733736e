"""Intervals hold what they say they hold, and find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from services.backtester.lab import statistics

ROUNDS = 400  # a coverage of 95 % is measured to 1.1 points
FEW = 400  # resamples: enough for coverage, which averages over rounds


def autoregressive(count: int, memory: float, random: np.random.Generator) -> NDArray[np.float64]:
    values = np.empty(count)
    values[0] = random.normal() / np.sqrt(1 - memory**2)
    for i, shock in enumerate(random.normal(size=count - 1), 1):
        values[i] = memory * values[i - 1] + shock
    return values


def coverage(count: int, memory: float, block: float | None = None) -> float:
    """How often the interval holds the true mean, which is 0."""
    random = np.random.default_rng(5)
    held = 0
    for i in range(ROUNDS):
        values = autoregressive(count, memory, random)
        found = statistics.mean_interval(values, seed=i, resamples=FEW, block=block)
        held += not found.excludes_zero
    return held / ROUNDS


def test_the_interval_of_independent_values_holds_the_mean_as_often_as_it_says() -> None:
    assert coverage(60, 0.0) == pytest.approx(0.95, abs=0.03)


def test_the_interval_of_few_values_does_too() -> None:
    """Rather more often: that neighbours have nothing in common is not known."""
    assert coverage(10, 0.0, block=1) == pytest.approx(0.95, abs=0.03)
    assert 0.95 <= coverage(10, 0.0) <= 0.99


def test_the_interval_of_values_that_hang_together_does_too_and_would_not_without_runs() -> None:
    assert coverage(100, 0.6) > 0.87
    assert coverage(100, 0.6, block=1) < 0.8
    assert coverage(20, 0.3) > 0.88


def test_values_of_one_time_count_once() -> None:
    """Ten copies of each value are no more evidence than one."""
    values = np.random.default_rng(2).normal(0.2, 1, 40)
    once = statistics.mean_interval(values, seed=3)
    copies = statistics.mean_interval(np.repeat(values, 10), [i // 10 for i in range(400)], seed=3)
    assert (copies.n, copies.times) == (400, 40)
    assert (once.n, once.times) == (40, 40)
    assert (copies.low, copies.high, copies.p) == pytest.approx((once.low, once.high, once.p))


def test_times_are_in_order_however_the_values_come() -> None:
    values = autoregressive(50, 0.7, np.random.default_rng(1))
    order = np.random.default_rng(2).permutation(50)
    sorted_ones = statistics.mean_interval(values, list(range(50)), seed=3)
    mixed = statistics.mean_interval(values[order], [int(i) for i in order], seed=3)
    assert (mixed.low, mixed.high, mixed.block) == pytest.approx(
        (sorted_ones.low, sorted_ones.high, sorted_ones.block)
    )


def test_a_planted_difference_is_found_and_the_noise_that_both_share_is_not_in_the_way() -> None:
    random = np.random.default_rng(7)
    shared = random.normal(0, 50, 40)
    ours, theirs = shared + random.normal(-1, 0.5, 40), shared
    found = statistics.paired_difference(ours, theirs, seed=1)
    assert found.excludes_zero
    assert found.p is not None
    assert found.p < 0.01
    assert found.low is not None
    assert found.high is not None
    assert found.low < -1 < found.high


def test_equal_sides_differ_by_exactly_nothing() -> None:
    values = np.random.default_rng(1).normal(size=30)
    found = statistics.paired_difference(values, values, seed=1)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.excludes_zero


def test_a_difference_that_is_always_the_same_is_no_surer_than_its_number_of_times() -> None:
    found = statistics.mean_interval([-0.5] * 6, seed=1)
    assert (found.mean, found.low, found.high) == (-0.5, -0.5, -0.5)
    assert found.p == pytest.approx(2**-5)


def test_p_is_below_five_percent_exactly_where_the_interval_leaves_out_nothing() -> None:
    """Both are one statement; asked of differences on both sides of the edge."""
    shape = np.random.default_rng(4).normal(size=25)
    said = set()
    for shift in np.linspace(0.2, 0.7, 21):
        found = statistics.mean_interval(shape - shape.mean() + shift, seed=9)
        assert found.p is not None
        if abs(found.p - 0.05) > 0.002:  # a quantile lies between two resamples
            assert (found.p < 0.05) == found.excludes_zero
        said.add(found.excludes_zero)
    assert said == {True, False}


def test_one_seed_gives_one_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert statistics.mean_interval(values, seed=1) == statistics.mean_interval(values, seed=1)
    assert statistics.mean_interval(values, seed=1) != statistics.mean_interval(values, seed=2)


def test_too_few_times_have_a_mean_and_no_interval() -> None:
    found = statistics.mean_interval([1.0, 2.0, 6.0, 3.0, 3.0], seed=1)
    assert (found.n, found.mean, found.low, found.high, found.p) == (5, 3, None, None, None)
    assert statistics.mean_interval([], seed=1).mean is None


def test_what_is_not_known_must_be_left_out_before() -> None:
    with pytest.raises(AssertionError, match="not known"):
        statistics.mean_interval([1.0, float("nan")], seed=1)


def test_runs_stand_together_as_long_as_asked() -> None:
    drawn = statistics.stationary_indices(50, 8.0, 400, np.random.default_rng(1))
    assert drawn.shape == (400, 50)
    assert (drawn.min(), drawn.max()) == (0, 49)
    follows = (drawn[:, 1:] - drawn[:, :-1]) % 50 == 1
    assert follows.mean() == pytest.approx(1 - 1 / 8 + 1 / 8 / 50, abs=0.01)
    assert np.bincount(drawn.ravel()).std() / 400 < 0.2  # every place as often as any other


def test_runs_are_as_long_as_values_hang_together() -> None:
    """For an autoregression G/g = 2 memory / (1 - memory^2), so the best length is known."""
    random = np.random.default_rng(3)
    for memory in (0.3, 0.6):
        best = (2 * memory / (1 - memory**2)) ** (2 / 3) * 2000 ** (1 / 3)
        chosen = [statistics.block_length(autoregressive(2000, memory, random)) for _ in range(20)]
        assert np.median(chosen) == pytest.approx(best, rel=0.35)
    assert np.median([statistics.block_length(random.normal(size=2000)) for _ in range(20)]) < 4


def test_runs_are_never_shorter_than_the_overlap_nor_longer_than_a_third() -> None:
    values = np.random.default_rng(1).normal(size=30)
    assert statistics.mean_interval(values, seed=1, block_min=4).block == pytest.approx(4, abs=3)
    assert (statistics.mean_interval(values, seed=1, block_min=4).block or 0) >= 4
    assert statistics.mean_interval(values, seed=1, block=25).block == 10
    assert (statistics.mean_interval(values, seed=1).block or 0) >= 30 ** (1 / 3)
    assert statistics.block_length([3.0] * 20) == 1


def test_holm_multiplies_the_smallest_by_all_and_keeps_their_order() -> None:
    """The figures of R's p.adjust."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.5, None, 0.6]) == [1.0, None, 1.0]
    assert statistics.holm([]) == []
