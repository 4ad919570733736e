"""Coinbase Advanced Trade's own words: products, orders, fills, accounts. Numbers are text, ids are UUIDs, and every
commission is in quote."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators.engine import Engine, Levels, Market, given_id
from tests.emulators.unified import text

Json = dict[str, Any]
TOML = """
[venues.coinbase]
[instruments."BTC/USD"]
start_price = "60000"
price_scale = 2
qty_scale = 8
venues.coinbase = { tick = "0.01", lot = "0.00000001", min_qty = "0.00000001", max_qty = "3400", \
min_notional = "1", taker_bps = "80", maker_bps = "60" }
[instruments."ETH/USD"]
start_price = "3000"
price_scale = 2
qty_scale = 8
venues.coinbase = { tick = "0.01", lot = "0.00000001", min_qty = "0.00000001", max_qty = "45000", \
min_notional = "1", taker_bps = "80", maker_bps = "60" }
[instruments."BTC/USDT"]
start_price = "60000"
price_scale = 2
qty_scale = 8
venues.coinbase = { tick = "0.01", lot = "0.00000001", min_qty = "0.00000001", max_qty = "3400", \
min_notional = "1", taker_bps = "80", maker_bps = "60" }
[exchange]
latency = "0s"
"""
QUOTE_MAX = "150000000"
FIAT = {"USD", "EUR", "GBP"}
USER = "11111111-1111-4111-8111-111111111111"


def product_id(market: Market) -> str:
    return f"{market.base}-{market.quote}"


def uuid_of(kind: int, number: int) -> str:
    return f"{kind:08x}-0000-4000-8000-{number:012x}"


def order_id(number: int) -> str:
    return uuid_of(1, number)


def order_number(given: str) -> int:
    """The engine's; 0 for what is no id."""
    head, _, digits = given.rpartition("-")
    if head != "00000001-0000-4000-8000":
        return 0
    try:
        return int(digits, 16)
    except ValueError:
        return 0


def trade_id(trade: w.Trade) -> str:
    """Each side of a trade has an id of its own."""
    return uuid_of(2, 2 * trade.trade_id + (trade.side is Side.SELL))


