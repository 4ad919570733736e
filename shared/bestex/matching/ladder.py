"""One side of a matching engine's book: what a feed displays there in bulk, and our own part in it level by level.

A real feed changes hundreds of levels a second, most of them far from the best price, where no order of ours stands
and nothing was taken. So the displayed sizes stand in one dict, updated in bulk; only the near prices are kept in
order; a removed one stays as a zero until a reader comes across it (as in `bestex.depth`, which forgets what lies far
away: here everything can be taken). A `Level`, which knows of queues, is there only where one of our orders stands or
where some of the displayed size has been taken: a *marked* one.

A key is side x price, so that the best level is the greatest key on both sides. A level *stands* while it is
displayed or marked.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from itertools import islice

from bestex.matching.book import Level
from bestex.matching.queues import QueueModel

NEAR_LEVELS = 512  # kept in order; a list of twice this length shifts in no time, and readers want some 20
SWEEP_LEVELS = 16_384  # prices of one side, removed ones included, before the removed ones are dropped

_LOWEST = -sys.maxsize


class Ladder:
    """`marked` holds the levels with something of ours, by key."""

    __slots__ = ("_floor", "_most", "_near", "_queues", "_shown", "marked", "side")

    def __init__(self, side: int, queues: QueueModel | None = None) -> None:
        self.side = side
        self._queues = queues
        self.marked: dict[int, Level] = {}
        self._shown: dict[int, int] = {}  # by price
        self._near: list[int] = []  # keys, ascending: the best one is last
        self._floor = _LOWEST  # keys below it are not in order
        self._most = SWEEP_LEVELS

    # -- the feed ------------------------------------------------------------------------------------------------

    def show(self, key: int, qty: int, now_ns: int) -> None:
        """The feed displays `qty` at one key; 0 removes it."""
        self.update({key * self.side: qty}, now_ns)

    def update(self, changes: Mapping[int, int], now_ns: int) -> None:
        """The feed displays other sizes at these prices; 0 removes one."""
        shown = self._shown
        before = len(shown)
        shown.update(changes)
        if new := len(shown) - before:
            self._admit(new)
        if self.marked:
            self._tell(changes, now_ns)

    def _admit(self, new: int) -> None:
        """The last `new` prices of the dict are the ones that it did not hold before."""
        shown, near, floor, side = self._shown, self._near, self._floor, self.side
        never_there = []
        for price in islice(reversed(shown), new):
            if not shown[price]:
                never_there.append(price)
            elif (key := side * price) >= floor:
                insort(near, key)
        for price in never_there:
            del shown[price]
        if len(near) > 2 * NEAR_LEVELS:
            del near[:-NEAR_LEVELS]
            self._floor = near[0]
        if len(shown) > self._most:
            self._order(NEAR_LEVELS)
            self._most = max(SWEEP_LEVELS, 2 * len(self._shown))

    def _tell(self, changes: Mapping[int, int], now_ns: int) -> None:
        """Let the marked levels among them move their queues."""
        side, marked = self.side, self.marked
        if len(marked) < len(changes):
            found = [(key, changes[side * key]) for key in marked if side * key in changes]
        else:
            found = [(side * price, qty) for price, qty in changes.items() if side * price in marked]
        for key, qty in found:
            marked[key].show(qty, self._queues, now_ns)
            self.settle(key)

    # -- ours ------------------------------------------------------------------------------------------------------

    def shown(self, key: int) -> int:
        """What the feed displays there."""
        return self._shown.get(self.side * key, 0)

    def level(self, key: int) -> Level:
        """The level at `key`, marked from now on; `settle` it after use."""
        level = self.marked.get(key)
        if level is None:
            price = self.side * key
            if price not in self._shown:
                self._shown[price] = 0
                if key >= self._floor:
                    insort(self._near, key)
            level = self.marked[key] = Level(self._shown[price])
        return level

    def settle(self, key: int) -> None:
        """Unmark the level where nothing of ours is left in it."""
        level = self.marked.get(key)
        if level is not None and not level.orders and not level.consumed:
            del self.marked[key]

    # -- reading -----------------------------------------------------------------------------------------------------

    def walk(self) -> Iterator[int]:
        """The keys that stand, best first. Between two of them levels may be marked, settled and removed, but no
        new price may come."""
        shown, marked, side = self._shown, self.marked, self.side
        near, i = self._near, len(self._near)
        while True:
            while i:
                i -= 1
                key = near[i]
                if shown[side * key] or key in marked:
                    yield key
            if self._floor == _LOWEST:
                return
            floor = self._floor
            self._order(2 * len(near) + NEAR_LEVELS)
            shown, near = self._shown, self._near
            i = bisect_left(near, floor)

    def first(self) -> int | None:
        """The best key that stands, whether or not there is anything left to take."""
        return next(self.walk(), None)

    def first_without(self, changes: Mapping[int, int]) -> int | None:
        """The same when those of `changes` that are 0 will be gone; our own orders stay where they stand."""
        side, marked = self.side, self.marked
        for key in self.walk():
            if changes.get(side * key, 1) or (key in marked and marked[key].orders):
                return key
        return None

    def best(self) -> int | None:
        """The best key at which there is anything to take."""
        return next((key for key in self.walk() if self._size(key)), None)

    def within(self, limit: int) -> int:
        """How much can be taken at keys of `limit` or better."""
        total = 0
        for key in self.walk():
            if key < limit:
                break
            level = self.marked.get(key)
            total += self._shown[self.side * key] if level is None else level.whole
        return total

    def top(self, count: int) -> tuple[list[int], list[int]]:
        """Prices and sizes of the best `count` levels that have any size."""
        side, shown = self.side, self._shown
        prices = [side * key for key in self._near[: -count - 1 : -1]]
        sizes = [shown[price] for price in prices]
        if 0 in sizes:
            self._sweep(count)
            prices = [side * key for key in self._near[: -count - 1 : -1]]
            sizes = [shown[price] for price in prices]
        if not self.marked and len(prices) == count:
            return prices, sizes
        return self._top_walked(count)

    def _top_walked(self, count: int) -> tuple[list[int], list[int]]:
        prices: list[int] = []
        sizes: list[int] = []
        for key in self.walk():
            if size := self._size(key):
                prices.append(key * self.side)
                sizes.append(size)
                if len(prices) == count:
                    break
        return prices, sizes

    def _size(self, key: int) -> int:
        level = self.marked.get(key)
        return self._shown[self.side * key] if level is None else level.size

    # -- order -------------------------------------------------------------------------------------------------------

    def _sweep(self, count: int) -> None:
        """Drop removed prices from the near end until `count` that stand lead."""
        side, shown, near, marked = self.side, self._shown, self._near, self.marked
        leading: list[int] = []
        while near and len(leading) < count:
            end = near[-2 * count :]
            del near[-2 * count :]
            standing = [key for key in end if shown[side * key] or key in marked]
            if len(standing) < len(end):
                for key in end:
                    if not shown[side * key] and key not in marked:
                        del shown[side * key]
            leading = standing + leading
        near += leading

    def _order(self, near: int) -> None:
        """Drop the removed prices, and put the best `near` of those that stand in order."""
        side, marked = self.side, self.marked
        shown = self._shown = {p: qty for p, qty in self._shown.items() if qty or side * p in marked}
        keys = sorted(shown, reverse=side < 0)
        cut = max(len(keys) - near, 0)
        self._near = [side * price for price in keys[cut:]]
        self._floor = self._near[0] if cut else _LOWEST
