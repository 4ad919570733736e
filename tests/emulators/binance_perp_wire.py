"""The words of Binance's USD-M futures where they differ from spot's.

https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from __future__ import annotations

from decimal import Decimal

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators.binance_wire import Json, Refused, client_id, market_id, status
from tests.emulators.engine import Market
from tests.emulators.unified import LEVERAGE, Position, fee_of, text

TOML = """
[venues.binance_perp]
[instruments."BTC/USDT:USDT"]
price_scale = 1
qty_scale = 3
start_price = "60000"
venues.binance_perp = { kind = "perp", tick = "0.1", lot = "0.001", min_qty = "0.001", max_qty = "1000", \
min_notional = "100", taker_bps = "5", maker_bps = "2" }
[exchange]
latency = "0s"
"""

TIFS = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK, "GTX": Tif.GTC, "GTD": Tif.GTD}
GOOD_FOR_S_MIN = 600  # a GTD order's end must be further away than this

MARGIN = (-2019, "Margin is insufficient.")
DUPLICATE = (-4116, "ClientOrderId is duplicated.")
LONG_ID = (-4015, "Client order id length should be less than 36 chars")
TICK = (-4014, "Price not increased by tick size.")
LOT = (-1111, "Precision is over the maximum defined for this asset.")
TOO_LITTLE = (-4003, "Quantity less than or equal to zero.")
TOO_MUCH = (-4005, "Quantity greater than max quantity.")
NOTIONAL = (-4164, "Order's notional must be no smaller than {} (unless you choose reduce only).")
GOOD_TILL = (
    -5040,
    "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than "
    "253402300799000",
)
REDUCE_ONLY = (-2022, "ReduceOnly Order is rejected.")
NO_FOK = (-5021, "Due to the order could not be filled immediately, the FOK order has been rejected.")
NO_MAKER = (
    -5022,
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history",
)
NO_CHANGE = (-5027, "No need to modify the order.")


def symbol_info(market: Market) -> Json:
    listing = market.listing
    tick, lot = text(market.price(listing.tick)), text(market.qty(listing.lot))
    least, most = text(market.qty(listing.min_qty)), text(market.qty(listing.max_qty))
    return {
        "symbol": market_id(market),
        "pair": market_id(market),
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": market.quote,
        "pricePrecision": 2,
        "quantityPrecision": market.instrument.qty_scale,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
            {"filterType": "MARKET_LOT_SIZE", "minQty": least, "maxQty": most, "stepSize": lot},
            {"filterType": "MIN_NOTIONAL", "notional": text(market.instrument.cash(listing.min_notional))},
        ],
    }


def check(market: Market, qty: Decimal, price: Decimal | None, reduces: bool) -> None:
    """What reduces a position may be worth less than the least notional."""
    listing, units = market.listing, market.instrument
    lots = qty.scaleb(units.qty_scale)
    if lots != int(lots) or int(lots) % listing.lot:
        raise Refused(*LOT)
    if lots < listing.min_qty:
        raise Refused(*TOO_LITTLE)
    if lots > listing.max_qty:
        raise Refused(*TOO_MUCH)
    if price is None:
        return
    ticks = price.scaleb(units.price_scale)
    if ticks <= 0 or ticks != int(ticks) or int(ticks) % listing.tick:
        raise Refused(*TICK)
    if not reduces and int(lots) * int(ticks) < listing.min_notional:
        raise Refused(NOTIONAL[0], NOTIONAL[1].format(text(units.cash(listing.min_notional))))


def refusal_of(code: Code | None) -> Refused:
    """Why the engine took no order, in the exchange's words."""
    return Refused(*(NO_MAKER if code is Code.POST_ONLY_WOULD_TAKE else (-2010, f"Rejected: {code}")))


def tif(order: w.OrderState) -> str:
    return "GTX" if order.post_only else str(order.tif).upper()


def average(order: w.OrderState, market: Market) -> Decimal:
    return order.notional / market.qty(order.cum_qty) if order.cum_qty else Decimal(0)


