"""Every point at which a process can die: before and right after each thing that it does to the world outside.

A small scenario of each algorithm and strategy is run once to count the steps of its processes: publishes, journal
writes, acknowledgements, requests to venues. Then it is run again for every step, and the process dies there.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from bestex import plugins
from tests.faults.simulation.faults import Kill
from tests.faults.simulation.scenario import WRITERS, Act, Scenario, order
from tests.faults.simulation.simulation import Simulation

AT_MS = 2_300
CANCEL_MS = 3_400
DOWN_MS = 300


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Every algorithm and every strategy, in pairs, the shorter list in turn; a cancel in the middle for every other
    one. By the time that it comes queues are known, so that strategies that post do."""
    algos, strategies = list(plugins.ALGOS), list(plugins.STRATEGIES)
    for number in range(max(len(algos), len(strategies))):
        algo, strategy = algos[number % len(algos)], strategies[number % len(strategies)]
        new = order(Random(f"{algo} {strategy}"), "p", algo, strategy, AT_MS)
        body = {**new.body, "params": {**new.body["params"], "duration": "3s"}, "qty": "17.05"}
        acts = [msgspec.structs.replace(new, body=body)]
        if number % 2:
            acts.append(Act(at_ms=CANCEL_MS, verb="cancel", parent_id="p", algo=algo, body={}))
        yield f"{algo}, {strategy}", Scenario(seed=number, acts=tuple(acts))


def points(scenario: Scenario) -> list[Kill]:
    """Every way to die in this scenario, but for the time before its first order: each start is the same."""
    run = Simulation(scenario)
    for name in WRITERS:
        run.processes[name].steps.trace = []
    run.run()
    found = []
    for name in WRITERS:
        trace = run.processes[name].steps.trace
        assert trace is not None, "it was asked for above"
        for step in range(len(trace)):
            if trace[step] not in IDLE:
                found += [
                    Kill(process=name, step=step, after=after, down_ms=DOWN_MS) for after in (False, True)
                ]
    return found


IDLE = frozenset({"$JS.API.INFO"})  # the watchdog: to die there is to die while nothing is under way
