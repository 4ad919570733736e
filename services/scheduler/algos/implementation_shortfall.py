"""Implementation shortfall: the trajectory of Almgren and Chriss (2000), early where risk is dear.

How fast what is left decays (kappa) follows from the risk aversion, the volatility and the impact of trading, given
or estimated; see `models/almgren_chriss.py` and `models/estimates.py`. Without a risk aversion the urgency says it in
a unit that means the same for every symbol, the half-life 1/kappa: the order's whole time for low, a third of it for
medium, a tenth for high, nothing for immediate. Where the symbol's daily volatility is configured, it holds at that,
and in a market twice as volatile it is half as long, as a constant risk aversion has it: kappa goes with sigma.

An order that is behind, or whose market has changed, is planned anew from what is left. With `model` transient the
plan is that of Obizhaeva and Wang (2013) for impact that decays: a bulk at both ends, equal parts in between.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from math import inf
from typing import Annotated, ClassVar, Literal, NamedTuple

from msgspec import Meta

from bestex.clock import DAY, MS, SECOND
from bestex.human import Duration, Ratio
from bestex.impact.settings import ImpactSettings
from bestex.impact.transient import Exponential, in_lots, obizhaeva_wang
from services.scheduler.algos.base import Decision, Replan, Slice, Task
from services.scheduler.algos.scheduled import Scheduled
from services.scheduler.curve import Curve, capped, through
from services.scheduler.market import Market
from services.scheduler.models.almgren_chriss import Setting, held, trajectory
from services.scheduler.models.estimates import (
    Estimate,
    Estimates,
    daily_volatility,
    mid,
    temporary_impact,
)

# The order's time in half-lives, by urgency.
DECAYS = {"low": 1.0, "medium": 3.0, "high": 10.0, "immediate": inf}
MATTERS = 0.1  # a plan is replaced where it leads more than this share of the rest astray
LOOKED_AT = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7)  # of the time left: two plans differ most before its middle
COMPARED_MAX = 60  # at so many points two plans are compared: a plan that strays does so for longer
SCALES = (1 / 3, 3.0)  # how much at least and at most volatility changes the urgency's half-life
LEFT_MOST = 1 - 1e-9  # where nothing decays, the bulks at both ends are half of the order each


class Shape(NamedTuple):
    """kappa per day, and what it follows from."""

    kappa: float
    why: str


class ImplementationShortfall(Scheduled, frozen=True, kw_only=True, omit_defaults=True):
    """The least expected cost for its risk: early where the price wanders much, evenly where trading fast is dear."""

    name: ClassVar[str] = "is"

    risk_aversion: Annotated[
        float | None,
        Meta(description="Lambda, in 1/quote: expected cost + lambda variance. Overrides the urgency."),
    ] = None
    volatility: Annotated[
        Ratio | None, Meta(description="Of a day; where left out, as measured now or else as configured.")
    ] = None
    temporary_impact: Annotated[
        float | None,
        Meta(description="Eta, quote per base for each base a day; estimated where left out."),
    ] = None
    permanent_impact: Annotated[float, Meta(description="Gamma, quote per base for each base traded.")] = 0.0
    model: Annotated[
        Literal["almgren_chriss", "transient"],
        Meta(description="What impact is like: there while one trades, or decaying."),
    ] = "almgren_chriss"
    half_life: Annotated[
        Duration | None,
        Meta(description="In which half of a transient impact is gone; as configured where left out."),
    ] = None
    replan: Annotated[
        Duration,
        Meta(description="How often the plan follows the market and the fills; 0s for never."),
    ] = Duration.parse("30s")

    def problem(self) -> str:
        if self.volatility is not None and not 0 < self.volatility <= 10:
            return "volatility must be above 0% and at most 1000%"
        for name in ("risk_aversion", "temporary_impact", "permanent_impact"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                return f"{name} must be a number that is not below zero"
        if self.temporary_impact == 0:
            return "temporary_impact must be above zero"
        if self.half_life is not None and self.half_life <= 0:
            return "half_life must be longer than nothing"
        return super().problem()

    def curve(self, task: Task, now_ns: int) -> Curve:
        """With the estimates by which it is planned, for the history."""
        start_ns = self.begin_ns(task, now_ns)
        return self._planned(task, start_ns, self._shape(task, start_ns))

    def decide(self, task: Task, now_ns: int) -> Decision:
        decision = super().decide(task, now_ns)
        if not isinstance(decision, Slice) or now_ns >= task.end_ns:
            return decision
        return self._better(task, now_ns) or decision

    def _better(self, task: Task, now_ns: int) -> Replan | None:
        """A new plan from here, just before a slice goes out, where that matters. The old one stands where something
        was missed beyond the limit and is to be left to the end."""
        steady = self.model == "transient" or not self.replan or task.missed
        if steady or not self._may_replan(task, now_ns) or self.steps(task, now_ns, task.cum) < 2:
            return None
        if (kappa := self._kappa(task, now_ns)) is None:
            return None  # what is not known now was known when it was planned
        rest = task.qty - task.cum
        if not self._may_stray(task, now_ns, kappa, max(MATTERS * rest, task.min_qty)):
            return None
        shape = Shape(kappa, self._why(task, now_ns, kappa))
        times_ns, totals = self._path(task, now_ns, shape)
        most, astray, stride = max(MATTERS * rest, task.min_qty), 0, -(-len(times_ns) // COMPARED_MAX)
        for at_ns, total in zip(times_ns[::stride], totals[::stride], strict=True):
            beside = abs(total - task.plan.qty(at_ns))
            if beside > max(most, astray):
                old = task.plan.at(at_ns)
                # What the old plan's own randomising explains is not astray.
                astray = max(astray, beside - (old.qty - old.low))
        if astray <= most:
            return None
        fresh = through(times_ns, totals, float(self.randomize), shape.why)
        return Replan(fresh, f"{shape.why}; the old plan led {astray / rest:.0%} of the rest astray")

    def _may_replan(self, task: Task, now_ns: int) -> bool:
        """Once in each `replan` of the plan's time, with the first slice in it."""
        start_ns, sliced_ns = task.plan.start_ns, max(task.sliced_ns, task.plan.start_ns)
        return (now_ns - start_ns) // self.replan > (sliced_ns - start_ns) // self.replan

    def _may_stray(self, task: Task, now_ns: int, kappa: float, most: float) -> bool:
        """A look at a few moments, without lots: most plans stand, and need no other to be made."""
        rest, span_ns = task.qty - task.cum, max(task.end_ns - now_ns, 1)
        decay = kappa * span_ns / DAY
        for gone in LOOKED_AT:
            total = task.cum + rest * (1 - held(decay, gone))
            if abs(total - task.plan.qty(now_ns + int(span_ns * gone))) > most - task.lot:
                return True
        return False

    def _planned(self, task: Task, start_ns: int, shape: Shape) -> Curve:
        return through(*self._path(task, start_ns, shape), float(self.randomize), shape.why)

    def _path(self, task: Task, start_ns: int, shape: Shape) -> tuple[list[int], list[int]]:
        """From what is filled to the whole in whole lots: times in ns, and what is to have been sent by then."""
        steps, span_ns = self.steps(task, start_ns, task.cum), max(task.end_ns - start_ns, 1)
        if self.model == "transient":
            left = Exponential(half_life_ns=self._decay(task)).left(span_ns // steps)
            shares = obizhaeva_wang(steps, min(left, LEFT_MOST))
        else:
            held = trajectory(steps, shape.kappa * span_ns / DAY)
            shares = [before - after for before, after in pairwise(held)]
        parts = capped(in_lots(task.qty - task.cum, shares, task.lot), task.max_qty)
        times_ns = [start_ns + span_ns * i // steps for i in range(steps + 1)]
        return times_ns, list(accumulate(parts, initial=task.cum))

    def _shape(self, task: Task, start_ns: int) -> Shape:
        """By the market as it is; as for medium urgency where a risk aversion has nothing to weigh."""
        if self.model == "transient":
            return Shape(0.0, f"half of the impact is taken to be gone after {self._decay(task)}")
        if (kappa := self._kappa(task, start_ns)) is not None:
            return Shape(kappa, self._why(task, start_ns, kappa))
        days = max(task.end_ns - task.start_ns, 1) / DAY
        return Shape(DECAYS["medium"] / days, "volatility or impact is not known: as for medium urgency")

    def _kappa(self, task: Task, start_ns: int) -> float | None:
        """Per day; None where a risk aversion is given and not all that it needs is known. All but the market is the
        whole order's, so that a plan made later for what is left agrees with the first."""
        if self.risk_aversion is not None:
            _, setting = self._known(task, start_ns)
            return None if setting is None else setting.kappa(self.risk_aversion)
        days = max(task.end_ns - task.start_ns, 1) / DAY
        return DECAYS[self.urgency or "medium"] / days * self._scale(task.market)

    def _known(self, task: Task, start_ns: int) -> tuple[Estimates, Setting | None]:
        """The estimates, and what they make of what is left from then on, where all are known."""
        market, steps = task.market, self.steps(task, start_ns, task.cum)
        base = 10.0**market.instrument.qty_scale
        days, left_days = (max(task.end_ns - from_ns, 1) / DAY for from_ns in (task.start_ns, start_ns))
        if self.temporary_impact is not None:
            eta: Estimate | None = Estimate(self.temporary_impact, "given")
        else:
            eta = temporary_impact(market, task.side, task.qty / base, days, left_days / steps)
        known = Estimates(mid(market), self._sigma(market), eta, max(market.spread_bps or 0.0, 0.0))
        return known, known.setting((task.qty - task.cum) / base, left_days, steps, self.permanent_impact)

    def _why(self, task: Task, start_ns: int, kappa: float) -> str:
        """For people: the half-life, what it follows from, and the estimates."""
        cause = f"by {self.urgency or 'medium'} urgency"
        if self.risk_aversion is not None:
            cause = f"by risk aversion {self.risk_aversion:g}"
        known, setting = self._known(task, start_ns)
        return f"half-life {_days(1 / kappa if kappa else inf)} {cause}; {known.words(setting, kappa)}"

    def _sigma(self, market: Market) -> Estimate | None:
        """The volatility of a day, as a share."""
        if self.volatility is not None:
            return Estimate(float(self.volatility), "given")
        return daily_volatility(market)

    def _scale(self, market: Market) -> float:
        """How much more volatile the market is than configured, within SCALES."""
        usual = None if market.impact is None else market.impact.daily_volatility
        if usual is None or (sigma := self._sigma(market)) is None:
            return 1.0
        return max(SCALES[0], min(sigma.value / usual, SCALES[1]))

    def _decay(self, task: Task) -> Duration:
        """The half-life of a transient impact."""
        return self.half_life or (task.market.impact or ImpactSettings()).half_life


def _days(days: float) -> str:
    """For people: to the second, or finer where it is short."""
    if days * DAY >= 100 * DAY * 365:
        return "without end"
    step = SECOND if days * DAY >= 10 * SECOND else MS
    return str(Duration(round(days * DAY / step) * step))