def order_body(order: w.OrderState, market: Market) -> Json:
    kind = "MARKET" if order.kind == "market" else "LIMIT"
    return {
        "orderId": order.order_id,
        "symbol": market_id(market),
        "status": status(order),
        "clientOrderId": client_id(order),
        "price": f"{market.price(order.price):f}",
        "avgPrice": f"{average(order, market):f}",
        "origQty": f"{market.qty(order.qty):f}",
        "executedQty": f"{market.qty(order.cum_qty):f}",
        "cumQty": f"{market.qty(order.cum_qty):f}",
        "cumQuote": f"{order.notional:f}",
        "timeInForce": tif(order),
        "type": kind,
        "reduceOnly": False,
        "closePosition": False,
        "side": str(order.side).upper(),
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": order.good_till_ns // MS,
        "time": order.created_ns // MS,
        "updateTime": order.updated_ns // MS,
    }


def trade_body(trade: w.Trade, market: Market) -> Json:
    fee = fee_of(trade, market)
    return {
        "symbol": market_id(market),
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": str(trade.side).upper(),
        "price": f"{market.price(trade.price):f}",
        "qty": f"{market.qty(trade.qty):f}",
        "realizedPnl": "0",
        "quoteQty": f"{market.instrument.cash(trade.price * trade.qty):f}",
        "commission": f"{fee.amount:f}",
        "commissionAsset": fee.currency,
        "time": trade.at_ns // MS,
        "positionSide": "BOTH",
        "buyer": trade.side is Side.BUY,
        "maker": trade.liquidity == "maker",
    }


def update(
    order: w.OrderState, market: Market, at_ms: int, trade: w.Trade | None = None, amended: bool = False
) -> Json:
    """`ORDER_TRADE_UPDATE` of the user stream."""
    ended = order.state not in (w.State.OPEN, w.State.FILLED)
    kind = "TRADE" if trade else status(order) if ended else "AMENDMENT" if amended else "NEW"
    body = order_body(order, market)
    told = {
        "s": body["symbol"],
        "c": body["clientOrderId"],
        "S": body["side"],
        "o": body["type"],
        "f": body["timeInForce"],
        "q": body["origQty"],
        "p": body["price"],
        "ap": body["avgPrice"],
        "sp": "0",
        "x": kind,
        "X": body["status"],
        "i": body["orderId"],
        "l": f"{market.qty(trade.qty):f}" if trade else "0",
        "z": body["executedQty"],
        "L": f"{market.price(trade.price):f}" if trade else "0",
        "T": (trade.at_ns if trade else order.updated_ns) // MS,
        "t": trade.trade_id if trade else 0,
        "b": "0",
        "a": "0",
        "m": bool(trade and trade.liquidity == "maker"),
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": body["origType"],
        "ps": "BOTH",
        "cp": False,
        "rp": "0",
        "gtd": body["goodTillDate"],
    }
    if trade:
        fee = fee_of(trade, market)
        told |= {"N": fee.currency, "n": f"{fee.amount:f}"}
    return {"e": "ORDER_TRADE_UPDATE", "E": at_ms, "T": told["T"], "o": told}


def position_body(position: Position, market: Market, mark: Decimal, at_ms: int) -> Json:
    size, gained = position.size, position.size * (mark - position.entry)
    margin = abs(size) * mark / LEVERAGE
    return {
        "symbol": market_id(market),
        "positionSide": "BOTH",
        "positionAmt": f"{size:f}",
        "entryPrice": f"{position.entry:f}",
        "breakEvenPrice": f"{position.entry:f}",
        "markPrice": f"{mark:f}",
        "unRealizedProfit": f"{gained:f}",
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": f"{size * mark:f}",
        "marginAsset": market.quote,
        "isolatedWallet": "0",
        "initialMargin": f"{margin:f}",
        "maintMargin": f"{abs(size) * mark / 250:f}",
        "positionInitialMargin": f"{margin:f}",
        "openOrderInitialMargin": "0",
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": at_ms,
    }
