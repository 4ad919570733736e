"""Searches whose best is known beforehand, because costs are made up; and a machine that does one."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bestex.human import Duration
from services.backtester.lab.pool import Pool
from services.backtester.lab.search import storage as st
from services.backtester.lab.search import trials
from services.backtester.lab.search.cases import Score, Task
from services.backtester.lab.search.space import Space, make_space
from tests import waiting

CASES = tuple(range(10))
BEST_S = 3.0
TRIALS = 36
STUDY = "s"


def space() -> Space:
    return make_space(
        ["twap"], ["sweep", "smart"], duration=Duration.parse("1m"), only=["interval", "patience"]
    )


def planted(task: Task) -> Score:
    """Cheapest at an interval of three seconds with `smart`; cases are dearer or cheaper, all alike."""
    point = json.loads(task.point)
    interval = float(Duration.parse(point["twap.interval"])) / 1e9
    cost = math.log(interval / BEST_S) ** 2 + (0.5 if point["strategy"] == "sweep" else 0.0) + task.case % 3
    return Score(cost, 1.0)


class Stopped:
    """Evaluates like `planted`, and calls `stop` before one of the evaluations."""

    def __init__(self, lives: int, stop: Callable[[], object]) -> None:
        self.lives, self.stop = lives, stop

    def __call__(self, task: Task) -> Score:
        self.lives -= 1
        if self.lives == -1:
            self.stop()
        return planted(task)


def open_study(where: str, name: str = STUDY) -> Any:
    storage = st.open_storage(where)
    with st.beginning(where):
        return st.open_study(storage, name, {"data": "made up"})


def program(
    study: Any, seed: int = 1, worker: int = 0, count: int = TRIALS, told: Any = lambda: None
) -> trials.Program:
    return trials.search(study, space(), CASES, seed=seed, worker=worker, trials=count, told=told)


def work(where: str, function: Any = planted, worker: int = 0, **more: Any) -> trials.Found:
    with st.alone(where, STUDY, worker), Pool(1) as pool:
        [found] = pool.drive(function, [program(open_study(where), worker=worker, **more)])
    return found


History = list[tuple[Any, ...]]


def history(where: str) -> History:
    """Everything that was proposed, what it cost, and how it ended; in order."""
    there = sorted(
        open_study(where).trials, key=lambda one: (one.user_attrs["worker"], one.user_attrs["position"])
    )
    return [
        (one.user_attrs["position"], one.params, one.value, one.state.name, one.intermediate_values)
        for one in there
    ]


def main(where: str, worker: str, count: str, lives: str = "", says: str = "", waits: str = "") -> None:
    """A machine. Before the evaluation `lives` it makes the file `says` and waits for the file `waits`."""

    def stop() -> None:
        Path(says).touch()
        asyncio.run(waiting.until(Path(waits).exists))

    work(where, Stopped(int(lives), stop) if lives else planted, worker=int(worker), count=int(count))
