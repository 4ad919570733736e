"""Peg: one order that rests at a distance from a price of the book and follows that (FIX PegInstructions).

The reference is the consolidated book's own side (`primary`), its middle (`mid`) or the other side (`market`). The
order's own size at its own price is taken out of the book first, so that it never follows itself
(`Market.best_of_others` says where it cannot be told apart).

A positive `offset` is passive on both sides: a buy rests so much below the reference, a sell so much above it. A
negative one is aggressive. It follows where the price has moved by `tolerance` or more, every `interval` at most, and
never beyond `max_chase` from the arrival price, or beyond the limit: there it stays and waits.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from bestex.clock import MS
from bestex.human import Duration
from bestex.messages import Side, Tif
from services.scheduler.algos.base import Slice, Task, Working
from services.scheduler.algos.resting import Resting, passive

BPS_ONE = 10_000
INTERVAL_NS_MIN = 100 * MS  # a cancel and a new order each: faster is a storm to every venue
DISTANCE_MAX = 1_000  # ticks or bps: beyond that it is a mistype


class Peg(Resting, frozen=True, kw_only=True, omit_defaults=True):
    """Rests at a distance from the best price of its side, the mid or the other side, and follows it."""

    name: ClassVar[str] = "peg"

    duration: Duration = Duration.parse("1h")
    reference: Annotated[
        Literal["primary", "mid", "market"],
        Meta(
            description="primary: its own side's best price, post-only; market: the other side's best price."
        ),
    ] = "primary"
    offset: Annotated[
        Decimal, Meta(description="Distance from it; positive is passive on both sides, negative aggressive.")
    ] = Decimal(0)
    tolerance: Annotated[
        Decimal, Meta(description="By how much the price must have moved before it follows.")
    ] = Decimal(1)
    unit: Annotated[
        Literal["ticks", "bps"],
        Meta(description="Of offset and tolerance; the finest tick of any venue there."),
    ] = "ticks"
    interval: Annotated[
        Duration,
        Meta(description="Least time between two changes; 100ms or more."),
    ] = Duration.parse("1s")

    def problem(self) -> str:
        if not (self.offset.is_finite() and abs(self.offset) <= DISTANCE_MAX):
            return f"offset must be from -{DISTANCE_MAX} to {DISTANCE_MAX}"
        if not (self.tolerance.is_finite() and 0 <= self.tolerance <= DISTANCE_MAX):
            return f"tolerance must be from 0 to {DISTANCE_MAX}"
        if self.interval < INTERVAL_NS_MIN:
            return "interval must be 100ms or longer"
        return super().problem()

    def price(self, task: Task) -> int | None:
        reference = self._reference(task)
        if reference is None:
            return None
        wanted = reference - task.side.sign * self._distance(self.offset, reference, task)
        passive_way = ROUND_FLOOR if task.side is Side.BUY else ROUND_CEILING
        price = self.bounded(task, max(int(wanted.to_integral_value(passive_way)), 1))
        return passive(task, price) if price is not None and self.reference == "primary" else price

    def part(self, task: Task, price: int) -> Slice:
        post_only = self.reference == "primary"
        return Slice(task.unsent, task.end_ns, Tif.GTC, price, post_only=post_only, collar=False)

    def look_ns(self, working: Working) -> int:
        return working.sliced_ns + self.interval

    def moved(self, task: Task, working: Working, price: int) -> str:
        least = max(self._distance(self.tolerance, Decimal(working.limit), task), Decimal(1))
        if abs(price - working.limit) < least:
            return ""
        instrument = task.market.instrument
        return f"the {self.reference} peg moved from {instrument.price(working.limit)} to {instrument.price(price)}"

    def _reference(self, task: Task) -> Decimal | None:
        """In price units; the mid may be half of one."""
        market, resting = task.market, [one for one in task.working if one.rests]
        other = market.touch(task.side)
        if self.reference == "market":
            return None if other is None else Decimal(other)
        own = market.best_of_others(task.side, resting)
        if own is None or self.reference == "primary":
            return None if own is None else Decimal(own)
        return None if other is None else Decimal(own + other) / 2

    def _distance(self, distance: Decimal, reference: Decimal, task: Task) -> Decimal:
        """Ticks or bps, in price units."""
        if self.unit == "ticks":
            return distance * task.market.instrument.tick_at(int(reference))
        return distance * reference / BPS_ONE
