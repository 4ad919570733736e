"""What Kraken checks before it takes an order, in its words; the same over HTTP and over the websocket, whose fields
are translated first. What a request does is counted against two limits: calls of a key, and orders of a pair."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from tests.emulators import kraken_wire as wire
from tests.emulators.engine import Engine, Market, given_id
from tests.emulators.kraken_wire import Json

CLIENT_ID = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[\x21-\x7e]{1,18}"
)
DEADLINE_MAX_NS = 60 * SECOND
FLAGS = {"post", "fciq", "nompp", ""}
OPEN_MAX = 225  # orders of one pair, of a verified account
# What an act counts by how long the order had rested, in seconds; the last is for whatever is older.
RESTED_S = (5, 10, 15, 45, 90, 300)
COUNTS = {
    "add": (1,),
    "amend": (4, 3, 2, 1),
    "edit": (7, 6, 5, 3, 2, 1),
    "cancel": (8, 6, 5, 4, 2, 1, 0),
}


class Refused(Exception):
    """Its text is what stands in `error`."""


@dataclass
class Counter:
    """Counts up with each act, and down with time; `limit` is not to be passed."""

    limit: float
    decay_per_s: float
    count: float = 0.0
    at_s: float = field(default=0.0)

    def fits(self, weight: float, now_s: float) -> bool:
        self.count = max(0.0, self.count - (now_s - self.at_s) * self.decay_per_s)
        self.at_s = now_s
        if self.count + weight > self.limit:
            return False
        self.count += weight
        return True


def weight(act: str, rested_s: float) -> int:
    counts = COUNTS[act]
    place = sum(rested_s >= limit for limit in RESTED_S)
    return counts[min(place, len(counts) - 1)]


def invalid(name: str) -> Refused:
    return Refused(f"EGeneral:Invalid arguments:{name}")


def find_market(engine: Engine, given: str) -> Market:
    for market in engine.markets.values():
        if given in (wire.pair_id(market), wire.altname(market), wire.wsname(market), market.symbol):
            return market
    raise Refused("EQuery:Unknown asset pair")


def number(given: Json, name: str) -> Decimal:
    try:
        found = Decimal(str(given[name]))
    except (KeyError, InvalidOperation):
        raise invalid(name) from None
    if not found.is_finite() or found <= 0:
        raise invalid(name)
    return found


def client_id(given: Json) -> str:
    found = str(given.get("cl_ord_id") or "")
    if found and not CLIENT_ID.fullmatch(found):
        raise invalid("cl_ord_id")
    if found and given.get("userref"):
        raise Refused("EGeneral:Invalid arguments")  # one or the other
    return found


def check_deadline(given: Json, now_ns: int) -> None:
    """By the exchange's own clock."""
    text = str(given.get("deadline") or "")
    if not text:
        return
    try:
        at_ns = int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * SECOND)
    except ValueError:
        raise invalid("deadline") from None
    if at_ns > now_ns + DEADLINE_MAX_NS:
        raise invalid("deadline")
    if at_ns < now_ns:
        raise Refused("EService:Deadline elapsed")


def check_terms(market: Market, qty: Decimal, price: Decimal | None) -> None:
    listing = market.listing
    if qty % market.qty(listing.lot):
        raise invalid("volume")
    if price is not None and price % market.price(listing.tick):
        raise Refused("EOrder:Tick size check failed")
    if qty < market.qty(listing.min_qty):
        raise Refused("EOrder:Order minimum not met")
    if price is not None and qty * price < market.instrument.cash(listing.min_notional):
        raise Refused("EOrder:Cost minimum not met")


