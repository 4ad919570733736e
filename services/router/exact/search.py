"""The cheapest split of a quantity over venues, of which not all need be used: branch and bound.

What makes it hard is what a venue costs or asks for as soon as it is used at all: a ticket, a minimum, one of few
splits. Where nothing of that binds, the first walk over all levels is the answer. Else each node has some venues that
are used, some that are not, and some that are free; the walk over the free ones with their tickets spread over what
they could take at most is its bound (the linear relaxation), and the split over those that the walk used a candidate.
The number of splits is priced like a ticket (Lagrange).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import gcd

from bestex.units import floor_to
from services.router.exact.chosen import Split, split
from services.router.exact.offer import Offer

NODES_MAX = 400  # some 20 ms; what is not proven by then is reported with its gap
PRICINGS = 12  # halvings in search of the best price of a split, at the root; its children begin with that


@dataclass(frozen=True, slots=True)
class Found:
    """Quantities by venue, what they cost with tickets, and a proven lower bound of that."""

    qtys: dict[str, int]
    cost: int
    bound: int
    nodes: int


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """`qtys` by the offers' numbers; `used` counts the splits, a free venue by its part of what it could take."""

    bound: int
    qtys: dict[int, int]
    used: float


def cheapest(offers: Sequence[Offer], qty: int, splits_max: int) -> Found | None:
    """`qty` over at most `splits_max` of the offers, each of which is used for nothing or for its minimum and more.

    None where that cannot be.
    """
    return _Tree(_usable(offers, qty, splits_max), qty, splits_max).run()


def _usable(offers: Sequence[Offer], qty: int, splits_max: int) -> list[Offer]:
    found = [offer for offer in offers if 0 < offer.least <= min(offer.most, qty)]
    if splits_max < len(found):
        return found
    # What costs nothing to begin with is simply there: then there is nothing to decide but how much.
    return [
        replace(offer, least=0) if not offer.ticket and offer.least == offer.lot else offer for offer in found
    ]


def most(offers: Sequence[Offer], qty: int, splits_max: int) -> Found | None:
    """As much of `qty` as can be placed, at the least cost; None where nothing can.

    What is left goes to a place of its own, where a unit costs more than all that a dearer split of the rest could.
    """
    if not offers:
        return None
    nets = [net for offer in offers for net in (offer.nets[0], offer.nets[-1])]
    dear = (max(nets) - min(nets)) * qty + sum(offer.ticket for offer in offers) + max(map(abs, nets)) + 1
    lot = gcd(*(offer.lot for offer in offers))
    left = Offer("", [dear], [0], [qty], lot, 0, floor_to(qty, lot))
    found = _Tree([*_usable(offers, qty, splits_max), left], floor_to(qty, lot), splits_max).run()
    placed = 0 if found is None else sum(part for venue, part in found.qtys.items() if venue)
    return cheapest(offers, placed, splits_max) if placed else None


