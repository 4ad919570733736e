"""TWAP: equal parts at equal times, randomised in size and time around the straight line.

The average price over the duration, at the least information given away (Almgren and Chriss 2000: the schedule of a
trader without risk aversion; Bertsimas and Lo 1998: optimal where impact is linear and permanent).
"""

from __future__ import annotations

from typing import ClassVar

from services.scheduler.algos.base import Task
from services.scheduler.algos.scheduled import Scheduled
from services.scheduler.curve import Curve, Point


class Twap(Scheduled, frozen=True, kw_only=True, omit_defaults=True):
    """Equal parts at equal times: the average price over the duration, at the least information given away."""

    name: ClassVar[str] = "twap"

    def curve(self, task: Task, now_ns: int) -> Curve:
        start_ns = self.begin_ns(task, now_ns)
        return straight(task, start_ns, self.steps(task, start_ns, task.cum), float(self.randomize))


def straight(task: Task, start_ns: int, steps: int, slack: float) -> Curve:
    """From what is filled to the whole, in a straight line of so many steps."""
    end_ns, span_ns = max(task.end_ns, start_ns + 1), max(task.end_ns - start_ns, 1)
    step = -(-(task.qty - task.cum) // steps)
    play = int(slack * step)
    line = Curve([Point(start_ns, task.cum, task.cum, task.cum), Point(end_ns, task.qty, task.qty, task.qty)])
    # The bounds bend where they reach what is filled, and the whole.
    bends = (int(slack * span_ns / steps), span_ns - min(int((1 + slack) * span_ns / steps), span_ns))
    times = sorted({start_ns, *(start_ns + bend for bend in bends), end_ns})
    totals = [(at_ns, line.qty(at_ns)) for at_ns in times]
    return Curve(
        [
            Point(at_ns, qty, max(qty - play, task.cum), min(qty + step + play, task.qty))
            for at_ns, qty in totals
        ]
    )
