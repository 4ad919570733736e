"""Smart: post or cross, by expected cost, for every venue and every part of the slice.

Against the mid of now, with h the half spread to a venue's own best price: to cross costs what the exact sweep costs.
To post there and cross later what was not filled costs, with p the chance of a fill,

    p (maker fee - h) + (1 - p) (cross + drift + r) + p a

where a is how far the mid moves against whoever was taken from (the mark-out after trades), and drift where the
imbalance of the best sizes says that the mid goes (Gould and Bonart 2016). That fills come when the mid falls counts
once: by as much as they are worth less then, the unfilled is dearer, p a in all. r is what waiting is worth to avoid:
urgency x volatility x the square root of the time. So a unit at the end of a queue gains
p (h + cross - maker fee - a + drift + r) - (drift + r), and is posted while that is above zero, the best gains first.

What is posted is looked at again before the time is over: what then still stands goes to where it is worth most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.human import Duration
from bestex.instruments import FEE_ONE
from bestex.messages import Side, Tif, VenueColumn
from bestex.units import ceil_to, floor_to
from services.router.models.queue import QueueModel
from services.router.strategies.base import Allocation, Route, RouteTask, Strategy, Terms
from services.router.strategies.sweep import Sweep

Urgency = Literal["low", "medium", "high", "immediate"]

RISK = {"low": 0.0, "medium": 0.1, "high": 0.4}  # of a standard deviation of the mid until then
CROSS_NS = SECOND  # the end of a slice that is for crossing: a cancel, its answer, and an IOC
LOOK_NS = SECOND  # between two looks at what is posted
WAIT_NS_MIN = 300 * MS  # less is not worth the two messages
DRIFT = 0.5  # of the half spread, at full imbalance: where the mid goes until the next move
BPS = 10_000
HALVINGS = 40  # of the price of a place in a queue: to the last digit of a float


@dataclass(frozen=True, slots=True)
class _Place:
    """Posting at one venue. `gain` is what a fill saves, in price units, and `wait` what waiting costs."""

    venue: str
    price: int
    model: QueueModel
    gain: float
    wait: float
    most: int
    least: int
    lot: int

    def qty(self, least_gain: float) -> int:
        """So much that the last unit still gains this much."""
        if self.gain <= 0:
            return 0
        qty = floor_to(int(min(self.model.until((self.wait + least_gain) / self.gain), self.most)), self.lot)
        return qty if qty >= self.least else 0

    def saved(self, qty: int) -> float:
        return self.gain * self.model.expected(qty) - self.wait * qty


class Smart(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Posts what is worth waiting for and takes the rest, by expected cost."""

    name: ClassVar[str] = "smart"

    urgency: Annotated[Urgency, Meta(description="How dear waiting is; immediate never posts.")] = "medium"
    patience: Annotated[
        Duration, Meta(description="The longest that a posted order waits until it is looked at again.")
    ] = Duration.parse("5s")

    def route(self, task: RouteTask) -> Route:
        mid = task.ladder.mid
        wait_ns = min(int(self.patience), task.until_ns - task.now_ns - CROSS_NS)
        if mid is None:
            return self._taken(task, task.qty, {}, "takes: there is no mid to compare with")
        if self.urgency == "immediate":
            return self._taken(task, task.qty, {}, "takes: waiting was ruled out")
        if wait_ns < WAIT_NS_MIN:
            return self._taken(task, task.qty, {}, "takes: no time to wait")
        whole = self._taken(task, task.qty, {}, "takes: no queue is worth waiting in")
        cross = _unit_cost(task, whole, mid)
        found = (self._place(task, column, cross, mid, wait_ns) for _, column in task.ladder.columns)
        places = {place.venue: place for place in found if place is not None}
        splits = self.max_splits or task.max_splits
        posted = _divide(list(places.values()), task.qty, max(splits - 1, 1))
        rest = task.qty - sum(posted.values())
        if not posted or (rest and splits == 1):
            return whole
        saved = sum(places[venue].saved(qty) for venue, qty in posted.items()) / task.qty
        why = f"posts {1 - rest / task.qty:.0%}, which saves {BPS * saved / mid:.2f} of {BPS * cross / mid:.2f} bps"
        route = self._taken(task, rest, posted, why)
        route.review_ns = task.now_ns + min(wait_ns, LOOK_NS)
        for venue, qty in posted.items():
            place, seconds = places[venue], wait_ns / SECOND
            reason = f"posted: {place.model.expected(qty) / qty:.0%} expected within {seconds:.1f} s"
            route.allocations.append(
                Allocation(venue, qty, place.price, qty * place.price, Tif.GTC, post_only=True, reason=reason)
            )
            route.left_out.pop(venue, None)
        return route

    def keeps(self, task: RouteTask, since_ns: int, resting: Sequence[tuple[str, int]]) -> int:
        """As long as it stands at its venue's best price, nobody is impatient, and there is time."""
        end_ns = min(since_ns + int(self.patience), task.until_ns - CROSS_NS)
        buy = task.side is Side.BUY
        best = {c.venue: (c.bid_px if buy else c.ask_px) for _, c in task.ladder.columns}
        leads = all(
            best.get(venue) and (price - best[venue][0]) * task.side.sign >= 0 for venue, price in resting
        )
        return min(end_ns, task.now_ns + LOOK_NS) if leads and task.now_ns < end_ns else 0

    def _taken(self, task: RouteTask, qty: int, posted: Mapping[str, int], why: str) -> Route:
        """So much of it at once, beside what is posted."""
        if not qty:
            return Route(why=why)
        terms = {
            venue: replace(one, cap=max(one.cap - posted.get(venue, 0), 0))
            for venue, one in task.terms.items()
        }
        splits = max((self.max_splits or task.max_splits) - len(posted), 1)
        route = Sweep().route(replace(task, qty=qty, terms=terms, max_splits=splits))
        route.why = why
        return route

    def _place(
        self, task: RouteTask, column: VenueColumn, cross: float, mid: float, wait_ns: int
    ) -> _Place | None:
        """Joining the queue at this venue's own best price; None where that cannot be, or nothing is known of it."""
        terms, stats = task.terms.get(column.venue), task.stats_of(column.venue)
        buy = task.side is Side.BUY
        prices, sizes = (column.bid_px, column.bid_qty) if buy else (column.ask_px, column.ask_qty)
        if terms is None or stats is None or not prices or not task.within(prices[0]):
            return None
        queue = QueueModel.of(
            stats.bid_queue if buy else stats.ask_queue, sizes[0], wait_ns / SECOND, task.qty_unit
        )
        if queue is None:
            return None
        half = task.side.sign * (mid - (prices[0] - column.basis))
        maker = prices[0] * terms.listing.maker_fee_e8 / FEE_ONE
        adverse = max(stats.adverse_bps_10s or 0.0, stats.adverse_bps_1s or 0.0, 0.0) * mid / BPS
        wait = max(_drift(task) + self._risk(task, mid, wait_ns), 0.0)
        least, most = _bounds(task, terms, prices[0])
        gain = half + cross - maker - adverse + wait
        return _Place(column.venue, prices[0], queue, gain, wait, most, least, terms.listing.lot)

    def _risk(self, task: RouteTask, mid: float, wait_ns: int) -> float:
        volatility = task.stats.volatility_bps if task.stats is not None else None
        return RISK[self.urgency] * (volatility or 0.0) * mid / BPS * sqrt(wait_ns / SECOND)