class _Tree:
    def __init__(self, offers: Sequence[Offer], qty: int, splits_max: int) -> None:
        self._offers = offers
        self._qty = qty
        asking = sum(bool(offer.least) for offer in offers)
        self._splits_max = splits_max
        self._few = splits_max < asking  # whether the number of splits may bind
        self._best: Split | None = None
        self._tried: set[frozenset[int]] = set()
        self._loose: list[int] = []  # bounds of splits that were given up

    def run(self) -> Found | None:
        simple = frozenset(number for number, offer in enumerate(self._offers) if not offer.least)
        free = frozenset(range(len(self._offers))) - simple
        root = self._priced(simple, free, 0, PRICINGS)
        if root is None:
            return None
        order, nodes = count(), 0
        heap = [(root[0].bound, next(order), simple, free, root)]
        bound = root[0].bound
        while heap:
            bound, _, on, free, (relaxed, price) = heapq.heappop(heap)
            if self._best is not None and bound >= self._best.cost:
                break
            if nodes >= NODES_MAX:
                heap.append((bound, next(order), on, free, (relaxed, price)))
                break
            nodes += 1
            self._try(on, relaxed)
            chosen = self._branch(free, relaxed, price)
            if chosen is None:
                continue
            for used in (on | {chosen}, on):
                rest = free - {chosen}
                if self._few and sum(bool(self._offers[n].least) for n in used) >= self._splits_max:
                    rest = frozenset()
                made = self._priced(used, rest, price, 3)
                if made is not None and (self._best is None or made[0].bound < self._best.cost):
                    heapq.heappush(heap, (made[0].bound, next(order), used, rest, made))
        if self._best is None:
            return None
        least = min([self._best.cost, *self._loose, *([bound] if heap else [])])
        names = {self._offers[number].venue: part for number, part in self._best.qtys.items() if part}
        return Found(names, self._best.cost, least, nodes)

    # -- the bound ---------------------------------------------------------------------------------------------

    def _priced(
        self, on: frozenset[int], free: frozenset[int], price: int, rounds: int
    ) -> tuple[_Relaxed, int] | None:
        """The relaxation at the price of a split that gives the best bound."""
        relaxed = self._relax(on, free, 0)
        if relaxed is None:
            return None
        if not self._few or relaxed.used <= self._splits_max:
            return relaxed, 0
        best, best_price = relaxed, 0
        low, high = 0, max(2 * price, self._dearest())
        at = price or high // 2
        for _ in range(rounds):
            made = self._relax(on, free, at)
            if made is None:
                break
            if made.bound > best.bound:
                best, best_price = made, at
            if made.used > self._splits_max:
                low = at
            else:
                high = at
            at = (low + high) // 2
        return best, best_price

    def _dearest(self) -> int:
        """No split is worth more than from the best level of all to the worst."""
        nets = [net for offer in self._offers for net in (offer.nets[0], offer.nets[-1])]
        return max((max(nets) - min(nets)) * self._qty, 1)

    def _relax(self, on: Iterable[int], free: Iterable[int], price: int) -> _Relaxed | None:
        offers, qtys = self._offers, {}
        left, cost, used = self._qty, -price * self._splits_max if price else 0, 0.0
        heap: list[tuple[int, int, int, int, int]] = []  # (net and ticket, number, level, left on it, room)
        slopes: dict[int, int] = {}
        for number in on:
            offer = offers[number]
            cost += offer.cost(offer.least) + (offer.ticket + price if offer.least else 0)
            used += bool(offer.least)
            left -= offer.least
            qtys[number] = offer.least
            if offer.most > offer.least:
                level = bisect_left(offer.ends, offer.least + 1)
                room = offer.most - offer.least
                heap.append((offer.nets[level], number, level, offer.ends[level] - offer.least, room))
        if left < 0:
            return None
        for number in free:
            offer = offers[number]
            slopes[number] = (offer.ticket + price) // min(offer.most, self._qty)
            heap.append((offer.nets[0] + slopes[number], number, 0, offer.sizes[0], offer.most))
        heapq.heapify(heap)
        while left:
            if not heap:
                return None
            net, number, level, size, room = heap[0]
            part = min(size, room, left)
            cost += net * part
            left -= part
            qtys[number] = qtys.get(number, 0) + part
            offer = offers[number]
            if part == room or level + 1 == len(offer.nets):
                heapq.heappop(heap)
            else:
                net = offer.nets[level + 1] + slopes.get(number, 0)
                heapq.heapreplace(heap, (net, number, level + 1, offer.sizes[level + 1], room - part))
        used += sum(qtys.get(number, 0) / min(offers[number].most, self._qty) for number in slopes)
        return _Relaxed(cost, qtys, used)

    # -- candidates --------------------------------------------------------------------------------------------

    def _try(self, on: Collection[int], relaxed: _Relaxed) -> None:
        """Splits over what the relaxation used: all of it, and without those that it used least."""
        offers = self._offers
        forced = {number for number in on if offers[number].least}
        chosen = {number for number, part in relaxed.qtys.items() if part and number not in on}
        by_need = sorted(chosen, key=lambda number: (relaxed.qtys[number] - offers[number].least, number))
        simple = [number for number in on if not offers[number].least]
        for gone in range(len(by_need) + 1):
            kept = forced.union(by_need[gone:])
            if self._few and len(kept) > self._splits_max:
                continue
            self._take(frozenset(kept.union(simple)))
            if gone and self._best is not None:
                break

    def _take(self, numbers: frozenset[int]) -> None:
        if numbers in self._tried:
            return
        self._tried.add(numbers)
        made = split([(number, self._offers[number]) for number in sorted(numbers)], self._qty)
        if made is None:
            return
        if made.bound < made.cost:
            self._loose.append(made.bound)
        if self._best is None or made.cost < self._best.cost:
            self._best = made

    def _branch(self, free: Collection[int], relaxed: _Relaxed, price: int) -> int | None:
        """The free venue about which most is undecided; None where none is left."""

        def open_cost(number: int) -> tuple[int, int]:
            offer, part = self._offers[number], relaxed.qtys.get(number, 0)
            most = min(offer.most, self._qty)
            short = max(offer.least - part, 0) * abs(offer.nets[0]) if part else 0
            return (offer.ticket + price) * min(part, most - part) // most + short, part

        return max(sorted(free), key=open_cost, default=None)
