"""What Coinbase checks before it takes an order, a change or a cancel, in its words: each refusal has a reason of its
own list, and the answer to a new order one of the preview besides."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators import coinbase_wire as wire
from tests.emulators.coinbase_wire import Json
from tests.emulators.engine import Engine, Market

UNKNOWN = "UNKNOWN_FAILURE_REASON"
TIFS = {
    "market_market_ioc": Tif.IOC,
    "sor_limit_ioc": Tif.IOC,
    "limit_limit_gtc": Tif.GTC,
    "limit_limit_gtd": Tif.GTD,
    "limit_limit_fok": Tif.FOK,
}


class Refused(Exception):
    """A new order is not taken. `preview`: what its preview would have said."""

    def __init__(self, reason: str, preview: str = "", text: str = "") -> None:
        super().__init__(text)
        self.reason = reason
        self.preview = preview or (UNKNOWN if reason == UNKNOWN else f"PREVIEW_{reason}")
        self.text = text


class NotDone(Exception):
    """A change or a cancel is not done; its text is the reason."""


class Bad(Exception):
    """The request itself is refused, with `status`, the code of its kind and a text."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


class Terms(NamedTuple):
    market: Market
    side: Side
    qty: Decimal
    price: Decimal | None
    tif: Tif
    post_only: bool
    good_till_ns: int


def find_market(engine: Engine, product_id: str) -> Market | None:
    for market in engine.markets.values():
        if wire.product_id(market) == product_id:
            return market
    return None


def _number(given: Json, name: str, reason: str) -> Decimal:
    try:
        found = Decimal(str(given.get(name)))
    except InvalidOperation:
        raise Refused(reason) from None
    if not found.is_finite() or found <= 0:
        raise Refused(reason)
    return found


def existing(engine: Engine, account: str, client_id: str) -> w.OrderState | None:
    """The order of that client id, whatever became of it."""
    found = engine.order(account, client_id=client_id)
    return None if found is None or found.state is w.State.REJECTED else found


def read(engine: Engine, given: Json) -> Terms:
    market = find_market(engine, str(given.get("product_id", "")))
    if market is None:
        raise Refused("INVALID_PRODUCT_ID", text="product is not known")
    side = {"BUY": Side.BUY, "SELL": Side.SELL}.get(given.get("side", ""))
    if side is None:
        raise Refused("INVALID_SIDE")
    configured = given.get("order_configuration")
    if not isinstance(configured, dict) or len(configured) != 1:
        raise Refused("UNSUPPORTED_ORDER_CONFIGURATION")
    [(kind, terms)] = configured.items()
    if kind not in TIFS:
        raise Refused("UNSUPPORTED_ORDER_CONFIGURATION")
    price = None
    if kind != "market_market_ioc":
        price = _number(terms, "limit_price", "INVALID_LIMIT_PRICE")
    if price is None and terms.get("quote_size"):
        best = market.price(min(market.asks, default=0))
        step = market.qty(market.listing.lot)
        spent = _number(terms, "quote_size", "INVALID_SIZE_PRECISION")
        qty = spent / best // step * step if best else Decimal(0)
    else:
        qty = _number(terms, "base_size", "INVALID_SIZE_PRECISION")
    good_till_ns = 0
    if kind == "limit_limit_gtd":
        try:
            until = datetime.fromisoformat(str(terms.get("end_time", "")).replace("Z", "+00:00"))
        except ValueError:
            raise Refused("UNSUPPORTED_ORDER_CONFIGURATION") from None
        good_till_ns = int(until.timestamp() * SECOND)
    return Terms(market, side, qty, price, TIFS[kind], bool(terms.get("post_only")), good_till_ns)


