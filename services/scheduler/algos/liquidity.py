"""Liquidity: every slice is a share of what the book holds, so that a thin book is asked for little.

Takers who fit the size of their orders to what the book can absorb hardly move it; prices jump where it was thin
(Farmer, Gillemot, Lillo, Mike and Sen 2004, "What really causes large price changes?", Quantitative Finance 4). By
the thinner of both sides where nothing else is said: a book that is thin on either side is about to move.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.ladder import BPS_ONE
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Params, Slice, Task, Wait
from services.scheduler.pricing import collar

PAUSE_NS = 100 * MS  # after a slice; before that the book may not show yet what it took
SLICE_NS_MIN = SECOND  # how long the router may work on a slice, however short the interval


class Liquidity(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Slices that are a share of the depth near the mid, at an interval or as soon as the book allows."""

    name: ClassVar[str] = "liquidity"
    follows_book: ClassVar[bool] = True

    share: Annotated[Ratio, Meta(description="How much of the depth a slice takes.")] = Ratio(0.1)
    depth_bps: Annotated[
        int, Meta(ge=1, le=1_000, description="How far from the mid depth counts, and a slice may pay.")
    ] = 10
    depth_of: Annotated[
        Literal["both", "front"],
        Meta(description="The thinner of both sides, or the side that is to be taken."),
    ] = "both"
    interval: Annotated[
        Duration, Meta(description="The least time between slices; 0s for as soon as the book allows.")
    ] = Duration.parse("10s")

    def problem(self) -> str:
        return super().problem() if 0 < self.share <= 1 else "share must be above 0% and at most 100%"

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns)
        if task.open or not task.unsent:
            return Wait(task.end_ns)
        if task.slices:
            next_ns = task.sliced_ns + int(self.interval * self._vary(task, 2 * task.slices))
            next_ns = max(next_ns, task.settled_ns + PAUSE_NS)
            if now_ns < next_ns:
                return Wait(min(next_ns, task.end_ns))
        market, mid_half = task.market, task.market.mid_half
        if mid_half is None:
            return Wait(task.end_ns)  # the next book comes as an input
        worst = collar(mid_half, self.depth_bps / BPS_ONE, task.side, task.limit)
        depth = market.depth(task.side, self.depth_bps, task.venues)
        if self.depth_of == "both":
            depth = min(depth, market.depth(task.side.opposite, self.depth_bps, task.venues))
        wanted = int(depth * self.share * self._vary(task, 2 * task.slices + 1))
        qty = floor_to(min(wanted, market.available(task.side, worst, task.venues)), task.lot)
        if qty < min(task.min_qty, task.unsent):
            return Wait(task.end_ns)  # until the book holds enough
        expires_ns = min(now_ns + max(self.interval, SLICE_NS_MIN), task.end_ns)
        why = f"{float(self.share):.1%} of {market.instrument.qty(depth):f} within {self.depth_bps} bps"
        return Slice(min(qty, task.unsent), expires_ns, limit=worst, why=why)

    def _vary(self, task: Task, n: int) -> float:
        """By up to half of `randomize` either way."""
        return 1 + self.randomize * (uniform(task.seed, n) - 0.5)