def place(engine: Engine, account: str, given: Json, now_ns: int) -> w.OrderState | str:
    """The order; or what it would be, where it was only to be checked."""
    market = find_market(engine, str(given.get("pair", "")))
    side = {"buy": Side.BUY, "sell": Side.SELL}.get(given.get("type", ""))
    kind = given.get("ordertype", "")
    if side is None:
        raise invalid("type")
    if kind not in ("limit", "market", "iceberg"):
        raise invalid("ordertype")
    flags = set(str(given.get("oflags") or "").split(","))
    tif = str(given.get("timeinforce") or "GTC").upper()
    if not flags <= FLAGS:
        raise invalid("oflags")
    if tif not in ("GTC", "IOC", "GTD"):
        raise invalid("timeinforce")
    post_only = "post" in flags
    if post_only and (kind == "market" or tif == "IOC"):
        raise Refused("EGeneral:Invalid arguments")
    name = client_id(given)
    check_deadline(given, now_ns)
    price = None if kind == "market" else number(given, "price")
    qty = number(given, "volume")
    display = number(given, "displayvol") if kind == "iceberg" else None
    check_terms(market, qty, price)
    good_till_ns = 0
    if tif == "GTD":
        expires = str(number(given, "expiretm"))
        good_till_ns = int(Decimal(expires) * SECOND)
    if name and (before := engine.order(account, client_id=name)) and before.state is w.State.OPEN:
        raise Refused("EOrder:Duplicate cl_ord_id")
    if len(engine.open_orders(account, market.symbol)) >= OPEN_MAX:
        raise Refused("EOrder:Orders limit exceeded")
    if not engine.affords(account, market.symbol, side, qty, price):
        raise Refused("EOrder:Insufficient funds")
    if str(given.get("validate", "false")).lower() == "true":
        at = "market" if price is None else f"limit {wire.price_text(market, price)}"
        return f"{given['type']} {wire.volume(qty)} {wire.altname(market)} @ {at}"
    answer = engine.submit(
        account,
        market.symbol,
        side,
        qty,
        price,
        client_id=name,
        tif={"IOC": Tif.IOC, "GTD": Tif.GTD}.get(tif, Tif.GTC),
        post_only=post_only,
        display=display,
        good_till_ns=good_till_ns,
    )
    assert answer.order is not None
    if answer.code is Code.POST_ONLY_WOULD_TAKE:
        raise Refused("EOrder:Post only order")
    if answer.order.state is w.State.REJECTED:
        raise Refused("EOrder:Invalid order")
    return answer.order


def find(engine: Engine, account: str, given: Json) -> w.OrderState:
    """The open order by `txid` or `cl_ord_id`."""
    if name := str(given.get("cl_ord_id") or ""):
        found = engine.order(account, client_id=name)
    else:
        wanted = wire.order_number(str(given.get("txid", "")))
        found = engine.order(account, order_id=wanted) if wanted else None
    if found is None or found.state is not w.State.OPEN:
        raise Refused("EOrder:Unknown order")
    return found


def amend(engine: Engine, account: str, given: Json, now_ns: int) -> w.OrderState:
    """`order_qty` is the whole of it, with what has filled."""
    found = find(engine, account, given)
    if not given.get("order_qty") and not given.get("limit_price"):
        raise Refused("EGeneral:Invalid arguments")
    check_deadline(given, now_ns)
    market = engine.markets[found.symbol]
    qty = number(given, "order_qty") if given.get("order_qty") else market.qty(found.qty)
    price = number(given, "limit_price") if given.get("limit_price") else market.price(found.price)
    check_terms(market, qty, price)
    answer = engine.amend(found, qty, price)
    if answer.code is Code.POST_ONLY_WOULD_TAKE:
        raise Refused("EOrder:Post only order")
    if not answer.ok:
        raise Refused("EOrder:Invalid order")
    return found


def edit(engine: Engine, account: str, given: Json, now_ns: int) -> tuple[w.OrderState, w.OrderState]:
    """The old order, cancelled, and a new one in its stead: it has another id, and no client id."""
    found = find(engine, account, given)
    if given_id(found):
        raise invalid("cl_ord_id")
    market = engine.markets[found.symbol]
    terms = {
        **given,
        "pair": given.get("pair") or market.symbol,
        "type": "buy" if found.side is Side.BUY else "sell",
        "ordertype": "limit",
        "volume": given.get("volume") or str(market.qty(found.qty)),
        "price": given.get("price") or str(market.price(found.price)),
    }
    place(engine, account, {**terms, "validate": "true"}, now_ns)
    if number(terms, "volume") <= market.qty(found.cum_qty):
        raise invalid("volume")
    engine.cancel(found)
    terms["volume"] = str(number(terms, "volume") - market.qty(found.cum_qty))
    made = place(engine, account, {**terms, "validate": "false"}, now_ns)
    assert not isinstance(made, str)
    return found, made
