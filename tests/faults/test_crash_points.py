"""A process may die before and right after everything that it does."""

from __future__ import annotations

import os
from functools import cache

import msgspec
import pytest

from tests.faults.simulation import crash_points
from tests.faults.simulation.scenario import WRITERS, Scenario
from tests.faults.simulation.simulation import Simulation, simulate
from tests.faults.simulation.workers import outcomes

JOBS = os.cpu_count() or 1
TIME_S_MAX = 400  # of one of these tests on two busy cores
ALIKE = 5  # of the deaths that are left out, tried nevertheless
SCENARIOS = dict(crash_points.scenarios())


@pytest.mark.timeout(TIME_S_MAX)
def test_a_process_may_die_at_any_step_of_it() -> None:
    points = list(crash_points.points(SCENARIOS))
    broken = [
        (name, scenario.faults, end.violations)
        for (name, scenario), end in zip(points, outcomes([one for _, one in points], JOBS), strict=True)
        if end.violations
    ]
    assert broken[:3] == []
    assert {name for name, _ in points} == set(SCENARIOS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_children_are_sent_in_every_scenario(name: str) -> None:
    stored = noted(name).run.server.stored
    assert any(message.subject.endswith(".submitting") for _, message in stored)


def test_two_deaths_with_nothing_between_them_are_one() -> None:
    name = "pov, split_evenly"
    scenario, notes = SCENARIOS[name], noted(name)
    assert len(notes.same) >= ALIKE
    for kill in notes.same[:: len(notes.same) // ALIKE]:
        before = msgspec.structs.replace(kill, step=kill.step - 1, after=True)
        ends = [simulate(msgspec.structs.replace(scenario, faults=(one,))).digest for one in (before, kill)]
        assert ends[0] == ends[1], kill


def test_starts_are_alike_in_every_scenario() -> None:
    def steps(scenario: Scenario) -> list[list[str]]:
        run = Simulation(msgspec.structs.replace(scenario, acts=()))
        traces = [run.processes[name].steps for name in WRITERS]
        for one in traces:
            one.trace = []
        run.run()
        return [[what for what in one.trace or () if what not in crash_points.IDLE] for one in traces]

    first, *others = map(steps, SCENARIOS.values())
    assert all(other == first for other in others)


@cache
def noted(name: str) -> crash_points.Notes:
    return crash_points.Notes(SCENARIOS[name], starts=False)
