"""What users ask for becomes events, or is refused with a code and a sentence."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bestex import messages as m
from bestex.clock import Time
from bestex.config import Config
from bestex.contained import asked
from bestex.core import Fact
from bestex.errors import Code
from bestex.instruments import Instrument
from services.scheduler import facts
from services.scheduler.algos.base import Params
from services.scheduler.conditions import waits_until
from services.scheduler.facts import fact
from services.scheduler.intake import Intake, Refused, Request
from services.scheduler.market import Market
from services.scheduler.memory import Memory, fingerprint
from services.scheduler.parent import Parent

NEVER_NS = 2**63 - 1
# Where an event says why its curve is as it is; the choice of the algorithm stands before it.
_WHY: dict[type[Any], str] = {m.ParentAccepted: "reason", m.ParentModified: "text"}


class Requests:
    """`known`: every id that was ever used."""

    def __init__(self, intake: Intake, config: Config, known: Memory) -> None:
        self._intake = intake
        self._config = config
        self._known = known

    def new(self, request: Request, market: Market, at_work: int, now_ns: int) -> Fact | None:
        """The acceptance; None where the same order has been accepted before. Raises Refused."""
        order, params, instrument = request.message, request.params, request.instrument
        assert params is not None, "a parsed new order has its parameters"
        assert instrument is not None, "a parsed new order has its instrument"
        if request.parent_id in self._known.ids:
            known = self._known.ids[request.parent_id]
            if known == (instrument.symbol, fingerprint(order)):
                return None  # the same order once more: a retry, or a redelivery
            what = "an order that has ended" if known is None else "another order"
            raise Refused(Code.DUPLICATE_ID, f"{request.parent_id} was used for {what}")
        if at_work >= self._config.limits.max_open_parents:
            raise Refused(Code.LIMIT_EXCEEDED, f"{at_work} parents are open, limits.max_open_parents")
        wanted_ns = max(params.start_time or now_ns, now_ns)
        start_ns = asked(params, params.begins_ns, market, wanted_ns, gives=int)
        if params.end_time is not None and params.end_time <= wanted_ns:
            raise Refused(Code.EXPIRED, f"end_time {params.end_time} has passed")
        end_ns = asked(params, params.end_ns, market, start_ns, gives=int)
        if end_ns <= start_ns:
            raise Refused(
                Code.INVALID_PARAMETER,
                f"{instrument.symbol} is not traded between {Time(wanted_ns)} and its end",
            )
        if order.trigger is not None:
            # Until it is reached the order's time is the one that it is waited for.
            end_ns = min(waits_until(order.trigger, start_ns), params.end_time or NEVER_NS)
        mid = market.mid_half
        valued = self._intake.check_value(order, instrument, mid)
        event = m.ParentAccepted(
            symbol=instrument.symbol,
            parent_id=request.parent_id,
            at=Time(now_ns),
            cum_qty=Decimal(0),
            leaves_qty=order.qty,
            avg_px=None,
            order=order,
            order_seq=request.seq,
            start_at=Time(start_ns),
            end_at=Time(end_ns),
            arrival_px=None if mid is None else instrument.price(mid) / 2,
            unvalued=not valued,
            prior=self._known.tried(instrument.symbol),
        )
        task = Parent(event, instrument, params).task(market)
        chosen, why = facts.chosen(params, task, self._intake.algos)
        event = msgspec.structs.replace(
            event,
            **_working_as(order, chosen),
            reason=why,
            otherwise_params=self._otherwise(order, instrument),
            prior=event.prior if chosen.learns else [],
        )
        return fact(self._planned(Parent(event, instrument, chosen), event, market, now_ns))

    def _otherwise(self, order: m.ParentOrder, instrument: Instrument) -> dict[str, Any]:
        """Every parameter of the alternative, as it is now."""
        other = order.otherwise
        if other is None:
            return {}
        worked = msgspec.structs.replace(
            order, algo=other.algo, params=other.params, limit_price=other.limit_price, otherwise=None
        )
        return self._intake.check(worked, instrument).stored()

    def change(self, request: Request, parent: Parent | None, market: Market, now_ns: int) -> Fact | None:
        """What becomes of the parent; None where the request was answered before. Raises Refused."""
        key = request.parent_id
        if parent is None:
            if request.seq in self._known.answered.get(key, ()):
                return None  # redelivered, and its order has ended meanwhile
            if key in self._known.ids:
                raise Refused(Code.TOO_LATE, f"{key} has ended")
            raise Refused(Code.UNKNOWN_ORDER, f"there is no order {key}")
        if parent.order.symbol != request.symbol or parent.algo != request.algo:
            raise Refused(
                Code.SUBJECT_MISMATCH,
                f"{key} is a {parent.algo} of {parent.order.symbol}, not a {request.algo} of {request.symbol}",
            )
        if request.seq in parent.requests:
            return None  # redelivered
        if request.seq < max(parent.requests) and request.verb != "cancel":
            # It was with a process that died, and comes when what the user wanted after it has been done.
            raise Refused(Code.TOO_LATE, f"a later request about {key} was taken before this one came")
        if parent.canceling:
            raise Refused(Code.TOO_LATE, f"{key} is being cancelled")
        base: dict[str, Any] = {**parent.standing(now_ns), "order_seq": request.seq}
        counted = facts.traded(parent, market)
        match request.message:
            case m.CancelOrder(reason=text):
                return fact(m.ParentCanceling(**base, text=text))
            case m.PauseOrder(reason=text):
                if parent.paused:
                    raise Refused(Code.INVALID_STATE, f"{key} is paused already")
                return fact(m.ParentPaused(**base, text=text, traded=counted))
            case m.ResumeOrder(reason=text):
                if not parent.paused:
                    raise Refused(Code.INVALID_STATE, f"{key} is not paused")
                return fact(m.ParentResumed(**base, text=text, traded=counted))
            case m.ModifyOrder():
                return fact(self._modify(parent, request, market, now_ns))
        return None

    def _modify(self, parent: Parent, request: Request, market: Market, now_ns: int) -> Any:
        instrument = parent.instrument
        order, params = self._intake.modified(parent.order, request.message, instrument, parent.asked_as)
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
        end_ns = asked(params, params.ends_ns, market, parent.start_ns, end_ns, gives=int)
        if end_ns <= now_ns:
            raise Refused(Code.INVALID_PARAMETER, "the new end has passed; cancel instead")
        if not self._intake.check_value(order, instrument, market.mid_half):
            raise Refused(Code.NO_BOOK, "limits.max_order_value is set and there is no price to value it at")
        base = parent.standing(now_ns)
        base["leaves_qty"] = instrument.qty(max(qty - parent.cum, parent.open_qty))
        event = m.ParentModified(**base, order_seq=request.seq, order=order, end_at=Time(end_ns))
        task = parent.changed(event, params).task(market)
        chosen, _ = facts.chosen(params, task, self._intake.algos, parent.params.name)
        event = msgspec.structs.replace(event, **_working_as(order, chosen))
        return self._planned(parent.changed(event, chosen), event, market, now_ns)

    def _planned(self, parent: Parent, event: Any, market: Market, now_ns: int) -> Any:
        """The event with the planned curve in it, as it is for the parent after the event."""
        curve = facts.planned(parent.params, parent.task(market), now_ns)
        name = _WHY[type(event)]
        said = {name: facts.together(getattr(event, name), curve.why)}
        schedule = facts.schedule_of(parent.params, curve, parent.instrument)
        return msgspec.structs.replace(event, schedule=schedule, traded=facts.traded(parent, market), **said)


def _working_as(order: m.ParentOrder, chosen: Params) -> dict[str, Any]:
    """Which algorithm works the order, and its parameters, as an event holds them."""
    return {"works_as": "" if chosen.name == order.algo else chosen.name, "params": chosen.stored()}
