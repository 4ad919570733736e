"""A process may die before and right after everything that it does."""

from __future__ import annotations

import os

import msgspec
import pytest

from tests.faults.simulation import crash_points
from tests.faults.simulation.scenario import Scenario
from tests.faults.simulation.workers import outcomes

JOBS = os.cpu_count() or 1
TIME_S_MAX = 400  # of one of these tests on two busy cores
SCENARIOS = list(crash_points.scenarios())


@pytest.mark.timeout(TIME_S_MAX)
@pytest.mark.parametrize(("name", "scenario"), SCENARIOS, ids=[name for name, _ in SCENARIOS])
def test_a_process_may_die_at_any_step_of_it(name: str, scenario: Scenario) -> None:
    kills = crash_points.points(scenario)
    assert len(kills) > 2 * len(scenario.acts), name
    ends = outcomes([msgspec.structs.replace(scenario, faults=(kill,)) for kill in kills], JOBS)
    broken = [(kill, end.violations) for kill, end in zip(kills, ends, strict=True) if end.violations]
    assert not broken, broken[:3]
