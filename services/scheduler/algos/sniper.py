"""Sniper: waits for moments at which there is more to take than usual, and takes a part of it.

An order in the book tells everybody what is wanted; one that waits tells nobody. What a moment is worth is scored by
`services.scheduler.models.liquidity_events`. A slice is an IOC at the event's own price, so it never walks on where
the size has gone before it arrives.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.errors import Code
from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Finish, Params, Slice, Task, Wait
from services.scheduler.models.liquidity_events import bound, moment

EVENT_NS = 2 * SECOND  # how long an event is traded on; what is seen later is another one
COOLDOWN_NS_MIN = 100 * MS  # before that the book may not show yet what the last slice took


class Sniper(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Waits unseen for more to take than usual, and takes a part of it at the event's price."""

    name: ClassVar[str] = "sniper"
    follows_book: ClassVar[bool] = True

    threshold: Annotated[Ratio, Meta(description="The score from which a moment is an event.")] = Ratio(0.65)
    take: Annotated[Ratio, Meta(description="How much of what an event offers is taken.")] = Ratio(0.5)
    near: Annotated[
        Ratio, Meta(description="How far from the best price an event reaches, and a slice may pay.")
    ] = Ratio(0.00005)
    cooldown: Annotated[Duration, Meta(description="The least time from one event's end to the next.")] = (
        Duration.parse("1s")
    )
    max_events: Annotated[
        int, Meta(ge=0, description="How many events are taken at most; 0 for any number.")
    ] = 0

    def problem(self) -> str:
        if not 0 <= self.threshold <= 1:
            return "threshold must be from 0% to 100%"
        if not 0 < self.take <= 1:
            return "take must be above 0% and at most 100%"
        if not 0 <= self.near < 1:
            return "near must be from 0% to below 100%"
        if self.cooldown < COOLDOWN_NS_MIN:
            return f"cooldown must be at least {Duration(COOLDOWN_NS_MIN)}"
        return super().problem()

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns)
        if task.open or not task.unsent:
            return Wait(task.end_ns)
        if self.max_events and task.slices >= self.max_events:
            if self.force_completion:
                return Wait(task.end_ns)
            return Finish(Code.COMPLETED, "as many events were taken as were asked for")
        again_ns = task.settled_ns + self.cooldown if task.slices else 0
        if now_ns < again_ns:
            return Wait(min(again_ns, task.end_ns))
        worst = bound(task.side, task.market, task.limit, self.max_slippage)
        seen = moment(task.side, task.market, self.near, worst, task.venues)
        if seen is None or seen.parts.score < self.threshold:
            return Wait(task.end_ns)
        share = self.take * (1 + self.randomize * (uniform(task.seed, task.slices) - 0.5))
        qty = floor_to(int(min(share, 1.0) * seen.qty), task.lot)
        if qty < min(task.min_qty, task.unsent):
            return Wait(task.end_ns)
        expires_ns = min(now_ns + EVENT_NS, task.end_ns)
        return Slice(min(qty, task.unsent), expires_ns, limit=seen.price, why=str(seen.parts))
