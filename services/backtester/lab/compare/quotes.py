"""The touch of the consolidated market over a session, for pricing what was done in it afterwards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from typing import Any

from bestex.clock import SECOND
from bestex.ladder import Ladder
from bestex.messages import ConsolidatedBook
from bestex.shortfall import Touch
from bestex.units import from_units

RETURNS_MIN = 5  # of one second each; fewer say nothing of volatility


class Quotes:
    """What `bestex.v1.book.<symbol>` said, as a listener of a session's world. Prices are basis-adjusted units."""

    __slots__ = ("_asks", "_at_ns", "_bases", "_bids", "_scale", "_symbol")

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._scale = 0
        self._at_ns: list[int] = []
        self._bids: list[int] = []
        self._asks: list[int] = []
        self._bases: list[Mapping[str, int]] = []

    def hear(self, _: str, message: Any) -> None:
        if not isinstance(message, ConsolidatedBook) or message.symbol != self._symbol:
            return
        ladder = Ladder(message)
        bid, ask = ladder.best_bid, ladder.best_ask
        if bid is None or ask is None:
            return  # the last touch stands until there is another
        bases = {column.venue: column.basis for column in message.venues if column.basis}
        if self._at_ns and (bid, ask, bases) == (self._bids[-1], self._asks[-1], self._bases[-1]):
            return
        self._scale = message.price_scale
        self._at_ns.append(max(message.at_ns, self._at_ns[-1] if self._at_ns else 0))
        self._bids.append(bid)
        self._asks.append(ask)
        self._bases.append(self._bases[-1] if self._bases and self._bases[-1] == bases else bases)

    def touch(self, at_ns: int, venue: str = "") -> Touch | None:
        """As it stood last before `at_ns`, with the basis of `venue`; None before the first book."""
        index = bisect_right(self._at_ns, at_ns) - 1
        if index < 0:
            return None
        basis = self._bases[index].get(venue, 0)
        return Touch(self._price(self._bids[index]), self._price(self._asks[index]), self._price(basis))

    def mid(self, at_ns: int) -> Decimal | None:
        touch = self.touch(at_ns)
        return None if touch is None else (touch.bid + touch.ask) / 2

    def volatility_bps(self, until_ns: int, over_ns: int) -> float | None:
        """Root mean square of the mid's changes from second to second over `over_ns` until then, in bps.

        None where fewer than `RETURNS_MIN` seconds are known.
        """
        mids = [self._half(until_ns - second * SECOND) for second in range(over_ns // SECOND + 1)]
        known = [mid for mid in mids if mid is not None]
        if len(known) <= RETURNS_MIN:
            return None
        squares = [(now / before - 1) ** 2 for now, before in pairwise(known)]
        return 1e4 * sqrt(sum(squares) / len(squares))

    def _half(self, at_ns: int) -> int | None:
        index = bisect_right(self._at_ns, at_ns) - 1
        return None if index < 0 else self._bids[index] + self._asks[index]

    def _price(self, units: int) -> Decimal:
        return from_units(units, self._scale)
