"""VWAP: the market's own rhythm, as the days before show it, within its hours.

An order that trades in proportion to the market pays the market's average price (Berkowitz, Logue and Noser 1988;
Konishi 2002: where prices and volumes have nothing to do with each other, the expected volume curve is the optimal
schedule). The curve is the profile of the days before; as the day's own volume departs from it, it is made anew
(`services.scheduler.volume_profile`). Each session of an order over several is a day of its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.clock import MINUTE
from bestex.errors import Code
from bestex.human import Duration
from bestex.volumes import DAYS_KEPT
from services.scheduler.algos.base import COMPLETION_NS, Decision, Finish, Replan, Slice, Task, Wait
from services.scheduler.algos.scheduled import Scheduled
from services.scheduler.curve import Curve, Point, stepped
from services.scheduler.market import Market
from services.scheduler.volume_profile import Expected, Source

REPLAN_NS = (
    MINUTE  # how soon a plan is made anew; a minute's volume says little, and every plan is a stored event
)
REPLANS_MAX = 60  # of one order: the period is longer for one that takes hours
MATTERS = 0.005  # of the order: a plan that is less beside the estimate is left as it is


class Vwap(Scheduled, frozen=True, kw_only=True, omit_defaults=True):
    """Follows the market's volume profile within its trading hours: the market's own average price."""

    name: ClassVar[str] = "vwap"
    follows_volume: ClassVar[bool] = True

    interval: Annotated[Duration, Meta(description="Time between slices.")] = Duration.parse("30s")
    days: Annotated[
        int, Meta(ge=1, le=DAYS_KEPT, description="How many of the days before make the profile.")
    ] = 20
    lookback: Annotated[
        Duration | None,
        Meta(description="Instead of days: the market goes on as it did for so long, evenly."),
    ] = None
    bucket: Annotated[
        Duration, Meta(description="The profile is smoothed over buckets of so many whole minutes.")
    ] = Duration.parse("15m")

    def problem(self) -> str:
        for name in ("bucket", "lookback"):
            value = getattr(self, name)
            if value is not None and not (value >= MINUTE and value % MINUTE == 0 and value <= 1440 * MINUTE):
                return f"{name} must be whole minutes, from one to a day's"
        return super().problem()

    def begins_ns(self, market: Market, at_ns: int) -> int:
        return market.hours.open_at_or_after(at_ns) or at_ns

    def ends_ns(self, market: Market, start_ns: int, at_ns: int) -> int:
        at_ns = super().ends_ns(market, start_ns, at_ns)
        close_ns = market.hours.close_at_or_before(at_ns) or at_ns
        goes_on = market.hours.at(at_ns) is not None
        # What completes it must be done by the close.
        return close_ns if goes_on or not self.force_completion else close_ns - COMPLETION_NS

    def curve(self, task: Task, now_ns: int) -> Curve:
        start_ns, first_ns = self._begins(task, now_ns)
        expected = self._expected(task, first_ns)
        rest = task.qty - task.cum
        times = [*([start_ns] if start_ns < first_ns else []), *expected.times_ns]
        totals = [task.cum + round(rest * expected.share(at_ns)) for at_ns in times]
        return self._bounded(task, times, totals, expected.why)

    def decide(self, task: Task, now_ns: int) -> Decision:
        hours = task.market.hours
        opens_ns = hours.open_at_or_after(now_ns)
        if opens_ns != now_ns and now_ns < task.end_ns:
            return Wait(min(opens_ns or task.end_ns, task.end_ns))
        if now_ns >= task.end_ns and opens_ns != now_ns and not task.open:
            return Finish(Code.COMPLETED, "the market closed with a rest that its book did not hold")
        if now_ns < task.end_ns and (replanned := self._replanned(task, now_ns)) is not None:
            return replanned
        decision = super().decide(task, now_ns)
        if not isinstance(decision, Slice):
            return decision
        return replace(decision, expires_ns=hours.until(now_ns, decision.expires_ns))

    def _replanned(self, task: Task, now_ns: int) -> Replan | None:
        """The plan anew, where what has been traded since speaks for another by enough to matter."""
        since = task.unbroken
        period_ns = max(REPLAN_NS, self.open_ns(task, task.start_ns) // REPLANS_MAX)
        if since is not None and self._is_another_day(task, since.at_ns, now_ns):
            return Replan(task.plan, "another session: the market's volume is counted from here on", True)
        if since is None or now_ns - max(task.planned_ns, since.at_ns) < period_ns or not task.unsent:
            return None
        expected = self._expected(task, since.at_ns)
        if not expected.is_known:
            return None
        traded = (task.traded - since.traded) / 10**task.market.instrument.qty_scale

        def wanted(at_ns: int) -> int:
            share = expected.share_given(at_ns, now_ns, traded)
            return max(since.qty + round((task.qty - since.qty) * share), sent)

        sent = task.cum + task.open + task.missed
        meets_ns = min(now_ns + period_ns, task.end_ns)
        if abs(wanted(meets_ns) - max(task.plan.qty(meets_ns), sent)) <= MATTERS * task.qty:
            return None
        # From where the order stands to where it should be within a period, and on from there.
        start_ns, first_ns = self._begins(task, now_ns)
        meets_ns = min(max(meets_ns, 2 * first_ns - start_ns), task.end_ns)
        later = [meets_ns, *(at for at in expected.times_ns if at > meets_ns)]
        times = [start_ns, *([first_ns] if start_ns < first_ns < meets_ns else []), *later]
        totals = [sent] * (len(times) - len(later)) + [wanted(at_ns) for at_ns in later]
        of = f"{traded:.6g} traded where {expected.until(now_ns):.6g} was expected"
        return Replan(self._bounded(task, times, totals, ""), of)

    def _is_another_day(self, task: Task, since_ns: int, now_ns: int) -> bool:
        """Whether it has been closed for a night since then: what was traded before, and while it was closed to us,
        says nothing of this day. A break in the day is no end of it, and midnight none where it is never closed."""
        hours = task.market.hours
        if hours.until(since_ns, now_ns) >= now_ns:
            return False
        then, now = hours.after(since_ns), hours.after(now_ns)
        return then is not None and now is not None and then.date != now.date

    def _begins(self, task: Task, now_ns: int) -> tuple[int, int]:
        """Where a new plan begins, and when more is due: what went out last was for the time until then."""
        start_ns = self.begin_ns(task, now_ns)
        first_ns = start_ns + self._interval_ns(task)
        return (
            start_ns,
            first_ns if task.slices and start_ns == task.sliced_ns and first_ns < task.end_ns else start_ns,
        )

    def _expected(self, task: Task, from_ns: int) -> Expected:
        lookback = 0 if self.lookback is None else self.lookback // MINUTE
        source = Source(self.days, self.bucket // MINUTE, lookback)
        return task.market.volumes.expected(task.market.hours, from_ns, task.end_ns, source)

    def _bounded(self, task: Task, times: list[int], totals: list[int], why: str) -> Curve:
        if times[-1] <= times[0]:
            return Curve([Point(times[0], task.qty, task.cum, task.qty)], why)
        line = Curve([Point(at, qty, qty, qty) for at, qty in zip(times, totals, strict=True)], why)
        steps = self.steps(task, times[0], totals[0])
        return stepped(line, (times[-1] - times[0]) // steps, float(self.randomize))

    def open_ns(self, task: Task, from_ns: int) -> int:
        return max(task.market.hours.traded_ns(from_ns, task.end_ns), 1)
