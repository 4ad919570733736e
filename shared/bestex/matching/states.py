"""Between the engine's integers and the wire's structs."""

from __future__ import annotations

from bestex import sim_wire as w
from bestex.instruments import FEE_SCALE, Instrument
from bestex.matching.book import Order
from bestex.matching.dark import FIRM_UP_NS
from bestex.matching.sweep import Match
from bestex.messages import Side
from bestex.units import to_units

_SIDES = {1: Side.BUY, -1: Side.SELL}


def new_order(request: w.Submit, order_id: int, now_ns: int) -> Order:
    return Order(
        account=request.account,
        client_id=request.client_id,
        order_id=order_id,
        side=request.side.sign,
        qty=request.qty,
        price=request.price,
        kind=request.kind,
        tif=request.tif,
        post_only=request.post_only,
        good_till_ns=request.good_till_ns,
        created_ns=now_ns,
        updated_ns=now_ns,
        display=request.display_qty,
        min_qty=request.min_qty,
        conditional=request.conditional,
    )


def order_state(venue: str, symbol: str, instrument: Instrument, order: Order) -> w.OrderState:
    return w.OrderState(
        venue=venue,
        symbol=symbol,
        account=order.account,
        client_id=order.client_id,
        order_id=order.order_id,
        side=_SIDES[order.side],
        kind=order.kind,
        qty=order.qty,
        price=order.price,
        tif=order.tif,
        post_only=order.post_only,
        good_till_ns=order.good_till_ns,
        display_qty=order.display,
        state=order.state,
        cum_qty=order.cum_qty,
        notional=instrument.cash(order.notional),
        fees=instrument.fee_cash(order.fees_e8),
        code=order.code,
        text=order.text,
        created_ns=order.created_ns,
        updated_ns=order.updated_ns,
        min_qty=order.min_qty,
        conditional=order.conditional,
        invited_ns=order.invited_ns,
        firm_by_ns=order.invited_ns + FIRM_UP_NS if order.invited_ns else 0,
    )


def restored_order(state: w.OrderState, instrument: Instrument) -> Order:
    """The order that `order_state` described, without its place in the queue."""
    return Order(
        account=state.account,
        client_id=state.client_id,
        order_id=state.order_id,
        side=state.side.sign,
        qty=state.qty,
        price=state.price,
        kind=state.kind,
        tif=state.tif,
        post_only=state.post_only,
        good_till_ns=state.good_till_ns,
        created_ns=state.created_ns,
        updated_ns=state.updated_ns,
        state=state.state,
        cum_qty=state.cum_qty,
        notional=instrument.cash_units(state.notional),
        fees_e8=to_units(state.fees, instrument.price_scale + instrument.qty_scale + FEE_SCALE),
        code=state.code,
        text=state.text,
        display=state.display_qty,
        min_qty=state.min_qty,
        conditional=state.conditional,
        invited_ns=state.invited_ns,
    )


def order_trade(
    venue: str, symbol: str, instrument: Instrument, quote: str, fee_e8: int, match: Match, order: Order
) -> w.Trade:
    """`order`'s side of `match`."""
    return w.Trade(
        venue=venue,
        symbol=symbol,
        trade_id=match.trade_id,
        account=order.account,
        client_id=order.client_id,
        order_id=order.order_id,
        side=_SIDES[order.side],
        price=match.price,
        qty=match.qty,
        fee=instrument.fee_cash(match.price * match.qty * fee_e8),
        fee_currency=quote,
        liquidity="taker" if order is match.taker else "maker",
        at_ns=match.at_ns,
    )
