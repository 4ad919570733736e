"""What Kraken's websocket tells of the orders of an account: sparsely. Only the first word of an order and a change
have its terms; the word that it has ended has its id, and what was filled."""

from __future__ import annotations

from decimal import Decimal

from bestex import sim_wire as w
from bestex.messages import Side, Tif
from tests.emulators.engine import Engine, Market, given_id
from tests.emulators.kraken_wire import (
    Json,
    fee_of,
    order_id,
    order_type,
    reason_of,
    stamp,
    status_of,
    trade_id,
    trades_of,
)


def _head(found: w.OrderState, kind: str, status: str, userref: int | None, at_ns: int) -> Json:
    said: Json = {"order_id": order_id(found.order_id), "exec_type": kind, "order_status": status}
    if given := given_id(found):
        said["cl_ord_id"] = given
    return said | {"order_userref": userref or 0, "timestamp": stamp(at_ns)}


def _terms(market: Market, found: w.OrderState) -> Json:
    said: Json = {
        "symbol": market.symbol,
        "side": "buy" if found.side is Side.BUY else "sell",
        "order_type": order_type(found),
        "order_qty": float(market.qty(found.qty)),
        "time_in_force": {Tif.IOC: "IOC", Tif.GTD: "GTD"}.get(found.tif, "GTC"),
        "limit_price_type": "static",
        "post_only": found.post_only,
        "fee_ccy_pref": "fciq",
    }
    return said if found.kind == "market" else said | {"limit_price": float(market.price(found.price))}


def _sums(market: Market, told: list[w.Trade]) -> Json:
    filled = sum((market.qty(one.qty) for one in told), Decimal(0))
    value = sum((market.price(one.price) * market.qty(one.qty) for one in told), Decimal(0))
    return {
        "cum_qty": float(filled),
        "cum_cost": float(value),
        "avg_price": float(value / filled) if filled else 0.0,
        "fee_usd_equiv": float(sum((fee_of(one) for one in told), Decimal(0))),
    }


def stands(engine: Engine, found: w.OrderState, userref: int | None) -> Json:
    """An open order, in a snapshot."""
    market = engine.markets[found.symbol]
    status = "partially_filled" if found.cum_qty else "new"
    head = _head(found, "new", status, userref, found.created_ns)
    return head | _terms(market, found) | _sums(market, trades_of(engine, found))


def traded(engine: Engine, found: w.OrderState, trade: w.Trade, userref: int | None) -> Json:
    """One trade, with the sums of the order when it had happened."""
    market = engine.markets[found.symbol]
    told = [one for one in trades_of(engine, found) if one.trade_id <= trade.trade_id]
    filled = sum(one.qty for one in told)
    head = _head(
        found, "trade", "filled" if filled == found.qty else "partially_filled", userref, trade.at_ns
    )
    price, qty = market.price(trade.price), market.qty(trade.qty)
    return (
        head
        | {
            name: value
            for name, value in _terms(market, found).items()
            if name in ("symbol", "side", "order_type")
        }
        | _sums(market, told)
        | {
            "exec_id": trade_id(trade),
            "trade_id": trade.trade_id,
            "last_qty": float(qty),
            "last_price": float(price),
            "liquidity_ind": "m" if trade.liquidity == "maker" else "t",
            "cost": float(price * qty),
            "fees": [{"asset": market.quote, "qty": float(fee_of(trade))}],
        }
    )


def told(
    engine: Engine, found: w.OrderState, trades: list[w.Trade], userref: int | None, *, request: str
) -> list[Json]:
    """What is told of one step, each by itself: what was asked for, each trade, how it ended. Only the first word of
    an order and a change have its terms."""
    market, frames = engine.markets[found.symbol], list[Json]()
    if request == "new":
        said = _head(found, "pending_new", "pending_new", userref, found.created_ns)
        frames.append(said | _terms(market, found) | {"cum_cost": 0.0})
        frames.append(_head(found, "new", "new", userref, found.created_ns))
    elif request == "amend":
        status = "partially_filled" if found.cum_qty else "new"
        said = _head(found, "amended", status, userref, found.updated_ns) | {"reason": "User requested"}
        frames.append(said | _terms(market, found) | _sums(market, trades_of(engine, found)))
    frames += [traded(engine, found, trade, userref) for trade in trades]
    status = {"closed": "filled"}.get(status_of(found), status_of(found))
    if found.state is not w.State.OPEN:
        said = _head(found, status, status, userref, found.updated_ns) | _sums(
            market, trades_of(engine, found)
        )
        if reason := reason_of(found):
            said |= {"cancel_reason": reason, "reason": reason}
        frames.append(said)
    return frames
