"""KIS's ledger on a bench: a market, rows as the broker would list them, and questions of the core."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bestex.clock import SECOND
from bestex.config import parse
from bestex.instruments import FEE_ONE
from bestex.kis.frames import moment
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.venues.kis.dialect import Row, order_id
from services.gateway.venues.kis.ledger import Ledger
from services.gateway.venues.kis.markets import Market, markets_of

DAY = "20261130"
OPEN_NS = moment(DAY, "100000")
TIMEOUT_NS = 5 * SECOND
CONFIG = parse(
    """
    [venues.kis_krx]
    adapter = "kis"
    [instruments."005930/KRW"]
    price_scale = 0
    qty_scale = 0
    venues.kis_krx = { symbol = "005930", tick = "100", lot = "1", taker_bps = "1.5" }
    """
)
[MARKET] = markets_of("kis_krx", CONFIG)


def fee(market: Market, side: Side, value: int) -> Decimal:  # noqa: ARG001 - the same for both here
    return market.instrument.cash(value) * market.listing.taker_fee_e8 / FEE_ONE


def ledger() -> Ledger:
    return Ledger(fee, TIMEOUT_NS)


def name(number: int) -> str:
    return order_id(DAY, number)


def row(number: int, *, after_s: int = 0, of: int = 0, **changed: Any) -> Row:
    """One of 10 shares at 70,000, bought, open; so many seconds after ten o'clock."""
    usual: dict[str, Any] = {
        "id": name(number),
        "original": name(of) if of else "",
        "branch": "06010",
        "market": MARKET,
        "side": Side.BUY,
        "qty": 10,
        "price": 70_000,
        "kind": "00",
        "filled": 0,
        "amount": 0,
        "refused": 0,
        "is_cancel": False,
        "at_ns": OPEN_NS + after_s * SECOND,
        "told_ns": 0,
    }
    made = {**usual, **changed}
    made.setdefault("left", made["qty"] - made["filled"])
    return Row(**made)


def submit(child_id: str, **changed: Any) -> p.Submit:
    usual: dict[str, Any] = {
        "venue": "kis_krx",
        "symbol": "005930/KRW",
        "child_id": child_id,
        "side": Side.BUY,
        "qty": 10,
        "price": 70_000,
        "tif": Tif.GTC,
        "post_only": False,
        "deadline_ns": OPEN_NS + TIMEOUT_NS,
        "good_till_ns": 0,
    }
    return p.Submit(**{**usual, **changed})


def query(child_id: str, **changed: Any) -> p.QueryOrder:
    usual: dict[str, Any] = {
        "venue": "kis_krx",
        "symbol": "005930/KRW",
        "child_id": child_id,
        "side": Side.BUY,
        "qty": 10,
        "price": 70_000,
        "tif": Tif.GTC,
        "submitted_ns": OPEN_NS,
    }
    return p.QueryOrder(**{**usual, **changed})


def lost(book: Ledger, child_id: str, at_ns: int = OPEN_NS, **changed: Any) -> None:
    """Sent, and its answer did not come."""
    book.sending(submit(child_id, **changed), MARKET, at_ns)
    book.unanswered(child_id)
