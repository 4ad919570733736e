"""POV: a share of what the market trades, ours included.

What is due follows from the market's volume, which the aggregator counts, and from what went out, which the journal
holds. So a drought and a burst are followed as they come, and a restart goes on from the same two sums. Kissell and
Glantz (2003), "Optimal Trading Strategies", chapter 8.

Between `min_rate` and `max_rate` the share of the moment follows the price: it is `rate` at the arrival price, the
band's top where the price is better by `reach` and its bottom where it is worse by that, in a straight line. The
urgency says where it stands at the arrival price instead: low at the bottom, high at the top; immediate stays at the
top. The share of the whole stays within the band.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.clock import MINUTE, SECOND
from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.units import floor_to
from services.scheduler.algos.base import Decision, Params, Replan, Slice, Task, Wait
from services.scheduler.curve import Curve, expected, free

TTL_NS = 2 * SECOND  # a slice is back by then, and statistics come once a second
RECENT_NS = 5 * SECOND  # of what the statistics call recent
# Without a min_slice, a slice waits until it is this share of what the market traded in the last minute: for want of
# it the rate over five minutes is not off by more.
CLIP = 0.003
SLICES_MOST = 15_000  # one every 6 s of a day; a parent has no more than 20,000
REPLAN_NS = MINUTE  # what was expected is corrected at most so often
WIDTH = 2.0  # it is corrected where the market trades less than 1/WIDTH or more than WIDTH of it


class Pov(Params, frozen=True, kw_only=True, omit_defaults=True):
    """A share of what the market trades: follows its volume up and down, and never runs ahead of it."""

    name: ClassVar[str] = "pov"
    follows_volume: ClassVar[bool] = True

    duration: Duration = Duration.parse("1d")
    rate: Annotated[Ratio, Meta(description="The share of all that is traded, ours included.")] = Ratio(0.1)
    min_rate: Annotated[
        Ratio | None, Meta(description="The least it may be where the price is bad; the rate if left out.")
    ] = None
    max_rate: Annotated[
        Ratio | None, Meta(description="The most it may be where the price is good; the rate if left out.")
    ] = None
    reach: Annotated[
        Ratio, Meta(description="How far from arrival the price brings the rate to an end of its band.")
    ] = Ratio(0.001)

    @property
    def band(self) -> tuple[float, float, float]:
        """The least, the usual and the most."""
        usual = float(self.rate)
        least = usual if self.min_rate is None else float(self.min_rate)
        return least, usual, usual if self.max_rate is None else float(self.max_rate)

    def problem(self) -> str:
        least, usual, most = self.band
        if not 0 < usual < 1:
            return "rate must be above 0% and below 100%"
        if not 0 <= least <= usual <= most < 1:
            return "min_rate, rate and max_rate must be in this order, from 0% to below 100%"
        if self.reach <= 0:
            return "reach must be above 0%"
        return super().problem()

    def curve(self, task: Task, now_ns: int) -> Curve:
        """What the market's last minute lets expect, within half and twice of it; anything where it is unknown."""
        start_ns, volume = max(now_ns, task.start_ns), task.market.volume_per_s
        least, usual, most = self.band
        if not volume:
            return free(start_ns, task.end_ns, task.cum, task.qty)
        if not task.slices:
            volume /= 1 - usual  # ours comes on top of what the others trade
        paces = (least * volume / WIDTH, usual * volume, most * volume * WIDTH)
        play = int(self._clip(task) * (1 + self.randomize) * (1 + self.catch_up))
        return expected(start_ns, max(task.end_ns, start_ns + 1), task.cum, task.qty, paces, play)

    def decide(self, task: Task, now_ns: int) -> Decision:
        if now_ns >= task.end_ns:
            return self.closing(task, now_ns, "its time ended; the market traded too little for the rest")
        if (plan := self._corrected(task, now_ns)) is not None:
            return plan
        rate, fresh = self._rate(task), task.traded - max(task.sliced_traded, task.from_traded)
        due, clip = self._due(task, int(rate * fresh)), self._clip(task)
        # What is behind comes along by `catch_up` of its own share of what was traded since the last slice, and no
        # faster; and of that a slice takes what is recent, so that a silence of the platform ends in no burst.
        pause_ns = (task.end_ns - task.start_ns) // SLICES_MOST
        recent = min(fresh, task.market.recent * max(1.0, (pause_ns + SECOND) / RECENT_NS))
        speed, qty = rate * (1 + self.catch_up), 0
        if min(due, speed * fresh) >= min(clip, task.unsent):
            qty = min(due, max(int(speed * recent), clip))
        beyond = task.limit is not None and task.market.is_beyond(task.side, task.limit)
        too_soon = now_ns - task.sliced_ns < max(pause_ns, SECOND // 2)
        if task.open or too_soon or qty <= 0 or (beyond and self.out_of_limit == "catch_up"):
            return Wait(task.end_ns)  # the next statistics wake it
        qty = floor_to(qty, task.lot) if qty < task.unsent else qty
        return Slice(qty, expires_ns=min(now_ns + TTL_NS, task.end_ns), why=f"{rate:.1%} of what is traded")

    def _due(self, task: Task, wanted: int) -> int:
        """`wanted` by the rate of the moment, but such that the whole stays within the band."""
        least, _, most = self.band
        traded = task.traded - task.from_traded
        gone = task.cum + task.open + task.missed - task.from_cum
        at_least, at_most = int(least * traded) - gone, int(most * traded) - gone
        return min(max(wanted, at_least), at_most, task.unsent)

    def _rate(self, task: Task) -> float:
        """The share of the moment, by urgency and price."""
        least, usual, most = self.band
        if self.urgency == "immediate":
            return most
        usual = {"low": least, "high": most}.get(self.urgency or "", usual)
        mid, arrival = task.market.mid_half, task.arrival_half
        if mid is None or arrival is None:
            return usual
        better = max(-1.0, min((arrival - mid) * task.side.sign / (arrival * float(self.reach)), 1.0))
        return usual + better * (most - usual if better > 0 else usual - least)

    def _clip(self, task: Task) -> int:
        """What the next slice waits for, in quantity units."""
        least = max(task.min_qty, task.lot)
        share = 0.0 if self.min_slice is not None else CLIP * 60 * task.market.volume_per_s
        varied = 1 + self.randomize * (uniform(task.seed, task.slices) - 0.5)
        return max(int(max(share, least) * varied), least)

    def _corrected(self, task: Task, now_ns: int) -> Replan | None:
        """A new expectation, where the market has left the old one."""
        plan, volume = task.plan, task.market.volume_per_s
        if now_ns - plan.start_ns < REPLAN_NS and not (volume and _is_free(plan, task)):
            return None
        bounds = plan.at(now_ns)
        if not (volume and _is_free(plan, task)) and bounds.low <= task.cum + task.open <= bounds.high:
            return None
        curve = self.curve(task, now_ns)
        if _is_free(curve, task) and _is_free(plan, task):
            return None
        base = 10.0**task.market.instrument.qty_scale
        return Replan(curve, f"the market trades {volume / base:.4g} a second")


def _is_free(plan: Curve, task: Task) -> bool:
    """Whether it expects nothing."""
    return plan.first.high >= task.qty
