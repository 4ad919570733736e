"""The consolidated book as ladders: every venue's levels in one order, best first.

Venues are compared at basis-adjusted prices (`price - basis`, price units) and sent to at their own. Ties go
to the venue with the lower priority number, then by name; without priorities to the one that stands first.
Merging 4 venues of 20 levels takes some 30 us, nearly all of it to make the tuples; numpy would have to make
the same ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from functools import cached_property
from operator import itemgetter, neg
from typing import NamedTuple

from bestex.instruments import FEE_ONE
from bestex.messages import BookStatus, ConsolidatedBook, Side, VenueColumn

BPS_ONE = 10_000
_LIVE_ONLY = frozenset({BookStatus.LIVE})


class Level(NamedTuple):
    """`price` is basis-adjusted, `venue` the index in `book.venues`, `own_price` what to send there."""

    price: int
    venue: int
    own_price: int
    qty: int


class DisplayLevel(NamedTuple):
    """All venues at one basis-adjusted price: the total and each venue's part of it."""

    price: int
    qty: int
    by_venue: dict[str, int]


def net_price(taker: Side, price: int, own_price: int, taker_fee_e8: int) -> int:
    """What one unit costs a buyer, or brings a seller, fee included: in 1e-8 price units, exact.

    The fee is charged on the venue's own price. Without basis this is price x (1e8 +- taker_fee_e8).
    """
    net: int = price * FEE_ONE + taker.sign * own_price * taker_fee_e8
    return net


class Ladder:
    """The columns of a consolidated book that may be traded on, merged on demand.

    `venues` keeps only those named; `statuses` defaults to live columns only; `max_age_ns` > 0 leaves out
    columns received longer than that before `now_ns`. `priority` breaks ties by venue name, lower first.

    `taker` is the side of the order that takes: a buy walks the asks upwards, a sell the bids downwards.
    """

    def __init__(
        self,
        book: ConsolidatedBook,
        *,
        venues: Collection[str] | None = None,
        statuses: Collection[BookStatus] = _LIVE_ONLY,
        now_ns: int = 0,
        max_age_ns: int = 0,
        priority: Mapping[str, int] | None = None,
    ) -> None:
        self.book = book
        self.columns: list[tuple[int, VenueColumn]] = [
            (index, column)
            for index, column in enumerate(book.venues)
            if column.status in statuses
            and (venues is None or column.venue in venues)
            and (max_age_ns <= 0 or now_ns - column.recv_ns <= max_age_ns)
        ]
        if priority is not None:
            # The sort in `levels` is stable, so the order of the columns is the order of ties.
            self.columns.sort(key=lambda item: (priority[item[1].venue], item[1].venue))

    def levels(self, taker: Side, taker_fees_e8: Mapping[str, int] | None = None) -> list[Level]:
        """Every level that `taker` could take, best first: by adjusted price, or net of fees where given.

        `taker_fees_e8` holds each venue's fee by name (KeyError for one that is missing). Shape: one entry
        per venue and price, quantities untouched.
        """
        buy = taker is Side.BUY
        rows: list[tuple[int, tuple[int, int, int, int]]] = []
        for index, column in self.columns:
            basis = column.basis
            fee = 0 if taker_fees_e8 is None else taker.sign * taker_fees_e8[column.venue]
            prices, sizes = (column.ask_px, column.ask_qty) if buy else (column.bid_px, column.bid_qty)
            rows += [
                ((own - basis) * FEE_ONE + own * fee, (own - basis, index, own, qty))
                for own, qty in zip(prices, sizes, strict=True)
            ]
        rows.sort(key=itemgetter(0), reverse=not buy)
        return [Level._make(row) for _, row in rows]

    def display(self, taker: Side) -> list[DisplayLevel]:
        """The side as a person reads it: one row per adjusted price, best first."""
        merged: dict[int, dict[str, int]] = {}
        for price, index, _, qty in self.levels(taker):
            merged.setdefault(price, {})[self.book.venues[index].venue] = qty
        return [DisplayLevel(price, sum(parts.values()), parts) for price, parts in merged.items()]

    @cached_property
    def best_bid(self) -> int | None:
        """The highest adjusted bid, price units; None where there is none."""
        return max((c.bid_px[0] - c.basis for _, c in self.columns if c.bid_px), default=None)

    @cached_property
    def best_ask(self) -> int | None:
        """The lowest adjusted ask, price units; None where there is none."""
        return min((c.ask_px[0] - c.basis for _, c in self.columns if c.ask_px), default=None)

    @property
    def mid_half_units(self) -> int | None:
        """Best bid plus best ask: twice the mid, exactly. None where a side is empty."""
        if self.best_bid is None or self.best_ask is None:
            return None
        return self.best_bid + self.best_ask

    @property
    def mid(self) -> float | None:
        """The mid in price units, for models."""
        return None if self.mid_half_units is None else self.mid_half_units / 2

    @property
    def spread_bps(self) -> float | None:
        """Best ask minus best bid over the mid; negative where the book is crossed."""
        if self.best_bid is None or self.best_ask is None or self.best_bid + self.best_ask <= 0:
            return None
        return 2 * BPS_ONE * (self.best_ask - self.best_bid) / (self.best_bid + self.best_ask)

    def total_qty(self, taker: Side) -> int:
        """All quantity that `taker` could take, in quantity units."""
        return sum(sum(column.ask_qty if taker is Side.BUY else column.bid_qty) for _, column in self.columns)

    def depth_by_venue(self, taker: Side, bps: int) -> dict[str, int]:
        """Quantity within `bps` of the mid, both ends included, by venue. Empty where there is no mid."""
        double_mid = self.mid_half_units
        if double_mid is None:
            return {}
        depths = {}
        for _, column in self.columns:
            if taker is Side.BUY:
                bound = double_mid * (BPS_ONE + bps) // (2 * BPS_ONE) + column.basis
                count = bisect_right(column.ask_px, bound)
                depths[column.venue] = sum(column.ask_qty[:count])
            else:
                bound = -(-double_mid * (BPS_ONE - bps) // (2 * BPS_ONE)) + column.basis
                count = bisect_right(column.bid_px, -bound, key=neg)
                depths[column.venue] = sum(column.bid_qty[:count])
        return depths

    def depth(self, taker: Side, bps: int) -> int:
        """Quantity within `bps` of the mid, both ends included; 0 where there is no mid."""
        return sum(self.depth_by_venue(taker, bps).values())
