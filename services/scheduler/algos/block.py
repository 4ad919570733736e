"""Block: dark venues first, the lit ones for what is left.

Nobody sees what rests in the dark, so a large order that meets another one there moves no price; nobody says either
how much there is. So the quantity is divided over the dark venues, one slice each; what comes back, filled or not,
tells of each venue's liquidity, and the next division follows that (`models.dark_pools`). After its share of the time
the rest is worked as TWAP does, or taken at once.

With `conditional` a slice binds nobody until its venue has found somebody to meet, and is firmed up then: nothing
shows that it is there to whoever sends small orders to find out. The quantity is divided all the same, and never
rests at several venues at once: two of them may find somebody in the same moment, nobody stands between the gateways
who could firm up one alone, and more than was wanted must never fill.

What was learned is what the order's slices found, which is in its history, and what earlier orders found, which was
stored with its acceptance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.errors import Code
from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.instruments import Listing
from bestex.messages import Tif
from bestex.units import ceil_to, floor_to
from services.scheduler.algos.base import Decision, Params, Replan, Slice, Task, Wait
from services.scheduler.algos.scheduled import Scheduled
from services.scheduler.algos.twap import straight
from services.scheduler.curve import Curve, free
from services.scheduler.models.dark_pools import Told, division

PARCELS = 100  # in which the quantity is divided: the venues are not known to a percent
AGAIN_NS = SECOND  # after a slice that came back at once
LEAST_REST_NS = SECOND  # less time in the dark is not worth the two messages

_AS_MEANT = frozenset({Code.FILLED, Code.EXPIRED, Code.REPLACED})


class Block(Scheduled, frozen=True, kw_only=True, omit_defaults=True):
    """Rests in dark venues first, divided by what was found there, and works the rest on the lit ones."""

    name: ClassVar[str] = "block"
    learns: ClassVar[bool] = True

    dark_share: Annotated[
        Ratio, Meta(description="How much of the time is for the dark, unless dark_time says it.")
    ] = Ratio(0.5)
    dark_time: Annotated[Duration | None, Meta(description="How long to stay in the dark.")] = None
    rest: Annotated[
        Duration, Meta(description="How long a slice rests at one dark venue before it is divided anew.")
    ] = Duration.parse("10s")
    min_fill: Annotated[
        Decimal | None, Meta(description="Nothing smaller is to be traded at once in the dark.")
    ] = None
    conditional: Annotated[
        bool,
        Meta(
            description="Orders in the dark bind only when their venue has found somebody; less is told, less fills."
        ),
    ] = False  # a firm order meets whoever comes; a conditional one may find him gone when it has firmed up
    then: Annotated[
        Literal["twap", "at_once"], Meta(description="How what is left is worked on the lit venues.")
    ] = "twap"
    learning: Annotated[
        Literal["censored", "gradient"],
        Meta(description="By estimated chances of each unit, or by shares that follow what fills."),
    ] = "censored"
    forget: Annotated[
        Ratio, Meta(description="How much less what was found counts with every new finding.")
    ] = Ratio(0.02)

    def problem(self) -> str:
        if not 0 <= self.dark_share <= 1:
            return "dark_share must be from 0% to 100%"
        if self.dark_time is not None and self.dark_time < 0:
            return "dark_time must not be negative"
        if self.rest < LEAST_REST_NS:
            return "rest must be 1s or longer"
        if self.min_fill is not None and not (self.min_fill.is_finite() and self.min_fill > 0):
            return "min_fill must be above zero"
        if not 0 <= self.forget < 1:
            return "forget must be from 0% to below 100%"
        return super().problem()

    def choose(self, task: Task, algos: Mapping[str, type[Params]], name: str = "") -> tuple[Params, str]:
        del algos, name
        dark, lit_ns = [pool.venue for pool in self._pools(task)], self._lit_ns(task)
        if not dark:
            return self, "no dark venue may take it, so it goes to the lit ones at once"
        seconds = (lit_ns - task.start_ns) / SECOND
        learned = sum(one.venue in dark for one in task.tried)
        return self, f"in the dark for {seconds:g} s, at {', '.join(dark)}, with {learned} earlier findings"

    def curve(self, task: Task, now_ns: int) -> Curve:
        """Free while it is dark: what is met there is not for us to plan."""
        start_ns, lit_ns = max(now_ns, task.start_ns), self._lit_ns(task)
        if start_ns < lit_ns:
            return free(start_ns, task.end_ns, task.cum, task.qty)
        return self._lit_curve(task, max(self.begin_ns(task, now_ns), lit_ns))

    def decide(self, task: Task, now_ns: int) -> Decision:
        lit_ns = self._lit_ns(task)
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns)
        if now_ns < lit_ns:
            return self._dark(task, now_ns, lit_ns)
        if task.plan.start_ns < lit_ns:
            if task.open:
                return Wait(task.end_ns)  # the last of the dark are coming back
            filled = task.market.instrument.qty(task.cum)
            # Later than what came back just now, so that it counts for no window of the new plan.
            curve = self._lit_curve(task, now_ns + MS)
            return Replan(curve, f"{filled} was met in the dark; the rest is for the lit venues")
        return super().decide(task, now_ns) if self.then == "twap" else self._at_once(task, now_ns)

    # -- in the dark -----------------------------------------------------------------------------------------

    def _lit_ns(self, task: Task) -> int:
        """When the lit venues' time begins: at once where no dark one may take it, never where there are none."""
        pools = self._pools(task)
        if not pools:
            return task.start_ns
        if all(listing.kind == "dark" for listing in task.listings):
            return task.end_ns
        whole_ns = task.end_ns - task.start_ns
        dark_ns = int(whole_ns * self.dark_share) if self.dark_time is None else int(self.dark_time)
        return task.start_ns + min(dark_ns, whole_ns)

    def _dark(self, task: Task, now_ns: int, lit_ns: int) -> Decision:
        """The next slice for a dark venue that has none, as large as the division gives it."""
        again_ns = task.settled_ns + AGAIN_NS
        if task.slices and task.last_reason not in (None, *_AS_MEANT) and now_ns < again_ns:
            return Wait(min(again_ns, lit_ns))
        if lit_ns - now_ns < LEAST_REST_NS:
            return Wait(lit_ns)
        busy = {one.venue for one in task.working}
        for pool, part in self._divided(task):
            qty = floor_to(min(part, task.unsent, task.most), pool.lot)
            if pool.venue in busy or qty < self._least(task, pool):
                continue
            late = 1 + float(self.randomize) * (uniform(task.seed, task.slices) - 0.5)
            return Slice(
                qty,
                expires_ns=min(now_ns + int(self.rest * late), lit_ns),
                tif=Tif.GTC,
                venues=(pool.venue,),
                min_fill=min(self._min_fill(task, pool), qty),
                conditional=self.conditional,
                why=f"in the dark, of {len(task.tried)} findings",
            )
        return Wait(lit_ns)

    def _divided(self, task: Task) -> list[tuple[Listing, int]]:
        """The dark venues, and how much is to be at each of all that is not filled, in units. Those whose part would
        be too small have none, and the others theirs."""
        pools, whole = self._pools(task), task.qty - task.cum
        while pools:
            parcel = ceil_to(-(-whole // PARCELS), max(pool.lot for pool in pools))
            numbers = {pool.venue: i for i, pool in enumerate(pools)}
            told = [
                _told(numbers[one.venue], one.qty, one.filled, parcel)
                for one in task.tried
                if one.venue in numbers
            ]
            parts = division(self.learning, told, len(pools), -(-whole // parcel), float(self.forget))
            sizes = [part * parcel for part in parts]
            wrong = [i for i, pool in enumerate(pools) if sizes[i] < self._least(task, pool)]
            if not wrong:
                return list(zip(pools, sizes, strict=True))
            least = min(wrong, key=lambda i: (sizes[i], -i))
            pools = [pool for i, pool in enumerate(pools) if i != least]
        return []

    def _pools(self, task: Task) -> Sequence[Listing]:
        """The dark venues that the order may use and that take the whole of it."""
        return [
            one
            for one in task.listings
            if one.kind == "dark" and not one.inverse
            if max(one.min_qty, self._min_fill(task, one)) <= task.qty
        ]

    def _least(self, task: Task, pool: Listing) -> int:
        """The least that this venue takes, and that may be traded there; in units. Not by the price: nobody looks
        again because that has moved."""
        return max(pool.min_qty, self._min_fill(task, pool), task.min_qty)

    def _min_fill(self, task: Task, pool: Listing) -> int:
        """In units, and whole lots of the venue; 0 where none was asked for."""
        if self.min_fill is None:
            return 0
        return ceil_to(int(self.min_fill.scaleb(task.market.instrument.qty_scale)), pool.lot)

    # -- on the lit venues -----------------------------------------------------------------------------------

    def _lit_curve(self, task: Task, start_ns: int) -> Curve:
        if self.then == "at_once":
            return free(start_ns, task.end_ns, task.cum, task.qty)
        return straight(task, start_ns, self.steps(task, start_ns, task.cum), float(self.randomize))

    def _at_once(self, task: Task, now_ns: int) -> Decision:
        if task.open:
            return Wait(task.end_ns)
        tried = task.settled_ns >= task.plan.start_ns
        again_ns = task.settled_ns + AGAIN_NS if tried else task.plan.start_ns
        if now_ns < again_ns:
            return Wait(min(again_ns, task.end_ns))
        return Slice(task.unsent, expires_ns=task.end_ns)


def _told(pool: int, qty: int, filled: int, parcel: int) -> Told:
    """In parcels: what was sent rounded up, what was filled down, so that whole stays whole and less stays less."""
    sent = -(-qty // parcel)
    return Told(pool, sent, sent if filled >= qty else min(filled // parcel, sent - 1))
