"""One parent order at work: its sums, its open slices, what was asked of it. Changed by events only."""

from __future__ import annotations

from copy import copy
from decimal import Decimal
from typing import Any

import msgspec

from bestex import ids
from bestex import messages as m
from bestex.clock import Time
from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.messages import Tif
from bestex.units import floor_to, total
from services.scheduler.algos.base import Params, Task, Tried, Unbroken, Working
from services.scheduler.conditions import first_stop
from services.scheduler.curve import Curve, free, of_schedule
from services.scheduler.market import Market, Tally

AVG_DIGITS = 6  # digits of an average price beyond the instrument's own

TRIED_MAX = 200  # that a parent remembers, its prior included: an hour of two venues and twenty seconds each
FOUND_MAX = 60  # that its end tells of: as many as are kept of a symbol
# A slice that ended so was at its venue for as long as it was to be, or was filled whole.
_TOLD = frozenset({Code.FILLED, Code.EXPIRED, Code.NO_LIQUIDITY})

_NO_PARAMS: dict[str, Any] = {}
_NONE: set[int] = set()  # shared and never changed: most parents have nothing to recall


class Parent:
    """Quantities in the instrument's units. `open` holds the slices that have not been settled, by their numbers, and
    `open_qty` is what they sum to.

    `looked_ns`, `wake_ns` and `wants_book` are of this process alone: when it was last decided on because its book
    had changed, when it is to be decided on again, 0 for not by the clock, and whether what is due waits for a book.
    `strategy_failed`: the slice that came back because its routing strategy failed, until the order is held for it; 0
    for none.
    """

    __slots__ = (
        "algo",
        "arrival_half",
        "asked_as",
        "avg_px",
        "canceling",
        "cum",
        "end_ns",
        "fees",
        "found",
        "from_cum",
        "from_traded",
        "instrument",
        "last_qty",
        "last_reason",
        "limit",
        "looked_ns",
        "lot",
        "min_slice",
        "missed",
        "most_slice",
        "notional",
        "open",
        "open_qty",
        "order",
        "otherwise_params",
        "params",
        "paused",
        "plan",
        "planned_ns",
        "recalled",
        "requests",
        "seed",
        "settled_ns",
        "sliced_ns",
        "sliced_traded",
        "slices",
        "stale",
        "start_ns",
        "started",
        "stop",
        "strategy_failed",
        "tally",
        "trailed_ns",
        "tried",
        "trigger",
        "unbroken",
        "unvalued",
        "venues",
        "wake_ns",
        "wanted",
        "wants_book",
        "would_price",
    )

    def __init__(self, event: m.ParentAccepted, instrument: Instrument, params: Params) -> None:
        self.instrument = instrument
        self.lot = instrument.lot
        self.algo = self.asked_as = event.order.algo
        self.start_ns: int = event.start_at
        self.end_ns: int = event.end_at or event.start_at + params.duration
        self.seed = ids.seed(event.symbol, event.parent_id)
        self.requests: tuple[int, ...] = (event.order_seq,)
        self.tally = Tally()
        self.cum = 0
        self.notional = Decimal(0)
        self.fees = Decimal(0)
        self.avg_px: Decimal | None = None
        self.slices = 0
        self.open: dict[int, Working] = {}
        self.open_qty = 0
        self.recalled: set[int] = _NONE
        self.stale: set[int] = _NONE
        self.unvalued = event.unvalued
        waits = event.order.trigger is not None or event.unvalued
        self.started = int(event.start_at) <= int(event.at) and not waits
        self.arrival_half = _double(event.arrival_px, instrument)
        self.paused = False
        self.canceling = False
        self.missed = 0
        self.sliced_ns = 0
        self.sliced_traded = 0
        self.from_cum = 0
        self.from_traded = 0
        self.settled_ns = 0
        self.last_reason: Code | None = None
        self.strategy_failed = 0
        self.last_qty = 0
        self.tried = tuple(
            Tried(one.venue, instrument.qty_units(one.qty), instrument.qty_units(one.filled))
            for one in event.prior
        )
        self.found: tuple[m.VenueTrial, ...] = ()
        self.looked_ns = 0
        self.wake_ns = 0
        self.otherwise_params = event.otherwise_params or _NO_PARAMS
        self.wants_book = False
        self._take(event.order, params)
        self._wait_for(event.order.trigger if not self.started else _otherwise(event.order))
        self.unbroken: Unbroken | None = None
        self._plan(event)
        self._count(event, self.started)

    def _wait_for(self, trigger: m.Trigger | None) -> None:
        """From now on this price is looked for."""
        self.trigger = trigger
        self.stop = None if trigger is None else first_stop(trigger, self.instrument)
        self.trailed_ns = 0

    def _take(self, order: m.ParentOrder, params: Params) -> None:
        instrument = self.instrument
        self.order = order
        self.venues = None if order.venues is None else frozenset(order.venues)
        self.params = params
        self.wanted = instrument.qty_units(order.qty)
        # The order's own, in price units.
        self.limit = None if order.limit_price is None else instrument.price_units(order.limit_price)
        self.min_slice = max(_units(params.min_slice, instrument), instrument.min_qty)
        self.most_slice = _units(params.max_slice, instrument)
        self.would_price = None if params.would_price is None else instrument.price_units(params.would_price)

    def _plan(self, event: Any) -> None:
        """The curve that an event holds, or none but the end."""
        self.planned_ns = int(event.at)
        self.plan: Curve = (
            of_schedule(event.schedule, self.instrument)
            if event.schedule
            else free(self.start_ns, self.end_ns, self.cum, self.wanted)
        )

    def _count(self, event: Any, counts: bool, anew: bool = False) -> None:
        """What the market has traded, as an event says it. `anew`: the order is another from here on."""
        _, since = self.tally.known
        self.tally.stored(event.traded, self.instrument, counts=counts)
        traded, now_since = self.tally.known
        if not self.tally.counts:
            self.unbroken = None
        elif anew or self.unbroken is None or now_since != since:
            at_ns = int(event.at)
            # The plan goes on while an order is paused; the order does not.
            paused = isinstance(event, m.ParentResumed)
            qty = self.cum + self.missed if paused else self.plan.qty(at_ns)
            self.unbroken = Unbroken(at_ns=at_ns, qty=qty, traded=traded)

    @property
    def qty(self) -> int:
        """What may at most be filled: what is wanted, or what went out before less was wanted."""
        return max(self.wanted, self.cum + self.open_qty)

    @property
    def watches_book(self) -> bool:
        """Whether it is to be looked at when its book changes."""
        return self.params.watches_book or self.trigger is not None

    def task(self, market: Market) -> Task:
        """The parent as its algorithm sees it."""
        open_qty, params = self.open_qty, self.params
        traded = self.tally.now(market)
        unsent = self.wanted - self.cum - open_qty
        most = min(self.most_slice or unsent, unsent)
        if params.max_participation is not None:
            most = min(most, int(params.max_participation * traded) - self.cum - open_qty)
        return Task(
            side=self.order.side,
            qty=self.wanted,
            cum=self.cum,
            open=open_qty,
            slices=self.slices,
            lot=self.lot,
            min_qty=self.min_slice,
            max_qty=self.most_slice,
            most=floor_to(max(most, 0), self.lot),
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            seed=self.seed,
            limit=self.limit,
            plan=self.plan,
            market=market,
            traded=traded,
            unbroken=self.unbroken if self.tally.goes_on(market) else None,
            planned_ns=self.planned_ns,
            sliced_traded=self.sliced_traded,
            from_traded=self.from_traded,
            from_cum=self.from_cum,
            missed=self.missed,
            sliced_ns=self.sliced_ns,
            settled_ns=self.settled_ns,
            last_reason=self.last_reason,
            last_qty=self.last_qty,
            arrival_half=self.arrival_half,
            working=tuple(self.open.values()),
            venues=self.venues,
            tried=self.tried,
        )

    def standing(self, now_ns: int) -> dict[str, Any]:
        """Where it stands, as every event of it says."""
        return {
            "symbol": self.order.symbol,
            "parent_id": self.order.parent_id,
            "at": Time(now_ns),
            "cum_qty": self.instrument.qty(self.cum),
            "leaves_qty": self.instrument.qty(self.qty - self.cum),
            "avg_px": self.avg_px,
        }

    def to_recall(self) -> int:
        """The next open slice that must come back and was not asked for yet; 0 where there is none."""
        wanted = self.open.keys() if self.canceling or self.paused else self.stale
        return min(wanted - self.recalled, default=0)

    def answered(self, order_seq: int) -> None:
        """The user's message of this number has been taken."""
        self.requests = (*self.requests, order_seq)

    # -- events ----------------------------------------------------------------------------------------------

    def began(self, event: m.ParentStarted) -> None:
        self.started = True
        self.start_ns = int(event.at)
        self.arrival_half = _double(event.arrival_px, self.instrument)
        if event.end_at is not None:
            self.end_ns = event.end_at
        self._wait_for(_otherwise(self.order))
        self._plan(event)
        self._count(event, True)

    def sliced(self, event: m.ParentSliced) -> None:
        instrument = self.instrument
        assert event.slice_no == self.slices + 1, "a slice follows the one before"
        if self.arrival_half is None:
            self.arrival_half = _double(event.limit_price, instrument)
        self.open[event.slice_no] = Working(
            no=event.slice_no,
            qty=instrument.qty_units(event.qty),
            limit=0 if event.limit_price is None else instrument.price_units(event.limit_price),
            sliced_ns=int(event.at),
            rests=event.tif is not Tif.IOC,
            recalled=False,
            shown=instrument.qty_units(event.display_qty or event.qty),
            venue=event.venues[0] if event.venues and len(event.venues) == 1 else "",
        )
        self.open_qty += self.open[event.slice_no].qty
        self.slices = event.slice_no
        self.sliced_ns = int(event.at)
        self._count(event, True)
        self.sliced_traded, _ = self.tally.known
        assert self.cum + self.open_qty <= self.wanted, "filled and open must never exceed the order"

    def recall(self, event: m.ParentRecalled) -> None:
        self.recalled = self.recalled | {event.slice_no}
        self.open[event.slice_no] = msgspec.structs.replace(self.open[event.slice_no], recalled=True)

    def settled(self, event: m.ParentSettled) -> m.VenueTrial | None:
        """What the slice has told of the one dark venue that it rested at, if anything."""
        ended = self.open.pop(event.slice_no)
        self.open_qty -= ended.qty
        self.recalled = self.recalled - {event.slice_no} or _NONE
        self.stale = self.stale - {event.slice_no} or _NONE
        self.last_qty = self.instrument.qty_units(event.filled_qty)
        self.cum += self.last_qty
        self.avg_px = event.avg_px
        self.notional = total(self.notional, event.notional)
        self.fees = total(self.fees, event.fees)
        self.missed += self.instrument.qty_units(event.missed_qty)
        self.settled_ns = int(event.at)
        self.last_reason = event.reason
        if event.reason is Code.STRATEGY_FAILED:
            self.strategy_failed = event.slice_no
        if not (ended.venue and ended.rests) or event.reason not in _TOLD:
            return None
        self.tried = (*self.tried, Tried(ended.venue, ended.qty, self.last_qty))[-TRIED_MAX:]
        listing = self.instrument.listing(ended.venue)
        if listing is None or listing.kind != "dark":
            return None
        trial = m.VenueTrial(ended.venue, self.instrument.qty(ended.qty), event.filled_qty)
        self.found = (*self.found, trial)[-FOUND_MAX:]
        return trial

    def pause(self, event: m.ParentPaused | m.ParentResumed) -> None:
        self.paused = isinstance(event, m.ParentPaused)
        self.strategy_failed = 0
        self._count(event, not self.paused)
        if event.order_seq:
            self.answered(event.order_seq)

    def trailed(self, event: m.ParentTrailed) -> None:
        self.stop = self.instrument.price_units(event.stop_price)
        self.trailed_ns = int(event.at)

    def switched(self, event: m.ParentSwitched, params: Params) -> None:
        other = self.order.otherwise
        self.asked_as = self.asked_as if other is None else other.algo
        self._take(event.order, params)
        self._wait_for(None)
        self.start_ns, self.end_ns = int(event.at), int(event.end_at)
        self.missed = 0
        self._plan(event)
        self._count(event, True, anew=True)
        self.stale = set(self.open) or _NONE

    def modified(self, event: m.ParentModified, params: Params) -> None:
        is_other = params != self.params
        self._take(event.order, params)
        if event.end_at is not None:
            self.end_ns = event.end_at
        self.missed = 0
        self._plan(event)
        self._count(event, self.started and not self.paused, anew=True)
        if is_other:
            self.from_cum = self.cum
            self.from_traded, _ = self.tally.known
        self.answered(event.order_seq)
        self.stale = set(self.open) or _NONE  # they were made for the order as it was

    def after_switch(self, event: m.ParentSwitched, params: Params) -> Parent:
        """The parent as it will be; this one stays as it is."""
        other = copy(self)
        other.tally = copy(self.tally)
        other.switched(event, params)
        return other

    def changed(self, event: m.ParentModified, params: Params) -> Parent:
        """The parent as it will be; this one stays as it is."""
        other = copy(self)
        other.tally = copy(self.tally)
        other.modified(event, params)
        return other

    def replanned(self, event: m.ParentReplanned) -> None:
        self._plan(event)
        self._count(event, not self.paused, anew=event.counts_anew)


def _otherwise(order: m.ParentOrder) -> m.Trigger | None:
    return None if order.otherwise is None else order.otherwise.trigger


def _units(qty: Decimal | None, instrument: Instrument) -> int:
    """Whole lots, in units; 0 where nothing is given."""
    if qty is None:
        return 0
    return max(floor_to(int(qty.scaleb(instrument.qty_scale)), instrument.lot), instrument.lot)


def _double(price: Decimal | None, instrument: Instrument) -> int | None:
    """Twice the price in units, which a mid is a whole number of."""
    return None if price is None else instrument.price_units(2 * price)


def average(notional: Decimal, cum: int, instrument: Instrument) -> Decimal | None:
    """The average price to AVG_DIGITS more digits than the instrument's; None where nothing is filled."""
    if not cum:
        return None
    exact = notional / instrument.qty(cum)
    rounded = exact.quantize(Decimal(1).scaleb(-instrument.price_scale - AVG_DIGITS))
    return rounded.quantize(Decimal(1)) if rounded == rounded.to_integral() else rounded.normalize()
