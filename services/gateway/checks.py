"""The checks before a child is sent. Pure, and closed: what is not known to be right is refused, with a code."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from bestex.config import LimitsConfig
from bestex.errors import Code
from bestex.ids import token
from bestex.instruments import Instrument, Instruments
from bestex.messages import ChildNew, ChildReplace
from bestex.units import UnitError
from services.gateway.port import Capabilities, Session

OPEN_MAX = 10_000  # open children per venue: beyond any venue's own limit, and small enough to reconcile


class Refusal(NamedTuple):
    code: Code
    text: str


class Halts:
    """What operators have halted: the newest word per scope."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[int, bool]] = {}

    def hear(self, scope: str, at_ns: int, halted: bool) -> None:
        """A word without a time is one that could not be read: it halts, until a readable one follows."""
        scope = token(scope)
        if not at_ns:
            self._said[scope] = (self._said.get(scope, (0, False))[0], True)
        elif at_ns >= self._said.get(scope, (0, False))[0]:
            self._said[scope] = (at_ns, halted)

    def covers(self, venue: str, account: str, algo: str) -> str:
        """The scope that halts such a child; empty where none does."""
        for scope in ("global", f"venue-{venue}", f"account-{account}", f"algo-{algo}"):
            if self._said.get(token(scope), (0, False))[1]:
                return scope
        return ""


class Checks:
    def __init__(
        self, venues: Mapping[str, Capabilities], instruments: Instruments, limits: LimitsConfig
    ) -> None:
        self._venues = venues
        self._instruments = instruments
        self._limits = limits
        self.halts = Halts()

    def new(self, order: ChildNew, session: Session, open_children: int, now_ns: int) -> Refusal | None:
        """Why `order` must not be sent now; None where it may."""
        capabilities = self._venues[order.venue]
        if order.expires_at <= now_ns:
            return Refusal(Code.EXPIRED, f"not to be sent after {order.expires_at}")
        if order.good_till <= now_ns:
            return Refusal(Code.EXPIRED, f"not to rest beyond {order.good_till}")
        if scope := self.halts.covers(order.venue, order.account, order.algo):
            return Refusal(Code.HALTED, f"{scope} is halted")
        if session is not Session.RECONCILED:
            return Refusal(Code.NOT_READY, f"the session with {order.venue} is {session}")
        if open_children >= OPEN_MAX:
            return Refusal(Code.LIMIT_EXCEEDED, f"{OPEN_MAX} children are open on {order.venue}")
        if order.tif not in capabilities.tifs:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} takes no {order.tif} orders")
        if order.post_only and not capabilities.post_only:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} takes no post-only orders")
        return self.terms(order.venue, order.symbol, order.qty, order.price)

    def replace(self, order: ChildReplace, now_ns: int) -> Refusal | None:
        if order.expires_at <= now_ns:
            return Refusal(Code.EXPIRED, f"not to be sent after {order.expires_at}")
        if not self._venues[order.venue].native_replace:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} cannot replace an order")
        return self.terms(order.venue, order.symbol, order.qty, order.price)

    def terms(self, venue: str, symbol: str, qty: Decimal, price: Decimal) -> Refusal | None:
        """The venue's grid and minimums, and our own limits."""
        instrument = self._instruments.by_symbol.get(symbol)
        listing = instrument.listing(venue) if instrument else None
        if instrument is None or listing is None:
            return Refusal(Code.UNKNOWN_SYMBOL, f"{symbol} is not traded on {venue}")
        try:
            lots, ticks = instrument.qty_units(qty), instrument.price_units(price)
        except UnitError as error:
            return Refusal(Code.OFF_LOT if _is_off(instrument, qty) else Code.OFF_TICK, str(error))
        if lots <= 0:
            return Refusal(Code.INVALID_QTY, f"{qty} is no quantity")
        if ticks <= 0:
            return Refusal(Code.INVALID_PRICE, f"{price} is no price")
        if lots % listing.lot:
            return Refusal(Code.OFF_LOT, f"{qty} is not a multiple of {instrument.qty(listing.lot)}")
        if ticks % listing.tick:
            return Refusal(Code.OFF_TICK, f"{price} is not a multiple of {instrument.price(listing.tick)}")
        if lots < listing.min_qty:
            return Refusal(Code.BELOW_MINIMUM, f"{qty} is below {instrument.qty(listing.min_qty)}")
        if listing.max_qty and lots > listing.max_qty:
            return Refusal(Code.LIMIT_EXCEEDED, f"{qty} is above {instrument.qty(listing.max_qty)}")
        if lots * ticks < listing.min_notional:
            least = instrument.cash(listing.min_notional)
            return Refusal(Code.BELOW_MINIMUM, f"{instrument.cash(lots * ticks)} is below {least}")
        if self._limits.max_order_qty is not None and qty > self._limits.max_order_qty:
            return Refusal(Code.LIMIT_EXCEEDED, f"{qty} is above our own {self._limits.max_order_qty}")
        value = instrument.cash(lots * ticks)
        if self._limits.max_order_value is not None and value > self._limits.max_order_value:
            return Refusal(Code.LIMIT_EXCEEDED, f"{value} is above our own {self._limits.max_order_value}")
        return None


def _is_off(instrument: Instrument, qty: Decimal) -> bool:
    try:
        instrument.qty_units(qty)
    except UnitError:
        return True
    return False