def stamp(at_ns: int) -> str:
    whole = datetime.fromtimestamp(at_ns // SECOND, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000 % 1_000_000:06d}Z"


def product(market: Market, last: str) -> Json:
    listing = market.listing
    return {
        "product_id": product_id(market),
        "price": last,
        "price_percentage_change_24h": "0",
        "volume_24h": "0",
        "volume_percentage_change_24h": "0",
        "base_increment": text(market.qty(listing.lot)),
        "quote_increment": text(market.price(listing.tick)),
        "quote_min_size": text(market.instrument.cash(listing.min_notional)),
        "quote_max_size": QUOTE_MAX,
        "base_min_size": text(market.qty(listing.min_qty)),
        "base_max_size": text(market.qty(listing.max_qty)),
        "base_name": market.base,
        "quote_name": market.quote,
        "watched": False,
        "is_disabled": False,
        "new": False,
        "status": "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": False,
        "auction_mode": False,
        "product_type": "SPOT",
        "quote_currency_id": market.quote,
        "base_currency_id": market.base,
        "fcm_trading_session_details": None,
        "mid_market_price": "",
        "alias": "",
        "alias_to": [],
        "base_display_symbol": market.base,
        "quote_display_symbol": market.quote,
        "view_only": False,
        "price_increment": text(market.price(listing.tick)),
        "display_name": product_id(market),
        "product_venue": "CBE",
    }


def sizes(side: Levels) -> list[Json]:
    return [{"price": text(price), "size": text(qty)} for price, qty in side]


# -- orders ------------------------------------------------------------------------------------------------------


def status_of(order: w.OrderState) -> str:
    if order.state is w.State.OPEN:
        return "OPEN"
    if order.state is w.State.FILLED:
        return "FILLED"
    return "EXPIRED" if order.state is w.State.EXPIRED and order.code is Code.EXPIRED else "CANCELLED"


def configuration(market: Market, order: w.OrderState) -> Json:
    """As it was asked for."""
    size, price = text(market.qty(order.qty)), text(market.price(order.price))
    if order.kind == "market":
        return {"market_market_ioc": {"base_size": size}}
    terms: Json = {"base_size": size, "limit_price": price}
    match order.tif:
        case Tif.IOC:
            return {"sor_limit_ioc": terms}
        case Tif.FOK:
            return {"limit_limit_fok": terms}
        case Tif.GTD:
            more = {"end_time": stamp(order.good_till_ns), "post_only": order.post_only}
            return {"limit_limit_gtd": terms | more}
        case _:
            return {"limit_limit_gtc": terms | {"post_only": order.post_only}}


def time_in_force(order: w.OrderState) -> str:
    return {
        Tif.IOC: "IMMEDIATE_OR_CANCEL",
        Tif.FOK: "FILL_OR_KILL",
        Tif.GTD: "GOOD_UNTIL_DATE_TIME",
    }.get(order.tif, "GOOD_UNTIL_CANCELLED")


def trades_of(engine: Engine, order: w.OrderState) -> list[w.Trade]:
    if not order.cum_qty:
        return []
    found = engine.trades(order.account, since_ns=order.created_ns, limit=1_000_000)
    return [trade for trade in found if trade.order_id == order.order_id]


def _sums(engine: Engine, order: w.OrderState) -> tuple[Decimal, Decimal, Decimal, int]:
    """What was filled, for how much, with which fees, in how many trades."""
    market, own = engine.markets[order.symbol], trades_of(engine, order)
    value = sum((market.price(one.price) * market.qty(one.qty) for one in own), Decimal(0))
    return market.qty(order.cum_qty), value, sum((one.fee for one in own), Decimal(0)), len(own)


def order(engine: Engine, found: w.OrderState, original: Json | None, edits: list[Json]) -> Json:
    """`original`: its configuration before it was edited; the edits stand by themselves."""
    market = engine.markets[found.symbol]
    filled, value, fees, count = _sums(engine, found)
    sign = 1 if found.side is Side.BUY else -1
    return {
        "order_id": order_id(found.order_id),
        "product_id": product_id(market),
        "user_id": USER,
        "order_configuration": original or configuration(market, found),
        "side": "BUY" if found.side is Side.BUY else "SELL",
        "client_order_id": given_id(found) or order_id(found.order_id),
        "status": status_of(found),
        "time_in_force": time_in_force(found),
        "created_time": stamp(found.created_ns),
        "completion_percentage": text(Decimal(100) * found.cum_qty / found.qty),
        "filled_size": text(filled),
        "average_filled_price": text(value / filled) if filled else "0",
        "fee": "",
        "number_of_fills": str(count),
        "filled_value": text(value),
        "pending_cancel": False,
        "size_in_quote": False,
        "total_fees": text(fees),
        "size_inclusive_of_fees": False,
        "total_value_after_fees": text(value + sign * fees),
        "trigger_status": "INVALID_ORDER_TYPE",
        "order_type": found.kind.upper(),
        "reject_reason": "REJECT_REASON_UNSPECIFIED",
        "settled": found.state is w.State.FILLED,
        "product_type": "SPOT",
        "reject_message": "",
        "cancel_message": "User requested cancel" if found.code is Code.CANCELED else "",
        "order_placement_source": "RETAIL_ADVANCED",
        "edit_history": edits,
        "last_fill_time": stamp(found.updated_ns) if filled else None,
    }


def told(engine: Engine, found: w.OrderState) -> Json:
    """As the user's channel has it: sums alone, without its price, and with nothing left when it has ended."""
    market = engine.markets[found.symbol]
    filled, value, fees, count = _sums(engine, found)
    return {
        "order_id": order_id(found.order_id),
        "client_order_id": given_id(found) or order_id(found.order_id),
        "cumulative_quantity": text(filled),
        "leaves_quantity": text(market.qty(found.leaves_qty)),
        "avg_price": text(value / filled) if filled else "0",
        "total_fees": text(fees),
        "number_of_fills": str(count),
        "filled_value": text(value),
        "completion_percentage": text(Decimal(100) * found.cum_qty / found.qty),
        "status": status_of(found),
        "product_id": product_id(market),
        "creation_time": stamp(found.created_ns),
        "order_side": "BUY" if found.side is Side.BUY else "SELL",
        "order_type": "Market" if found.kind == "market" else "Limit",
        "time_in_force": time_in_force(found),
        "trigger_status": "INVALID_ORDER_TYPE",
        "product_type": "SPOT",
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE",
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE",
        "cancel_reason": "User requested cancel" if found.code is Code.CANCELED else "",
        "reject_reason": "",
    }


def fill(engine: Engine, trade: w.Trade) -> Json:
    market = engine.markets[trade.symbol]
    return {
        "entry_id": f"{trade.trade_id:064x}",
        "trade_id": trade_id(trade),
        "order_id": order_id(trade.order_id),
        "trade_time": stamp(trade.at_ns),
        "trade_type": "FILL",
        "price": text(market.price(trade.price)),
        "size": text(market.qty(trade.qty)),
        "commission": text(trade.fee),
        "product_id": product_id(market),
        "sequence_timestamp": stamp(trade.at_ns),
        "liquidity_indicator": trade.liquidity.upper(),
        "size_in_quote": False,
        "user_id": USER,
        "side": "BUY" if trade.side is Side.BUY else "SELL",
    }


def account(currency: str, free: Decimal, locked: Decimal, place: int) -> Json:
    return {
        "uuid": uuid_of(3, place),
        "name": f"{currency} Wallet",
        "currency": currency,
        "available_balance": {"value": text(free), "currency": currency},
        "default": True,
        "active": True,
        "created_at": "2023-01-01T00:00:00Z",
        "updated_at": "2023-01-01T00:00:00Z",
        "deleted_at": None,
        "type": "ACCOUNT_TYPE_FIAT" if currency in FIAT else "ACCOUNT_TYPE_CRYPTO",
        "ready": True,
        "hold": {"value": text(locked), "currency": currency},
        "retail_portfolio_id": uuid_of(4, 1),
        "platform": "ACCOUNT_PLATFORM_CONSUMER",
    }
