"""What algorithms share that rest: one order at a time, how far its price may follow the market, and how often.

All of it follows from the parent's events: the arrival price, the slice at work, when the last one came back and why.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.human import Ratio
from bestex.messages import Side
from services.scheduler.algos.base import Decision, Finish, Params, Recall, Slice, Task, Wait, Working
from services.scheduler.pricing import closer, collar

# Slices of one order: so many whenever it needs them, and so many more spread over its time. The life cycle, which
# would end the order, allows more than both.
SLICES_FREE = 5_000
SLICES_SPREAD = 10_000
RETRY_NS = SECOND  # after a slice that the venues did not keep: not in a tight circle
MAX_CHASE = 0.01  # from the arrival price, of an order that has no limit


class Resting(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Base of those algorithms. They say at which price to rest, what to send there, and when to call it back."""

    follows_book: ClassVar[bool] = True

    max_chase: Annotated[
        Ratio | None,
        Meta(
            description="How far beyond the arrival price it may rest; left out, up to the limit, or 1% without one."
        ),
    ] = None

    def problem(self) -> str:
        if self.max_chase is not None and not 0 <= self.max_chase < 1:
            return "max_chase must be from 0% to below 100%"
        return super().problem()

    def price(self, task: Task) -> int | None:
        """Where to rest now, in price units; None where the book does not say."""
        raise TypeError(f"{type(self).__name__} has no price for {task}")

    def part(self, task: Task, price: int) -> Slice:
        """What to send there."""
        raise TypeError(f"{type(self).__name__} has no slice at {price} for {task}")

    def pause_ns(self, task: Task) -> int:
        """How long after a part has been traded the next one goes out."""
        del task
        return 0

    def look_ns(self, working: Working) -> int:
        """From when on it is asked whether what rests is to rest elsewhere; 0 for never."""
        raise TypeError(f"{type(self).__name__} does not look at {working}")

    def moved(self, task: Task, working: Working, price: int) -> str:
        """Why what rests is to be called back now that `price` would be the place; empty where it stays."""
        raise TypeError(f"{type(self).__name__} does not compare {working} with {price} for {task}")

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns)
        if task.working:
            return self._watch(task, task.working[-1], now_ns)
        again_ns = self._again_ns(task)
        if now_ns < again_ns:
            return Wait(min(again_ns, task.end_ns))
        price = self.price(task)
        if price is None:
            return Wait(task.end_ns)  # the next book wakes it
        if task.market.instrument.is_dust(task.unsent, price):
            return Finish(Code.DUST, "no venue takes so little")
        return self.part(task, price)

    def _watch(self, task: Task, working: Working, now_ns: int) -> Decision:
        look_ns = self.look_ns(working)
        if not working.rests or working.recalled or not look_ns:
            return Wait(task.end_ns)
        look_ns = max(look_ns, spread_ns(task))
        if now_ns < look_ns:
            return Wait(min(look_ns, task.end_ns))
        price = self.price(task)
        why = "" if price is None else self.moved(task, working, price)
        return Recall(working.no, why) if why else Wait(task.end_ns)

    def _again_ns(self, task: Task) -> int:
        """When the next slice may go out: at once where the last one was called back, after the pause where it was
        traded, and a little later where the venues did not keep it."""
        if not task.slices:
            return task.start_ns
        pauses = {Code.REPLACED: 0, Code.FILLED: self.pause_ns(task), Code.DISPLAYED: self.pause_ns(task)}
        reason = task.last_reason or Code.REPLACED
        pause_ns = pauses.get(reason, max(self.pause_ns(task), RETRY_NS))
        return max(task.settled_ns + pause_ns, spread_ns(task))

    def bounded(self, task: Task, price: int | None) -> int | None:
        """No further than the limit and the chase allow; without a price, the limit."""
        if price is None:
            return task.limit
        worst = task.limit
        chase = self.max_chase if self.max_chase is not None or worst is not None else MAX_CHASE
        if chase is not None and task.arrival_half is not None:
            worst = collar(task.arrival_half, float(chase), task.side, worst)
        return closer(task.side, price, worst)


def passive(task: Task, price: int) -> int:
    """The price, or the best one short of it that takes nothing."""
    touch = task.market.touch(task.side)
    if touch is None:
        return price
    buy = task.side is Side.BUY
    tick = task.market.instrument.tick_at(touch - 1 if buy else touch)
    return closer(task.side, price, touch - task.side.sign * tick) or price


def spread_ns(task: Task) -> int:
    """From when on there may be one more slice."""
    span_ns = task.end_ns - task.start_ns
    return task.start_ns + span_ns * max(task.slices - SLICES_FREE, 0) // SLICES_SPREAD
