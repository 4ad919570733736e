"""Kraken's own words: assets and pairs by three names each, orders, trades, books. Over HTTP numbers are text with
all their places, over the websocket they are numbers. Every fee is in quote, whatever was bought (`fciq`)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side
from tests.emulators.engine import Engine, Levels, Market, given_id

Json = dict[str, Any]
TOML = """
[venues.kraken]
[instruments."BTC/USD"]
start_price = "60000"
price_scale = 1
qty_scale = 8
venues.kraken = { tick = "0.1", lot = "0.00000001", min_qty = "0.00005", min_notional = "0.5", \
taker_bps = "40", maker_bps = "25" }
[instruments."ETH/USD"]
start_price = "3000"
price_scale = 2
qty_scale = 8
venues.kraken = { tick = "0.01", lot = "0.00000001", min_qty = "0.001", min_notional = "0.5", \
taker_bps = "40", maker_bps = "25" }
[instruments."BTC/USDT"]
start_price = "60000"
price_scale = 1
qty_scale = 8
venues.kraken = { tick = "0.1", lot = "0.00000001", min_qty = "0.00005", min_notional = "0.5", \
taker_bps = "40", maker_bps = "25" }
[exchange]
latency = "0s"
"""
ASSETS = {
    "BTC": ("XXBT", "XBT"),
    "ETH": ("XETH", "ETH"),
    "USD": ("ZUSD", "USD"),
}  # others have one name alone
LOT_PLACES, COST_PLACES, ASSET_PLACES = 8, 5, 10
CHECKED_LEVELS = 10
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
REASONS = {Code.CANCELED: "User requested", Code.NO_LIQUIDITY: "IOC", Code.REPLACED: "Order replaced"}


# -- names -------------------------------------------------------------------------------------------------------


def asset(currency: str) -> str:
    return ASSETS.get(currency, (currency, currency))[0]


def alternative(currency: str) -> str:
    return ASSETS.get(currency, (currency, currency))[1]


def altname(market: Market) -> str:
    return alternative(market.base) + alternative(market.quote)


def pair_id(market: Market) -> str:
    """The old assets have a letter before their names, and only pairs of two of them have it too."""
    if market.base in ASSETS and market.quote in ASSETS:
        return asset(market.base) + asset(market.quote)
    return altname(market)


def wsname(market: Market) -> str:
    return f"{alternative(market.base)}/{alternative(market.quote)}"


def _id(letter: str, number: int) -> str:
    made = ""
    for _ in range(16):
        number, place = divmod(number, len(ALPHABET))
        made = ALPHABET[place] + made
    return f"{letter}{made[:5]}-{made[5:10]}-{made[10:]}"


def order_id(number: int) -> str:
    return _id("O", number)


def order_number(given: str) -> int:
    """The engine's; 0 for what is no id."""
    letters = given[1:].replace("-", "")
    if not given.startswith("O") or len(letters) != 16 or not set(letters) <= set(ALPHABET):
        return 0
    number = 0
    for letter in letters:
        number = number * len(ALPHABET) + ALPHABET.index(letter)
    return number


def trade_id(trade: w.Trade) -> str:
    """Each side of a trade has an id of its own."""
    return _id("T", 2 * trade.trade_id + (trade.side is Side.SELL))


# -- numbers and times -------------------------------------------------------------------------------------------


def fixed(number: Decimal, places: int) -> str:
    return f"{number:.{places}f}"


def price_places(market: Market) -> int:
    exponent = market.price(market.listing.tick).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(-exponent, 0)


def price_text(market: Market, price: Decimal) -> str:
    return fixed(price, price_places(market))


def volume(number: Decimal) -> str:
    return fixed(number, LOT_PLACES)


def cost(number: Decimal) -> str:
    return fixed(number, COST_PLACES)


def seconds(at_ns: int) -> float:
    """Of the same microsecond as `stamp`, and in its middle, so that no rounding of a float leaves it."""
    return (at_ns // 1_000 + 0.5) / 1_000_000


def stamp(at_ns: int) -> str:
    whole = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000 % 1_000_000:06d}Z"


# -- markets -----------------------------------------------------------------------------------------------------


def pair(market: Market) -> Json:
    listing = market.listing
    return {
        "altname": altname(market),
        "wsname": wsname(market),
        "aclass_base": "currency",
        "base": asset(market.base),
        "aclass_quote": "currency",
        "quote": asset(market.quote),
        "lot": "unit",
        "cost_decimals": COST_PLACES,
        "pair_decimals": price_places(market),
        "lot_decimals": LOT_PLACES,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, listing.taker_fee_e8 / 1_000_000]],
        "fees_maker": [[0, listing.maker_fee_e8 / 1_000_000]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": str(market.qty(listing.min_qty).normalize()),
        "costmin": str(market.instrument.cash(listing.min_notional).normalize()),
        "tick_size": price_text(market, market.price(listing.tick)),
        "status": "online",
    }


