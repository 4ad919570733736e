"""Smart: looks at the order and its market, picks the algorithm that suits them, and says why.

The rules are in `services.scheduler.models.choice`, a table. What is chosen works the order from then on, with
parameters that follow from the same figures, and what the user gave is handed on. A change keeps the choice and
derives the parameters anew: an order that is at work does not change its ways because the market did.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, inf
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from bestex.clock import SECOND
from bestex.human import Duration, Ratio
from bestex.ladder import BPS_ONE
from services.scheduler.algos.base import Params, Task, Urgency
from services.scheduler.algos.scheduled import SLICES_MAX
from services.scheduler.models.choice import SMALL_OF_DEPTH, Situation, chosen

URGENCY: Urgency = "medium"  # of an order that says nothing
SLICE_S = 10.0  # between the slices of a schedule, as twap has it
SLICE_S_MIN = 1.0  # what a book needs to refill
# The share of the market's volume, or of the book, that one takes. A tenth is the usual pace of a participation; half
# of it hides well, twice of it is as fast as a market bears without following.
PACE: Mapping[Urgency, Ratio] = {
    "low": Ratio(0.05), "medium": Ratio(0.1), "high": Ratio(0.2), "immediate": Ratio(0.2),
}  # fmt: skip
# What an event must be worth to one who waits: on a recorded evening of bitcoin 1, 3 and 18 in a minute were.
EVENTS: Mapping[Urgency, Ratio] = {
    "low": Ratio(0.7), "medium": Ratio(0.65), "high": Ratio(0.55), "immediate": Ratio(0.55),
}  # fmt: skip


class Smart(Params, frozen=True, kw_only=True, omit_defaults=True):
    """Picks the algorithm for the order: by urgency, size, spread, volatility, time and limit; and says why."""

    name: ClassVar[str] = "smart"

    depth_bps: Annotated[
        int, Meta(ge=1, le=1_000, description="How far from the mid the book counts for the order's size.")
    ] = 10

    def choose(self, task: Task, algos: Mapping[str, type[Params]], name: str = "") -> tuple[Params, str]:
        situation = self.situation(task)
        why = "it was chosen before"
        if not name:
            able = [one for one, kind in algos.items() if _can_work(kind, task)]
            name, why = chosen(situation, able)
        params, more = self._derived(algos[name], situation).choose(task, algos)
        reason = f"{name}, because {why}: {self._figures(situation, task)}"
        return params, f"{reason}; {more}" if more else reason

    def situation(self, task: Task) -> Situation:
        """The order against its market as it was heard last."""
        market, left = task.market, max(task.qty - task.cum, 0)
        levels = market.levels(task.side, task.venues)
        seconds = max(task.end_ns - task.start_ns, 1) / SECOND
        depth, volume = market.depth(task.side, self.depth_bps, task.venues), market.volume_per_s * seconds
        away_bps = 0.0
        if task.limit is not None and levels:
            away_bps = BPS_ONE * task.side.sign * (levels[0].price - task.limit) / max(task.limit, 1)
        has_book = market.mid_half is not None
        return Situation(
            urgency=self.urgency or URGENCY,
            seconds=seconds,
            has_book=has_book,
            has_limit=task.limit is not None,
            away_bps=away_bps,
            of_depth=None if not has_book else left / depth if depth else inf,
            of_volume=left / volume if volume else None,
            spread_bps=market.spread_bps,
            usual_spread_bps=None if market.stats is None else market.stats.usual_spread_bps,
            volatility_bps=market.volatility_bps,
            has_dark=any(listing.kind == "dark" for listing in task.listings),
        )

    def _derived(self, kind: type[Params], situation: Situation) -> Params:
        """What the user gave, and what follows from the situation where `kind` takes and allows it."""
        given = self._given()
        fitting = _fitting(kind.name, situation).items()
        derived = kind(**{name: value for name, value in fitting if name in kind.__struct_fields__}, **given)
        return kind(**given) if derived.problem() else derived

    def _given(self) -> dict[str, Any]:
        """The shared parameters that differ from their defaults, and the duration, because the order's end is its."""
        plain = Smart()
        values = {name: getattr(self, name) for name in Params.__struct_fields__}
        return {
            name: value
            for name, value in values.items()
            if name == "duration" or value != getattr(plain, name)
        }

    def _figures(self, situation: Situation, task: Task) -> str:
        """What the choice was made by, for people."""
        s, qty = situation, task.market.instrument.qty
        time = Duration(int(s.seconds * SECOND))
        parts = [f"urgency {s.urgency}", f"{qty(max(task.qty - task.cum, 0)):f} in {time}"]
        if s.of_depth is None:
            parts.append("no book")
        elif s.of_depth == inf:
            parts.append(f"nothing within {self.depth_bps} bps")
        else:
            parts.append(f"{_share(s.of_depth)} the book within {self.depth_bps} bps")
        if s.has_limit and s.away_bps > 0:
            parts.append(f"the best price {s.away_bps:.2g} bps beyond its limit")
        parts.append("no volume" if s.of_volume is None else f"{_share(s.of_volume)} the volume")
        if s.spread_bps is not None:
            usual = "" if s.usual_spread_bps is None else f" (usually {s.usual_spread_bps:.2g})"
            parts.append(f"spread {s.spread_bps:.2g} bps{usual}")
        parts.append("no volatility" if s.risk_bps is None else f"risk {s.risk_bps:.2g} bps")
        return ", ".join(parts)


def _can_work(kind: type[Params], task: Task) -> bool:
    if issubclass(kind, Smart) or (kind.needs_limit and task.limit is None):
        return False
    return kind.knows_enough(task.market)


def _fitting(algo: str, s: Situation) -> dict[str, Any]:
    """The algorithm's own parameters; those that are left out keep their defaults."""
    match algo:
        case "twap" | "vwap" | "is" | "block":
            return {"slices": _slices(s)}
        case "pov":
            return {"rate": PACE[s.urgency]}
        case "liquidity":
            interval = Duration(0) if s.is_hurried else Duration.parse(SLICE_S)
            return {"share": PACE[s.urgency], "interval": interval}
        case "sniper":
            return {"threshold": EVENTS[s.urgency]}
        case "iceberg" if s.of_depth is not None and SMALL_OF_DEPTH < s.of_depth < inf:
            # No more than a small part of the book is shown.
            return {"display_share": Ratio(SMALL_OF_DEPTH / s.of_depth)}
    return {}


def _slices(s: Situation) -> int:
    """Of a schedule: one in SLICE_S, more where each would be more than a small part of the book."""
    of_depth = 0.0 if s.of_depth is None or s.of_depth == inf else s.of_depth
    wanted = max(ceil(s.seconds / SLICE_S), ceil(of_depth / SMALL_OF_DEPTH))
    return max(1, min(wanted, int(s.seconds / SLICE_S_MIN), SLICES_MAX))


def _share(value: float) -> str:
    return f"{100 * value:.2g}% of" if value < 1 else f"{value:,.1f} times"
