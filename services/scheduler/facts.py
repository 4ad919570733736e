"""What the scheduler writes, made from what it has decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from bestex import messages as m
from bestex import subjects
from bestex.clock import Time
from bestex.contained import PluginFailed, asked
from bestex.core import Fact
from bestex.errors import Code
from bestex.instruments import Instrument
from services.scheduler.algos.base import Params, Slice, Task
from services.scheduler.curve import Curve, to_schedule
from services.scheduler.market import Market
from services.scheduler.parent import Parent


def fact(event: Any) -> Fact:
    subject = subjects.parent(event.symbol, event.parent_id, subjects.event_name(event))
    return Fact(subject, event, lane=event.parent_id)


def traded(parent: Parent, market: Market) -> m.Traded | None:
    """Where the market's volume stands, where the order's algorithm or its cap needs to know after a restart."""
    return parent.tally.mark(market) if parent.params.watches_volume else None


def planned(params: Params, task: Task, now_ns: int) -> Curve:
    """The curve that the algorithm plans. Raises PluginFailed where it is none."""
    return asked(params, params.curve, task, now_ns, gives=Curve)


def schedule_of(params: Params, curve: Curve, instrument: Instrument) -> list[m.SchedulePoint]:
    """The algorithm's curve as it is stored. Raises PluginFailed where it could not be read back."""
    if wrong := curve.problem():
        raise PluginFailed(params, ValueError(wrong))
    return to_schedule(curve, instrument)


def chosen(
    params: Params, task: Task, algos: Mapping[str, type[Params]], name: str = ""
) -> tuple[Params, str]:
    """What the algorithm chooses to work the order, and why. Raises PluginFailed where that is none."""
    found: Any = asked(params, params.choose, task, algos, name, gives=tuple)
    match found:
        case (Params() as kind, str() as why):
            return kind, why
    raise PluginFailed(params, TypeError("it chooses no parameters of an algorithm with a reason"))


def failed(parent: Parent, code: Code, text: str, market: Market, now_ns: int) -> Fact:
    """It is held, as by its user, until its user has looked at it."""
    base = parent.standing(now_ns)
    return fact(m.ParentPaused(**base, order_seq=0, code=code, text=text, traded=traded(parent, market)))


def started(parent: Parent, market: Market, end_ns: int, why: str, now_ns: int) -> Fact:
    mid = market.mid_half
    task = replace(parent.task(market), start_ns=now_ns, end_ns=end_ns)
    curve = planned(parent.params, task, now_ns)
    return fact(
        m.ParentStarted(
            **parent.standing(now_ns),
            arrival_px=None if mid is None else parent.instrument.price(mid) / 2,
            end_at=Time(end_ns),
            schedule=schedule_of(parent.params, curve, parent.instrument),
            traded=traded(parent, market),
            text=together(why, curve.why),
        )
    )


def trailed(parent: Parent, stop: int, now_ns: int) -> Fact:
    return fact(m.ParentTrailed(**parent.standing(now_ns), stop_price=parent.instrument.price(stop)))


def switched(
    parent: Parent, params: Params, algos: Mapping[str, type[Params]], market: Market, why: str, now_ns: int
) -> Fact:
    """The order as its alternative works it, with `params`."""
    other = parent.order.otherwise
    assert other is not None, "there is an alternative"
    event = m.ParentSwitched(
        **parent.standing(now_ns),
        order=replace(parent.order, params=other.params, limit_price=other.limit_price, otherwise=None),
        works_as=other.algo,
        end_at=Time(asked(params, params.end_ns, market, now_ns, gives=int)),
        text=why,
    )
    works, reason = chosen(params, parent.after_switch(event, params).task(market), algos)
    after = parent.after_switch(event, works)
    curve = planned(works, after.task(market), now_ns)
    return fact(
        replace(
            event,
            works_as=works.name,
            params=works.stored(),
            schedule=schedule_of(works, curve, parent.instrument),
            traded=after.tally.mark(market) if works.watches_volume else None,
            text=together(why, reason, curve.why),
        )
    )


def sliced(
    parent: Parent,
    wanted: Slice,
    limit: int | None,
    expires_ns: int,
    routing: Mapping[str, Any],
    market: Market,
    build: str,
    now_ns: int,
) -> Fact:
    order = parent.order
    venues = order.venues if wanted.venues is None else list(wanted.venues)
    return fact(
        m.ParentSliced(
            **parent.standing(now_ns),
            slice_no=parent.slices + 1,
            side=order.side,
            qty=parent.instrument.qty(wanted.qty),
            due_at=Time(now_ns),
            expires_at=Time(expires_ns),
            limit_price=None if limit is None else parent.instrument.price(limit),
            tif=wanted.tif,
            post_only=wanted.post_only,
            **routing,
            venues=venues,
            account=order.account,
            algo=order.algo,
            parent_qty=order.qty,
            build=build,
            why=wanted.why,
            traded=traded(parent, market),
            display_qty=parent.instrument.qty(wanted.display) if 0 < wanted.display < wanted.qty else None,
            min_fill_qty=parent.instrument.qty(wanted.min_fill) if wanted.min_fill else None,
            conditional=wanted.conditional,
        )
    )


def recalled(parent: Parent, slice_no: int, reason: Code, text: str, now_ns: int) -> Fact:
    return fact(m.ParentRecalled(**parent.standing(now_ns), slice_no=slice_no, reason=reason, text=text))


def replanned(
    parent: Parent, curve: Curve, why: str, market: Market, now_ns: int, counts_anew: bool = False
) -> Fact:
    return fact(
        m.ParentReplanned(
            **parent.standing(now_ns),
            schedule=schedule_of(parent.params, curve, parent.instrument),
            text=why,
            traded=traded(parent, market),
            counts_anew=counts_anew,
        )
    )


def done(parent: Parent, reason: Code, text: str, now_ns: int) -> Fact:
    return fact(
        m.ParentDone(
            **parent.standing(now_ns),
            reason=reason,
            notional=parent.notional,
            fees=parent.fees,
            text=text,
            found=list(parent.found),
        )
    )


def together(*reasons: str) -> str:
    """Those that there are, for people."""
    return "; ".join(filter(None, reasons))


def routing_of(
    order: m.ParentOrder, wanted: Slice, params: Params, default: str, kind: Any
) -> dict[str, Any]:
    """The strategy and its parameters of one slice: the algorithm's word for it over the order's. `kind`: what the
    order's own strategy takes; the order's urgency is one of them where it is and nothing else is said."""
    chosen = order.strategy or default
    own = order.strategy_params if wanted.strategy in ("", chosen) else {}
    given = {**own, **wanted.strategy_params}
    if params.urgency is not None and "urgency" in kind.__struct_fields__:
        given.setdefault("urgency", params.urgency)
    return {"strategy": wanted.strategy or chosen, "strategy_params": given}
