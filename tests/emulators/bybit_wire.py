"""Bybit's own words: symbols, ids, instruments, orders, executions, wallets. Numbers are text, as it sends them."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators.engine import Engine, Levels, Market, given_id
from tests.emulators.server import Key
from tests.emulators.unified import LEVERAGE, Position, Wallet, fee_of, is_perp, text

Json = dict[str, Any]
TOML = """
[venues.bybit]
[instruments."BTC/USDT"]
start_price = "60000"
price_scale = 2
qty_scale = 6
venues.bybit = { tick = "0.01", lot = "0.000001", min_qty = "0.000011", max_qty = "83", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[instruments."ETH/USDT"]
start_price = "3000"
price_scale = 2
qty_scale = 5
venues.bybit = { tick = "0.01", lot = "0.00001", min_qty = "0.0001", max_qty = "2100", min_notional = "5", \
taker_bps = "10", maker_bps = "10" }
[instruments."BTC/USDT:USDT"]
start_price = "60000"
price_scale = 2
qty_scale = 6
venues.bybit = { kind = "perp", tick = "0.1", lot = "0.001", min_qty = "0.001", max_qty = "1190", \
min_notional = "5", taker_bps = "5.5", maker_bps = "2" }
[exchange]
latency = "0s"
"""
SPOT_IDS = 1_900_000_000_000_000_000
STATUS = {
    w.State.FILLED: "Filled",
    w.State.CANCELED: "Cancelled",
    w.State.EXPIRED: "Cancelled",
    w.State.REJECTED: "Rejected",
}
REJECT_REASONS = {
    Code.POST_ONLY_WOULD_TAKE: "EC_PostOnlyWillTakeLiquidity",
    Code.FOK_UNFILLED: "EC_NoImmediateQtyToFill",
    Code.NO_LIQUIDITY: "EC_NoImmediateQtyToFill",
    Code.EXPIRED: "EC_NoImmediateQtyToFill",
    Code.CANCELED: "EC_PerCancelRequest",
}


def category(market: Market) -> str:
    return "linear" if is_perp(market) else "spot"


def market_id(market: Market) -> str:
    return market.base + market.quote


def order_id(market: Market, number: int) -> str:
    """Spot has long numbers, derivatives have UUIDs."""
    return str(uuid.UUID(int=number, version=4)) if is_perp(market) else str(SPOT_IDS + number)


def order_number(given: str) -> int:
    """The engine's; 0 for what is no id."""
    if given.isdigit():
        return max(int(given) - SPOT_IDS, 0)
    try:
        return uuid.UUID(given).int & 0xFFFF_FFFF_FFFF_FFFF & ~(0b11 << 62)
    except ValueError:
        return 0


def levels(side: Levels) -> list[list[str]]:
    return [[text(price), text(qty)] for price, qty in side]


def instrument(market: Market) -> Json:
    listing, made = market.listing, market.instrument
    least, most = text(market.qty(listing.min_qty)), text(market.qty(listing.max_qty))
    step, notional = text(market.qty(listing.lot)), text(made.cash(listing.min_notional))
    common: Json = {
        "symbol": market_id(market),
        "baseCoin": market.base,
        "quoteCoin": market.quote,
        "status": "Trading",
    }
    if not is_perp(market):
        return common | {
            "innovation": "0",
            "marginTrading": "utaOnly",
            "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": step,
                "quotePrecision": "0.0000001",
                "minOrderQty": least,
                "maxOrderQty": most,
                "minOrderAmt": notional,
                "maxOrderAmt": "8000000",
                "maxLimitOrderQty": most,
                "maxMarketOrderQty": most,
            },
            "priceFilter": {"tickSize": text(market.price(listing.tick))},
            "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
        }
    return common | {
        "contractType": "LinearPerpetual",
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": text(market.price(listing.tick)),
            "maxPrice": "1999999.8",
            "tickSize": text(market.price(listing.tick)),
        },
        "lotSizeFilter": {
            "maxOrderQty": most,
            "minOrderQty": least,
            "qtyStep": step,
            "postOnlyMaxOrderQty": most,
            "maxMktOrderQty": most,
            "minNotionalValue": notional,
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
        "settleCoin": market.quote,
        "copyTrading": "both",
        "upperFundingRate": "0.005",
        "lowerFundingRate": "-0.005",
        "isPreListing": False,
        "preListingInfo": None,
    }


