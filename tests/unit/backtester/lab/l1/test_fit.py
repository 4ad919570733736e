"""What the search finds, and whether it holds on quotes that it has not seen."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from bestex.clock import SECOND
from services.backtester.lab.l1 import fit, windows
from services.backtester.lab.l1.child import Child, Taken
from services.backtester.lab.l1.grid import make
from services.backtester.lab.l1.quotes import Terms, read
from services.backtester.lab.l1.windows import Episodes
from tests.unit.backtester.lab.l1 import level1

HOURS, TRIALS, SEED, QTY, LOT = 1.25, 8, 3, 200, 100
TERMS = Terms(fee=Decimal("0.003"), rebate=Decimal("0.002"))


def quiet() -> None:
    """No progress is shown."""


def episodes_of(path: Path, sign: int, count: int = windows.EPISODES_MAX) -> Episodes:
    grid = make(read(path, sign, TERMS), 10 * SECOND, 6, 0.005)
    return Episodes(grid, windows.evenly(windows.windows(grid), count), QTY, LOT)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return level1.day(tmp_path_factory.mktemp("l1") / "day.csv", 11, HOURS)


@pytest.fixture(scope="module")
def episodes(day: Path) -> Episodes:
    return episodes_of(day, 1)


def test_the_fitted_router_is_no_worse_than_any_baseline_out_of_sample(day: Path, episodes: Episodes) -> None:
    """Bought and sold on the same windows, so that the market's drift is no help to either."""
    both = [fit.walk_forward(one, TRIALS, SEED, quiet).each for one in (episodes, episodes_of(day, -1))]
    for name in ("best_ask", "twap", "vwap", "sweep"):
        savings = (both[0][name] + both[1][name]) / 2
        assert len(savings) >= 50
        assert savings.mean() > 0, name


def test_the_same_seed_finds_the_same(episodes: Episodes) -> None:
    few = range(0, 40)
    first, again = (fit.fit(episodes, few, 8, SEED, quiet) for _ in range(2))
    assert first == again
    assert first.tried[0].parameters == fit.space(episodes.grid, episodes.firsts[:40]).anchors[0]


def test_a_block_is_fitted_on_what_was_before_it_alone(
    episodes: Episodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[list[int]] = []
    honest = fit.fit

    def watched(of: Episodes, which: range, trials: int, seed: int, progress: fit.Progress) -> fit.Fitted:
        used.append(list(which))
        return honest(of, which, trials, seed, progress)

    monkeypatch.setattr(fit, "fit", watched)
    blocks = fit.walk_forward(episodes, 1, SEED, quiet).blocks
    assert len(blocks) == fit.BLOCKS - 1
    for block, seen in zip(blocks, used, strict=True):
        assert seen == list(range(block.first - fit.PURGED))
    assert [block.first for block in blocks[1:]] == [block.last for block in blocks[:-1]]
    assert blocks[-1].last == len(episodes)


def test_with_few_windows_the_best_ask_alone_is_taken(day: Path) -> None:
    few = episodes_of(day, 1, 4)
    found = fit.fit(few, range(4), 5, SEED, quiet)
    assert found.parameters == fit.space(few.grid, few.firsts).anchors[0]
    router = few.router(found.parameters)
    for first in few.firsts:
        child = Child(few.grid, Taken(few.grid), first, first + few.grid.steps, QTY)
        child.work(router)
        assert not any(fill.rested for fill in child.fills)
        for fill in child.fills:
            if fill.at < child.end:
                assert few.grid.ask[fill.at, fill.place] == few.grid.ask[fill.at].min()


def test_drift_is_taken_out_of_a_score_and_nothing_else() -> None:
    rng = np.random.default_rng(5)
    drift = rng.normal(0.0, 5.0, 400)
    value = -1.0 + 0.4 * drift + rng.normal(0.0, 0.1, 400)
    left = fit.without(value, drift)
    assert left.mean() == pytest.approx(-1.0, abs=0.03)
    assert left.std() == pytest.approx(0.1, abs=0.02)
    assert fit.without(value, np.zeros(400)) == pytest.approx(value)


def test_a_candidate_needs_evidence() -> None:
    rng = np.random.default_rng(6)
    reference, drift = np.zeros(20), np.zeros(20)
    lucky = rng.normal(0.0, 3.0, 20)
    lucky += -0.5 - lucky.mean()
    assert fit.score(lucky, reference, drift) > 0
    assert fit.score(np.full(20, -0.5), reference, drift) == pytest.approx(-0.5)


def test_what_drift_explains_is_no_doubt_about_a_candidate() -> None:
    drift = np.array([-20.0, 20.0] * 10)
    assert fit.score(-0.5 + 0.4 * drift, np.zeros(20), drift) == pytest.approx(-0.5)


def test_parameters_matter(episodes: Episodes) -> None:
    best = fit.fit(episodes, range(40), 8, SEED, quiet).parameters
    answer = fit.response(episodes, best, 4)
    for name, curve in answer.items():
        costs = [bps for _, bps in curve]
        assert max(costs) - min(costs) > 0.01, name
