"""The gateway's events, made from a child, and their places in the journal."""

from __future__ import annotations

from typing import Any, TypeVar

from bestex import messages as m
from bestex import subjects
from bestex.clock import Time
from bestex.core import Fact
from bestex.errors import Code
from bestex.ids import base36, digest, token
from bestex.units import total
from services.gateway.orders import Child
from services.gateway.port import VenueClosed, VenueFill

E = TypeVar("E", bound=m.ExecEvent)
HASHED_TRADE_ID_LENGTH = 20
TOKEN_LENGTH = 12


def fact(event: m.ExecEvent) -> Fact:
    subject = subjects.execution(event.venue, event.symbol, event.child_id, subjects.event_name(event))
    return Fact(subject, event, lane=event.child_id)


def about(kind: type[E], child: Child | m.ChildNew, at: Time, **more: Any) -> Fact:
    """An event of `kind` about a child, or about the command that would make one."""
    return fact(
        kind(
            venue=child.venue,
            symbol=child.symbol,
            child_id=child.child_id,
            parent_id=child.parent_id,
            slice_no=child.slice_no,
            at=at,
            **more,
        )
    )


def submitting(order: m.ChildNew, at: Time, timeout_ns: int, *, paper: bool) -> Fact:
    return about(
        m.ExecSubmitting,
        order,
        at,
        token=base36(digest("send", order.child_id), TOKEN_LENGTH),
        # The last moment at which it may leave: what absence is measured from.
        deadline=Time(min(order.expires_at, at + timeout_ns)),
        side=order.side,
        qty=order.qty,
        price=order.price,
        tif=order.tif,
        post_only=order.post_only,
        good_till=order.good_till,
        account=order.account,
        algo=order.algo,
        parent_qty=order.parent_qty,
        send_at=order.send_at,
        display_qty=order.display_qty,
        min_fill_qty=order.min_fill_qty,
        conditional=order.conditional,
        paper=paper,
    )


def unknown(child: Child, at: Time, code: Code, text: str) -> Fact:
    return about(m.ExecUnknown, child, at, code=code, text=text)


def end(kind: type[m.ExecEnded], child: Child, at: Time, last: VenueFill | None = None, **more: Any) -> Fact:
    """The child's end, with the sums of its fills, `last` included."""
    cum, notional, fees = child.cum_qty, child.notional, child.fees
    if last is not None:
        cum, notional, fees = cum + last.qty, notional + last.qty * last.price, total(fees, last.fee)
    sums = {
        "cum_qty": child.instrument.qty(cum),
        "notional": child.instrument.cash(notional),
        "fees": fees,
    }
    return about(kind, child, at, **sums, **more)


def closed(child: Child, at: Time, said: VenueClosed, last: VenueFill | None = None) -> Fact:
    """The end that the venue told of, once all of its fills are known."""
    order = {} if child.venue_order_id else {"venue_order_id": said.venue_order_id}
    if said.cum_qty >= child.qty or said.how == "filled":
        return end(m.ExecFilled, child, at, last, **order)
    if said.how == "expired":
        return end(m.ExecExpired, child, at, last, code=said.code or Code.EXPIRED, **order)
    code = child.cancel or said.code or Code.CANCELED
    text = said.text or ("" if child.cancel else "canceled by the venue")
    return end(m.ExecCanceled, child, at, last, code=code, text=text, **order)


def fill(child: Child, at: Time, said: VenueFill) -> Fact:
    """One trade, under an id that is a function of the trade and the child: both sides of it may be ours."""
    trade = said.trade_id
    if token(trade) != trade:
        trade = base36(digest("trade", trade), HASHED_TRADE_ID_LENGTH)
    fill_id = f"{trade}-{child.child_id}"
    flag = "overfill" if child.cum_qty + said.qty > child.qty_max else "late" if child.ended else ""
    event = m.Fill(
        fill_id=fill_id,
        trade_id=said.trade_id,
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        parent_id=child.parent_id,
        slice_no=child.slice_no,
        side=child.side,
        qty=child.instrument.qty(said.qty),
        price=child.instrument.price(said.price),
        fee=said.fee,
        fee_currency=said.fee_currency,
        liquidity=said.liquidity,
        venue_order_id=said.venue_order_id,
        venue_at=Time(said.venue_ns),
        at=at,
        flag=flag,  # type: ignore[arg-type]
        account=child.account,
        fee_amount=said.fee_amount,
        paper=child.paper,
    )
    return Fact(subjects.fill(child.venue, child.symbol, fill_id), event, lane=child.child_id, once=True)