def status(order: w.OrderState, market: Market) -> str:
    if order.state is w.State.OPEN:
        return "PartiallyFilled" if order.cum_qty else "New"
    if order.cum_qty and order.state is not w.State.FILLED and not is_perp(market):
        return "PartiallyFilledCanceled"  # spot alone has this one
    if order.state is w.State.REJECTED and is_perp(market):
        return "Cancelled"  # and spot alone says Rejected; the reason is the same
    return STATUS[order.state]


def order(engine: Engine, state: w.OrderState) -> Json:
    market = engine.markets[state.symbol]
    filled, value = market.qty(state.cum_qty), state.notional
    fees: dict[str, Decimal] = {}
    if state.cum_qty:
        for trade in engine.trades(state.account, since_ns=state.created_ns, limit=1_000_000):
            if trade.order_id == state.order_id:
                fee = fee_of(trade, market)
                fees[fee.currency] = fees.get(fee.currency, Decimal(0)) + fee.amount
    found: Json = {
        "category": category(market),
        "symbol": market_id(market),
        "orderId": order_id(market, state.order_id),
        "orderLinkId": given_id(state),
        "blockTradeId": "",
        "side": "Buy" if state.side is Side.BUY else "Sell",
        "positionIdx": 0,
        "orderStatus": status(state, market),
        "createType": "CreateByUser",
        "cancelType": "CancelByUser" if state.state is w.State.CANCELED else "UNKNOWN",
        "rejectReason": REJECT_REASONS.get(state.code, "EC_Others") if state.code else "EC_NoError",
        "timeInForce": "PostOnly" if state.post_only else tif(state),
        "isLeverage": "0",
        "price": text(market.price(state.price)),
        "qty": text(market.qty(state.qty)),
        "avgPrice": text(value / filled) if filled else ("" if not is_perp(market) else "0"),
        "leavesQty": text(market.qty(state.leaves_qty)),
        "leavesValue": text(market.qty(state.leaves_qty) * market.price(state.price)),
        "cumExecQty": text(filled),
        "cumExecValue": text(value),
        "cumExecFee": text(sum(fees.values(), Decimal(0))),
        "cumFeeDetail": {currency: text(amount) for currency, amount in fees.items()},
        "feeCurrency": next(iter(fees), ""),
        "orderType": "Market" if state.kind == "market" else "Limit",
        "stopOrderType": "",
        "triggerPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "triggerDirection": 0,
        "reduceOnly": False,
        "closeOnTrigger": False,
        "createdTime": str(state.created_ns // 1_000_000),
        "updatedTime": str(state.updated_ns // 1_000_000),
    }
    if is_perp(market):
        found["tpslMode"] = ""
    elif state.kind == "market":
        found["marketUnit"] = "baseCoin"
    return found


def tif(state: w.OrderState) -> str:
    return {Tif.IOC: "IOC", Tif.FOK: "FOK"}.get(state.tif, "GTC")


def trade_id(trade: w.Trade, market: Market) -> str:
    """Derivatives have UUIDs, as with orders."""
    number = trade.trade_id
    return str(uuid.UUID(int=number, version=4)) if is_perp(market) else str(2 * SPOT_IDS + number)


def execution(engine: Engine, trade: w.Trade) -> Json:
    market = engine.markets[trade.symbol]
    fee, price, qty = fee_of(trade, market), market.price(trade.price), market.qty(trade.qty)
    state = engine.order(trade.account, order_id=trade.order_id)
    assert state is not None
    value = price * qty
    return {
        "category": category(market),
        "symbol": market_id(market),
        "execId": trade_id(trade, market),
        "execType": "Trade",
        "execPrice": text(price),
        "execQty": text(qty),
        "execValue": text(value),
        "execFee": text(fee.amount),
        "feeCurrency": fee.currency,
        "feeRate": text((trade.fee / value).quantize(Decimal("1e-8"))),
        "execTime": str(trade.at_ns // 1_000_000),
        "isMaker": trade.liquidity == "maker",
        "isLeverage": "0",
        "leavesQty": text(market.qty(state.leaves_qty)),
        "orderId": order_id(market, trade.order_id),
        "orderLinkId": given_id(trade),
        "orderPrice": text(market.price(state.price)),
        "orderQty": text(market.qty(state.qty)),
        "orderType": "Market" if state.kind == "market" else "Limit",
        "side": "Buy" if trade.side is Side.BUY else "Sell",
        "stopOrderType": "UNKNOWN",
        "markPrice": text(price),
        "indexPrice": "",
        "blockTradeId": "",
        "closedSize": "",
        "seq": trade.trade_id,
    }


def wallet(engine: Engine, account: str) -> Json:
    holdings = Wallet(engine, account).holdings
    return {
        "accountType": "UNIFIED",
        "accountIMRate": "0",
        "accountMMRate": "0",
        "totalEquity": "",
        "totalWalletBalance": "",
        "totalAvailableBalance": "",
        "coin": [
            {
                "coin": currency,
                "equity": text(held.total),
                "walletBalance": text(held.total),
                "locked": text(held.locked),
                "availableToWithdraw": "",
                "borrowAmount": "0",
                "accruedInterest": "0",
                "totalOrderIM": "0",
                "totalPositionIM": "0",
                "unrealisedPnl": "0",
                "cumRealisedPnl": "0",
                "usdValue": "",
            }
            for currency, held in holdings.items()
        ],
    }


def position(engine: Engine, market: Market, held: Position, now_ms: int) -> Json:
    mark = market.price(max(market.bids, default=0) or min(market.asks, default=0))
    size = abs(held.size)
    return {
        "category": "linear",
        "positionIdx": 0,
        "riskId": 1,
        "symbol": market_id(market),
        "side": "" if not size else "Buy" if held.size > 0 else "Sell",
        "size": text(size),
        "avgPrice": text(held.entry),
        "entryPrice": text(held.entry),
        "positionValue": text(size * held.entry),
        "tradeMode": 0,
        "positionStatus": "Normal",
        "autoAddMargin": 0,
        "adlRankIndicator": 0,
        "leverage": str(LEVERAGE),
        "positionBalance": text(size * held.entry / LEVERAGE),
        "positionIM": text(size * held.entry / LEVERAGE),
        "positionMM": "0",
        "markPrice": text(mark),
        "liqPrice": "",
        "bustPrice": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "Full",
        "unrealisedPnl": text(held.size * (mark - held.entry)),
        "curRealisedPnl": text(held.gained),
        "cumRealisedPnl": text(held.gained),
        "createdTime": str(engine.now_ns() // 1_000_000),
        "updatedTime": str(now_ms),
        "seq": now_ms,
    }


def ticker(market: Market, last: str, now_ms: int) -> Json:
    best = market.snapshot(1)
    bid, ask = (side[0] if side else None for side in (best.bids, best.asks))
    found: Json = {
        "symbol": market_id(market),
        "bid1Price": text(bid[0]) if bid else "",
        "bid1Size": text(bid[1]) if bid else "",
        "ask1Price": text(ask[0]) if ask else "",
        "ask1Size": text(ask[1]) if ask else "",
        "lastPrice": last,
        "prevPrice24h": last,
        "price24hPcnt": "0",
        "highPrice24h": last,
        "lowPrice24h": last,
        "turnover24h": "0",
        "volume24h": "0",
    }
    if is_perp(market):
        hours = now_ms // 28_800_000 + 1
        funding = {"fundingRate": "0.0001", "nextFundingTime": str(hours * 28_800_000)}
        mark = last or (text((bid[0] + ask[0]) / 2) if bid and ask else "")
        found |= {"markPrice": mark, "indexPrice": mark, "openInterest": "0", **funding}
    return found


def api_key(key: Key) -> Json:
    trade = ["Order", "Position"] if key.can_trade else []
    return {
        "id": "1",
        "apiKey": key.key,
        "readOnly": 0 if key.can_trade else 1,
        "permissions": {
            "ContractTrade": trade,
            "Spot": ["SpotTrade"] if key.can_trade else [],
            "Wallet": ["AccountTransfer", "Withdraw"] if key.can_withdraw else [],
        },
        "ips": ["127.0.0.1"] if key.bound else ["*"],
        "uta": 1,
        "unified": 0,
        "userID": 1,
    }
