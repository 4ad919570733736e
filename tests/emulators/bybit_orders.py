"""What Bybit checks before it says OK, in its words, and what it does then. What the book itself refuses (an order
that was to add liquidity and would take) is told on the stream afterwards, and not in the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from bestex import sim_wire as w
from bestex.messages import Side, Tif
from tests.emulators.bybit_wire import Json, category, market_id, order_id, order_number
from tests.emulators.engine import Engine, Market, given_id
from tests.emulators.unified import affords, is_perp, price_for_market

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
TIFS = {"GTC": Tif.GTC, "IOC": Tif.IOC, "FOK": Tif.FOK, "PostOnly": Tif.GTC}


class Refused(Exception):
    """`code` and `text` go into retCode and retMsg."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Codes(NamedTuple):
    """The same mistake has another code on spot than on derivatives."""

    symbol: tuple[int, str]
    side: tuple[int, str]
    tif: tuple[int, str]
    price: tuple[int, str]
    step: tuple[int, str]
    too_small: tuple[int, str]
    too_large: tuple[int, str]
    notional: tuple[int, str]
    funds: tuple[int, str]
    duplicate: tuple[int, str]
    unknown: tuple[int, str]
    filled: tuple[int, str]
    canceled: tuple[int, str]


LINEAR = Codes(
    symbol=(10001, "params error: symbol invalid"),
    side=(10001, "Side invalid"),
    tif=(10001, "TimeInForce invalid"),
    price=(10001, "params error: price invalid"),
    step=(10001, "Qty invalid"),
    too_small=(10001, "The number of contracts exceeds minimum limit allowed"),
    too_large=(10001, "The number of contracts exceeds maximum limit allowed"),
    notional=(110094, "Order does not meet minimum order value 5USDT"),
    funds=(110007, "ab not enough for new order"),
    duplicate=(110072, "OrderLinkedID is duplicate"),
    unknown=(110001, "order not exists or too late to cancel"),
    filled=(110001, "order not exists or too late to cancel"),
    canceled=(110001, "order not exists or too late to cancel"),
)
SPOT = Codes(
    symbol=(170121, "Invalid symbol."),
    side=(170117, "Invalid side."),
    tif=(170115, "Invalid timeInForce."),
    price=(170134, "Order price has too many decimals."),
    step=(170137, "Order quantity has too many decimals."),
    too_small=(170136, "Order quantity exceeded lower limit."),
    too_large=(170135, "Order quantity exceeded upper limit."),
    notional=(170140, "Order value exceeded lower limit."),
    funds=(170131, "Insufficient balance."),
    duplicate=(170141, "Duplicate clientOrderId."),
    unknown=(170213, "Order does not exist."),
    filled=(170139, "Order has been filled."),
    canceled=(170142, "Order has been canceled."),
)
UNCHANGED = (10001, "The order remains unchanged as the parameters entered match the existing ones.")


def codes(market: Market) -> Codes:
    return LINEAR if is_perp(market) else SPOT


def find_market(engine: Engine, body: Json) -> Market:
    kind = body.get("category")
    if kind not in ("spot", "linear"):
        raise Refused(10001, "params error: Category is invalid")
    for market in engine.markets.values():
        if category(market) == kind and market_id(market) == body.get("symbol"):
            return market
    raise Refused(*(LINEAR if kind == "linear" else SPOT).symbol)


def create(engine: Engine, account: str, body: Json) -> Json:
    market = find_market(engine, body)
    code, listing = codes(market), market.listing
    side = SIDES.get(body.get("side", ""))
    if side is None:
        raise Refused(*code.side)
    is_market = body.get("orderType") == "Market"
    if not is_market and body.get("orderType") != "Limit":
        raise Refused(10001, "OrderType invalid")
    terms = body.get("timeInForce") or ("IOC" if is_market else "GTC")
    if terms not in TIFS:
        raise Refused(*code.tif)
    link_id = body.get("orderLinkId", "")
    if link_id and not LINK_ID.fullmatch(link_id):
        raise Refused(10001, "params error: OrderLinkId invalid")
    price = None if is_market else number(body, "price")
    qty = number(body, "qty")
    value_at = price_for_market(market, side) if price is None else price
    if is_market and not is_perp(market) and side is Side.BUY and body.get("marketUnit") != "baseCoin":
        step = market.qty(listing.lot)  # what is given is what is to be spent
        qty = qty / value_at // step * step if value_at else Decimal(0)
    check_terms(market, qty, price, value_at)
    if link_id and engine.order(account, client_id=link_id) is not None:
        raise Refused(*code.duplicate)
    if not body.get("reduceOnly") and not affords(engine, account, market.symbol, side, qty, value_at):
        raise Refused(*code.funds)
    answer = engine.submit(
        account,
        market.symbol,
        side,
        qty,
        price,
        client_id=link_id,
        tif=TIFS[terms],
        post_only=terms == "PostOnly",
    )
    assert answer.order is not None
    return {"orderId": order_id(market, answer.order.order_id), "orderLinkId": link_id}


