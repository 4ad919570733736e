"""Every point at which a process can die: before and right after each thing that it does to the world outside.

A small scenario of each algorithm and strategy is run once, and the steps of its processes are noted: publishes,
journal writes, acknowledgements, requests to venues. Then it is run again for every step, and the process dies there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from random import Random
from typing import Any

import msgspec

from bestex import plugins
from tests.faults.simulation.faults import Kill
from tests.faults.simulation.scenario import WRITERS, Act, Scenario, order
from tests.faults.simulation.simulation import Simulation

AT_MS = 2_300
CANCEL_MS = 3_200
DOWN_MS = 300
DURATION = "2s"
IDLE = frozenset({"$JS.API.INFO"})  # the watchdog: to die there is to die while nothing is under way

# For a scenario that is small, and in which there is something to do before the cancel.
PARAMS: dict[str, dict[str, Any]] = {
    "peg": {"interval": "500ms"},
    "sniper": {"threshold": "5%", "cooldown": "500ms"},
    "smart": {"force_completion": True},
}
CANCELED = frozenset({"limit", "vwap", "is", "sniper", "liquidity"})


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """Every algorithm and every strategy, in pairs, the shorter list in turn; a cancel in the middle for some. By the
    time that the order comes queues are known, so that strategies that post do."""
    algos, strategies = list(plugins.ALGOS), list(plugins.STRATEGIES)
    for number in range(max(len(algos), len(strategies))):
        algo, strategy = algos[number % len(algos)], strategies[number % len(strategies)]
        new = order(Random(f"{algo} {strategy}"), "p", algo, strategy, AT_MS)
        params = {**new.body["params"], **PARAMS.get(algo, {}), "duration": DURATION}
        acts = [msgspec.structs.replace(new, body={**new.body, "params": params, "qty": "17.05"})]
        if algo in CANCELED:
            acts.append(Act(at_ms=CANCEL_MS, verb="cancel", parent_id="p", algo=algo, body={}))
        yield f"{algo}, {strategy}", Scenario(seed=number, acts=tuple(acts))


class Notes:
    """The points of one run in which nobody dies.

    Two deaths between which nothing came to the process, and it left nothing behind, are one and the same: after a
    step, and before the next one that it does in one go with it. `starts`: whether they begin with the starts of the
    processes, which are alike in every scenario, or with the first order.
    """

    def __init__(self, scenario: Scenario, *, starts: bool) -> None:
        self.run = Simulation(scenario)
        self.points: list[Kill] = []
        self.same: list[Kill] = []  # as the point before it
        self._starts = starts
        self._last: dict[str, tuple[int, int]] = {}  # by process: when it could have died last
        for name in WRITERS:
            self.run.processes[name].steps.watch = partial(self._note, name)
        self.run.run()

    def _note(self, process: str, step: int, what: str, after: bool) -> None:
        if what in IDLE or not (self._starts or self.run.said):
            self._last.pop(process, None)
            return
        moment = self.run.world.happened, self.run.processes[process].files.writes
        is_same = not after and self._last.get(process) == moment
        self._last[process] = moment
        kill = Kill(process=process, step=step, after=after, down_ms=DOWN_MS)
        (self.same if is_same else self.points).append(kill)


def points(scenarios: Mapping[str, Scenario]) -> Iterator[tuple[str, Scenario]]:
    """Every one of them with every death in it; the processes' starts in the first one only."""
    for number, (name, scenario) in enumerate(scenarios.items()):
        for kill in Notes(scenario, starts=not number).points:
            yield name, msgspec.structs.replace(scenario, faults=(kill,))
