"""The whole platform on one virtual clock: seeds, crash points, and whether the missing of a guard would be seen."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import get_context

import msgspec
import pytest

from tests.faults.simulate import outcomes
from tests.faults.simulation import crash_points
from tests.faults.simulation.faults import Freeze, Kill
from tests.faults.simulation.mutations import MUTATIONS, Mutation, without
from tests.faults.simulation.scenario import Scenario, draw
from tests.faults.simulation.shrink import narrate, shrink
from tests.faults.simulation.simulation import Outcome, simulate

SEEDS = 2_000
JOBS = os.cpu_count() or 1
SEED_WITH_ALL = 3  # any one will do
MUTANT_SEEDS_MAX = 150  # most mutants fall to the first few
TIME_S_MAX = 400  # of one of these tests on two busy cores


@pytest.mark.timeout(TIME_S_MAX)
def test_no_seed_breaks_a_promise() -> None:
    broken = [outcome for outcome in outcomes(range(SEEDS), JOBS) if outcome.violations]
    assert not broken, told(broken)


@pytest.mark.timeout(TIME_S_MAX)
@pytest.mark.parametrize(("name", "scenario"), crash_points.scenarios(), ids=lambda one: str(one)[:24])
def test_a_process_may_die_at_any_step_of_it(name: str, scenario: Scenario) -> None:
    kills = crash_points.points(scenario)
    assert len(kills) > 2 * len(scenario.acts), name
    with get_context("fork").Pool(JOBS) as pool:
        ends = pool.map(simulate, [msgspec.structs.replace(scenario, faults=(kill,)) for kill in kills], 8)
    broken = [(kill, end.violations) for kill, end in zip(kills, ends, strict=True) if end.violations]
    assert not broken, broken[:3]


@pytest.mark.timeout(TIME_S_MAX)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_without_this_guard_the_simulation_finds_a_broken_promise(mutation: Mutation) -> None:
    with without(mutation):
        found = next((one for one in map(mutation.scenario, range(MUTANT_SEEDS_MAX)) if fails(one)), None)
    assert found is not None, f"{MUTANT_SEEDS_MAX} seeds, and nobody misses {mutation.name}"
    assert not fails(found), "and with the guard the same scenario keeps every promise"


def test_the_same_seed_gives_the_same_messages_in_another_process_with_another_hash_seed() -> None:
    code = (
        "from tests.faults.simulation.scenario import draw; "
        "from tests.faults.simulation.simulation import simulate; "
        f"print(simulate(draw({SEED_WITH_ALL})).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == simulate(draw(SEED_WITH_ALL)).digest
    assert simulate(draw(SEED_WITH_ALL)).digest == simulate(draw(SEED_WITH_ALL)).digest
    assert simulate(draw(SEED_WITH_ALL + 1)).digest != simulate(draw(SEED_WITH_ALL)).digest


def test_a_failing_scenario_is_told_without_what_does_not_matter() -> None:
    mutation = MUTATIONS[0]
    with without(mutation):
        found = next(one for one in map(mutation.scenario, range(MUTANT_SEEDS_MAX)) if fails(one))
        short = shrink(found)
        lines = list(narrate(short))
    assert len(short.faults) <= len(found.faults)
    assert len(short.acts) <= len(found.acts)
    assert any(line.startswith("VIOLATION") for line in lines)


def test_what_is_killed_or_frozen_stops_at_that_step() -> None:
    calm = msgspec.structs.replace(draw(SEED_WITH_ALL), faults=())
    before = simulate(calm)
    killed = simulate(msgspec.structs.replace(calm, faults=(Kill(process="router", step=60),)))
    frozen = simulate(
        msgspec.structs.replace(calm, faults=(Freeze(process="router", step=60, for_ms=2_000),))
    )
    assert len({before.digest, killed.digest, frozen.digest}) == 3


def fails(scenario: Scenario) -> bool:
    return bool(simulate(scenario).violations)


def told(broken: list[Outcome]) -> str:
    """The first one's shortest history; `python -m tests.faults.simulate --first SEED --seeds 1` tells it too."""
    seeds = ", ".join(str(outcome.seed) for outcome in broken)
    return "\n".join([f"seeds {seeds}", *narrate(shrink(draw(broken[0].seed)))]) if broken else ""
