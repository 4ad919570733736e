"""What others place in a dark book: a seeded flow of hidden orders.

Orders arrive as a Poisson process, buys and sells at random, with lognormal sizes; each waits for a while and goes.
What one of ours finds there is what has come lately on the other side and has met nobody: sometimes nothing, now and
then a block. Many small ones and a few large ones is what was measured of dark pools (Ganchev, Kearns, Nevmyvaka and
Wortman 2010: zeros, and a power law for the rest).
"""

from __future__ import annotations

import math
from decimal import Decimal
from random import Random
from typing import Annotated

import msgspec
from msgspec import Meta

from bestex.background import HiddenOrder
from bestex.clock import FOREVER_NS, MINUTE, SECOND
from bestex.human import Duration, Ratio
from bestex.ids import digest
from bestex.instruments import Instrument, Listing
from bestex.units import floor_to


class DarkFlowSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`notional` is the median order's, in quote, `sigma` the deviation of its logarithm; `buys` the share of buys;
    `life` the mean time that an order waits; `min_fill` the part of its size below which it does not trade."""

    per_minute: Annotated[float, Meta(ge=0, le=60_000)] = 30.0
    notional: Decimal = Decimal(50_000)
    sigma: Annotated[float, Meta(ge=0, le=5)] = 1.0
    buys: Ratio = Ratio(0.5)
    life: Duration = Duration(20 * SECOND)
    min_fill: Ratio = Ratio(0.1)

    def problem(self) -> str:
        """What is wrong with the values; empty where nothing is."""
        if self.notional <= 0:
            return "notional: must be above zero"
        if self.life <= 0:
            return "life: must be longer than nothing"
        shares = ("buys", self.buys), ("min_fill", self.min_fill)
        return next((f"{name}: must be from 0% to 100%" for name, share in shares if not 0 <= share <= 1), "")


class DarkFlow:
    """The flow of one dark listing from `start_ns` on, sized at `price` (price units). The same seed gives the same
    orders however the time is cut."""

    def __init__(
        self,
        instrument: Instrument,
        listing: Listing,
        settings: DarkFlowSettings,
        seed: int,
        price: int,
        start_ns: int,
    ) -> None:
        self._settings = settings
        self._listing = listing
        self._rng = Random(digest("dark", instrument.symbol, listing.venue, seed))
        self._median = float(instrument.cash_units(settings.notional)) / price
        self._next_ns = start_ns
        self._move_on()

    def _move_on(self) -> None:
        if self._settings.per_minute:
            self._next_ns += 1 + int(self._rng.expovariate(self._settings.per_minute / MINUTE))

    @property
    def due_ns(self) -> int:
        """Before this nothing happens."""
        return self._next_ns if self._settings.per_minute else FOREVER_NS

    def step_until(self, now_ns: int) -> list[HiddenOrder]:
        """The orders since the last call, up to and including `now_ns`, in time order."""
        found = []
        while self._settings.per_minute and self._next_ns <= now_ns:
            found.append(self._order(self._next_ns))
            self._move_on()
        return found

    def _order(self, at_ns: int) -> HiddenOrder:
        terms, settings, rng = self._listing, self._settings, self._rng
        side = 1 if rng.random() < settings.buys else -1
        size = int(self._median * math.exp(rng.gauss(0.0, settings.sigma)))
        qty = max(floor_to(min(size, terms.max_qty or size), terms.lot), terms.min_qty)
        life_ns = 1 + int(rng.expovariate(1 / settings.life))
        least = floor_to(int(qty * settings.min_fill), terms.lot)
        return HiddenOrder(at_ns, terms.venue, side, qty, least, at_ns + life_ns)