def _unit_cost(task: RouteTask, whole: Route, mid: float) -> float:
    """What a unit costs against the mid where all is taken now, fees included, in price units."""
    qty = whole.qty
    if not qty:
        return 0.0
    basis = {column.venue: column.basis for _, column in task.ladder.columns}
    paid = sum(
        part.notional * task.fee_factor(part.venue) / FEE_ONE - part.qty * basis[part.venue]
        for part in whole.allocations
    )
    return task.side.sign * (paid / qty - mid)


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


def _bounds(task: RouteTask, terms: Terms, price: int) -> tuple[int, int]:
    """The least and the most that may be posted there."""
    listing = terms.listing
    notional = max(listing.min_notional, task.min_split_notional)
    least = ceil_to(max(listing.min_qty, -(-notional // max(price, 1))), listing.lot)
    return least, floor_to(min(terms.cap, task.qty), listing.lot)


def _divide(places: list[_Place], qty: int, places_max: int) -> dict[str, int]:
    """What is posted where: the least gain of a last unit is raised until all of it fits into the quantity."""
    places = sorted(places, key=lambda place: (-place.saved(place.qty(0.0)), place.venue))[:places_max]
    low, high = 0.0, max((place.gain for place in places), default=0.0)
    if sum(place.qty(low) for place in places) > qty:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if sum(place.qty(middle) for place in places) > qty:
                low = middle
            else:
                high = middle
        low = high
    return {place.venue: part for place in places if (part := place.qty(low))}