def check_terms(market: Market, qty: Decimal, price: Decimal | None) -> None:
    listing = market.listing
    if qty % market.qty(listing.lot):
        raise Refused("INVALID_SIZE_PRECISION", text="Too many decimals in order amount")
    if price is not None and price % market.price(listing.tick):
        raise Refused("INVALID_PRICE_PRECISION", text="Too many decimals in order price")
    if qty < market.qty(listing.min_qty):
        raise Refused(UNKNOWN, "PREVIEW_INVALID_BASE_SIZE_TOO_SMALL", "Order size is too small")
    if qty > market.qty(listing.max_qty):
        raise Refused(UNKNOWN, "PREVIEW_INVALID_BASE_SIZE_TOO_LARGE", "Order size is too large")
    if price is not None and qty * price < market.instrument.cash(listing.min_notional):
        raise Refused(UNKNOWN, "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL", "Order value is too small")


def place(engine: Engine, account: str, given: Json) -> w.OrderState:
    """The order; the one that is there where the client id is not new, and then nothing else is looked at."""
    client_id = given.get("client_order_id")
    if not isinstance(client_id, str) or not client_id:
        raise Bad(400, "INVALID_ARGUMENT", "client_order_id is required")
    before = existing(engine, account, client_id)
    if before is not None:
        return before
    terms = read(engine, given)
    market = terms.market
    check_terms(market, terms.qty, terms.price)
    if not engine.affords(account, market.symbol, terms.side, terms.qty, terms.price):
        raise Refused("INSUFFICIENT_FUND", text="Insufficient balance in source account")
    answer = engine.submit(
        account,
        market.symbol,
        terms.side,
        terms.qty,
        terms.price,
        client_id=client_id,
        tif=terms.tif,
        post_only=terms.post_only,
        good_till_ns=terms.good_till_ns,
    )
    assert answer.order is not None
    if answer.code is Code.POST_ONLY_WOULD_TAKE:
        raise Refused("INVALID_LIMIT_PRICE_POST_ONLY", text="Limit price would take")
    if answer.order.state is w.State.REJECTED:
        raise Refused("INVALID_REQUEST", text=answer.text)
    return answer.order


def find(engine: Engine, account: str, order_id: str) -> w.OrderState | None:
    number = wire.order_number(order_id)
    found = engine.order(account, order_id=number) if number else None
    return None if found is None or found.state is w.State.REJECTED else found


def cancel(engine: Engine, account: str, order_id: str) -> None:
    found = find(engine, account, order_id)
    if found is not None and found.state is w.State.FILLED:
        raise NotDone("ORDER_IS_FULLY_FILLED")
    if found is None or found.state is not w.State.OPEN:
        raise NotDone("UNKNOWN_CANCEL_ORDER")
    engine.cancel(found)


def edit(engine: Engine, account: str, given: Json) -> w.OrderState:
    """`size` is the whole of it, with what has filled."""
    found = find(engine, account, str(given.get("order_id", "")))
    if found is None or found.state is not w.State.OPEN:
        raise NotDone("ORDER_NOT_FOUND")
    if found.kind == "market" or found.tif is not Tif.GTC:
        raise NotDone("ONLY_LIMIT_ORDER_EDITS_SUPPORTED")
    market = engine.markets[found.symbol]
    try:
        qty = _number(given, "size", "INVALID_EDITED_SIZE") if given.get("size") else market.qty(found.qty)
        price = market.price(found.price)
        if given.get("price"):
            price = _number(given, "price", "INVALID_EDITED_PRICE")
        if qty <= market.qty(found.cum_qty):
            raise NotDone("CANNOT_EDIT_TO_BELOW_FILLED_SIZE")
        check_terms(market, qty, price)
    except Refused as refused:
        named = "INVALID_EDITED_PRICE" if "PRICE" in refused.reason else "INVALID_EDITED_SIZE"
        raise NotDone(named) from None
    answer = engine.amend(found, qty, price)
    if answer.code is Code.POST_ONLY_WOULD_TAKE:
        raise NotDone("INVALID_EDITED_PRICE")
    if not answer.ok:
        raise NotDone("COMMANDER_REJECTED_EDIT_ORDER")
    return found
