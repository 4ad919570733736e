"""TWAP: equal parts at equal times, randomised in size and time around the straight line.

The schedule is a function of the parameters and the parent's seed, so a restarted scheduler continues it
exactly. What a slice did not fill is carried into the next ones, at most `catch_up` of a slice's size at once:
never a burst.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.errors import Code
from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Finish, Params, Slice, Target, Task, Wait, resample

SLICES_MAX = 10_000  # one a second for three hours; more is a mistyped interval
TAIL_TRIES = 4  # how often the last window tries again for what the last slice did not fill


class Twap(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Equal parts at equal times: the average price over the duration, at the least information given away."""

    name: ClassVar[str] = "twap"

    interval: Annotated[Duration, Meta(description="Time between slices.")] = Duration.parse("10s")
    slices: Annotated[int, Meta(ge=0, le=SLICES_MAX, description="How many; overrides the interval.")] = 0
    randomize: Annotated[
        Ratio,
        Meta(description="By how much of a slice its size and time vary, symmetric around the schedule."),
    ] = Ratio(0.2)
    catch_up: Annotated[
        Ratio, Meta(description="How much more than its own size a slice may carry of what is behind.")
    ] = Ratio(1.0)
    force_completion: Annotated[
        bool, Meta(description="At the end, take what is left at once within the limits.")
    ] = False

    def problem(self) -> str:
        if self.interval <= 0:
            return "interval must be longer than nothing"
        if not 0 <= self.randomize <= 0.9:
            return "randomize must be from 0% to 90%"
        if self.catch_up < 0:
            return "catch_up must not be negative"
        if self.end_time is None and not self.slices and self.duration // self.interval > SLICES_MAX:
            return f"more than {SLICES_MAX} slices; take a longer interval"
        return super().problem()

    def plan(self, task: Task) -> list[Target]:
        line = self._line(task)
        return resample([Target(line.at_ns(i), line.target(i)) for i in range(line.count)])

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self._end(task, now_ns)
        line = self._line(task)
        done = line.due(now_ns)
        if not done:
            return Wait(task.start_ns)
        window_ns = line.at_ns(done - 1)
        next_ns = line.at_ns(done) if done < line.count else task.end_ns
        behind = line.target(done - 1) - task.cum - task.open
        if task.open or behind <= 0:
            return Wait(next_ns)
        if task.slices and task.settled_ns >= window_ns:
            # This window has had its slice; only the last window has no next one to carry the rest into.
            if done < line.count:
                return Wait(next_ns)
            again_ns = task.settled_ns + max((task.end_ns - window_ns) // TAIL_TRIES, 1)
            if now_ns < again_ns:
                return Wait(min(again_ns, task.end_ns))
        own = max(line.target(done - 1) - line.target(done - 2), task.qty // line.count, task.min_qty)
        qty = min(behind, max(floor_to(int(own * (1 + self.catch_up)), task.lot), task.lot))
        if qty < task.min_qty and qty < task.unsent:
            return Wait(next_ns)
        if 0 < task.unsent - qty < task.min_qty:
            qty = task.unsent  # never leave behind what no venue takes
        return Slice(qty, expires_ns=next_ns)

    def _end(self, task: Task, now_ns: int) -> Decision:
        if task.open:
            return Wait(now_ns + self.interval)
        completed = task.slices > 0 and task.settled_ns > task.end_ns
        if self.force_completion and not completed:
            return Slice(task.unsent, expires_ns=now_ns + self.interval)
        return Finish(Code.COMPLETED, "the schedule ended with a rest that the book did not hold")

    def _line(self, task: Task) -> Line:
        count = self.slices or (task.end_ns - task.start_ns) // self.interval
        most = task.qty // max(task.min_qty, task.lot)  # never a slice that no venue takes
        return Line(task, max(1, min(count, SLICES_MAX, most)), float(self.randomize))


class Line:
    """The straight line in `count` steps, each point moved by up to half of `randomize` of a step either way.

    Half a step either way keeps neighbours in order and the mean on the line. Points are functions of the
    seed and their number, so none is stored.
    """

    __slots__ = ("_randomize", "_step_ns", "_task", "count")

    def __init__(self, task: Task, count: int, randomize: float) -> None:
        self.count = count
        self._task = task
        self._randomize = randomize
        self._step_ns = (task.end_ns - task.start_ns) / count

    def at_ns(self, i: int) -> int:
        """When step `i` is due."""
        late = self._randomize * (uniform(self._task.seed, 2 * i) - 0.5) if i else 0.0
        return self._task.start_ns + int((i + late) * self._step_ns)

    def target(self, i: int) -> int:
        """How much should have been sent once step `i` is; 0 before the first, all with the last."""
        if i < 0:
            return 0
        if i >= self.count - 1:
            return self._task.qty
        more = self._randomize * (uniform(self._task.seed, 2 * i + 1) - 0.5)
        return floor_to(int(self._task.qty * (i + 1 + more) / self.count), self._task.lot)

    def due(self, now_ns: int) -> int:
        """How many steps are due."""
        near = int((now_ns - self._task.start_ns) / self._step_ns)
        return sum(
            1 for i in range(max(near - 1, 0), min(near + 2, self.count)) if self.at_ns(i) <= now_ns
        ) + max(min(near - 1, self.count), 0)
