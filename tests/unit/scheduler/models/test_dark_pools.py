"""Learning from censored fills: the estimates, the greedy allocation, and how near to the optimum both come.

`pytest -s` prints the table. The pools are simulated, so their true tails, and with them the optimum, are known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from random import Random

import numpy as np
import pytest

from services.scheduler.models.dark_pools import (
    Gradient,
    Tail,
    Tails,
    Trial,
    allocate,
    expected_fill,
    rate_for,
    regret_bound,
)

VOLUME = 30
STEPS = 2_000
ENOUGH = 0.95
WINDOW = 50  # steps over which a share of the optimum is averaged
SEEDS = (0, 1, 2)


def poisson(mean: float) -> Tail:
    """P(at least s) for s = 1 .. VOLUME."""
    at = [math.exp(-mean) * mean**k / math.factorial(k) for k in range(VOLUME)]
    return 1.0 - np.cumsum(at)


def power(zeros: float, exponent: float) -> Tail:
    """Nothing with probability `zeros`, else s with a probability that falls with its power."""
    weights = np.arange(1, 201, dtype=float) ** -exponent
    tail: Tail = (1.0 - zeros) * (weights / weights.sum())[::-1].cumsum()[::-1][:VOLUME]
    return tail


POOLS = {
    "Poisson": [poisson(mean) for mean in (1, 3, 6, 15)],
    "power law, zeros": [power(0.9, 1.2), power(0.5, 1.5), power(0.7, 1.1), power(0.2, 2.5)],
    "both": [poisson(2), power(0.8, 1.05), poisson(8), power(0.3, 2.0)],
    "mostly zeros": [power(0.97, 1.0), power(0.6, 1.3), power(0.9, 0.8), poisson(0.5)],
}


class Kaplan:
    def __init__(self, pools: int, forget: float = 0.0) -> None:
        self._pools = [Tails(VOLUME, forget) for _ in range(pools)]

    def parts(self) -> list[int]:
        return allocate([pool.tail() for pool in self._pools], VOLUME)

    def learn(self, parts: Sequence[int], filled: Sequence[int]) -> None:
        for pool, sent, got in zip(self._pools, parts, filled, strict=True):
            pool.learn(Trial(sent, got))


class Shares:
    def __init__(self, pools: int, spread: float = 0.0) -> None:
        self._model = Gradient(pools, rate_for(pools, STEPS), spread)

    def parts(self) -> list[int]:
        return self._model.divide(VOLUME)

    def learn(self, parts: Sequence[int], filled: Sequence[int]) -> None:
        pairs = zip(parts, filled, strict=True)
        self._model.learn([got == sent if sent else None for sent, got in pairs])


def learned(model: Kaplan | Shares, eras: Sequence[Sequence[Tail]], seed: int) -> list[float]:
    """By step, what the model's parts fill on average, of what the optimal parts do. An era takes STEPS."""
    rng, found = Random(seed), []
    for tails in eras:
        best = expected_fill(tails, allocate(tails, VOLUME))
        for _ in range(STEPS):
            parts = model.parts()
            found.append(expected_fill(tails, parts) / best)
            there = [int((tail > rng.random()).sum()) for tail in tails]
            model.learn(parts, [min(part, one) for part, one in zip(parts, there, strict=True)])
    return found


def reached(shares: Sequence[float]) -> int | None:
    """The first step from which on the next ones are ENOUGH on average."""
    return next((i for i in range(len(shares) - WINDOW) if np.mean(shares[i : i + WINDOW]) >= ENOUGH), None)


@pytest.mark.parametrize("name", POOLS)
def test_both_come_near_the_optimal_allocation_of_pools_they_know_nothing_of(name: str) -> None:
    tails = POOLS[name]
    for label, kind in (("Kaplan-Meier", Kaplan), ("gradient", Shares)):
        runs = [learned(kind(len(tails)), [tails], seed) for seed in SEEDS]
        last = [float(np.mean(run[-100:])) for run in runs]
        at = [reached(run) for run in runs]
        print(f"{name:18}{label:14} 95 % after {at}, at the end {', '.join(f'{one:.3f}' for one in last)}")
        assert min(last) >= ENOUGH
        assert all(step is not None for step in at)


@pytest.mark.parametrize("name", ["Poisson", "power law, zeros", "both"])
def test_both_find_the_way_when_the_pools_change_places(name: str) -> None:
    tails = POOLS[name]
    eras = [tails, tails[::-1]]
    for label, model in (
        ("KM, forgets 1 %", lambda: Kaplan(len(tails), 0.01)),
        ("gradient", lambda: Shares(len(tails))),
        ("gradient, spread", lambda: Shares(len(tails), 0.001)),
    ):
        runs = [learned(model(), eras, seed)[STEPS:] for seed in SEEDS]
        last = [float(np.mean(run[-100:])) for run in runs]
        at = [reached(run) for run in runs]
        print(f"{name:18}{label:18} 95 % after {at}, at the end {', '.join(f'{one:.3f}' for one in last)}")
        assert min(last) >= ENOUGH
        assert all(step is not None for step in at)


