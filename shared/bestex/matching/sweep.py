"""A taker on its way through a book, and the trades that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from bestex.matching.book import Order

_ANY_PRICE = -(1 << 128)  # below every key


@dataclass(frozen=True, slots=True)
class Match:
    """One trade that at least one of our orders took part in; None stands for the background."""

    trade_id: int
    at_ns: int
    price: int
    qty: int
    aggressor: int
    taker: Order | None
    maker: Order | None


@dataclass(slots=True)
class Sweep:
    """A taker on its way through the other side; `qty` is what it still wants."""

    side: int
    limit: int
    qty: int
    taker: Order | None
    now_ns: int
    matches: list[Match] = field(default_factory=list)


def limit_of(order: Order) -> int:
    """The worst key of the other side that `order` may take."""
    return _ANY_PRICE if order.kind == "market" else -order.side * order.price
