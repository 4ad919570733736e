"""The whole platform on one virtual clock: no seed breaks a promise, and a seed is always the same run."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref

import msgspec
import pytest

from tests.faults.simulation.faults import Freeze, Kill
from tests.faults.simulation.scenario import draw
from tests.faults.simulation.shrink import narrate, shrink
from tests.faults.simulation.simulation import Outcome, Simulation, simulate
from tests.faults.simulation.workers import outcomes

SEEDS = 2_000
JOBS = os.cpu_count() or 1
GENERATIONS = 3  # of garbage
SEED_WITH_ALL = 3  # any one will do
TIME_S_MAX = 400  # of one of these tests on two busy cores


@pytest.mark.timeout(TIME_S_MAX)
def test_no_seed_breaks_a_promise() -> None:
    broken = [outcome for outcome in outcomes(range(SEEDS), JOBS) if outcome.violations]
    assert not broken, told(broken)


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


def test_what_is_killed_or_frozen_stops_at_that_step() -> None:
    calm = msgspec.structs.replace(draw(SEED_WITH_ALL), faults=())
    before = simulate(calm)
    killed = simulate(msgspec.structs.replace(calm, faults=(Kill(process="router", step=60),)))
    frozen = simulate(
        msgspec.structs.replace(calm, faults=(Freeze(process="router", step=60, for_ms=2_000),))
    )
    assert len({before.digest, killed.digest, frozen.digest}) == 3


def test_nothing_is_left_of_a_run() -> None:
    run = Simulation(draw(SEED_WITH_ALL))
    run.run()
    connection = weakref.ref(run.processes["router"].life.client)
    del run
    for _ in range(GENERATIONS):  # what a finalizer brings back to life goes with the next one
        gc.collect()
    assert connection() is None


def told(broken: list[Outcome]) -> str:
    """The first one's shortest history; `python -m tests.faults.simulate --first SEED --seeds 1` tells it too."""
    seeds = ", ".join(str(outcome.seed) for outcome in broken)
    return "\n".join([f"seeds {seeds}", *narrate(shrink(draw(broken[0].seed)))]) if broken else ""
