"""What strategies share that post a part of a slice and take the rest: when to wait, where, and when to look again.

A part is posted at its venue's own best price, behind all that stands there. What is posted stays while it leads its
venue and nobody has become impatient; then it is withdrawn, and routed anew with the time that is left. The last
second of a slice is for taking. How much is posted where, each strategy divides in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

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

CROSS_NS = SECOND  # the end of a slice that is for taking: a cancel, its answer, and an IOC
LOOK_NS = SECOND  # between two looks at what is posted
WAIT_NS_MIN = 300 * MS  # less is not worth the two messages
BPS = 10_000


@dataclass(frozen=True, slots=True)
class Place:
    """The end of one venue's queue. In price units: `half` is how much better its price is than the mid, `maker` the
    fee of a fill, `adverse` how far the mid moves against whoever was taken from. Quantities in units."""

    venue: str
    price: int
    model: QueueModel
    half: float
    maker: float
    adverse: float
    least: int
    most: int
    lot: int

    def on_lots(self, qty: float) -> int:
        """So much of it as may be posted; 0 where that is too little."""
        found = floor_to(int(min(qty, self.most)), self.lot)
        return found if found >= self.least else 0


@dataclass(frozen=True, slots=True)
class Moment:
    """`cross` is what a unit costs against the mid where all is taken now, fees included, in price units; `wait_ns`
    how long may be waited; `splits` at how many places."""

    mid: float
    cross: float
    wait_ns: int
    splits: int


@dataclass(frozen=True, slots=True)
class Division:
    """What is posted, by venue, and what that is expected to save of the whole, in price units x quantity units."""

    posted: dict[str, int]
    saves: float
    text: str = ""


class Posting(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Base of those strategies. They say how to `divide`."""

    urgency: Annotated[Urgency, Meta(description="How dear waiting is; immediate never posts.")] = "medium"
    patience: Annotated[
        Duration,
        Meta(
            description="The longest that a posted order waits until all is weighed again.",
            extra={"when": "urgency!=immediate"},
        ),
    ] = Duration.parse("5s")

    def divide(self, task: RouteTask, places: Sequence[Place], moment: Moment) -> Division:
        """How much to post at each place, of `task.qty` together at most. Pure."""
        raise TypeError(f"{type(self).__name__} does not divide {task} over {places} at {moment}")

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
        splits = self.max_splits or task.max_splits
        moment = Moment(mid, _unit_cost(task, whole, mid), wait_ns, max(splits - 1, 1))
        found = (_place(task, column, mid, wait_ns) for _, column in task.ladder.columns)
        places = {place.venue: place for place in found if place is not None}
        division = self.divide(task, list(places.values()), moment)
        posted = division.posted
        rest = task.qty - sum(posted.values())
        if not posted or (rest and splits == 1):
            whole.why = division.text or whole.why
            return whole
        saves, of = (BPS * cost / mid for cost in (division.saves / task.qty, moment.cross))
        why = f"posts {1 - rest / task.qty:.0%}, which is to save {saves:.2f} of {of:.2f} bps {division.text}"
        route = self._taken(task, rest, posted, why.strip())
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
        end_ns, best = self._end_ns(task, since_ns), _own_best(task)
        leads = all(_leads(task, price, best.get(venue)) for venue, price in resting)
        return min(end_ns, task.now_ns + LOOK_NS) if leads and task.now_ns < end_ns else 0

    def reprices(self, task: RouteTask, since_ns: int, resting: Sequence[tuple[str, int]]) -> list[int]:
        """What leads stays, and the rest goes to its venue's best price, while there is patience."""
        best = _own_best(task)
        if task.now_ns + WAIT_NS_MIN > self._end_ns(task, since_ns):
            return []
        prices = []
        for venue, price in resting:
            lead = best.get(venue)
            if lead is None or not task.within(lead):
                return []
            prices.append(price if _leads(task, price, lead) else lead)
        return prices

    def _end_ns(self, task: RouteTask, since_ns: int) -> int:
        return min(since_ns + int(self.patience), task.until_ns - CROSS_NS)

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


def _own_best(task: RouteTask) -> dict[str, int]:
    """Each venue's own best price on the side where the order would rest."""
    buy = task.side is Side.BUY
    sides = {column.venue: column.bid_px if buy else column.ask_px for _, column in task.ladder.columns}
    return {venue: prices[0] for venue, prices in sides.items() if prices}


def _leads(task: RouteTask, price: int, best: int | None) -> bool:
    return best is not None and (price - best) * task.side.sign >= 0


def _place(task: RouteTask, column: VenueColumn, mid: float, wait_ns: int) -> Place | None:
    """None where nothing may be posted, or nothing is known of the queue."""
    terms, stats = task.terms.get(column.venue), task.stats_of(column.venue)
    buy = task.side is Side.BUY
    prices, sizes = (column.bid_px, column.bid_qty) if buy else (column.ask_px, column.ask_qty)
    if terms is None or stats is None or not prices or not task.within(prices[0]):
        return None
    queue = stats.bid_queue if buy else stats.ask_queue
    model = QueueModel.of(queue, sizes[0], wait_ns / SECOND, task.qty_unit)
    if model is None:
        return None
    least, most = _bounds(task, terms, prices[0])
    return Place(
        venue=column.venue,
        price=prices[0],
        model=model,
        half=task.side.sign * (mid - (prices[0] - column.basis)),
        maker=prices[0] * terms.listing.maker_fee_e8 / FEE_ONE,
        adverse=max(stats.adverse_bps_10s or 0.0, stats.adverse_bps_1s or 0.0, 0.0) * mid / BPS,
        least=least,
        most=most,
        lot=terms.listing.lot,
    )


def _unit_cost(task: RouteTask, whole: Route, mid: float) -> float:
    """What a unit costs against the mid where all is taken now, fees included, in price units."""
    if not whole.qty:
        return 0.0
    basis = {column.venue: column.basis for _, column in task.ladder.columns}
    paid = sum(
        part.notional * task.fee_factor(part.venue) / FEE_ONE - part.qty * basis[part.venue]
        for part in whole.allocations
    )
    return task.side.sign * (paid / whole.qty - mid)


def _bounds(task: RouteTask, terms: Terms, price: int) -> tuple[int, int]:
    """The least and the most that may be posted there."""
    listing = terms.listing
    notional = max(listing.min_notional, task.min_split_notional)
    least = ceil_to(max(listing.min_qty, -(-notional // max(price, 1))), listing.lot)
    return least, floor_to(min(terms.cap, task.qty), listing.lot)