def test_who_forgets_nothing_is_left_behind_by_a_change() -> None:
    tails = POOLS["Poisson"]
    after = learned(Kaplan(len(tails)), [tails, tails[::-1]], 1)[STEPS:]
    assert np.mean(after[-100:]) < 0.8


@pytest.mark.parametrize("pools", [2, 4, 8])
@pytest.mark.parametrize("kind", ["steady", "shifting", "against it"])
def test_the_regret_of_the_gradient_stays_within_its_bound(pools: int, kind: str) -> None:
    """Against the best fixed parts in hindsight, which are found by giving each unit where it filled most often."""
    rng, model = Random(pools), Gradient(pools, rate_for(pools, STEPS))
    gained, there_by_step = 0.0, []
    for step in range(STEPS):
        sent = [share * VOLUME for share in model.shares]
        if kind == "steady":
            there = [rng.randrange(0, 2 + 3 * i) for i in range(pools)]
        elif kind == "shifting":
            there = [VOLUME if i == step * 3 * pools // STEPS % pools else 0 for i in range(pools)]
        else:
            most = max(range(pools), key=lambda i: (sent[i], i))
            there = [0 if i == most else VOLUME for i in range(pools)]
        gained += sum(min(a, b) for a, b in zip(sent, there, strict=True))
        model.learn([a <= b for a, b in zip(sent, there, strict=True)])
        there_by_step.append(there)
    counts = np.array(there_by_step)
    tails = [np.array([(counts[:, i] >= s).mean() for s in range(1, VOLUME + 1)]) for i in range(pools)]
    best = STEPS * expected_fill(tails, allocate(tails, VOLUME))
    bound = regret_bound(VOLUME, pools, STEPS)
    print(f"{pools} pools, {kind:10}: regret {best - gained:8.0f}, bound {bound:8.0f}")
    assert best - gained <= bound


def test_the_bound_is_the_published_one() -> None:
    assert regret_bound(30, 4, 2_000) == pytest.approx(3 * 30 * math.sqrt(2_000 * math.log(4)))
    assert rate_for(4, 2_000) == pytest.approx(math.sqrt(math.log(4) / 2_000))


def test_the_estimate_is_that_of_kaplan_and_meier_but_for_one_trial_that_went_on() -> None:
    """Sent 3 and filled 1, sent 2 and filled 2 (censored), sent 4 and filled 0."""
    pool = Tails(4)
    for trial in (Trial(3, 1), Trial(2, 2), Trial(4, 0)):
        pool.learn(trial)
    # At 0 three had asked for more and one got no more; at 1 two, and one got no more.
    first = 1 - 1 / (3 + 1)
    assert pool.tail() == pytest.approx([first, first * (1 - 1 / (2 + 1)), first * 2 / 3, first * 2 / 3])


def test_with_many_trials_the_estimate_is_the_truth_however_they_were_censored() -> None:
    tail, rng, pool = power(0.5, 1.5), Random(1), Tails(VOLUME)
    for _ in range(50_000):
        sent, there = rng.randint(1, VOLUME), int((tail > rng.random()).sum())
        pool.learn(Trial(sent, min(sent, there)))
    assert np.abs(pool.tail() - tail).max() < 0.02


def test_beyond_what_was_seen_a_unit_is_as_likely_as_the_one_before_it() -> None:
    pool = Tails(10)
    pool.learn(Trial(3, 3))
    assert pool.tail() == pytest.approx(np.ones(10))


def test_a_pool_that_failed_a_few_times_is_tried_again() -> None:
    pool = Tails(10)
    for _ in range(3):
        pool.learn(Trial(5, 0))
    assert pool.tail()[0] == pytest.approx(0.25)


def test_what_lies_back_counts_less() -> None:
    fresh, forgetful = Tails(5), Tails(5, 0.5)
    for pool in (fresh, forgetful):
        for _ in range(10):
            pool.learn(Trial(5, 0))
        for _ in range(3):
            pool.learn(Trial(5, 5))
    assert forgetful.tail()[0] > 0.9 > 0.4 > fresh.tail()[0]


def test_a_trial_of_nothing_teaches_nothing() -> None:
    pool = Tails(5, 0.5)
    pool.learn(Trial(5, 2))
    before = pool.tail()
    pool.learn(Trial(0, 0))
    assert (pool.tail() == before).all()


def test_giving_each_unit_where_it_is_likeliest_is_the_best_of_all_allocations() -> None:
    rng = Random(3)
    for _ in range(30):
        tails = [np.sort(np.array([rng.random() for _ in range(6)]))[::-1] for _ in range(3)]
        found = expected_fill(tails, allocate(tails, 6))
        every = [parts for parts in product(range(7), repeat=3) if sum(parts) == 6]
        assert found == pytest.approx(max(expected_fill(tails, parts) for parts in every))


def test_allocations_sum_to_the_whole_and_where_nothing_is_known_they_are_even() -> None:
    assert allocate([np.ones(10)] * 4, 10) == [3, 3, 2, 2]
    assert allocate([np.ones(3)] * 2, 10) == [3, 3]  # no pool is asked for more than its tail is long
    assert allocate([], 10) == []
    for total in range(50):
        model = Gradient(7, 0.3)
        model.learn([True, False, None, True, False, False, True])
        assert sum(model.divide(total)) == total
