"""Whether the missing of a guard would be seen: the simulation without one guard at a time."""

from __future__ import annotations

import pytest

from tests.faults.simulation.mutations import MUTATIONS, Mutation, without
from tests.faults.simulation.scenario import Scenario
from tests.faults.simulation.shrink import narrate, shrink
from tests.faults.simulation.simulation import simulate

MUTANT_SEEDS_MAX = 150  # most mutants fall to the first few
TIME_S_MAX = 400  # of one of these tests on two busy cores


@pytest.mark.timeout(TIME_S_MAX)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_without_this_guard_the_simulation_finds_a_broken_promise(mutation: Mutation) -> None:
    with without(mutation):
        found = next((one for one in map(mutation.scenario, range(MUTANT_SEEDS_MAX)) if fails(one)), None)
    assert found is not None, f"{MUTANT_SEEDS_MAX} seeds, and nobody misses {mutation.name}"
    assert not fails(found), "and with the guard the same scenario keeps every promise"


def test_a_failing_scenario_is_told_without_what_does_not_matter() -> None:
    mutation = MUTATIONS[0]
    with without(mutation):
        found = next(one for one in map(mutation.scenario, range(MUTANT_SEEDS_MAX)) if fails(one))
        short = shrink(found)
        lines = list(narrate(short))
    assert len(short.faults) <= len(found.faults)
    assert len(short.acts) <= len(found.acts)
    assert any(line.startswith("VIOLATION") for line in lines)


def fails(scenario: Scenario) -> bool:
    return bool(simulate(scenario).violations)
