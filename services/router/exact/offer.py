"""One venue as the search sees it: what the next unit costs there, in which lots, from what quantity on, up to what.

Costs are integers, in 1e-8 price units x quantity units, all fees included; what a sell brings is a negative cost.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from bestex.units import ceil_to, floor_to


@dataclass(frozen=True)
class Offer:
    """Levels best first: `nets` what a unit costs (never falling), `owns` the venue's own prices, `sizes` the
    quantities. `least` and `most` are multiples of `lot`; `ticket` is paid once if anything is taken."""

    venue: str
    nets: Sequence[int]
    owns: Sequence[int]
    sizes: Sequence[int]
    lot: int
    least: int
    most: int
    ticket: int = 0

    @cached_property
    def ends(self) -> list[int]:
        """How much has been taken at the end of each level."""
        return list(accumulate(self.sizes))

    @cached_property
    def _costs(self) -> list[int]:
        """What it costs to take each level and all before it."""
        return list(accumulate(net * size for net, size in zip(self.nets, self.sizes, strict=True)))

    def cost(self, qty: int) -> int:
        """Of taking `qty` from the best level on, without the ticket."""
        if not qty:
            return 0
        level = bisect_left(self.ends, qty)
        return self._costs[level] - (self.ends[level] - qty) * self.nets[level]

    def price(self, qty: int) -> int:
        """The venue's own price that an order of `qty` must reach."""
        return self.owns[bisect_left(self.ends, qty)]

    def notional(self, qty: int) -> int:
        """At the venue's own prices, in price units x quantity units."""
        taken = total = 0
        for own, size in zip(self.owns, self.sizes, strict=True):
            part = min(size, qty - taken)
            total, taken = total + own * part, taken + part
            if taken == qty:
                break
        return total

    @cached_property
    def lots(self) -> list[tuple[int, int]]:
        """(cost of one lot, number of such lots) from the best on, up to `most`. A lot that spans levels is one of
        its own. The costs never fall, because the levels' do not."""
        found: list[tuple[int, int]] = []
        done, room = 0, self.most
        begun = spent = 0  # of a lot that spans levels
        for net, size in zip(self.nets, self.sizes, strict=True):
            left = size
            if begun:
                part = min(left, self.lot - begun)
                begun, spent, left = begun + part, spent + part * net, left - part
                if begun < self.lot:
                    continue
                found.append((spent, 1))
                done += self.lot
                begun = spent = 0
            whole = min(floor_to(left, self.lot), room - done)
            if whole > 0:
                found.append((net * self.lot, whole // self.lot))
                done += whole
            if done >= room:
                break
            begun, spent = left - whole, (left - whole) * net
        return found


def least_of(
    owns: Sequence[int],
    sizes: Sequence[int],
    lot: int,
    min_qty: int,
    min_order: int,
    min_taken: int,
) -> int:
    """The smallest multiple of `lot` that a venue takes; more than there is where none is enough.

    `min_order`: the least of quantity x the price that the order must name; `min_taken`: of the notional that it
    takes. Where prices fall with the quantity (a sell), the lowest price stands for all, so that what is enough stays
    enough.
    """
    falls = len(owns) > 1 and owns[-1] < owns[0]
    least = max(min_qty, lot)
    if min_order and falls:
        least = max(least, -(-min_order // max(owns[-1], 1)))
    taken = value = 0
    enough_order, enough_taken = not min_order or falls, not min_taken
    for own, size in zip(owns, sizes, strict=True):
        if enough_order and enough_taken:
            break
        own = max(own, 1)
        if not enough_order:
            need = max(taken + 1, -(-min_order // own))
            if need <= taken + size:
                least, enough_order = max(least, need), True
        if not enough_taken and value + own * size >= min_taken:
            least, enough_taken = max(least, taken - (value - min_taken) // own), True
        taken, value = taken + size, value + own * size
    if not (enough_order and enough_taken):
        return ceil_to(taken + 1, lot)
    return ceil_to(least, lot)
