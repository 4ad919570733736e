"""Following a planned curve in steps: what TWAP, VWAP and implementation shortfall have in common.

The curve is the journal's; a step's time and size are functions of the curve, the parent's seed and the step's
number, so a restarted scheduler continues exactly. What a slice did not fill is carried into the next ones, at most
`catch_up` of a slice's size at once: never a burst.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from bestex.human import Duration
from bestex.ids import uniform
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Params, Slice, Task, Wait
from services.scheduler.curve import Curve

SLICES_MAX = 10_000  # one a second for three hours; more is a mistyped interval
TAIL_TRIES = 4  # how often the last window tries again for what the last slice did not fill


class Scheduled(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the algorithms that follow a curve. They say which: `curve`."""

    interval: Annotated[Duration, Meta(description="Time between slices.", extra={"when": "slices=0"})] = (
        Duration.parse("10s")
    )
    slices: Annotated[int, Meta(ge=0, le=SLICES_MAX, description="How many; overrides the interval.")] = 0

    def problem(self) -> str:
        if self.interval <= 0:
            return "interval must be longer than nothing"
        if self.end_time is None and not self.slices and self.duration // self.interval > SLICES_MAX:
            return f"more than {SLICES_MAX} slices; take a longer interval"
        return super().problem()

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns)
        if task.open:
            return Wait(task.end_ns)  # a window has one slice, and what comes back wakes it
        plan = task.plan
        steps = Steps(task, self.steps(task, plan.start_ns, plan.first.qty), float(self.randomize))
        done, window_ns, next_ns = steps.window(now_ns)
        if not done:
            return Wait(max(next_ns, now_ns))
        # Only the last window has no next one to carry the rest into.
        has_had_one = task.slices and task.settled_ns >= window_ns
        if has_had_one and done < steps.count:
            return Wait(next_ns)
        wanted = steps.target(done - 1)
        behind = wanted - task.cum - task.missed
        if behind <= 0:
            return Wait(next_ns)
        if has_had_one:
            again_ns = task.settled_ns + max((task.end_ns - window_ns) // TAIL_TRIES, 1)
            if now_ns < again_ns:
                return Wait(min(again_ns, task.end_ns))
        own = max(wanted - steps.target(done - 2), steps.own(done - 1), task.min_qty)
        qty = min(behind, max(floor_to(int(own * (1 + self.catch_up)), task.lot), task.lot))
        if qty < task.min_qty and qty < task.unsent:
            return Wait(next_ns)
        if 0 < task.unsent - qty < task.min_qty:
            qty = task.unsent  # never leave behind what no venue takes
        return Slice(qty, expires_ns=next_ns)

    def begin_ns(self, task: Task, now_ns: int) -> int:
        """Where a new curve begins: at the last slice where one went out of late, so that it counts as the first
        step, and a change brings none of its own."""
        if not task.slices:
            return max(now_ns, task.start_ns)
        return max(task.sliced_ns, now_ns - self._interval_ns(task))

    def steps(self, task: Task, from_ns: int, cum: int) -> int:
        """In how many steps the way from `cum` then to the whole is gone."""
        span_ns = max(task.end_ns - from_ns, 1)
        # Never a slice that no venue takes; the steps in which the market is closed are of nothing.
        most = (task.qty - cum) * span_ns // (max(task.min_qty, task.lot) * self.open_ns(task, from_ns))
        return max(1, min(span_ns // self._interval_ns(task), SLICES_MAX, most))

    def open_ns(self, task: Task, from_ns: int) -> int:
        """For how much of the time from then to the end its market is open, as far as that matters to it."""
        return max(task.end_ns - from_ns, 1)

    def _interval_ns(self, task: Task) -> int:
        if not self.slices:
            return int(self.interval)
        return max(self.open_ns(task, task.start_ns) // self.slices, 1)


class Steps:
    """A curve in `count` steps of equal time, each moved by up to half of `randomize` of a step either way. For one
    decision, which asks for the same few steps several times.

    Half a step either way keeps neighbours in order and the mean on the curve. All are functions of the seed and
    their number, so none is stored.
    """

    __slots__ = (
        *("_curve", "_end_ns", "_lot", "_qty", "_randomize", "_seed", "_span_ns", "_start_ns", "_totals"),
        "count",
    )

    def __init__(self, task: Task, count: int, randomize: float) -> None:
        self.count = count
        self._curve: Curve = task.plan
        self._totals: dict[int, int] = {}
        self._qty = task.qty
        self._lot = task.lot
        self._seed = task.seed ^ task.plan.start_ns
        self._randomize = randomize
        self._start_ns = task.plan.start_ns
        self._end_ns = task.end_ns
        self._span_ns = max(task.end_ns - task.plan.start_ns, 1)

    def at_ns(self, i: int) -> int:
        """When step `i` is due."""
        late = self._randomize * (uniform(self._seed, 2 * i) - 0.5) if i and self._randomize else 0.0
        return self._start_ns + int((i + late) * self._span_ns / self.count)

    def own(self, i: int) -> int:
        """What the curve gives to step `i`."""
        return self._planned(i + 1) - self._planned(i)

    def target(self, i: int) -> int:
        """How much should have been sent once step `i` is; all with the last."""
        if i < 0:
            return self._planned(0)
        if i >= self.count - 1:
            return self._qty
        least = min(self.own(i), self.own(i + 1))  # so that no step is taken beyond its neighbours
        more = self._randomize * (uniform(self._seed, 2 * i + 1) - 0.5)
        return floor_to(self._planned(i + 1) + int(least * more), self._lot)

    def window(self, now_ns: int) -> tuple[int, int, int]:
        """How many steps are due, when the last of them was, 0 for none, and when the next one is, or the end."""
        near = (now_ns - self._start_ns) * self.count // self._span_ns
        due = max(min(near, self.count), 0)  # these are: none is moved by more than half of a step
        since_ns, next_ns = 0, self._due_ns(due)
        while due < self.count and next_ns <= now_ns:
            due += 1
            since_ns, next_ns = next_ns, self._due_ns(due)
        if due and not since_ns:
            since_ns = self.at_ns(due - 1)
        return due, since_ns, next_ns

    def _due_ns(self, i: int) -> int:
        return self.at_ns(i) if i < self.count else self._end_ns

    def _planned(self, i: int) -> int:
        """The curve at the beginning of step `i`."""
        found = self._totals.get(i)
        if found is None:
            found = self._totals[i] = self._curve.qty(self._start_ns + self._span_ns * i // self.count)
        return found
