"""The cheapest split over venues that are all used, each for at least its minimum: exact, whatever the lots.

Venues of one lot make one curve, along which the cheapest next lot comes next; it is convex. Between curves of
different lots the coarser ones are tried lot by lot around the best division, as far as a better one can lie: what a
division loses against its Lagrangian bound is known curve by curve, so the range is bounded by what was found.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import gcd, lcm

from services.router.exact.offer import Offer

TRIES_MAX = (
    2_000  # divisions between three and more lots that are looked at before the best is taken with its gap
)


@dataclass(frozen=True, slots=True)
class Split:
    """Quantities by the offers' numbers, what they cost with tickets, and what no split can cost less than."""

    qtys: dict[int, int]
    cost: int
    bound: int


class Curve:
    """Venues of one lot, in lots beyond what each must take: `costs[i]` at `ends[i]` lots, straight between."""

    def __init__(self, offers: Sequence[tuple[int, Offer]]) -> None:
        self.offers = offers
        self.lot = offers[0][1].lot
        steps = sorted(
            (price, number, count)
            for number, offer in offers
            for price, count in _beyond(offer.lots, offer.least // offer.lot)
        )
        self.prices = [price for price, _, _ in steps]
        self._of = [number for _, number, _ in steps]
        self._counts = [count for _, _, count in steps]
        self.ends = [0, *accumulate(self._counts)]
        self.costs = [0, *accumulate(price * count for price, _, count in steps)]
        self.most = self.ends[-1]

    def cost(self, lots: int) -> int:
        at = bisect_left(self.ends, lots)
        if self.ends[at] == lots:
            return self.costs[at]
        return self.costs[at] - (self.ends[at] - lots) * self.prices[at - 1]

    def until(self, price: int) -> int:
        """How many lots cost at most this much each."""
        return self.ends[bisect_right(self.prices, price)]

    def parts(self, lots: int) -> dict[int, int]:
        """What each venue takes, its minimum included."""
        qtys = {number: offer.least for number, offer in self.offers}
        for number, count in zip(self._of, self._counts, strict=True):
            part = min(count, lots)
            if not part:
                break
            qtys[number] += part * self.lot
            lots -= part
        return qtys


def split(offers: Sequence[tuple[int, Offer]], qty: int) -> Split | None:
    """`qty` over all of these offers at the least cost; None where that cannot be. Each is (number, offer)."""
    rest = qty - sum(offer.least for _, offer in offers)
    if not offers or rest < 0 or any(offer.least > offer.most for _, offer in offers):
        return None
    by_lot: dict[int, list[tuple[int, Offer]]] = {}
    for numbered in offers:
        by_lot.setdefault(numbered[1].lot, []).append(numbered)
    curves = [Curve(by_lot[lot]) for lot in sorted(by_lot, reverse=True)]
    fixed = sum(offer.cost(offer.least) + offer.ticket for _, offer in offers)
    found = _divide(curves, rest)
    if found is None:
        return None
    lots, cost, bound = found
    qtys = {
        number: part for curve, n in zip(curves, lots, strict=True) for number, part in curve.parts(n).items()
    }
    return Split(qtys, fixed + cost, fixed + bound)


def _divide(curves: list[Curve], rest: int) -> tuple[list[int], int, int] | None:
    """Lots of each curve, coarsest first, that sum to `rest`; their cost; its lower bound."""
    finest = curves[-1]
    if len(curves) == 1:
        lots, over = divmod(rest, finest.lot)
        if over or lots > finest.most:
            return None
        cost = finest.cost(lots)
        return [lots], cost, cost
    if rest % gcd(*(curve.lot for curve in curves)):
        return None
    price, unit = _marginal(curves, rest)
    # Costs are multiplied by `unit`, so that a price per unit of quantity is a whole number for every lot.
    best = [curve.until(price * curve.lot // unit) for curve in curves]
    losses = [_Loss(curve, n, price, unit) for curve, n in zip(curves, best, strict=True)]
    bound = sum(loss.least for loss in losses) + price * rest
    search = _Search(curves, losses, rest)
    search.run()
    if search.lots is None:
        return None
    cost = sum(curve.cost(n) for curve, n in zip(curves, search.lots, strict=True))
    proven = cost if not search.gave_up else -(-bound // unit)
    return search.lots, cost, proven


def _marginal(curves: Sequence[Curve], rest: int) -> tuple[int, int]:
    """What the last unit costs where lots may be divided, times `unit`, by which every lot divides it."""
    unit = lcm(*(curve.lot for curve in curves))
    steps = sorted(
        (price * (unit // curve.lot), (curve.ends[i + 1] - curve.ends[i]) * curve.lot)
        for curve in curves
        for i, price in enumerate(curve.prices)
    )
    price = 0
    for at, size in steps:
        if rest <= 0:
            break
        price, rest = at, rest - size
    return price, unit


class _Loss:
    """What a curve loses, times `unit`, where it takes another number of lots than its best at this price."""

    def __init__(self, curve: Curve, best: int, price: int, unit: int) -> None:
        self._curve, self._price, self._unit = curve, price, unit
        self.best = best
        self.least = self._at(best)

    def _at(self, lots: int) -> int:
        return self._curve.cost(lots) * self._unit - self._price * lots * self._curve.lot

    def of(self, lots: int) -> int:
        return self._at(lots) - self.least


class _Search:
    """Depth first over the coarser curves, the nearest to the best first; the last two are divided exactly."""

    def __init__(self, curves: Sequence[Curve], losses: Sequence[_Loss], rest: int) -> None:
        self._curves, self._losses = curves, losses
        self._rest = rest
        self._tries = 0
        self._least: int | None = None
        self.lots: list[int] | None = None
        self.gave_up = False

    def run(self) -> None:
        self._from(0, self._rest, 0, [])

    def _from(self, number: int, rest: int, lost: int, lots: list[int]) -> None:
        if number == len(self._curves) - 2:
            self._last_two(rest, lost, lots)
            return
        curve, loss = self._curves[number], self._losses[number]
        most = min(curve.most, rest // curve.lot)
        middle = min(loss.best, most)
        for n, step in ((middle, 1), (middle - 1, -1)):
            while 0 <= n <= most:
                total = lost + loss.of(n)
                if self._least is not None and total >= self._least:
                    break  # and further away it is no less
                self._tries += 1
                if self._tries > TRIES_MAX:
                    self.gave_up = True
                    return
                self._from(number + 1, rest - n * curve.lot, total, [*lots, n])
                n += step

    def _last_two(self, rest: int, lost: int, lots: list[int]) -> None:
        """The loss of both is convex along those divisions that leave the finest a whole number of its lots."""
        coarse, fine = self._curves[-2:]
        coarse_loss, fine_loss = self._losses[-2:]
        step = fine.lot // gcd(fine.lot, coarse.lot)
        least = max(-(-(rest - fine.most * fine.lot) // coarse.lot), 0)
        first = next((n for n in range(least, least + step) if not (rest - n * coarse.lot) % fine.lot), None)
        most = min(coarse.most, rest // coarse.lot)
        if first is None or first > most:
            return

        def loss(at: int) -> int:
            n = first + at * step
            return coarse_loss.of(n) + fine_loss.of((rest - n * coarse.lot) // fine.lot)

        at = bisect_left(range((most - first) // step), True, key=lambda t: loss(t + 1) >= loss(t))
        total = lost + loss(at)
        if self._least is None or total < self._least:
            n = first + at * step
            self._least, self.lots = total, [*lots, n, (rest - n * coarse.lot) // fine.lot]


def _beyond(steps: Sequence[tuple[int, int]], lots: int) -> list[tuple[int, int]]:
    """The steps without the first `lots`."""
    left = []
    for price, count in steps:
        gone = min(count, lots)
        lots -= gone
        if count > gone:
            left.append((price, count - gone))
    return left
