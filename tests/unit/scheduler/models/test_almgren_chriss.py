"""The published example of Almgren and Chriss (2000), and the model's limits."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import numpy as np
import pytest
from scipy.optimize import minimize

from services.scheduler.models.almgren_chriss import Setting, trajectory

PAPER = Setting(qty=1e6, time=5, steps=5, volatility=0.95, temporary=2.5e-6, permanent=2.5e-7, spread=0.0625)


def test_the_published_trajectory_its_cost_and_its_risk() -> None:
    kappa = PAPER.kappa(1e-6)
    assert kappa == pytest.approx(0.607076, abs=5e-7)
    assert PAPER.half_life(1e-6) == pytest.approx(1.6472, abs=5e-5)
    path = PAPER.holdings(kappa)
    assert [round(held) for held in path] == [1_000_000, 541_956, 289_854, 147_897, 62_142, 0]
    assert PAPER.expected_cost(path) == pytest.approx(911_227.0, abs=0.05)
    assert PAPER.variance(path) == pytest.approx(3.64129e11, abs=5e5)


def test_without_risk_aversion_it_is_a_straight_line_and_costs_what_was_published() -> None:
    path = PAPER.holdings(PAPER.kappa(0))
    assert path == pytest.approx([1e6, 8e5, 6e5, 4e5, 2e5, 0])
    assert PAPER.expected_cost(path) == pytest.approx(662_500.0)
    assert PAPER.half_life(0) == inf


def test_no_other_path_costs_less_with_its_risk() -> None:
    def cost(risk_aversion: float, inner: list[float]) -> float:
        path = [PAPER.qty, *(PAPER.qty * share for share in inner), 0.0]
        return PAPER.expected_cost(path) + risk_aversion * PAPER.variance(path)

    for risk_aversion in (1e-7, 1e-6, 5e-6):
        path = PAPER.holdings(PAPER.kappa(risk_aversion))
        ours = PAPER.expected_cost(path) + risk_aversion * PAPER.variance(path)
        found = minimize(
            lambda inner, each=risk_aversion: cost(each, list(inner)), np.full(4, 0.5), tol=1e-12
        )
        assert ours <= found.fun * (1 + 1e-9)
        assert [held / PAPER.qty for held in path[1:-1]] == pytest.approx(list(found.x), abs=1e-3)


def test_less_risk_is_dearer_along_the_frontier() -> None:
    frontier = PAPER.frontier([0, 1e-7, 1e-6, 1e-5, inf])
    for (cheap, risky), (dear, safe) in pairwise(frontier):
        assert dear > cheap
        assert safe < risky
    assert frontier[-1][1] == 0


def test_a_half_life_and_the_risk_aversion_behind_it_are_each_others_inverse() -> None:
    for kappa in (1e-9, 0.3, 0.607076, 20.0):
        assert PAPER.kappa(PAPER.risk_aversion(kappa)) == pytest.approx(kappa)


def test_where_waiting_saves_nothing_all_goes_at_once() -> None:
    permanent = Setting(qty=1, time=5, steps=5, volatility=1, temporary=1, permanent=2)
    assert permanent.kappa(1e-6) == inf
    assert trajectory(5, inf) == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("decay", [1e-300, 1e-12, 1e-3, 1.0, 700.0, 1e5, 1e300])
def test_nothing_overflows_and_what_is_held_only_falls(decay: float) -> None:
    path = trajectory(50, decay)
    assert path[0] == 1
    assert path[-1] == 0
    assert all(after <= before for before, after in pairwise(path))
