"""`[limits]`: what the gateway lets out, and how much of it. Safe without a line in any file.

A gateway process sees only its own venues' children: a limit over several venues holds for those of one process.
Run one gateway for all venues where a limit must hold over them together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.human import Duration, Ratio


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections here: as those of `bestex.config`."""


class OrderLimits(Limits, frozen=True, kw_only=True):
    """The most that one order may be: a parent or a child. `max_order_value` is in quote."""

    max_order_qty: Decimal | None = None
    max_order_value: Decimal | None = None


class CollarLimits(Limits, frozen=True, kw_only=True):
    """How far beyond the reference a child's price may be, and how old the reference: a little older than the
    router's `max_book_age`, so that what it has just decided is not refused at the edge."""

    enabled: bool = True
    max_distance: Ratio = Ratio(0.05)
    max_age: Duration = Duration(5 * SECOND)


class RateLimits(Limits, frozen=True, kw_only=True):
    """New orders and replaces to one venue for one account: `per_second` for long, `burst` at once. Cancels are
    not counted. The default stops what runs wild; a real venue's own figure belongs here."""

    per_second: Annotated[float, Meta(gt=0, le=1_000_000)] = 1_000.0
    burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000


class RepeatLimits(Limits, frozen=True, kw_only=True):
    """`duplicate_window`: how soon the same terms again are a duplicate while the first are open; 0 for never.
    Above `max_same` of the same terms within `window`, or from `max_rejected` refusals in a row on, one parent
    may send no more to that venue until a person says so (`bestex unhalt parent:ID`)."""

    duplicate_window: Duration = Duration(250 * MS)
    max_same: Annotated[int, Meta(ge=1, le=100_000)] = 100
    window: Duration = Duration(10 * SECOND)
    max_rejected: Annotated[int, Meta(ge=1, le=10_000)] = 20


class ParentLimits(Limits, frozen=True, kw_only=True):
    """The gateway's own cap of a parent is the parent's quantity; this is how many children it may have."""

    max_children: Annotated[int, Meta(ge=1)] = 50_000


class SelfTradeLimits(Limits, frozen=True, kw_only=True):
    """What happens to a child that would meet an order of ours at its venue. `cancel_resting` refuses it too, but
    cancels what is in its way. `groups`: accounts that are one owner; none: all accounts are."""

    policy: Literal["off", "reject_new", "cancel_resting"] = "reject_new"
    groups: list[list[str]] = []


class ExposureLimit(Limits, frozen=True, kw_only=True):
    """One limit over all that it names; what it leaves out is summed. `max_position` is in base, on either side
    of zero, as if all open buys filled, and as if all open sells did. `start_position` is what was held before
    the fills that the venue's stream still holds (`bus.max_age`). `max_open_value` is quote."""

    account: str = ""
    symbol: str = ""
    venue: str = ""
    max_position: Decimal | None = None
    start_position: Decimal = Decimal(0)
    max_open_value: Decimal | None = None


class Restriction(Limits, frozen=True, kw_only=True):
    """An instrument not to be traded: at all, on one side, or sold `short` (below a position of zero)."""

    symbol: str
    account: str = ""
    what: Literal["all", "buy", "sell", "short"] = "all"
    start_position: Decimal = Decimal(0)
    reason: str = ""


OpenOrders = Annotated[int, Meta(ge=1, le=10_000)]


class LimitsConfig(OrderLimits, frozen=True, kw_only=True):
    """`open_orders`: by venue, how many may be open there at once."""

    max_open_parents: Annotated[int, Meta(ge=1)] = 20_000
    max_book_age: Duration = Duration(3 * SECOND)
    instruments: dict[str, OrderLimits] = {}
    collar: CollarLimits = CollarLimits()
    rate: RateLimits = RateLimits()
    rates: dict[str, RateLimits] = {}
    open_orders: dict[str, OpenOrders] = {}
    repeats: RepeatLimits = RepeatLimits()
    parent: ParentLimits = ParentLimits()
    self_trade: SelfTradeLimits = SelfTradeLimits()
    exposure: list[ExposureLimit] = []
    restricted: list[Restriction] = []

    def of_order(self, symbol: str) -> OrderLimits:
        """The most that one order of `symbol` may be: its own limits, and the general ones where it has none."""
        own = self.instruments.get(symbol)
        if own is None:
            return self
        return OrderLimits(
            max_order_qty=self.max_order_qty if own.max_order_qty is None else own.max_order_qty,
            max_order_value=self.max_order_value if own.max_order_value is None else own.max_order_value,
        )

    def of_rate(self, venue: str) -> RateLimits:
        return self.rates.get(venue, self.rate)

    def problem(self, symbols: Collection[str], venues: Collection[str]) -> str:
        """The first thing that is wrong, as "path: sentence"; empty where nothing is."""
        return next(self._problems(symbols, venues), "")

    def _problems(self, symbols: Collection[str], venues: Collection[str]) -> Iterator[str]:
        if not 0 < self.collar.max_distance < 1:
            yield "collar.max_distance: must be above 0% and below 100%; to do without, enabled = false"
        amounts: list[tuple[str, Decimal | None]] = [
            ("max_order_qty", self.max_order_qty),
            ("max_order_value", self.max_order_value),
        ]
        for symbol, own in self.instruments.items():
            path = f"instruments.{symbol}"
            yield from _unknown(path, "instrument", symbol, symbols)
            amounts.append((f"{path}.max_order_qty", own.max_order_qty))
            amounts.append((f"{path}.max_order_value", own.max_order_value))
        for venue in self.rates:
            yield from _unknown(f"rates.{venue}", "venue", venue, venues)
        for venue in self.open_orders:
            yield from _unknown(f"open_orders.{venue}", "venue", venue, venues)
        for number, limit in enumerate(self.exposure):
            path = f"exposure[{number}]"
            amounts.append((f"{path}.max_position", limit.max_position))
            amounts.append((f"{path}.max_open_value", limit.max_open_value))
            if limit.symbol:
                yield from _unknown(f"{path}.symbol", "instrument", limit.symbol, symbols)
            elif limit.max_position is not None:
                yield f"{path}.symbol: max_position needs one; different symbols do not add up"
            if limit.venue:
                yield from _unknown(f"{path}.venue", "venue", limit.venue, venues)
            if limit.max_position is None and limit.max_open_value is None:
                yield f"{path}: limits nothing; give it max_position or max_open_value"
            if not limit.start_position.is_finite():
                yield f"{path}.start_position: must be a number"
        for number, restriction in enumerate(self.restricted):
            path = f"restricted[{number}]"
            yield from _unknown(f"{path}.symbol", "instrument", restriction.symbol, symbols)
            if not restriction.start_position.is_finite():
                yield f"{path}.start_position: must be a number"
        for path, amount in amounts:
            if amount is not None and not (amount.is_finite() and amount >= 0):
                yield f"{path}: must be a number from 0 on"
        yield from self._groups()

    def _groups(self) -> Iterator[str]:
        seen: set[str] = set()
        for number, group in enumerate(self.self_trade.groups):
            for account in group:
                if account in seen:
                    yield f"self_trade.groups[{number}]: {account} is in two groups"
                seen.add(account)


def _unknown(path: str, kind: str, name: str, there: Collection[str]) -> Iterator[str]:
    if name not in there:
        yield f"{path}: there is no such {kind}; there are {', '.join(there) or 'none'}"
