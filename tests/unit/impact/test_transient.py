"""Impact that decays, and the schedules that are best against it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.clock import SECOND
from bestex.impact import Exponential, Permanent, PowerLaw, Trade, Transient, obizhaeva_wang
from bestex.impact.transient import Kernel, equal_shares, in_lots

HALF = Exponential(half_life_ns=SECOND)
KERNELS: list[Kernel] = [HALF, PowerLaw(beta=0.5, cutoff_ns=SECOND // 10), Permanent()]
DECAYING = KERNELS[:2]

trades = st.lists(
    st.builds(Trade, at_ns=st.integers(0, 60 * SECOND), qty=st.integers(-1_000, 1_000)), max_size=8
)


@pytest.mark.parametrize("kernel", KERNELS)
def test_an_impact_is_whole_at_once(kernel: Kernel) -> None:
    assert kernel.left(0) == 1


def test_half_of_it_is_left_after_a_half_life_and_a_tenth_of_a_power_law_after_99_cutoffs() -> None:
    assert HALF.left(SECOND) == 0.5
    assert HALF.left(3 * SECOND) == 0.125
    assert PowerLaw(beta=0.5, cutoff_ns=1).left(99) == pytest.approx(0.1)


@pytest.mark.parametrize("kernel", DECAYING)
@given(at_ns=st.integers(0, 100 * SECOND), later_ns=st.integers(1, 100 * SECOND))
def test_what_is_left_only_ever_gets_less(kernel: Kernel, at_ns: int, later_ns: int) -> None:
    assert 0 <= kernel.left(at_ns + later_ns) <= kernel.left(at_ns) <= 1


@pytest.mark.parametrize("kernel", DECAYING)
def test_all_of_it_is_gone_in_the_end(kernel: Kernel) -> None:
    model = Transient(kernel=kernel, bps_per_unit=1.0)
    assert model.displacement_bps([Trade(0, 1)], 10**9 * SECOND) < 1e-4


@pytest.mark.parametrize("kernel", KERNELS)
@given(first=trades, second=trades, now_ns=st.integers(0, 100 * SECOND))
def test_the_impacts_of_all_trades_add_up(
    kernel: Kernel, first: list[Trade], second: list[Trade], now_ns: int
) -> None:
    model = Transient(kernel=kernel, bps_per_unit=0.01)
    alone = [model.displacement_bps(some, now_ns) for some in (first, second)]
    assert model.displacement_bps([*first, *second], now_ns) == pytest.approx(sum(alone), abs=1e-9)
    opposite = [Trade(trade.at_ns, -trade.qty) for trade in first]
    assert model.displacement_bps(opposite, now_ns) == pytest.approx(-alone[0], abs=1e-12)


def test_a_trade_moves_nothing_before_it_happens() -> None:
    assert Transient(kernel=HALF, bps_per_unit=1.0).displacement_bps([Trade(5, 10)], 4) == 0


def test_obizhaeva_and_wang_trade_as_published() -> None:
    left, n = 0.5, 10  # at times 0 to N tau: eleven trades
    shares = obizhaeva_wang(n + 1, left)
    edge = 1 / ((n - 1) * (1 - left) + 2)
    assert (shares[0], shares[-1]) == (edge, edge)
    assert shares[1:-1] == [(1 - left) * edge] * (n - 1)
    assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(("count", "shares"), [(1, [1.0]), (2, [0.5, 0.5])])
def test_one_or_two_trades_leave_no_choice(count: int, shares: list[float]) -> None:
    assert obizhaeva_wang(count, 0.3) == shares


@pytest.mark.parametrize("left", [0.0, 0.2, 0.7, 0.99])
@pytest.mark.parametrize("count", [2, 3, 10])
def test_obizhaeva_and_wang_is_the_minimum_of_the_quadratic_cost(count: int, left: float) -> None:
    """Of 1/2 x'Gx with 1'x = 1, G_ij = a^|i-j|: the solution is G^-1 1 over 1'G^-1 1."""
    steps = np.arange(count)
    inverse = np.linalg.solve(left ** np.abs(steps[:, None] - steps), np.ones(count))
    assert obizhaeva_wang(count, left) == pytest.approx(list(inverse / inverse.sum()))


def costs(model: Transient, quantities: list[int], own: float) -> float:
    return model.cost_bps_qty([Trade(i * SECOND, qty) for i, qty in enumerate(quantities)], own)


@pytest.mark.parametrize(
    ("model", "own", "best"),
    [
        (Transient(kernel=HALF, bps_per_unit=1.0), 0.5, obizhaeva_wang(6, HALF.left(SECOND))),
        (Transient(kernel=Permanent(), bps_per_unit=1.0), 1.0, equal_shares(6)),
    ],
    ids=["decaying", "permanent"],
)
def test_no_other_schedule_costs_less(model: Transient, own: float, best: list[float]) -> None:
    chosen = in_lots(600_000, best, 1)
    least = costs(model, chosen, own)
    rng = random.Random(5)
    for _ in range(200):
        moved = list(chosen)
        giver, taker = rng.sample(range(6), 2)
        amount = rng.randint(1_000, 50_000)
        moved[giver] -= amount
        moved[taker] += amount
        assert costs(model, moved, own) > least


@given(
    total=st.integers(1, 10**9), count=st.integers(1, 50), left=st.floats(0, 0.999), lot=st.integers(1, 100)
)
def test_a_schedule_in_lots_sums_to_the_whole(total: int, count: int, left: float, lot: int) -> None:
    parts = in_lots(total, obizhaeva_wang(count, left), lot)
    assert sum(parts) == total
    assert sum(1 for part in parts if part % lot) <= 1
