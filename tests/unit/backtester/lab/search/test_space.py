"""Ranges are read off the parameters' structs, for every algorithm and strategy there is."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bestex import codec, plugins
from bestex.errors import UsageError
from bestex.human import Duration
from services.backtester.lab.search.space import Space, make_space

MINUTE = Duration.parse("1m")


def drawn(space: Space, count: int = 40) -> list[tuple[dict[str, Any], optuna.trial.FrozenTrial]]:
    """Points as they travel, with what was suggested."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    points = []
    for _ in range(count):
        trial = study.ask()
        point = space.suggest(trial)
        points.append((point, study.trials[trial.number]))
    return points


@pytest.mark.parametrize("algo", sorted(set(plugins.ALGOS) - {"market", "limit"}))
def test_whatever_is_drawn_for_an_algorithm_can_be_read_by_it(algo: str) -> None:
    space = make_space([algo], duration=MINUTE)
    accepted = 0
    for point, _ in drawn(space, 12):
        fields = space.order_fields(point)
        made = codec.convert(
            {**fields["params"], "duration": "1m"}, plugins.load(plugins.ALGOS, algo), strict=False
        )
        accepted += not made.problem()
    assert accepted >= 9, "a few combinations may contradict each other"


@pytest.mark.parametrize("strategy", sorted(plugins.STRATEGIES))
def test_whatever_is_drawn_for_a_strategy_can_be_read_by_it(strategy: str) -> None:
    space = make_space(["twap"], [strategy], duration=MINUTE)
    for point, _ in drawn(space, 6):
        fields = space.order_fields(point)
        assert fields["strategy"] == strategy
        codec.convert(fields["strategy_params"], plugins.load(plugins.STRATEGIES, strategy), strict=False)


def test_a_range_is_an_eighth_to_eight_times_the_default_within_the_bounds_and_the_order() -> None:
    found = {one.name: one for one in make_space(["liquidity", "sniper", "twap"], duration=MINUTE).dimensions}
    assert (found["liquidity.depth_bps"].low, found["liquidity.depth_bps"].high) == (1, 80)
    assert (found["liquidity.share"].low, found["liquidity.share"].high) == (0.1 / 8, 0.8)
    assert found["sniper.take"].high == 1.0, "a share of what is there"
    assert found["twap.interval"].high == 60.0, "no longer than the order"
    assert (found["twap.randomize"].low, found["twap.randomize"].high, found["twap.randomize"].log) == (
        0,
        0.9,
        False,
    )
    assert found["liquidity.depth_of"].choices == ("both", "front")


def test_what_matters_with_one_algorithm_or_strategy_only_is_drawn_with_it_only() -> None:
    space = make_space(["twap", "pov"], ["smart", "sweep"], duration=MINUTE)
    for point, trial in drawn(space):
        assert any(name.startswith("twap.") for name in point) is (point["algo"] == "twap")
        assert any(name.startswith("pov.") for name in point) is (point["algo"] == "pov")
        assert any(name.startswith("@smart.") for name in point) is (point["strategy"] == "smart")
        assert ("@smart.patience" in point) is (
            point["strategy"] == "smart" and point["@smart.urgency"] != "immediate"
        )
        assert point.keys() == trial.params.keys()
        fields = space.order_fields(point)
        assert (fields["algo"], fields["strategy"]) == (point["algo"], point["strategy"])


def test_a_parameter_that_another_one_overrides_is_not_searched() -> None:
    free = make_space(["twap"], duration=MINUTE, ranges={"slices": "0,5"})
    for point, _ in drawn(free):
        assert ("twap.interval" in point) is (point["twap.slices"] == 0)
    held = make_space(["twap"], duration=MINUTE, fixed={"slices": 5})
    assert all("twap.interval" not in point for point, _ in drawn(held, 5))
    assert held.order_fields({})["params"] == {"slices": 5}


def test_ranges_are_written_as_the_parameter_is() -> None:
    space = make_space(
        ["twap"],
        duration=MINUTE,
        ranges={
            "interval": "500ms:20s:log",
            "randomize": "0%:30%",
            "min_slice": "0.01:2:log",
            "slices": "0:10",
        },
        only=["interval"],
    )
    distributions = drawn(space)[0][1].distributions
    assert distributions["twap.slices"] == IntDistribution(0, 10)
    assert distributions["twap.randomize"] == FloatDistribution(0.0, 0.3)
    assert distributions["twap.min_slice"] == FloatDistribution(0.01, 2.0, log=True)
    intervals = [point["twap.interval"] for point, _ in drawn(space) if "twap.interval" in point]
    assert intervals
    assert all(Duration.parse("500ms") <= Duration.parse(one) <= Duration.parse("20s") for one in intervals)
    assert "twap.catch_up" not in distributions, "only what was asked for"
    words = make_space(["twap"], duration=MINUTE, ranges={"interval": "2s,5s,10s"}, only=["interval"])
    assert drawn(words)[0][1].distributions == {"twap.interval": CategoricalDistribution(("2s", "5s", "10s"))}
    assert words.begin() == {"twap.interval": "10s"}, "the search begins at the default"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"ranges": {"intervall": "1s:2s"}}, "no such parameter"),
        ({"ranges": {"interval": "5s:2s"}}, "is empty"),
        ({"ranges": {"interval": "0s:2s:log"}}, "begins above zero"),
        ({"ranges": {"interval": "1s:2s:exp"}}, "neither log nor linear"),
        ({"ranges": {"interval": "fast:slow"}}, "no duration"),
        ({"ranges": {"interval": "5s"}}, "two values or more"),
        ({"ranges": {"slices": "0:20000"}}, "goes beyond"),
        ({"ranges": {"slices": "0:2.5"}}, "is no int"),
        ({"ranges": {"tif": "gtd,ioc"}}, "none of gtd, day"),
        ({"ranges": {"tif": "a:b"}}, "has no range"),
        ({"ranges": {"duration": "1s:2s"}}, "over the same time"),
        ({"ranges": {"interval": "1s:2s"}, "fixed": {"interval": "1s"}}, "either set or searched"),
        ({"only": ["would_price"]}, "no default to begin from"),
        ({"only": ["wood_price"]}, "no such parameter"),
    ],
)
def test_a_mistake_in_a_range_is_named(more: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make_space(["twap"], duration=MINUTE, **more)


def test_an_algorithm_that_is_not_there_or_has_nothing_to_search_is_named() -> None:
    with pytest.raises(UsageError, match="there is no 'twapp'"):
        make_space(["twapp"], duration=MINUTE)
    with pytest.raises(UsageError, match="each one once"):
        make_space(["twap", "twap"], duration=MINUTE)
    with pytest.raises(UsageError, match="name an algorithm"):
        make_space([], duration=MINUTE)
