"""Iceberg: a large order of which the market sees a part at a time (FIX DisplayQty and MaxFloor, a reserve order).

A venue that shows an order in parts by itself may hold all of it: no time is lost between two parts. Everywhere else
one order of the displayed size rests, and when it has been traded the next one follows after a pause. Size and pause
vary, because equal parts at equal times are what an iceberg is recognised by. Sizes vary downwards only: no more is
ever shown than was allowed. Which of the two it is, the router decides, which alone knows the venues that can be
reached (`services.router.resting`).

With a limit it rests there, and takes first what crosses. Without one, and with `post_only`, it rests at its own
side's best price, and what has rested long behind that price is posted anew, no further than `max_chase`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from bestex.human import Duration, Ratio
from bestex.ids import uniform
from bestex.messages import Tif
from bestex.units import floor_to
from services.scheduler.algos.base import Slice, Task, Working
from services.scheduler.algos.resting import Resting, passive
from services.scheduler.pricing import closer

PARTS_MAX = 100  # of one slice: about as many as venues allow of an iceberg, and then sizes are drawn again


class Iceberg(Resting, frozen=True, kw_only=True, omit_defaults=True):
    """Rests with all of the order while the market sees a part of it at a time, varied in size and time."""

    name: ClassVar[str] = "iceberg"

    duration: Duration = Duration.parse("1d")
    display: Annotated[
        Decimal | None,
        Meta(description="The most that is shown at a time; the least that a venue takes holds."),
    ] = None
    display_share: Annotated[
        Ratio, Meta(description="The same as a share of the order, where display is left out.")
    ] = Ratio(0.1)
    refresh: Annotated[
        Duration, Meta(description="Pause between two parts, where the venue does not refresh by itself.")
    ] = Duration.parse("1s")
    randomize: Annotated[
        Ratio,
        Meta(description="How much smaller than display a part may be, and its pause shorter or longer."),
    ] = Ratio(0.2)
    repost_after: Annotated[
        Duration,
        Meta(description="How long it rests behind its side's best price before it follows; 0 never."),
    ] = Duration.parse("10s")
    post_only: Annotated[bool, Meta(description="Takes nothing; without a limit price it never does.")] = (
        False
    )
    native: Annotated[
        bool,
        Meta(
            description="A venue that shows an order in parts may hold all of it; its parts are of one size."
        ),
    ] = True

    def problem(self) -> str:
        if self.display is not None and not (self.display.is_finite() and self.display > 0):
            return "display must be above zero"
        if not 0 < self.display_share <= 1:
            return "display_share must be above 0% and at most 100%"
        if None not in (self.display, self.min_slice) and self.min_slice > self.display:  # type: ignore[operator]
            return "min_slice must not be above display"
        return super().problem()

    def price(self, task: Task) -> int | None:
        if task.limit is not None and not self.post_only:
            return task.limit
        # Of a limit that is better than the market's best price, the limit.
        price = closer(task.side, task.limit, task.market.best(task.side))
        price = self.bounded(task, price)
        return None if price is None else passive(task, price)

    def part(self, task: Task, price: int) -> Slice:
        shown = self._shown(task, price)
        qty = min(task.unsent, shown * PARTS_MAX) if self.native else shown
        if task.unsent - qty < task.market.instrument.least(price):
            qty = task.unsent  # never leave behind what no venue takes
        post_only = self.post_only or task.limit is None
        return Slice(qty, task.end_ns, Tif.GTC, price, post_only=post_only, display=shown, collar=False)

    def pause_ns(self, task: Task) -> int:
        vary = float(self.randomize) * (2 * uniform(task.seed, 2 * task.slices) - 1)
        return int(self.refresh * (1 + vary))

    def look_ns(self, working: Working) -> int:
        return working.sliced_ns + self.repost_after if self.repost_after else 0

    def moved(self, task: Task, working: Working, price: int) -> str:
        """Only towards the market: whoever leads it stays."""
        ahead = (price - working.limit) * task.side.sign > 0
        return "it rests behind its side's best price" if ahead else ""

    def _shown(self, task: Task, price: int) -> int:
        """How much of the next slice is shown, whole lots, in units."""
        instrument = task.market.instrument
        most = int(task.qty * self.display_share)
        if self.display is not None:
            most = int(self.display.scaleb(instrument.qty_scale))
        drawn = int(most * (1 - float(self.randomize) * uniform(task.seed, 2 * task.slices + 1)))
        least = instrument.least(price)
        shown = min(max(floor_to(drawn, task.lot), least), task.unsent)
        if 0 < task.unsent - shown < least:
            shown = task.unsent - least if task.unsent >= 2 * least else task.unsent
        return shown
