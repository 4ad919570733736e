"""Binance's words: symbols, filters, error codes, orders and trades as its spot API says them.

https://developers.binance.com/docs/binance-spot-api-docs
"""

from __future__ import annotations

import hashlib
import hmac
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators.engine import Levels, Market, given_id
from tests.emulators.unified import fee_of, text

Json = dict[str, Any]

TOML = """
[venues.binance]
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 5
start_price = "60000"
venues.binance = { tick = "0.01", lot = "0.00001", min_qty = "0.00001", max_qty = "9000", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[instruments."ETH/USDT"]
price_scale = 2
qty_scale = 4
start_price = "3000"
venues.binance = { tick = "0.01", lot = "0.0001", min_qty = "0.0001", max_qty = "9000", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[exchange]
latency = "0s"
"""

STATUS = {
    w.State.FILLED: "FILLED",
    w.State.CANCELED: "CANCELED",
    w.State.EXPIRED: "EXPIRED",
    w.State.REJECTED: "REJECTED",
}
TIFS = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK}


class Refused(Exception):
    """An answer of Binance's own: its code, its text, and the status of HTTP."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    @property
    def body(self) -> Json:
        return {"code": self.code, "msg": self.message}


INSUFFICIENT = (-2010, "Account has insufficient balance for requested action.")
DUPLICATE = (-2010, "Duplicate order sent.")
WOULD_TAKE = (-2010, "Order would immediately match and take.")
UNKNOWN_CANCEL = (-2011, "Unknown order sent.")
NO_ORDER = (-2013, "Order does not exist.")
OFF_TIME = (-1021, "Timestamp for this request is outside of the recvWindow.")
SIGNATURE = (-1022, "Signature for this request is not valid.")
BAD_KEY = (-2015, "Invalid API-key, IP, or permissions for action.")
BAD_SYMBOL = (-1121, "Invalid symbol.")
TOO_MANY = (-1003, "Too many requests; current limit of IP is 6000 request weight per 1 MINUTE.")
BANNED = (-1003, "Way too many requests; IP banned until {until}. Please use the websocket for live updates.")
BUSY = (-1006, "An unexpected response was received from the message bus. Execution status unknown.")
TIMEOUT = (
    -1007,
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
)
MAINTENANCE = (-1016, "This service is no longer available.")


def market_id(market: Market) -> str:
    return market.base + market.quote


def parameters(query: str, body: str) -> dict[str, str]:
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))


def sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def levels(side: Levels) -> list[list[str]]:
    return [[f"{price:f}", f"{qty:f}"] for price, qty in side]


def filters(market: Market) -> list[Json]:
    listing = market.listing
    tick, lot = text(market.price(listing.tick)), text(market.qty(listing.lot))
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
        {
            "filterType": "LOT_SIZE",
            "minQty": text(market.qty(listing.min_qty)),
            "maxQty": text(market.qty(listing.max_qty)),
            "stepSize": lot,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": text(market.instrument.cash(listing.min_notional)),
            "applyMinToMarket": True,
            "maxNotional": "9000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]


def symbol_info(market: Market) -> Json:
    return {
        "symbol": market_id(market),
        "status": "TRADING",
        "baseAsset": market.base,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(market),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "cancelReplaceAllowed": True,
        "allowTrailingStop": False,
    }


def status(order: w.OrderState) -> str:
    if order.state is w.State.OPEN:
        return "PARTIALLY_FILLED" if order.cum_qty else "NEW"
    return STATUS[order.state]


def order_type(order: w.OrderState) -> str:
    return "MARKET" if order.kind == "market" else "LIMIT_MAKER" if order.post_only else "LIMIT"


def client_id(order: w.OrderState) -> str:
    return given_id(order) or f"made{order.order_id}"


def order_body(order: w.OrderState, market: Market) -> Json:
    return {
        "symbol": market_id(market),
        "orderId": order.order_id,
        "orderListId": -1,
        "clientOrderId": client_id(order),
        "price": f"{market.price(order.price):f}",
        "origQty": f"{market.qty(order.qty):f}",
        "executedQty": f"{market.qty(order.cum_qty):f}",
        "cummulativeQuoteQty": f"{order.notional:f}",
        "status": status(order),
        "timeInForce": str(order.tif).upper() if str(order.tif) in ("ioc", "fok") else "GTC",
        "type": order_type(order),
        "side": str(order.side).upper(),
        "stopPrice": "0.00000000",
        "icebergQty": f"{market.qty(order.display_qty):f}",
        "time": order.created_ns // MS,
        "updateTime": order.updated_ns // MS,
        "isWorking": True,
        "workingTime": order.created_ns // MS,
        "origQuoteOrderQty": "0.00000000",
        "selfTradePreventionMode": "NONE",
    }


def fill_body(trade: w.Trade, market: Market) -> Json:
    fee = fee_of(trade, market)
    return {
        "price": f"{market.price(trade.price):f}",
        "qty": f"{market.qty(trade.qty):f}",
        "commission": f"{fee.amount:f}",
        "commissionAsset": fee.currency,
        "tradeId": trade.trade_id,
    }


def trade_body(trade: w.Trade, market: Market) -> Json:
    return {
        "symbol": market_id(market),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": -1,
        **{name: value for name, value in fill_body(trade, market).items() if name != "tradeId"},
        "quoteQty": f"{market.instrument.cash(trade.price * trade.qty):f}",
        "time": trade.at_ns // MS,
        "isBuyer": trade.side is Side.BUY,
        "isMaker": trade.liquidity == "maker",
        "isBestMatch": True,
    }


def report(order: w.OrderState, market: Market, at_ms: int, trade: w.Trade | None = None) -> Json:
    """`executionReport` of the user stream."""
    fee = fee_of(trade, market) if trade else None
    ended = order.state is not w.State.OPEN
    kind = "TRADE" if trade else STATUS[order.state] if ended and order.state is not w.State.FILLED else "NEW"
    canceled = order.state is w.State.CANCELED
    return {
        "e": "executionReport",
        "E": at_ms,
        "s": market_id(market),
        "c": f"cancel{order.order_id}" if canceled and not trade else client_id(order),
        "S": str(order.side).upper(),
        "o": order_type(order),
        "f": order_body(order, market)["timeInForce"],
        "q": f"{market.qty(order.qty):f}",
        "p": f"{market.price(order.price):f}",
        "P": "0.00000000",
        "F": f"{market.qty(order.display_qty):f}",
        "g": -1,
        "C": client_id(order) if canceled and not trade else "",
        "x": kind,
        "X": status(order),
        "r": "NONE",
        "i": order.order_id,
        "l": f"{market.qty(trade.qty):f}" if trade else "0.00000000",
        "z": f"{market.qty(order.cum_qty):f}",
        "L": f"{market.price(trade.price):f}" if trade else "0.00000000",
        "n": f"{fee.amount:f}" if fee else "0",
        "N": fee.currency if fee else None,
        "T": (trade.at_ns if trade else order.updated_ns) // MS,
        "t": trade.trade_id if trade else -1,
        "I": order.order_id * 2,
        "w": not ended,
        "m": bool(trade and trade.liquidity == "maker"),
        "M": False,
        "O": order.created_ns // MS,
        "Z": f"{order.notional:f}",
        "Y": f"{market.instrument.cash(trade.price * trade.qty):f}" if trade else "0.00000000",
        "Q": "0.00000000",
        "W": order.created_ns // MS,
        "V": "NONE",
    }


class Rule(NamedTuple):
    """The first filter that an order does not pass."""

    name: str

    @property
    def refused(self) -> Refused:
        return Refused(-1013, f"Filter failure: {self.name}")


def check(market: Market, qty: Decimal, price: Decimal | None) -> None:
    listing, units = market.listing, market.instrument
    lots = qty.scaleb(units.qty_scale)
    if lots != int(lots) or int(lots) % listing.lot or not listing.min_qty <= lots <= listing.max_qty:
        raise Rule("LOT_SIZE").refused
    if price is None:
        return
    ticks = price.scaleb(units.price_scale)
    if ticks != int(ticks) or int(ticks) % listing.tick or ticks <= 0:
        raise Rule("PRICE_FILTER").refused
    if int(lots) * int(ticks) < listing.min_notional:
        raise Rule("NOTIONAL").refused


def refusal_of(code: Code | None) -> Refused:
    """Why the engine took no order, in Binance's words."""
    return Refused(*(WOULD_TAKE if code is Code.POST_ONLY_WOULD_TAKE else (-2010, f"Rejected: {code}")))
