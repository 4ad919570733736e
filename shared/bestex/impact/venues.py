"""Impact venue by venue: what an order takes from a displayed ladder, what comes back, and the split that takes
the smallest share of every venue.

Prices and quantities are integers in the instrument's units and exact; only the models' output is a float.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt
from typing import Annotated

import msgspec
from msgspec import Meta

from bestex.impact.transient import Exponential, Nanoseconds
from bestex.units import floor_to

BPS = 10_000


@dataclass(frozen=True, slots=True)
class Taking:
    """What an order takes at once from one side: `touch` is the best price before, `after` the best one left (None
    where nothing is), `worst` the last one taken (the touch where nothing is), `levels` how many are used up."""

    qty: int
    notional: int
    touch: int
    worst: int
    after: int | None
    levels: int

    @property
    def move_bps(self) -> float | None:
        """How far the touch has moved, in bps of where it was, never negative; None where nothing is left."""
        return None if self.after is None else abs(self.after - self.touch) / self.touch * BPS

    @property
    def cost_bps(self) -> float:
        """What that costs against the touch, on average."""
        if not self.qty:
            return 0.0
        return abs(self.notional - self.touch * self.qty) / (self.touch * self.qty) * BPS


def take(prices: Sequence[int], sizes: Sequence[int], qty: int) -> Taking | None:
    """Take up to `qty` from the levels, best first; None of an empty side. What is not there is not taken."""
    if not prices:
        return None
    left, notional, worst, levels = qty, 0, prices[0], 0
    for price, size in zip(prices, sizes, strict=True):
        part = min(size, left)
        if part:
            notional += price * part
            worst = price
        left -= part
        if part < size:
            return Taking(qty - left, notional, prices[0], worst, price, levels)
        levels += 1
    return Taking(qty - left, notional, prices[0], worst, None, levels)


class VenueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue bears an order: `depth` (any unit of quantity) moves its price by `bps_at_depth`, less of it by
    the square root of the share, and half of what was taken has come back after `half_life_ns`.

    The square root of a share of depth is that of `laws.SquareRoot`, with the depth for the day's volume.
    """

    depth: Annotated[float, Meta(gt=0)]
    bps_at_depth: Annotated[float, Meta(ge=0)] = 1.0
    half_life_ns: Nanoseconds

    def peak_bps(self, qty: float, taken: float = 0.0, elapsed_ns: int = 0) -> float:
        """How far `qty` moves the venue's price, where `taken` had been taken `elapsed_ns` before."""
        share: float = (
            qty + taken * Exponential(half_life_ns=self.half_life_ns).left(elapsed_ns)
        ) / self.depth
        return self.bps_at_depth * sqrt(share)


def split_bps(venues: Mapping[str, VenueDepth], parts: Mapping[str, float]) -> float:
    """The expected impact of a split: each part's, by its quantity. 0 of nothing. KeyError for an unknown venue."""
    whole = sum(parts.values())
    if not whole:
        return 0.0
    return sum(qty * venues[venue].peak_bps(qty) for venue, qty in parts.items()) / whole


@dataclass(frozen=True, slots=True)
class Room:
    """One venue's part in a split: at most `most` quantity units in whole lots, wanted in proportion to `depth` (an
    integer of any unit). `rank` orders venues that are otherwise alike."""

    venue: str
    depth: int
    most: int
    lot: int
    rank: int


def spread(qty: int, rooms: Sequence[Room]) -> dict[str, int]:
    """`qty` over the venues so that the largest share of any venue's depth is as small as can be.

    The same share of all is the least impact under every law by which a venue's impact per unit, f, grows with
    the share of its depth that is taken: minimise sum q f(q/D) subject to sum q = Q, and f + x f' has one value
    x = q/D for all where x f(x) is convex, as it is for x^delta. A venue that is full keeps what it has, and the
    others share the rest. What lots leave over goes to coarse lots first, then to finer ones, one each as long as
    that goes. The parts sum to `qty`, or to less where rooms and lots hold no more; venues without a part are not
    in the answer. The order of `rooms` does not matter.
    """
    ordered = sorted(rooms, key=lambda room: (-room.lot, room.rank, room.venue))
    free = [room for room in ordered if room.depth > 0 and floor_to(room.most, room.lot) > 0]
    parts: dict[str, int] = {}
    left = qty
    while free:
        depth = sum(room.depth for room in free)
        full = [room for room in free if left * room.depth >= floor_to(room.most, room.lot) * depth]
        if not full:
            break
        for room in full:  # in any order: who is full at the present share stays so when the others get more
            parts[room.venue] = floor_to(room.most, room.lot)
        left = qty - sum(parts.values())
        free = [room for room in free if room.venue not in parts]
    depth = sum(room.depth for room in free)
    parts |= {room.venue: floor_to(left * room.depth // depth, room.lot) for room in free}
    left = qty - sum(parts.values())
    by_share = sorted(free, key=lambda room: (-room.lot, Fraction(parts[room.venue] + room.lot, room.depth)))
    for lots in (1, qty):  # one lot each, and then whoever can
        for room in by_share:
            room_left = min(left, room.most - parts[room.venue], lots * room.lot)
            parts[room.venue] += floor_to(room_left, room.lot)
            left -= floor_to(room_left, room.lot)
    assert left >= 0, "a split never exceeds its whole"
    return {venue: part for venue, part in parts.items() if part}
