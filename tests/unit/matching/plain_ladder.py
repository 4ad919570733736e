"""The slow oracle of `bestex.matching.ladder`: every level a `Level`, every price in order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping

from bestex.matching.book import Level
from bestex.matching.queues import QueueModel


class PlainLadder:
    def __init__(self, side: int, queues: QueueModel | None = None) -> None:
        self.side = side
        self._queues = queues
        self.marked: dict[int, Level] = {}
        self._keys: list[int] = []

    def show(self, key: int, qty: int, now_ns: int) -> None:
        if qty or key in self.marked:
            self.level(key).show(qty, self._queues, now_ns)
            self.settle(key)

    def update(self, changes: Mapping[int, int], now_ns: int) -> None:
        for price, qty in changes.items():
            self.show(self.side * price, qty, now_ns)

    def changes(self, whole: Mapping[int, int]) -> dict[int, int]:
        now = {self.side * key: level.shown for key, level in self.marked.items()}
        told = [*((price, 0) for price in now if price not in whole), *whole.items()]
        return {price: qty for price, qty in told if now.get(price, 0) != qty}

    def shown(self, key: int) -> int:
        return self.marked[key].shown if key in self.marked else 0

    def level(self, key: int) -> Level:
        if key not in self.marked:
            self.marked[key] = Level()
            insort(self._keys, key)
        return self.marked[key]

    def settle(self, key: int) -> None:
        level = self.marked.get(key)
        if level is not None and not level.shown and not level.orders:
            del self.marked[key]
            del self._keys[bisect_left(self._keys, key)]

    def walk(self) -> Iterator[int]:
        yield from self._keys[::-1]

    def first(self) -> int | None:
        return self._keys[-1] if self._keys else None

    def first_without(self, changes: Mapping[int, int]) -> int | None:
        kept = [k for k in self._keys if changes.get(self.side * k, 1) or self.marked[k].orders]
        return kept[-1] if kept else None

    def best(self) -> int | None:
        return next((key for key in self.walk() if self.marked[key].size), None)

    def within(self, limit: int) -> int:
        return sum(level.whole for key, level in self.marked.items() if key >= limit)

    def top(self, count: int) -> tuple[list[int], list[int]]:
        filled = [key for key in self.walk() if self.marked[key].size][:count]
        return [key * self.side for key in filled], [self.marked[key].size for key in filled]
