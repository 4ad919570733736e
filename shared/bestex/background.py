"""What the rest of a market does: the events that a market model or a recording feeds to a matching engine.

Prices and quantities are integers in the instrument's units; the feed says which instrument it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

BID, ASK = 1, -1


class LevelSet(msgspec.Struct, frozen=True):
    """The displayed total of one price level is now `qty`; 0 removes it. `side` is +1 bid, -1 ask."""

    at_ns: int
    venue: str
    side: int
    price: int
    qty: int


class LevelsSet(msgspec.Struct, frozen=True):
    """One update of a venue's book: price -> displayed total, 0 for a level that is gone. It happens as `one_by_one`
    says: what is gone first, so that a book that moves does not cross itself on the way; then bids; then asks.

    A `whole` one is all that the venue shows: what it does not name is gone. The engine knows what that is."""

    at_ns: int
    venue: str
    bids: dict[int, int]
    asks: dict[int, int]
    whole: bool = False

    def one_by_one(self) -> Iterator[LevelSet]:
        for is_gone in (True, False):
            for side, levels in ((BID, self.bids), (ASK, self.asks)):
                for price, qty in levels.items():
                    if (not qty) is is_gone:
                        yield LevelSet(self.at_ns, self.venue, side, price, qty)


class BackgroundTrade(msgspec.Struct, frozen=True):
    """Others traded with each other. `aggressor` is +1 where the buyer took, -1 the seller, 0 unknown.

    The trade comes before the `LevelSet` that shows what it left, and changes no displayed size itself: an
    engine takes the trade from the front of the queue, and a decrease from the back.
    """

    at_ns: int
    venue: str
    price: int
    qty: int
    aggressor: int
    trade_id: str


BackgroundEvent = LevelSet | BackgroundTrade


class HiddenOrder(msgspec.Struct, frozen=True):
    """Somebody places an order in a dark book, to trade at the mid and at nothing less than `min_qty` at once, until
    `good_till_ns`. `side` is +1 buy, -1 sell."""

    at_ns: int
    venue: str
    side: int
    qty: int
    min_qty: int
    good_till_ns: int
