"""Smart: post or cross, by expected cost, for every venue and every part of the slice.

Against the mid of now, with h the half spread to a venue's own best price: to cross costs what the exact sweep costs.
To post there and cross later what was not filled costs, with p the chance of a fill,

    p (maker fee - h) + (1 - p) (cross + drift + r) + p a

where a is how far the mid moves against whoever was taken from (the mark-out after trades), and drift where the
imbalance of the best sizes says that the mid goes (Gould and Bonart 2016). That fills come when the mid falls counts
once: by as much as they are worth less then, the unfilled is dearer, p a in all. r is what waiting is worth to avoid:
urgency x volatility x the square root of the time. So a unit at the end of a queue gains
p (h + cross - maker fee - a + drift + r) - (drift + r), and is posted while that is above zero, the best gains first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import ClassVar

from bestex.clock import SECOND
from services.router.strategies.base import RouteTask
from services.router.strategies.posting import BPS, Division, Moment, Place, Posting

RISK = {
    "low": 0.0,
    "medium": 0.1,
    "high": 0.4,
    "immediate": 1.0,
}  # of a standard deviation of the mid until then
DRIFT = 0.5  # of the half spread, at full imbalance: where the mid goes until the next move
HALVINGS = 40  # of the price of a place in a queue: far below a price unit


class Smart(Posting, frozen=True, kw_only=True, omit_defaults=True):
    """Posts what is worth waiting for and takes the rest, by expected cost."""

    name: ClassVar[str] = "smart"

    def divide(self, task: RouteTask, places: Sequence[Place], moment: Moment) -> Division:
        wait = max(_drift(task) + self._risk(task, moment), 0.0)
        gains = {place.venue: _gain(place, moment, wait) for place in places}

        def posted(least: float) -> dict[str, int]:
            """So much everywhere that the last unit still gains this much."""
            return {
                place.venue: qty
                for place in kept
                if (qty := _wanted(place, gains[place.venue], wait + least))
            }

        def saves(place: Place, qty: int) -> float:
            return gains[place.venue] * place.model.expected(qty) - wait * qty

        kept = list(places)
        first = posted(0.0)
        kept.sort(key=lambda place: (-saves(place, first.get(place.venue, 0)), place.venue))
        del kept[moment.splits :]
        found = posted(0.0)
        low, high = 0.0, max(gains.values(), default=0.0)
        if sum(found.values()) > task.qty:
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                if sum(posted(middle).values()) > task.qty:
                    low = middle
                else:
                    high = middle
            found = posted(high)
        return Division(found, sum(saves(place, found.get(place.venue, 0)) for place in kept))

    def _risk(self, task: RouteTask, moment: Moment) -> float:
        volatility = task.stats.volatility_bps if task.stats is not None else None
        return RISK[self.urgency] * (volatility or 0.0) * moment.mid / BPS * sqrt(moment.wait_ns / SECOND)


def _gain(place: Place, moment: Moment, wait: float) -> float:
    """What a fill there saves, in price units."""
    return place.half + moment.cross - place.maker - place.adverse + wait


def _wanted(place: Place, gain: float, price: float) -> int:
    """The quantity whose last unit's chance of a gain is worth this price."""
    return place.on_lots(place.model.until(price / gain)) if gain > 0 else 0


def _drift(task: RouteTask) -> float:
    """Where the best sizes say that the mid goes, against the order, in price units."""
    bids = asks = 0
    bid, ask = task.ladder.best_bid, task.ladder.best_ask
    for _, column in task.ladder.columns:
        if column.bid_px and column.bid_px[0] - column.basis == bid:
            bids += column.bid_qty[0]
        if column.ask_px and column.ask_px[0] - column.basis == ask:
            asks += column.ask_qty[0]
    if bid is None or ask is None or not bids + asks:
        return 0.0
    return task.side.sign * DRIFT * max(ask - bid, 0) / 2 * (bids - asks) / (bids + asks)
