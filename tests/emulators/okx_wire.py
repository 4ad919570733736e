"""OKX's own words: instruments, orders, fills, accounts. Numbers are text, swaps count contracts, and a fee that is
paid is negative."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators.engine import Engine, Levels, Market, given_id
from tests.emulators.unified import LEVERAGE, Fee, Position, Wallet, fee_of, is_perp, text

Json = dict[str, Any]
TOML = """
[venues.okx]
[instruments."BTC/USDT"]
start_price = "60000"
price_scale = 1
qty_scale = 8
venues.okx = { tick = "0.1", lot = "0.00000001", min_qty = "0.00001", max_qty = "9999999999", \
taker_bps = "10", maker_bps = "8" }
[instruments."ETH/USDT"]
start_price = "3000"
price_scale = 2
qty_scale = 6
venues.okx = { tick = "0.01", lot = "0.000001", min_qty = "0.001", max_qty = "999999999999", \
taker_bps = "10", maker_bps = "8" }
[instruments."BTC/USDT:USDT"]
start_price = "60000"
price_scale = 1
qty_scale = 8
venues.okx = { kind = "perp", tick = "0.1", lot = "0.0001", min_qty = "0.0001", max_qty = "1000000", \
contract_size = "0.01", taker_bps = "5", maker_bps = "2" }
[exchange]
latency = "0s"
"""
FUNDING_MS = 8 * 3_600_000
ORDER_IDS = 2_000_000_000_000_000_000
CODES = {"BTC/USDT": 10459, "ETH/USDT": 10460, "BTC/USDT:USDT": 10461}  # numbers that stand for instruments
CANCEL_SOURCES = {
    Code.CANCELED: "1",
    Code.FOK_UNFILLED: "13",
    Code.EXPIRED: "14",
    Code.NO_LIQUIDITY: "14",
    Code.POST_ONLY_WOULD_TAKE: "31",
}
CHECKED_LEVELS = 25


def inst_id(market: Market) -> str:
    return f"{market.base}-{market.quote}" + ("-SWAP" if is_perp(market) else "")


def inst_type(market: Market) -> str:
    return "SWAP" if is_perp(market) else "SPOT"


def contract(market: Market) -> Decimal:
    """What one unit of `sz` is in base."""
    return market.qty(market.listing.contract_size) if is_perp(market) else Decimal(1)


def size(market: Market, base: Decimal) -> str:
    return text(base / contract(market))


def order_id(number: int) -> str:
    return str(ORDER_IDS + number)


def order_number(given: str) -> int:
    """The engine's; 0 for what is no id."""
    return max(int(given) - ORDER_IDS, 0) if given.isdigit() else 0


def levels(market: Market, side: Levels) -> list[list[str]]:
    return [[text(price), size(market, qty), "0", "1" if qty else "0"] for price, qty in side]


def checksum(bids: Iterable[list[str]], asks: Iterable[list[str]]) -> int:
    """Of the best levels, bid and ask in turn, as a signed number of 32 bits."""
    ours, theirs = list(bids)[:CHECKED_LEVELS], list(asks)[:CHECKED_LEVELS]
    parts = []
    for place in range(CHECKED_LEVELS):
        parts += [":".join(side[place][:2]) for side in (ours, theirs) if place < len(side)]
    found = zlib.crc32(":".join(parts).encode())
    return found - (1 << 32) if found >= 1 << 31 else found


def instrument(market: Market) -> Json:
    listing, perp = market.listing, is_perp(market)
    most = size(market, market.qty(listing.max_qty))
    return {
        "instType": inst_type(market),
        "instId": inst_id(market),
        "instIdCode": CODES[market.symbol],
        "uly": f"{market.base}-{market.quote}" if perp else "",
        "instFamily": f"{market.base}-{market.quote}" if perp else "",
        "baseCcy": "" if perp else market.base,
        "quoteCcy": "" if perp else market.quote,
        "settleCcy": market.quote if perp else "",
        "ctVal": text(contract(market)) if perp else "",
        "ctMult": "1" if perp else "",
        "ctValCcy": market.base if perp else "",
        "ctType": "linear" if perp else "",
        "optType": "",
        "stk": "",
        "listTime": "1548133413000",
        "expTime": "",
        "lever": "100" if perp else "10",
        "tickSz": text(market.price(listing.tick)),
        "lotSz": size(market, market.qty(listing.lot)),
        "minSz": size(market, market.qty(listing.min_qty)),
        "alias": "",
        "state": "live",
        "ruleType": "normal",
        "maxLmtSz": most,
        "maxMktSz": most if perp else "1000000",
        "maxLmtAmt": "20000000",
        "maxMktAmt": "" if perp else "1000000",
    }


