"""The scheduler: the life of every parent order. Algorithms say what is due; this says what may happen.

A parent's history is its state. Whatever happens to it is one event; after every event the parent is looked at
again (`_step`), which yields at most one more. So the same few lines serve the first slice, the next one, a
pause, a cancel and a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.config import Config
from bestex.core import Effect, Fact, RawOrder, Recovered, Wake, Wakeup
from bestex.errors import Code, ConfigError
from bestex.halts import Halts
from bestex.units import total
from services.scheduler.algos.base import Finish, Params, Slice, Wait
from services.scheduler.intake import Intake, Refusal, Refused, Request
from services.scheduler.memory import Memory
from services.scheduler.parent import Parent, average, fingerprint, routing_of
from services.scheduler.pricing import collar, mid_of, with_schedule

SLICES_MAX = 20_000  # of one parent; an algorithm that wants more is broken
# After a start, what was missed has not come yet: the first book, and what users asked meanwhile.
FIRST_BOOK_NS = 2 * SECOND
BOOK_RETRY_NS = 250 * MS  # how soon a slice that needs a mid price is tried again without one

Outputs = list[Fact | Effect]


class SchedulerCore:
    """Decides for the parents of the algorithms `mine`; remembers the ids of all."""

    def __init__(
        self, intake: Intake, config: Config, mine: frozenset[str], answers_for_unknown: bool, build: str
    ) -> None:
        self._intake = intake
        self._config = config
        self._mine = mine
        self._answers_for_unknown = answers_for_unknown
        self._build = build
        self._halts = Halts()
        self._parents: dict[str, Parent] = {}
        self._memory = Memory()
        self._orphans: dict[str, str] = {}
        self._books: dict[str, m.ConsolidatedBook] = {}
        self._recovered_ns = 0

    # -- decide ----------------------------------------------------------------------------------------------

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        match message:
            case m.ConsolidatedBook():
                self._books[message.symbol] = message
            case Wakeup():
                parent = self._parents.get(message.key)
                return self._step(message.key, parent, now_ns) if parent else []
            case m.RouteDone():
                return self._settle(message, now_ns)
            case RawOrder():
                return self._order(message, now_ns)
            case m.ParentAccepted():
                self._memory.accept(message)
            case m.Halt():
                self._halts.hear(message.scope, message.at, message.halted)
                return [] if message.halted else [Wake(key, now_ns) for key in self._parents]
            case Recovered():
                self._recovered_ns = now_ns
                if self._orphans:
                    symbols = ", ".join(sorted(set(self._orphans.values())))
                    text = f"open orders in {symbols}, which the configuration does not have any more"
                    raise ConfigError(text)
        return []

    def _order(self, raw: RawOrder, now_ns: int) -> Outputs:
        request = self._intake.parse(raw, now_ns)
        if request.algo not in self._mine and (
            not self._answers_for_unknown or request.algo in self._intake.algos
        ):
            return []
        if request.seq in self._memory.refused:
            return []  # redelivered: refused is refused, whatever would be said to it now
        if isinstance(request, Refusal):
            return self._refuse(request, now_ns)
        try:
            if request.verb == "new":
                return self._new(request, now_ns)
            return self._change(request, now_ns)
        except Refused as refused:
            return self._refuse(request.refused(refused), now_ns)

    def _new(self, request: Request, now_ns: int) -> Outputs:
        order, params, instrument = request.message, request.params, request.instrument
        assert params is not None, "a parsed new order has its parameters"
        assert instrument is not None, "a parsed new order has its instrument"
        if request.parent_id in self._memory.ids:
            known = self._memory.ids[request.parent_id]
            if known == (instrument.symbol, fingerprint(order)):
                return []  # the same order once more: a retry, or a redelivery
            what = "an order that has ended" if known is None else "another order"
            raise Refused(Code.DUPLICATE_ID, f"{request.parent_id} was used for {what}")
        if len(self._parents) >= self._config.limits.max_open_parents:
            raise Refused(
                Code.LIMIT_EXCEEDED, f"{len(self._parents)} parents are open, limits.max_open_parents"
            )
        start_ns = max(params.start_time or now_ns, now_ns)
        end_ns = params.end_time if params.end_time is not None else start_ns + params.duration
        if end_ns <= start_ns:
            raise Refused(Code.EXPIRED, f"end_time {params.end_time} has passed")
        mid = mid_of(instrument, self._books)
        self._intake.check_value(order, instrument, mid)
        event = m.ParentAccepted(
            symbol=instrument.symbol,
            parent_id=request.parent_id,
            at=Time(now_ns),
            cum_qty=Decimal(0),
            leaves_qty=order.qty,
            avg_px=None,
            order=order,
            params=params.stored(),
            order_seq=request.seq,
            start_at=Time(start_ns),
            end_at=Time(end_ns),
            arrival_px=None if mid is None else Decimal(mid) / 2 / 10**instrument.price_scale,
        )
        task = Parent(event, instrument, params).task()
        return [self._fact(with_schedule(event, params.plan(task), instrument))]

    def _change(self, request: Request, now_ns: int) -> Outputs:
        key = request.parent_id
        parent = self._parents.get(key)
        if parent is None:
            if request.seq in self._memory.answered.get(key, ()):
                return []  # redelivered, and its order has ended meanwhile
            if key in self._memory.ids:
                raise Refused(Code.TOO_LATE, f"{key} has ended")
            raise Refused(Code.UNKNOWN_ORDER, f"there is no order {key}")
        if parent.order.symbol != request.symbol or parent.algo != request.algo:
            raise Refused(
                Code.SUBJECT_MISMATCH,
                f"{key} is a {parent.algo} of {parent.order.symbol}, not a {request.algo} of {request.symbol}",
            )
        if request.seq in parent.requests:
            return []  # redelivered
        if request.seq < max(parent.requests) and request.verb != "cancel":
            # It was with a process that died, and comes when what the user wanted after it has been done.
            raise Refused(Code.TOO_LATE, f"a later request about {key} was taken before this one came")
        if parent.canceling:
            raise Refused(Code.TOO_LATE, f"{key} is being cancelled")
        base = self._base(key, parent, now_ns)
        match request.message:
            case m.CancelOrder(reason=text):
                return [self._fact(m.ParentCanceling(**base, order_seq=request.seq, text=text))]
            case m.PauseOrder(reason=text):
                if parent.paused:
                    raise Refused(Code.INVALID_STATE, f"{key} is paused already")
                return [self._fact(m.ParentPaused(**base, order_seq=request.seq, text=text))]
            case m.ResumeOrder(reason=text):
                if not parent.paused:
                    raise Refused(Code.INVALID_STATE, f"{key} is not paused")
                return [self._fact(m.ParentResumed(**base, order_seq=request.seq, text=text))]
            case m.ModifyOrder():
                return [self._modify(key, parent, request, now_ns)]
        return []

    def _modify(self, key: str, parent: Parent, request: Request, now_ns: int) -> Fact:
        instrument = parent.instrument
        order, params = self._intake.modified(parent.order, request.message, instrument)
        qty = instrument.qty_units(order.qty)
        if qty < parent.cum:
            raise Refused(
                Code.INVALID_QTY, f"qty {order.qty} is below what is filled, {instrument.qty(parent.cum)}"
            )
        end_ns = parent.end_ns
        if params.end_time is not None:
            end_ns = params.end_time
        elif "duration" in request.message.params:
            end_ns = parent.start_ns + params.duration
        if end_ns <= now_ns:
            raise Refused(Code.INVALID_PARAMETER, "the new end has passed; cancel instead")
        self._intake.check_value(order, instrument, mid_of(instrument, self._books))
        base = self._base(key, parent, now_ns)
        base["leaves_qty"] = instrument.qty(max(qty - parent.cum, parent.open_qty))
        event = m.ParentModified(
            **base, order_seq=request.seq, order=order, params=params.stored(), end_at=Time(end_ns)
        )
        task = parent.task()
        changed = replace(task, qty=qty, end_ns=end_ns)
        return self._fact(with_schedule(event, params.plan(changed), instrument))

    def _settle(self, done: m.RouteDone, now_ns: int) -> Outputs:
        parent = self._parents.get(done.parent_id)
        if parent is None or parent.order.symbol != done.symbol or done.slice_no not in parent.open:
            return []  # another scheduler's, or settled before
        filled = parent.instrument.qty_units(done.filled_qty)
        assert filled <= parent.open[done.slice_no], "a slice never fills more than it was"
        base = self._base(done.parent_id, parent, now_ns)
        cum = parent.cum + filled
        base["cum_qty"] = parent.instrument.qty(cum)
        still_open = parent.open_qty - parent.open[done.slice_no]
        base["leaves_qty"] = parent.instrument.qty(max(parent.wanted - cum, still_open))
        base["avg_px"] = average(total(parent.notional, done.notional), cum, parent.instrument)
        return [
            self._fact(
                m.ParentSettled(
                    **base,
                    slice_no=done.slice_no,
                    filled_qty=done.filled_qty,
                    notional=done.notional,
                    fees=done.fees,
                    reason=done.reason,
                )
            )
        ]

    # -- what is due -----------------------------------------------------------------------------------------

    def _step(self, key: str, parent: Parent, now_ns: int) -> Outputs:
        """The one thing to do next for this parent, or when to look again."""
        if parent.cum >= parent.wanted and not parent.open:
            return [self._done(key, parent, Code.FILLED, "", now_ns)]
        give_back = parent.to_recall()
        if give_back:
            return [self._recall(key, parent, give_back, now_ns)]
        if parent.canceling:
            return [] if parent.open else [self._done(key, parent, Code.CANCELED, "", now_ns)]
        if parent.paused:
            if now_ns < parent.end_ns:
                return [Wake(key, parent.end_ns)]
            text = "its time ended while it was paused"
            return [] if parent.open else [self._done(key, parent, Code.EXPIRED, text, now_ns)]
        if now_ns < parent.start_ns:
            return [Wake(key, parent.start_ns)]
        if parent.task().unsent <= 0:
            return []  # all of it is with the router: its result comes back as an input
        if parent.slices >= SLICES_MAX:
            return [] if parent.open else [self._done(key, parent, Code.RETRIES_EXHAUSTED, "", now_ns)]
        if scopes := self._halted(key, parent):
            # Nothing is sliced that would be refused. The word that ends the halt wakes it; its end does too.
            if now_ns < parent.end_ns:
                return [Wake(key, parent.end_ns)]
            text = f"its time ended while {scopes} was halted"
            return [] if parent.open else [self._done(key, parent, Code.HALTED, text, now_ns)]
        decision = parent.params.decide(parent.task(), now_ns)
        match decision:
            case Wait(until_ns):
                return [Wake(key, max(until_ns, now_ns + MS))]
            case Finish(reason, text):
                return [] if parent.open else [self._done(key, parent, reason, text, now_ns)]
            case Slice():
                return self._slice(key, parent, decision, now_ns)

    def _halted(self, key: str, parent: Parent) -> str:
        """The scopes that keep the parent from every venue that it may use; empty where one is left."""
        order = parent.order
        venues = order.venues or [listing.venue for listing in parent.instrument.listings]
        return self._halts.covers_all(venues, order.account, order.algo, key)

    def _slice(self, key: str, parent: Parent, wanted: Slice, now_ns: int) -> Outputs:
        order, execution = parent.order, self._config.execution
        assert 0 < wanted.qty <= parent.task().unsent, "a slice is part of what is left"
        limit = None if order.limit_price is None else parent.instrument.price_units(order.limit_price)
        if wanted.collar:
            mid = mid_of(parent.instrument, self._books)
            if mid is None:
                last_ns = max(parent.end_ns, self._recovered_ns + FIRST_BOOK_NS)
                if now_ns >= last_ns and not parent.open:
                    return [self._done(key, parent, Code.NO_BOOK, "there was no book to trade on", now_ns)]
                return [Wake(key, now_ns + BOOK_RETRY_NS)]
            limit = collar(
                mid, float(parent.params.max_slippage or execution.max_slippage), order.side, limit
            )
        ttl = parent.params.slice_ttl or (execution.slice_ttl if wanted.tif is m.Tif.IOC else None)
        expires_ns = wanted.expires_ns if ttl is None else min(wanted.expires_ns, now_ns + ttl)
        event = m.ParentSliced(
            **self._base(key, parent, now_ns),
            slice_no=parent.slices + 1,
            side=order.side,
            qty=parent.instrument.qty(wanted.qty),
            due_at=Time(now_ns),
            expires_at=Time(expires_ns),
            limit_price=None if limit is None else parent.instrument.price(limit),
            tif=wanted.tif,
            **routing_of(order, wanted, execution.default_strategy),
            venues=order.venues,
            account=order.account,
            algo=order.algo,
            parent_qty=order.qty,
            build=self._build,
        )
        return [self._fact(event)]

    def _recall(self, key: str, parent: Parent, slice_no: int, now_ns: int) -> Fact:
        reason = Code.CANCELED if parent.canceling else Code.REPLACED
        return self._fact(
            m.ParentRecalled(**self._base(key, parent, now_ns), slice_no=slice_no, reason=reason)
        )

    def _done(self, key: str, parent: Parent, reason: Code, text: str, now_ns: int) -> Fact:
        return self._fact(
            m.ParentDone(
                **self._base(key, parent, now_ns),
                reason=reason,
                notional=parent.notional,
                fees=parent.fees,
                text=text,
            )
        )

    def _refuse(self, refusal: Refusal, now_ns: int) -> Outputs:
        parent = self._parents.get(refusal.parent_id)
        base = None
        if parent is not None and parent.order.symbol == refusal.symbol:
            base = self._base(refusal.parent_id, parent, now_ns)
        return [self._fact(refusal.event(base, now_ns))]

    # -- apply -----------------------------------------------------------------------------------------------

    def apply(self, event: Any) -> Sequence[Effect]:
        if isinstance(event, m.ParentRejected):
            self._memory.refuse(event.order_seq)
            return []
        key = event.parent_id
        if isinstance(event, m.ParentAccepted):
            self._memory.accept(event)
            if event.order.algo not in self._mine:
                return []
            instrument = self._intake.instruments.by_symbol.get(event.symbol)
            if instrument is None:
                self._orphans[key] = event.symbol
                return []
            self._parents[key] = Parent(event, instrument, self._params(event))
            return [Wake(key, event.at)]
        parent = self._parents.get(key)
        if parent is None or parent.order.symbol != event.symbol:
            if event.ends:
                self._orphans.pop(key, None)
            return []
        match event:
            case m.ParentSliced():
                parent.sliced(event)
            case m.ParentSettled():
                parent.settled(event)
            case m.ParentRecalled():
                parent.recall(event)
            case m.ParentPaused():
                parent.paused = True
                parent.answered(event.order_seq)
            case m.ParentResumed():
                parent.paused = False
                parent.answered(event.order_seq)
            case m.ParentCanceling():
                parent.canceling = True
                parent.answered(event.order_seq)
            case m.ParentModified():
                parent.modified(event, self._params(event))
            case m.ParentDone():
                del self._parents[key]
                self._memory.ended(key, parent.requests)
                return [Wake(key, 0)]
        return [Wake(key, event.at)]

    # -- helpers ---------------------------------------------------------------------------------------------

    def missing(self) -> dict[str, list[str]]:
        """After recovery: the ends of open slices, which a process that had lost them may have acknowledged."""
        open_slices = [(one.order.symbol, key, no) for key, one in self._parents.items() for no in one.open]
        return {subjects.ROUTE: [subjects.route(*one, "done") for one in open_slices]}

    def _fact(self, event: Any) -> Fact:
        subject = subjects.parent(event.symbol, event.parent_id, subjects.event_name(event))
        return Fact(subject, event, lane=event.parent_id)

    def _base(self, key: str, parent: Parent, now_ns: int) -> dict[str, Any]:
        return {
            "symbol": parent.order.symbol,
            "parent_id": key,
            "at": Time(now_ns),
            "cum_qty": parent.instrument.qty(parent.cum),
            "leaves_qty": parent.instrument.qty(parent.qty - parent.cum),
            "avg_px": parent.avg_px,
        }

    def _params(self, event: m.ParentAccepted | m.ParentModified) -> Params:
        """As they were taken: what the configuration says today is for new orders."""
        params: Params = codec.convert(event.params, self._intake.algos[event.order.algo], strict=False)
        return params

    def past(self, subject: str) -> None:
        """An order ended long ago: the subject of its end. What it was is not known any more."""
        self._memory.past(subject.split(".")[4])
