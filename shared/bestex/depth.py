"""A venue's order book by price, and the exact reading of its decimal text: the hot path of market data.

Prices and quantities are integers in units. A level of quantity 0 is a removed one.
"""

from __future__ import annotations

import sys
from bisect import insort
from collections.abc import Iterable, Iterator
from itertools import islice

from bestex.units import MAX_DIGITS, UnitError

NEAR_LEVELS = 512  # levels kept in order; readers want some 20, and a list of this length shifts in no time
MAX_LEVELS = 50_000  # removed ones included; several times what the busiest pairs show
KEPT_LEVELS = 25_000  # what is left of a side that passed MAX_LEVELS: its best ones
MAX_TEXTS = 65_536  # remembered texts; one day's prices of a pair, about 10 MB

_LOWEST = -sys.maxsize


def units_of_text(text: str, scale: int) -> int:
    """Plain decimal text ("61737.63000000") as a whole number of 10**-scale.

    UnitError where it is not plain digits with at most one dot, absurdly long, or finer than the scale: it is
    never rounded.
    """
    whole, _, fraction = text.partition(".")
    if len(fraction) > scale:
        fraction = fraction[:scale] + fraction[scale:].rstrip("0")
    digits = whole + fraction
    if not (whole and digits.isascii() and digits.isdigit()) or len(digits) > MAX_DIGITS:
        raise UnitError(f"{text[:MAX_DIGITS]!r} is no plain decimal number")
    if len(fraction) > scale:
        raise UnitError(f"{text} is finer than 10^-{scale}")
    return int(digits.ljust(len(whole) + scale, "0"))


class TextUnits(dict[str, int]):
    """`units[text]` is the exact units of decimal text at one scale, and remembered: feeds repeat themselves.

    On recorded feeds 87 to 98 % of the sizes and nearly all prices have been seen before.
    """

    __slots__ = ("scale",)

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def __missing__(self, text: str) -> int:
        if len(self) >= MAX_TEXTS:
            self.clear()
        self[text] = units = units_of_text(text, self.scale)
        return units


class LevelReader:
    """Pairs of (price, quantity) text, as venues send them, to pairs of units."""

    def __init__(self, price_scale: int, qty_scale: int) -> None:
        self.prices = TextUnits(price_scale)
        self.qtys = TextUnits(qty_scale)

    def read(self, pairs: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
        """UnitError for a number that is none."""
        prices, qtys = self.prices, self.qtys
        return [(prices[price], qtys[qty]) for price, qty in pairs]


class BookSide:
    """One side. A rank is the price, negated for asks, so that the better level has the higher rank.

    All levels stand in one dict, updated in bulk; only the near ones are kept in order, and a removed level
    stays as a zero until a reader comes across it. So most changes cost one dict write, and depth that nobody
    reads is never sorted.
    """

    __slots__ = ("_floor", "_levels", "_near", "_sign")

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._levels: dict[int, int] = {}
        self._near: list[int] = []  # ascending: the best rank is last
        self._floor = _LOWEST  # ranks below it are in the dict alone

    def update(self, changes: Iterable[tuple[int, int]]) -> None:
        levels = self._levels
        before = len(levels)
        levels.update(changes)
        if new := len(levels) - before:
            self._admit(new)

    def _admit(self, new: int) -> None:
        """The last `new` prices of the dict are the ones that it did not hold before."""
        levels, near, floor, sign = self._levels, self._near, self._floor, self._sign
        never_there = []
        for price in islice(reversed(levels), new):
            if not levels[price]:
                never_there.append(price)
            elif (rank := sign * price) >= floor:
                insort(near, rank)
        for price in never_there:
            del levels[price]
        if len(near) > 2 * NEAR_LEVELS:
            del near[:-NEAR_LEVELS]
            self._floor = near[0]
        if len(levels) > MAX_LEVELS:
            self._rebuild(KEPT_LEVELS, NEAR_LEVELS)

    def _rebuild(self, keep: int, near: int) -> None:
        """Forget removed levels and all but the best `keep`; put the best `near` in order."""
        sign, old = self._sign, self._levels
        ranks = sorted(sign * price for price, qty in old.items() if qty)[-keep:]
        self._levels = {sign * rank: old[sign * rank] for rank in ranks}
        self._near = ranks[-near:]
        self._floor = ranks[-near] if len(ranks) > near else _LOWEST

    def top(self, n: int) -> tuple[list[int], list[int]]:
        """Prices and quantities of the best `n` levels or fewer, best first."""
        sign, levels = self._sign, self._levels
        prices = [sign * rank for rank in self._near[: -n - 1 : -1]]
        qtys = [levels[price] for price in prices]
        if 0 in qtys or (len(prices) < n and self._floor != _LOWEST):
            self._sweep(n)
            return self.top(n)
        return prices, qtys

    def _sweep(self, n: int) -> None:
        """Drop removed levels from the near end until `n` live ones lead; order more if there are too few."""
        sign, levels, near = self._sign, self._levels, self._near
        live: list[int] = []
        while near and len(live) < n:
            rank = near.pop()
            if levels[sign * rank]:
                live.append(rank)
            else:
                del levels[sign * rank]
        near.extend(reversed(live))
        if len(live) < n and self._floor != _LOWEST:
            self._rebuild(MAX_LEVELS, max(n, NEAR_LEVELS))

    def best(self) -> tuple[int, int] | None:
        """Price and quantity of the best level."""
        near, levels, sign = self._near, self._levels, self._sign
        if near and (qty := levels[price := sign * near[-1]]):
            return price, qty
        prices, qtys = self.top(1)
        return (prices[0], qtys[0]) if prices else None

    def clear(self) -> None:
        self._levels, self._near, self._floor = {}, [], _LOWEST

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """All levels, in no order."""
        return ((price, qty) for price, qty in self._levels.items() if qty)

    def __len__(self) -> int:
        return sum(1 for qty in self._levels.values() if qty)


class DepthBook:
    """Both sides of one venue's book. Knows nothing of sequence numbers: that is the feed's business."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = BookSide(1)
        self.asks = BookSide(-1)

    def apply(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Set each (price, quantity); 0 removes the level. A price given twice takes the later quantity."""
        self.bids.update(bids)
        self.asks.update(asks)

    def replace(self, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """A snapshot: what it does not name is gone."""
        self.clear()
        self.apply(bids, asks)

    def clear(self) -> None:
        self.bids.clear()
        self.asks.clear()

    def top(self, n: int) -> tuple[list[int], list[int], list[int], list[int]]:
        """Bid prices, bid quantities, ask prices, ask quantities of the best `n` levels, best first."""
        return (*self.bids.top(n), *self.asks.top(n))

    @property
    def best_bid(self) -> tuple[int, int] | None:
        return self.bids.best()

    @property
    def best_ask(self) -> tuple[int, int] | None:
        return self.asks.best()

    @property
    def is_crossed(self) -> bool:
        """The best bid is at or above the best ask: one venue's book can't be, so the book is wrong."""
        bid, ask = self.bids.best(), self.asks.best()
        return bid is not None and ask is not None and bid[0] >= ask[0]
