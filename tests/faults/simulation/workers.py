"""Many runs on several processors: each process takes every n-th, and the outcomes come in the order of the work."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

from tests.faults.simulation.scenario import Scenario, draw
from tests.faults.simulation.simulation import Outcome, simulate


def outcomes(work: Sequence[int | Scenario], jobs: int) -> Iterator[Outcome]:
    """Of seeds or of scenarios. Raises EOFError where one of the processes has died."""
    # Started anew and not forked: whoever calls this may have threads, and a fork copies the locks that they hold.
    context = multiprocessing.get_context("spawn")
    ends: list[Connection] = []
    processes = []
    for first in range(min(jobs, len(work))):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(work[first::jobs], there), daemon=True)
        process.start()
        there.close()
        ends.append(here)
        processes.append(process)
    try:
        for number in range(len(work)):
            yield ends[number % jobs].recv()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(work: Sequence[int | Scenario], there: Connection) -> None:
    gc.disable()
    gc.freeze()
    for one in work:
        there.send(simulate(draw(one) if isinstance(one, int) else one))
        gc.collect()  # while what a run has left is still at hand in the processor's cache
