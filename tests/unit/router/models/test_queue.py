"""The chances of an order in a queue, against numbers drawn at random and against what is plain."""

from __future__ import annotations

import numpy as np
import pytest

from bestex.messages import QueueStats
from services.router.models.queue import QueueModel

MODEL = QueueModel(ahead=2_000, mean=2_500, deviation=900)


def test_the_expected_fill_is_the_mean_of_what_random_outflows_fill() -> None:
    rng = np.random.default_rng(1)
    variance = np.log(1 + (MODEL.deviation / MODEL.mean) ** 2)
    outflow = rng.lognormal(np.log(MODEL.mean) - variance / 2, np.sqrt(variance), 1_000_000)
    assert outflow.mean() == pytest.approx(MODEL.mean, rel=0.005)
    for qty in (10, 500, 3_000):
        filled = np.clip(outflow - MODEL.ahead, 0, qty)
        assert MODEL.expected(qty) == pytest.approx(filled.mean(), rel=0.01)
        assert MODEL.reached(qty) == pytest.approx((outflow > MODEL.ahead + qty).mean(), abs=0.005)


def test_the_chance_of_the_last_unit_gives_back_the_quantity() -> None:
    for qty in (1, 400, 2_500):
        assert MODEL.until(MODEL.reached(qty)) == pytest.approx(qty, rel=1e-6)
    assert MODEL.until(1.0) == 0
    assert MODEL.until(0.0) == float("inf")
    assert MODEL.until(0.9) == 0, "not even the first unit is so sure"


def test_nobody_ahead_is_certain_of_the_first_unit() -> None:
    alone = QueueModel(ahead=0, mean=100, deviation=50)
    assert alone.reached(0) == 1
    assert alone.expected(1e9) == pytest.approx(100)


def test_little_observation_is_taken_for_a_slow_queue() -> None:
    def mean(seconds: float) -> float:
        seen = QueueStats(outflow=2.0, outflow_sd=1.0, traded=1.0, seconds=seconds)
        model = QueueModel.of(seen, 10, 5.0, 0.01)
        assert model is not None
        return model.mean

    assert mean(30) == pytest.approx(500)
    assert mean(30) < mean(300) < 1_000


@pytest.mark.parametrize("seconds", [5.0, 0.0])
def test_where_nothing_leaves_or_nothing_is_known_there_is_no_chance(seconds: float) -> None:
    still = QueueStats(outflow=0.0, outflow_sd=0.0, traded=0.0, seconds=100)
    moving = QueueStats(outflow=1.0, outflow_sd=0.0, traded=0.0, seconds=100)
    assert QueueModel.of(None, 10, seconds, 0.01) is None
    assert QueueModel.of(still, 10, seconds, 0.01) is None
    assert (QueueModel.of(moving, 10, seconds, 0.01) is None) == (seconds == 0)
