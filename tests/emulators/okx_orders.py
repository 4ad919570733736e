"""What OKX checks before it takes an order, in its words. An order that was to add liquidity and would take is taken,
and then cancelled by the exchange."""

from __future__ import annotations

import re
from decimal import Decimal

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators import okx_wire as wire
from tests.emulators.engine import Engine, Market, given_id
from tests.emulators.okx_wire import Json
from tests.emulators.unified import affords, is_perp, price_for_market

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
TIFS = {
    "limit": Tif.GTC,
    "post_only": Tif.GTC,
    "ioc": Tif.IOC,
    "fok": Tif.FOK,
    "market": Tif.IOC,
    "optimal_limit_ioc": Tif.IOC,
}


class Refused(Exception):
    """`code` and `text` go into sCode and sMsg of one order; as an answer to the whole request with `status`."""

    def __init__(self, code: str, text: str, status: int = 200) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status


def find_market(engine: Engine, given: Json) -> Market:
    for market in engine.markets.values():
        if given.get("instId") == wire.inst_id(market):
            return market
        if "instIdCode" in given and str(given["instIdCode"]) == str(wire.CODES[market.symbol]):
            return market
    raise Refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def place(engine: Engine, account: str, given: Json) -> Json:
    market = find_market(engine, given)
    side = {"buy": Side.BUY, "sell": Side.SELL}.get(given.get("side", ""))
    kind, mode = given.get("ordType", ""), given.get("tdMode", "")
    if side is None:
        raise _parameter("side")
    if kind not in TIFS:
        raise _parameter("ordType")
    if mode not in (("cross", "isolated") if is_perp(market) else ("cash",)):
        raise _parameter("tdMode")
    if given.get("posSide", "net") != "net":
        raise _parameter("posSide")
    client_id = given.get("clOrdId", "")
    if client_id and not CLIENT_ID.fullmatch(client_id):
        raise _parameter("clOrdId")
    is_market = kind in ("market", "optimal_limit_ioc")
    price = None if is_market else number(given, "px")
    qty = number(given, "sz") * wire.contract(market)
    value_at = price_for_market(market, side) if price is None else price
    if is_market and side is Side.BUY and not is_perp(market) and given.get("tgtCcy") != "base_ccy":
        step = market.qty(market.listing.lot)  # what is given is what is to be spent
        qty = qty / value_at // step * step if value_at else Decimal(0)
    check_terms(market, qty, price)
    before = engine.order(account, client_id=client_id) if client_id else None
    if before is not None and before.state is w.State.OPEN:
        raise Refused("51016", "Client order ID already exists.")
    if str(given.get("reduceOnly", "false")).lower() != "true" and not affords(
        engine, account, market.symbol, side, qty, value_at
    ):
        currency = market.quote if side is Side.BUY or is_perp(market) else market.base
        raise Refused("51008", f"Order failed. Insufficient {currency} balance in account.")
    answer = engine.submit(
        account,
        market.symbol,
        side,
        qty,
        price,
        client_id=client_id,
        tif=TIFS[kind],
        post_only=kind == "post_only",
    )
    assert answer.order is not None
    return done(answer.order)


def check_terms(market: Market, qty: Decimal, price: Decimal | None) -> None:
    listing = market.listing
    if price is not None and (price <= 0 or price % market.price(listing.tick)):
        raise _parameter("px")
    if qty <= 0:
        raise _parameter("sz")
    if qty < market.qty(listing.min_qty):
        raise Refused("51020", "Your order should meet or exceed the minimum order amount.")
    if qty % market.qty(listing.lot):
        raise Refused("51121", "Order quantity must be a multiple of the lot size.")
    if listing.max_qty and qty > market.qty(listing.max_qty):
        raise Refused("51005", "Your order amount exceeds the max order amount.")


def _parameter(name: str) -> Refused:
    return Refused("51000", f"Parameter {name} error")


def number(given: Json, name: str) -> Decimal:
    value = given.get(name)
    if not isinstance(value, str) or not re.fullmatch(r"\d+(\.\d+)?", value):
        raise _parameter(name)
    return Decimal(value)


def find(engine: Engine, account: str, given: Json) -> w.OrderState | None:
    """By `ordId`, which goes first, or the newest one of a `clOrdId`."""
    market = find_market(engine, given)
    if wanted := given.get("ordId"):
        found = engine.order(account, order_id=wire.order_number(wanted)) if wanted.isdigit() else None
    elif given.get("clOrdId"):
        found = engine.order(account, client_id=given["clOrdId"])
    else:
        raise Refused("51003", "Either client order ID or order ID is required.")
    return found if found is not None and found.symbol == market.symbol else None


def cancel(engine: Engine, account: str, given: Json) -> Json:
    found = find(engine, account, given)
    if found is None:
        raise Refused(
            "51400", "Order cancellation failed as the order has been filled, canceled or does not exist."
        )
    if found.state is w.State.FILLED:
        raise Refused("51402", "Order cancellation failed as the order has already been completed.")
    if found.state is not w.State.OPEN:
        raise Refused("51401", "Order cancellation failed as the order has already been canceled.")
    engine.cancel(found)
    return done(found)


def amend(engine: Engine, account: str, given: Json) -> Json:
    found = find(engine, account, given)
    if found is None:
        raise Refused(
            "51503", "Order modification failed as the order has been filled, canceled or does not exist."
        )
    if found.state is w.State.FILLED:
        raise Refused("51510", "Order modification failed as the order has been completed.")
    if found.state is not w.State.OPEN:
        raise Refused("51509", "Order modification failed as the order has been canceled.")
    if not given.get("newSz") and not given.get("newPx"):
        raise Refused("51500", "You must enter a price, quantity, or TP/SL.")
    market = engine.markets[found.symbol]
    qty = number(given, "newSz") * wire.contract(market) if given.get("newSz") else market.qty(found.qty)
    price = number(given, "newPx") if given.get("newPx") else market.price(found.price)
    check_terms(market, qty, price)
    answer = engine.amend(found, qty, price)
    if answer.code is Code.POST_ONLY_WOULD_TAKE:
        raise Refused(
            "51511", "Modification failed as the order price did not meet the requirement for Post Only."
        )
    if not answer.ok:
        raise Refused("51503", f"Order modification failed: {answer.text}")
    return done(found)


def done(found: w.OrderState) -> Json:
    return {
        "ordId": wire.order_id(found.order_id),
        "clOrdId": given_id(found),
        "tag": "",
        "sCode": "0",
        "sMsg": "",
    }