def state_of(order: w.OrderState) -> str:
    if order.state is w.State.OPEN:
        return "partially_filled" if order.cum_qty else "live"
    return "filled" if order.state is w.State.FILLED else "canceled"


def order_type(order: w.OrderState) -> str:
    if order.kind == "market":
        return "market"
    return "post_only" if order.post_only else {Tif.IOC: "ioc", Tif.FOK: "fok"}.get(order.tif, "limit")


def _fee_text(fees: Iterable[Fee]) -> tuple[str, str]:
    """With its sign, and the currency."""
    found = list(fees)
    return text(-sum((fee.amount for fee in found), Decimal(0))), found[0].currency if found else ""


def trades_of(engine: Engine, order: w.OrderState) -> list[w.Trade]:
    if not order.cum_qty:
        return []
    since_ns = order.created_ns
    trades = engine.trades(order.account, since_ns=since_ns, limit=1_000_000)
    return [trade for trade in trades if trade.order_id == order.order_id]


def order(
    engine: Engine, found: w.OrderState, trade: w.Trade | None = None, filled_units: int | None = None
) -> Json:
    """As it is; or, with `trade`, as it was when that had happened and `filled_units` were filled."""
    market = engine.markets[found.symbol]
    units = found.cum_qty if filled_units is None else filled_units
    filled, state = market.qty(units), state_of(found)
    if filled_units is not None:
        state = "filled" if units == found.qty else "partially_filled" if units else "live"
    trades = trades_of(engine, found)
    last = trade or (trades[-1] if trades and filled_units is None else None)
    told = [one for one in trades if trade is None or one.trade_id <= trade.trade_id] if units else []
    fee, currency = _fee_text(fee_of(one, market) for one in told)
    value = sum((market.price(one.price) * market.qty(one.qty) for one in told), Decimal(0))
    return {
        "instType": inst_type(market),
        "instId": inst_id(market),
        "tgtCcy": "base_ccy" if found.kind == "market" and not is_perp(market) else "",
        "ccy": "",
        "ordId": order_id(found.order_id),
        "clOrdId": given_id(found),
        "tag": "",
        "px": "" if found.kind == "market" else text(market.price(found.price)),
        "sz": size(market, market.qty(found.qty)),
        "ordType": order_type(found),
        "side": "buy" if found.side is Side.BUY else "sell",
        "posSide": "net",
        "tdMode": "cross" if is_perp(market) else "cash",
        "accFillSz": size(market, filled),
        "fillPx": text(market.price(last.price)) if last else "",
        "tradeId": str(last.trade_id) if last else "",
        "fillSz": size(market, market.qty(last.qty)) if last else "0",
        "fillTime": str(last.at_ns // 1_000_000) if last else "",
        "avgPx": text(value / filled) if filled and value else "",
        "state": state,
        "lever": str(LEVERAGE) if is_perp(market) else "",
        "fee": fee,
        "feeCcy": currency
        or (market.base if found.side is Side.BUY and not is_perp(market) else market.quote),
        "rebate": "0",
        "rebateCcy": market.quote,
        "category": "normal",
        "reduceOnly": "false",
        "cancelSource": CANCEL_SOURCES.get(found.code, "2") if found.code and state == "canceled" else "",
        "cancelSourceReason": found.text if state == "canceled" else "",
        "source": "",
        "uTime": str(found.updated_ns // 1_000_000),
        "cTime": str(found.created_ns // 1_000_000),
    }


def pushed(engine: Engine, found: w.OrderState, trades: list[w.Trade], *, is_new: bool) -> list[Json]:
    """What the stream says of one step: that it is there, each trade by itself, and how it ended."""
    market, frames = engine.markets[found.symbol], []
    filled = found.cum_qty - sum(trade.qty for trade in trades)
    if is_new and trades:
        frames.append(order(engine, found, None, filled_units=0))
    for trade in trades:
        filled += trade.qty
        fee, currency = _fee_text([fee_of(trade, market)])
        fill = {
            "fillFee": fee,
            "fillFeeCcy": currency,
            "execType": "M" if trade.liquidity == "maker" else "T",
            "fillNotionalUsd": text(market.price(trade.price) * market.qty(trade.qty)),
        }
        frames.append(order(engine, found, trade, filled) | fill)
    ended = found.state not in (w.State.OPEN, w.State.FILLED)
    if not trades or ended:
        frames.append(order(engine, found))
    blank = {"fillFee": "0", "fillFeeCcy": "", "execType": "", "fillNotionalUsd": ""}
    quiet = {"tradeId": "", "fillPx": "", "fillSz": "0", "fillTime": ""}
    more = {"code": "0", "msg": "", "amendResult": "", "reqId": ""}
    return [more | (one if "fillFee" in one else one | blank | quiet) for one in frames]


def fill(engine: Engine, trade: w.Trade) -> Json:
    market = engine.markets[trade.symbol]
    fee, currency = _fee_text([fee_of(trade, market)])
    at_ms = str(trade.at_ns // 1_000_000)
    return {
        "instType": inst_type(market),
        "instId": inst_id(market),
        "tradeId": str(trade.trade_id),
        "ordId": order_id(trade.order_id),
        "clOrdId": given_id(trade),
        "billId": order_id(trade.trade_id),
        "tag": "",
        "fillPx": text(market.price(trade.price)),
        "fillSz": size(market, market.qty(trade.qty)),
        "side": "buy" if trade.side is Side.BUY else "sell",
        "posSide": "net",
        "execType": "M" if trade.liquidity == "maker" else "T",
        "feeCcy": currency,
        "fee": fee,
        "ts": at_ms,
        "fillTime": at_ms,
    }


def balance(engine: Engine, account: str, now_ms: int, currencies: str = "") -> Json:
    wanted = set(filter(None, currencies.split(",")))
    held = Wallet(engine, account).holdings
    return {
        "uTime": str(now_ms),
        "totalEq": "",
        "details": [
            {
                "ccy": currency,
                "eq": text(one.total),
                "cashBal": text(one.total),
                "availBal": text(one.free),
                "availEq": text(one.free),
                "frozenBal": text(one.locked),
                "ordFrozen": text(one.locked),
                "upl": "0",
                "uTime": str(now_ms),
            }
            for currency, one in held.items()
            if not wanted or currency in wanted
        ],
    }


def position(market: Market, held: Position, now_ms: int) -> Json:
    mark = market.price(max(market.bids, default=0) or min(market.asks, default=0))
    value = abs(held.size) * held.entry
    return {
        "instType": "SWAP",
        "instId": inst_id(market),
        "mgnMode": "cross",
        "posId": str(CODES[market.symbol]),
        "posSide": "net",
        "pos": size(market, held.size),
        "posCcy": "",
        "avgPx": text(held.entry) if held.size else "",
        "markPx": text(mark),
        "upl": text(held.size * (mark - held.entry)),
        "uplRatio": "0",
        "lever": str(LEVERAGE),
        "notionalUsd": text(abs(held.size) * mark),
        "imr": text(value / LEVERAGE),
        "mmr": "0",
        "margin": "",
        "liqPx": "",
        "ccy": market.quote,
        "realizedPnl": text(held.gained),
        "cTime": str(now_ms),
        "uTime": str(now_ms),
    }


def mark(channel: str, market: Market, now_ms: int) -> Json:
    """Of the channels mark-price (the mid of the book) and funding-rate."""
    named = {"instType": "SWAP", "instId": inst_id(market), "ts": str(now_ms)}
    if channel == "funding-rate":
        next_ms = (now_ms // FUNDING_MS + 1) * FUNDING_MS
        times = {"fundingTime": str(next_ms), "nextFundingTime": str(next_ms + FUNDING_MS)}
        return named | {"fundingRate": "0.0001", "nextFundingRate": "", "method": "current_period", **times}
    best = market.snapshot(1)
    there = [side[0][0] for side in (best.bids, best.asks) if side]
    return named | {"markPx": text(sum(there, Decimal(0)) / len(there)) if there else ""}


def ticker(market: Market, last: str, now_ms: int) -> Json:
    best = market.snapshot(1)
    bid, ask = (side[0] if side else None for side in (best.bids, best.asks))
    return {
        "instType": inst_type(market),
        "instId": inst_id(market),
        "last": last,
        "lastSz": "",
        "bidPx": text(bid[0]) if bid else "",
        "bidSz": size(market, bid[1]) if bid else "",
        "askPx": text(ask[0]) if ask else "",
        "askSz": size(market, ask[1]) if ask else "",
        "open24h": last,
        "high24h": last,
        "low24h": last,
        "vol24h": "0",
        "volCcy24h": "0",
        "sodUtc0": last,
        "sodUtc8": last,
        "ts": str(now_ms),
    }