def fee_tier(fee_e8: int) -> Json:
    percent = fixed(Decimal(fee_e8).scaleb(-6), 4)
    return {"fee": percent, "minfee": percent, "maxfee": percent, "nextfee": None, "tiervolume": "0.0000"}


def levels(market: Market, side: Levels, at_ns: int) -> list[list[Any]]:
    places = price_places(market) + 4  # Kraken's old interface has some more of them
    at_s = at_ns // 1_000_000_000
    return [[fixed(price, places), fixed(qty, 3 if qty >= 1 else LOT_PLACES), at_s] for price, qty in side]


def checksum(
    bids: Iterable[tuple[Decimal, Decimal]], asks: Iterable[tuple[Decimal, Decimal]], places: int
) -> int:
    """Of the best ten of each side, asks first: price and quantity without point and without zeros in front."""
    parts = []
    for side in (asks, bids):
        for price, qty in list(side)[:CHECKED_LEVELS]:
            parts += [fixed(price, places), fixed(qty, LOT_PLACES)]
    return zlib.crc32("".join(part.replace(".", "").lstrip("0") for part in parts).encode())


def numbers(side: Iterable[tuple[Decimal, Decimal]]) -> list[Json]:
    return [{"price": float(price), "qty": float(qty)} for price, qty in side]


# -- orders ------------------------------------------------------------------------------------------------------


def status_of(order: w.OrderState) -> str:
    if order.state is w.State.OPEN:
        return "open"
    if order.state is w.State.FILLED:
        return "closed"
    return "expired" if order.state is w.State.EXPIRED and order.code is Code.EXPIRED else "canceled"


def order_type(order: w.OrderState) -> str:
    return order.kind if order.kind == "market" or not order.display_qty else "iceberg"


def described(market: Market, order: w.OrderState) -> str:
    """As a person would say it; ccxt reads it."""
    side = "buy" if order.side is Side.BUY else "sell"
    at = "market" if order.kind == "market" else f"limit {price_text(market, market.price(order.price))}"
    return f"{side} {volume(market.qty(order.qty))} {altname(market)} @ {at}"


def trades_of(engine: Engine, order: w.OrderState) -> list[w.Trade]:
    if not order.cum_qty:
        return []
    found = engine.trades(order.account, since_ns=order.created_ns, limit=1_000_000)
    return [trade for trade in found if trade.order_id == order.order_id]


def fee_of(trade: w.Trade) -> Decimal:
    return Decimal(cost(trade.fee))


def order(engine: Engine, found: w.OrderState, userref: int | None, *, trades: bool = False) -> Json:
    market, ended = engine.markets[found.symbol], found.state is not w.State.OPEN
    filled = market.qty(found.cum_qty)
    own = trades_of(engine, found)
    value = sum((market.price(one.price) * market.qty(one.qty) for one in own), Decimal(0))
    fees = sum((fee_of(one) for one in own), Decimal(0))
    said: Json = {
        "refid": None,
        "userref": userref,
        "status": status_of(found),
        "opentm": seconds(found.created_ns),
        "starttm": 0,
        "expiretm": found.good_till_ns // 1_000_000_000,
        "descr": {
            "pair": altname(market),
            "aclass": "forex",
            "type": "buy" if found.side is Side.BUY else "sell",
            "ordertype": order_type(found),
            "price": "0" if found.kind == "market" else price_text(market, market.price(found.price)),
            "price2": "0",
            "leverage": "none",
            "order": described(market, found),
            "close": "",
        },
        "vol": volume(market.qty(found.qty)),
        "vol_exec": volume(filled),
        "cost": cost(value),
        "fee": cost(fees),
        "price": cost(value / filled if filled else Decimal(0)),
        "stopprice": cost(Decimal(0)),
        "limitprice": cost(Decimal(0)),
        "misc": "",
        "oflags": "fciq,post" if found.post_only else "fciq",
    }
    if given := given_id(found):
        said["cl_ord_id"] = given
    if ended:
        said |= {"reason": reason_of(found), "closetm": seconds(found.updated_ns)}
    if trades:
        said["trades"] = [trade_id(one) for one in own]
    return said


def reason_of(order: w.OrderState) -> str | None:
    if status_of(order) != "canceled":
        return None
    return REASONS.get(order.code or Code.CANCELED, "User requested")


def fill(engine: Engine, trade: w.Trade) -> Json:
    market = engine.markets[trade.symbol]
    price, qty = market.price(trade.price), market.qty(trade.qty)
    return {
        "ordertxid": order_id(trade.order_id),
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_id(market),
        "aclass": "forex",
        "time": seconds(trade.at_ns),
        "type": "buy" if trade.side is Side.BUY else "sell",
        "ordertype": "limit",
        "price": cost(price),
        "cost": cost(price * qty),
        "fee": cost(trade.fee),
        "vol": volume(qty),
        "margin": cost(Decimal(0)),
        "leverage": "0",
        "misc": "",
        "trade_id": trade.trade_id,
        "maker": trade.liquidity == "maker",
    }
