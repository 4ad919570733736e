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
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from itertools import compress, islice

from bestex.matching.book import Level
from bestex.matching.queues import QueueModel

NEAR_LEVELS = 256  # kept in order; readers want some 20, and what comes and goes farther away costs nothing
SPARE_LEVELS = 12  # looked at beyond those that are asked for, so that some may be removed ones
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
        self._near: list[int] = []  # prices, ascending: the best one is last for bids, first for asks
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
            elif side * price >= floor:
                insort(near, price)
        for price in never_there:
            del shown[price]
        if len(near) > 2 * NEAR_LEVELS:
            if side > 0:
                del near[:-NEAR_LEVELS]
                self._floor = near[0]
            else:
                del near[NEAR_LEVELS:]
                self._floor = -near[-1]
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

    def changes(self, whole: Mapping[int, int]) -> dict[int, int]:
        """What is to change so that the feed displays these sizes by price, and nothing else."""
        shown = self._shown
        gone = {price: 0 for price, qty in shown.items() if qty and price not in whole}
        return gone | {price: qty for price, qty in whole.items() if shown.get(price, 0) != qty}

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
                    insort(self._near, price)
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
        marked, side, walked = self.marked, self.side, 0
        while True:
            shown, near = self._shown, self._near
            for i in range(len(near) - 1 - walked, -1, -1) if side > 0 else range(walked, len(near)):
                key = side * near[i]
                if shown[near[i]] or key in marked:
                    yield key
            if self._floor == _LOWEST:
                return
            floor = self._floor
            self._order(2 * len(near) + NEAR_LEVELS)
            near = self._near
            walked = len(near) - bisect_left(near, floor) if side > 0 else bisect_right(near, -floor)

    def first(self) -> int | None:
        """The best key that stands, whether or not there is anything left to take."""
        side, shown, marked, near = self.side, self._shown, self.marked, self._near
        for price in reversed(near) if side > 0 else near:
            if shown[price] or side * price in marked:
                return side * price
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
        side, marked, reach = self.side, self.marked, count + SPARE_LEVELS
        while True:
            near = self._near
            best = near[: -reach - 1 : -1] if side > 0 else near[:reach]
            sizes = list(map(self._shown.__getitem__, best))
            if marked:
                levels = [marked.get(side * price) for price in best]
                sizes = [
                    size if level is None else level.size for size, level in zip(sizes, levels, strict=True)
                ]
            prices = best
            if 0 in sizes:
                prices, sizes = list(compress(best, sizes)), list(filter(None, sizes))
            if len(prices) >= count:
                return prices[:count], sizes[:count]
            if len(best) < len(near):
                reach += 0 if self._drop(best) else reach
            elif self._floor == _LOWEST:
                return prices, sizes
            else:
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

    def _drop(self, best: list[int]) -> bool:
        """Drop the removed ones among the best prices; whether there were any."""
        side, shown, marked = self.side, self._shown, self.marked
        standing = [price for price in best if shown[price] or side * price in marked]
        for price in set(best).difference(standing):
            del shown[price]
        if side > 0:
            self._near[-len(best) :] = standing[::-1]
        else:
            self._near[: len(best)] = standing
        return len(standing) < len(best)

    def _order(self, near: int) -> None:
        """Drop the removed prices, and put the best `near` of those that stand in order."""
        side, marked = self.side, self.marked
        shown = self._shown = {p: qty for p, qty in self._shown.items() if qty or side * p in marked}
        prices = sorted(shown)
        whole = len(prices) <= near
        if not whole:
            prices = prices[-near:] if side > 0 else prices[:near]
        self._near = prices
        self._floor = _LOWEST if whole else prices[0] if side > 0 else -prices[-1]
