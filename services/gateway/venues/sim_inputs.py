"""The simulated exchange's words as the core's inputs. Pure: the adapter and the virtual-time replay share it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from bestex import sim_wire as w
from bestex.errors import Code
from services.gateway import port as p

_HOW = {w.State.FILLED: "filled", w.State.CANCELED: "canceled", w.State.EXPIRED: "expired"}


def submit(order: p.Submit, account: str, symbol: str) -> w.Submit:
    """`symbol` is the venue's own."""
    return w.Submit(
        venue=order.venue,
        account=account,
        symbol=symbol,
        client_id=order.child_id,
        side=order.side,
        qty=order.qty,
        price=order.price,
        tif=order.tif,
        post_only=order.post_only,
        good_till_ns=order.good_till_ns,
        deadline_ns=order.deadline_ns,
        display_qty=order.display_qty,
        min_qty=order.min_qty,
        conditional=order.conditional,
    )


def cancel(order: p.Cancel, account: str) -> w.Cancel:
    return w.Cancel(venue=order.venue, account=account, client_id=order.child_id)


def replace(order: p.Replace, account: str) -> w.Replace:
    return w.Replace(
        venue=order.venue,
        account=account,
        client_id=order.child_id,
        qty=order.qty,
        price=order.price,
        deadline_ns=order.deadline_ns,
    )


def firm(order: p.Firm, account: str) -> w.Firm:
    return w.Firm(venue=order.venue, account=account, client_id=order.child_id, deadline_ns=order.deadline_ns)


def fill(trade: w.Trade) -> p.VenueFill:
    return p.VenueFill(
        child_id=trade.client_id,
        trade_id=str(trade.trade_id),
        venue_order_id=str(trade.order_id),
        price=trade.price,
        qty=trade.qty,
        fee=trade.fee,
        fee_currency=trade.fee_currency,
        liquidity=trade.liquidity,
        venue_ns=trade.at_ns,
    )


def order(state: w.OrderState) -> p.Said:
    """Where the venue says that an order stands."""
    if state.state is w.State.OPEN:
        return p.VenueAccepted(
            child_id=state.client_id,
            venue_order_id=str(state.order_id),
            cum_qty=state.cum_qty,
            qty=state.qty,
            price=state.price,
            conditional=state.conditional,
        )
    if state.state is w.State.REJECTED:
        code = state.code or Code.VENUE_REJECTED
        return p.VenueRejected(child_id=state.client_id, code=code, text=state.text, found=True)
    return p.VenueClosed(
        child_id=state.client_id,
        how=_HOW[state.state],  # type: ignore[arg-type]
        cum_qty=state.cum_qty,
        code=None if state.state is w.State.FILLED else state.code,
        text=state.text,
    )


def standing(state: w.OrderState) -> list[p.Said]:
    """The same, and that it is invited where it is."""
    said = [order(state)]
    if state.state is w.State.OPEN and state.invited_ns:
        told = {"invitation": str(state.invited_ns), "until_ns": state.firm_by_ns}
        said.append(p.VenueInvited(child_id=state.client_id, **told))  # type: ignore[arg-type]
    return said


def submitted(child_id: str, answer: w.Answer) -> list[p.Said]:
    """The answer to a submit: fills, then where it stands. Every refusal of this venue is definitive."""
    if not answer.ok or answer.order is None:
        code = answer.code or Code.VENUE_REJECTED
        return [p.VenueRejected(child_id=child_id, code=code, text=answer.text)]
    return [*map(fill, answer.trades), *standing(answer.order)]


def canceled(child_id: str, answer: w.Answer) -> list[p.Said]:
    """The answer to a cancel. One that came too late says how the order ended."""
    if answer.order is not None:
        return [order(answer.order)]
    code = answer.code or Code.VENUE_REJECTED
    return [p.VenueCancelRejected(child_id=child_id, code=code, text=answer.text)]


def replaced(child_id: str, answer: w.Answer) -> list[p.Said]:
    said: list[p.Said] = [*map(fill, answer.trades)]
    state = answer.order
    if answer.ok and state is not None:
        order_id = str(state.order_id)
        said.append(
            p.VenueReplaced(child_id=child_id, venue_order_id=order_id, qty=state.qty, price=state.price)
        )
    else:
        code = answer.code or Code.VENUE_REJECTED
        said.append(p.VenueReplaceRejected(child_id=child_id, code=code, text=answer.text))
    if state is not None and state.state is not w.State.OPEN:
        said.append(order(state))
    return said


def firmed(child_id: str, answer: w.Answer) -> list[p.Said]:
    said: list[p.Said] = [*map(fill, answer.trades)]
    if not answer.ok:
        code = answer.code or Code.VENUE_REJECTED
        said.append(p.VenueFirmRejected(child_id=child_id, code=code, text=answer.text))
    return said if answer.order is None else [*said, *standing(answer.order)]


def happened(orders: Iterable[w.OrderState], trades: Iterable[w.Trade]) -> list[p.Said]:
    """One step of the venue as its user stream or its journal tells it. A refusal is told by its answer."""
    states = (standing(state) for state in orders if state.state is not w.State.REJECTED)
    return [*map(fill, trades), *chain.from_iterable(states)]
