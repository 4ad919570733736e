"""A process may die before and right after everything that it does."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest

from tests.faults.simulation import crash_points
from tests.faults.simulation.scenario import Scenario
from tests.faults.simulation.workers import outcomes

JOBS = os.cpu_count() or 1
TIME_S_MAX = 400  # of one of these tests on two busy cores
SCENARIOS = list(crash_points.scenarios())


EVERY = 8  # of the steps; all of them, with the campaigns


@pytest.mark.timeout(TIME_S_MAX)
@pytest.mark.parametrize(("name", "scenario"), SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_a_process_may_die_at_many_steps_of_it(name: str, scenario: Scenario) -> None:
    assert broken_at(name, scenario, EVERY) == []


@pytest.mark.campaign
@pytest.mark.timeout(2 * TIME_S_MAX)
@pytest.mark.parametrize(("name", "scenario"), SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_a_process_may_die_at_any_step_of_it(name: str, scenario: Scenario) -> None:
    assert broken_at(name, scenario, 1) == []


def broken_at(name: str, scenario: Scenario, every: int) -> list[Any]:
    """The first promises that a kill has broken, at each of so many steps."""
    kills = crash_points.points(scenario)
    assert len(kills) > 2 * len(scenario.acts), name
    kills = kills[::every]
    ends = outcomes([msgspec.structs.replace(scenario, faults=(kill,)) for kill in kills], JOBS)
    return [(kill, end.violations) for kill, end in zip(kills, ends, strict=True) if end.violations][:3]
