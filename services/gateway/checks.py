"""The checks before a child is sent. Pure, and closed: what is not known to be right is refused, with a code.

Here is what needs no history: builds, time, halts, the session, the venue's grid, the size of one order. What
needs some stands in `controls`, one idea a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from bestex.errors import Code
from bestex.halts import Halts
from bestex.instruments import Instruments
from bestex.limits import LimitsConfig
from bestex.messages import ChildNew, ChildReplace, Tif
from bestex.sessions import why_closed
from bestex.units import UnitError, to_units
from services.gateway.controls.controls import Controls
from services.gateway.controls.wanted import Refusal, Wanted
from services.gateway.holdings import Holdings
from services.gateway.orders import Child, Status
from services.gateway.port import Capabilities, Session

OPEN_MAX = 10_000  # open children per venue: beyond any venue's own limit, and small enough to reconcile


class Checks:
    """`build` is this process's own (`bestex.fleet`)."""

    def __init__(
        self,
        venues: Mapping[str, Capabilities],
        instruments: Instruments,
        limits: LimitsConfig,
        build: str,
        holdings: Holdings,
    ) -> None:
        self._venues = venues
        self._instruments = instruments
        self._limits = limits
        self._build = build
        self.halts = Halts()
        self.controls = Controls(limits, instruments, self.halts, holdings)

    def new(self, order: ChildNew, session: Session, open_children: int, now_ns: int) -> Refusal | None:
        """Why `order` must not be sent now; None where it may. `open_children` counts its venue's."""
        refusal = (
            self._fleet(order)
            or self._now(order, session, open_children, now_ns)
            or self.terms(order.venue, order.symbol, order.qty, order.price)
            or self._display(order)
            or self._minimum(order)
        )
        return refusal or self.controls.check(self.wanted(order), now_ns)

    def closed(self, venue: str, now_ns: int) -> str:
        """Why the venue's market does not trade now; empty where it does."""
        return why_closed(self._venues[venue].calendar, now_ns)

    def wanted(self, order: ChildNew) -> Wanted:
        """An order whose terms have passed, as the controls look at it."""
        return Wanted.new(order, self._instruments.by_symbol[order.symbol])

    def replace(self, order: ChildReplace, child: Child, now_ns: int) -> Refusal | None:
        if order.expires_at <= now_ns:
            return Refusal(Code.EXPIRED, f"not to be sent after {order.expires_at}")
        if scope := self.halts.covers(child.venue, child.account, child.algo, child.parent_id):
            return Refusal(Code.HALTED, f"{scope} is halted")
        if not self._venues[order.venue].native_replace:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} cannot replace an order")
        if why := self.closed(order.venue, now_ns):
            return Refusal(Code.MARKET_CLOSED, f"{order.venue} is {why}")
        if refusal := self.terms(order.venue, order.symbol, order.qty, order.price):
            return refusal
        if child.status is not Status.WORKING or child.cancel is not None:
            return Refusal(Code.INVALID_STATE, "only an order that works, with no cancel on it, is replaced")
        qty = child.instrument.qty_units(order.qty)
        if qty <= child.cum_qty:
            return Refusal(Code.INVALID_QTY, "that much has filled already")
        wanted = Wanted.replacing(child, qty, child.instrument.price_units(order.price))
        return self.controls.check(wanted, now_ns)

    def _fleet(self, order: ChildNew) -> Refusal | None:
        """Nothing that another build decided: what it knows of limits is not what we know."""
        for who, build in (("scheduler", order.slice_build), ("router", order.build)):
            if build != self._build:
                said = f"is of build {build}" if build else "names no build"
                text = f"its {who} {said}, this gateway is of {self._build}; start all from one release"
                return Refusal(Code.MIXED_FLEET, text)
        return None

    def _now(self, order: ChildNew, session: Session, open_count: int, now_ns: int) -> Refusal | None:
        capabilities = self._venues[order.venue]
        if order.expires_at <= now_ns:
            return Refusal(Code.EXPIRED, f"not to be sent after {order.expires_at}")
        if order.good_till <= now_ns:
            return Refusal(Code.EXPIRED, f"not to rest beyond {order.good_till}")
        if scope := self.halts.covers(order.venue, order.account, order.algo, order.parent_id):
            return Refusal(Code.HALTED, f"{scope} is halted")
        if session is not Session.RECONCILED:
            return Refusal(Code.NOT_READY, f"the session with {order.venue} is {session}")
        if why := self.closed(order.venue, now_ns):
            return Refusal(Code.MARKET_CLOSED, f"{order.venue} is {why}")
        open_max = self._limits.open_orders.get(order.venue, OPEN_MAX)
        if open_count >= open_max:
            return Refusal(Code.LIMIT_EXCEEDED, f"{open_max} children are open on {order.venue}")
        if order.tif not in capabilities.tifs:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} takes no {order.tif} orders")
        if order.post_only and not capabilities.post_only:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} takes no post-only orders")
        if order.display_qty is not None and not capabilities.native_iceberg:
            return Refusal(Code.INVALID_PARAMETER, f"{order.venue} shows no order in parts")
        if order.min_fill_qty is not None and not capabilities.min_qty:
            return Refusal(
                Code.INVALID_PARAMETER, f"{order.venue} knows no minimum of what is traded at once"
            )
        if order.conditional and not (capabilities.conditional and order.tif is Tif.GTC):
            text = f"{order.venue} takes no conditional {order.tif} orders"
            return Refusal(Code.INVALID_PARAMETER, text)
        return None

    def _minimum(self, order: ChildNew) -> Refusal | None:
        """After `terms`: the instrument and its listing are there."""
        if order.min_fill_qty is None:
            return None
        instrument = self._instruments.by_symbol[order.symbol]
        listing = instrument.listing(order.venue)
        assert listing is not None, "its terms have passed"
        try:
            least = instrument.qty_units(order.min_fill_qty)
        except UnitError as error:
            return Refusal(Code.OFF_LOT, str(error))
        if least <= 0 or order.min_fill_qty > order.qty:
            return Refusal(Code.INVALID_QTY, f"{order.min_fill_qty} is no part of {order.qty}")
        if least % listing.lot:
            text = f"{order.min_fill_qty} is not a multiple of {instrument.qty(listing.lot)}"
            return Refusal(Code.OFF_LOT, text)
        return None

    def _display(self, order: ChildNew) -> Refusal | None:
        """The part that is shown must itself be an order that the venue would take."""
        if order.display_qty is None:
            return None
        if order.display_qty > order.qty:
            return Refusal(Code.INVALID_QTY, f"{order.display_qty} is to be shown of {order.qty}")
        return self.terms(order.venue, order.symbol, order.display_qty, order.price)

    def terms(self, venue: str, symbol: str, qty: Decimal, price: Decimal) -> Refusal | None:
        """The venue's grid and minimums, and our own limits of one order."""
        instrument = self._instruments.by_symbol.get(symbol)
        listing = instrument.listing(venue) if instrument else None
        if instrument is None or listing is None:
            return Refusal(Code.UNKNOWN_SYMBOL, f"{symbol} is not traded on {venue}")
        try:
            lots, ticks = instrument.qty_units(qty), instrument.price_units(price)
        except UnitError as error:
            return Refusal(Code.OFF_LOT if _is_off(qty, instrument.qty_scale) else Code.OFF_TICK, str(error))
        if lots <= 0:
            return Refusal(Code.INVALID_QTY, f"{qty} is no quantity")
        if ticks <= 0:
            return Refusal(Code.INVALID_PRICE, f"{price} is no price")
        if lots % listing.lot:
            return Refusal(Code.OFF_LOT, f"{qty} is not a multiple of {instrument.qty(listing.lot)}")
        if not listing.on_grid(ticks):
            text = f"{price} is not a multiple of {instrument.price(listing.tick_at(ticks))}"
            return Refusal(Code.OFF_TICK, text)
        if lots < listing.min_qty:
            return Refusal(Code.BELOW_MINIMUM, f"{qty} is below {instrument.qty(listing.min_qty)}")
        if listing.max_qty and lots > listing.max_qty:
            return Refusal(Code.LIMIT_EXCEEDED, f"{qty} is above {instrument.qty(listing.max_qty)}")
        if lots * ticks < listing.min_notional:
            least = instrument.cash(listing.min_notional)
            return Refusal(Code.BELOW_MINIMUM, f"{instrument.cash(lots * ticks)} is below {least}")
        own = self._limits.of_order(symbol)
        if own.max_order_qty is not None and qty > own.max_order_qty:
            return Refusal(Code.LIMIT_EXCEEDED, f"{qty} is above our own {own.max_order_qty}")
        value = instrument.cash(lots * ticks)
        if own.max_order_value is not None and value > own.max_order_value:
            return Refusal(Code.LIMIT_EXCEEDED, f"{value} is above our own {own.max_order_value}")
        return None


def _is_off(value: Decimal, scale: int) -> bool:
    try:
        to_units(value, scale)
    except UnitError:
        return True
    return False