def check_terms(market: Market, qty: Decimal, price: Decimal | None, value_at: Decimal) -> None:
    code, listing = codes(market), market.listing
    if price is not None and (price <= 0 or price % market.price(listing.tick)):
        raise Refused(*code.price)
    if qty <= 0 or qty % market.qty(listing.lot):
        raise Refused(*code.step)
    if qty < market.qty(listing.min_qty):
        raise Refused(*code.too_small)
    if listing.max_qty and qty > market.qty(listing.max_qty):
        raise Refused(*code.too_large)
    if value_at and qty * value_at < market.instrument.cash(listing.min_notional):
        raise Refused(*code.notional)


def number(body: Json, name: str) -> Decimal:
    """A number is text, and only digits."""
    given = body.get(name)
    try:
        if not isinstance(given, str) or not re.fullmatch(r"\d+(\.\d+)?", given):
            raise InvalidOperation
        return Decimal(given)
    except InvalidOperation:
        raise Refused(10001, f"params error: {name} invalid") from None


def find_open(engine: Engine, account: str, body: Json) -> w.OrderState:
    market = find_market(engine, body)
    code = codes(market)
    if not body.get("orderId") and not body.get("orderLinkId"):
        raise Refused(10001, "params error: orderId or orderLinkId is required")
    found = find(engine, account, body)
    if found is None or found.symbol != market.symbol or found.state is w.State.REJECTED:
        raise Refused(*code.unknown)
    if found.state is not w.State.OPEN:
        raise Refused(*(code.filled if found.state is w.State.FILLED else code.canceled))
    return found


def find(engine: Engine, account: str, body: Json) -> w.OrderState | None:
    """By `orderId`, which goes first, or by `orderLinkId`."""
    if given := body.get("orderId"):
        wanted = order_number(given)
        return engine.order(account, order_id=wanted) if wanted else None
    return engine.order(account, client_id=body.get("orderLinkId", "")) if body.get("orderLinkId") else None


def cancel(engine: Engine, account: str, body: Json) -> Json:
    found = find_open(engine, account, body)
    engine.cancel(found)
    return ids(engine, found)


def amend(engine: Engine, account: str, body: Json) -> Json:
    found = find_open(engine, account, body)
    market = engine.markets[found.symbol]
    qty = number(body, "qty") if body.get("qty") else market.qty(found.qty)
    price = number(body, "price") if body.get("price") else market.price(found.price)
    if (qty, price) == (market.qty(found.qty), market.price(found.price)):
        raise Refused(*UNCHANGED)
    check_terms(market, qty, price, price)
    if qty <= market.qty(found.cum_qty):
        raise Refused(10001, "Qty invalid")
    answer = engine.amend(found, qty, price)
    if not answer.ok and answer.code:
        raise Refused(10001, f"params error: {answer.code}")
    return ids(engine, found)


def cancel_all(engine: Engine, account: str, body: Json) -> list[Json]:
    kind = body.get("category")
    if kind not in ("spot", "linear"):
        raise Refused(10001, "params error: Category is invalid")
    symbol = find_market(engine, body).symbol if body.get("symbol") else ""
    if kind == "linear" and not symbol and not body.get("settleCoin") and not body.get("baseCoin"):
        raise Refused(10001, "Request parameter error.")
    done = []
    for found in engine.open_orders(account, symbol):
        if category(engine.markets[found.symbol]) == kind:
            engine.cancel(found)
            done.append(ids(engine, found))
    return done


def ids(engine: Engine, found: w.OrderState) -> Json:
    return {"orderId": order_id(engine.markets[found.symbol], found.order_id), "orderLinkId": given_id(found)}


def of_kind(engine: Engine, states: Iterable[w.OrderState], kind: str) -> list[w.OrderState]:
    return [state for state in states if category(engine.markets[state.symbol]) == kind]
