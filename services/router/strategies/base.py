"""What a strategy is: typed parameters and one pure function `route`.

Every strategy sees the same task and answers with allocations that sum to at most the task's quantity, and
with a reason for each venue left out. Whatever all strategies must respect (lots, minimums, caps, the number
of splits) stands here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from bestex.errors import Code
from bestex.instruments import FEE_ONE, Listing
from bestex.ladder import Ladder, Level
from bestex.messages import Side, Stats, Tif, VenueStats
from bestex.units import floor_to


@dataclass(frozen=True, slots=True)
class Terms:
    """A venue's terms for this task. `cap` is the most that may go there, in quantity units."""

    listing: Listing
    priority: int
    cap: int


@dataclass(frozen=True, slots=True)
class RouteTask:
    """What is to be taken. `limit` is the worst price at the venue itself, in price units.

    For strategies that post: `now_ns` and `until_ns`, between which it may take its time (0 where it may not), what
    `stats` last said of the market, in base, of which a quantity unit is `qty_unit`; a `seed` for whatever is drawn.
    """

    side: Side
    qty: int
    limit: int | None
    ladder: Ladder
    terms: Mapping[str, Terms]
    max_splits: int
    min_split_notional: int
    now_ns: int = 0
    until_ns: int = 0
    stats: Stats | None = None
    seed: int = 0
    qty_unit: float = 1.0

    def stats_of(self, venue: str) -> VenueStats | None:
        if self.stats is None:
            return None
        return next((one for one in self.stats.venues if one.venue == venue), None)

    def within(self, own_price: int) -> bool:
        if self.limit is None:
            return True
        return own_price <= self.limit if self.side is Side.BUY else own_price >= self.limit

    def fee_factor(self, venue: str | None) -> int:
        """What one unit of notional costs a buyer, or brings a seller, in 1e-8; without a venue, no fee."""
        fee = 0 if venue is None else self.terms[venue].listing.taker_fee_e8
        return FEE_ONE + self.side.sign * fee


@dataclass(frozen=True, slots=True)
class Allocation:
    """Send `qty` to `venue` at `price`: the worst of its levels that the quantity reaches, or where it is to rest."""

    venue: str
    qty: int
    price: int
    notional: int
    tif: Tif = Tif.IOC
    post_only: bool = False
    reason: str = ""

    @property
    def rests(self) -> bool:
        return self.tif is not Tif.IOC


@dataclass(slots=True)
class Route:
    """`gap_bps`: by how much, of the notional, a cheaper one may exist that was not found; 0 where none does.
    `review_ns`: when what rests is to be looked at again; 0 where it may rest until the slice's end. `why`: what the
    strategy decided, in a sentence."""

    allocations: list[Allocation] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    gap_bps: float = 0.0
    review_ns: int = 0
    why: str = ""

    @property
    def qty(self) -> int:
        return sum(allocation.qty for allocation in self.allocations)


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all strategies' parameters."""

    name: ClassVar[str]

    max_splits: Annotated[
        int, Meta(ge=0, description="Most venues at once; 0 takes splitting.max_splits.")
    ] = 0

    def route(self, task: RouteTask) -> Route:
        """Pure. Allocations are on each venue's lot and tick, within limit and caps, at least its minimum."""
        raise TypeError(f"{type(self).__name__} has no route, for {task} or any other task")

    def keeps(
        self,
        task: RouteTask,  # noqa: ARG002 - for those that post
        since_ns: int,  # noqa: ARG002
        resting: Sequence[tuple[str, int]],  # noqa: ARG002
    ) -> int:
        """When to look again at what has been resting, (venue, price), since then; 0 where it is to be withdrawn and
        routed again. Pure; asked at a route's `review_ns`."""
        return 0


def walk(task: RouteTask, levels: list[Level], skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
    """Take the levels in their order until the quantity is reached: (own price, quantity) by venue.

    Each venue's part is a multiple of its lot and at most its cap. What a coarse lot cannot take is left to
    the venues after it.
    """
    taken: dict[str, list[tuple[int, int]]] = {}
    sums: dict[str, int] = {}
    left = task.qty
    for level in levels:
        if not left:
            break
        venue = task.ladder.book.venues[level.venue].venue
        terms = task.terms.get(venue)
        if terms is None or venue in skip or not task.within(level.own_price):
            continue
        room = terms.cap - sums.get(venue, 0)
        qty = floor_to(min(level.qty, left, room), terms.listing.lot)
        if qty > 0:
            taken.setdefault(venue, []).append((level.own_price, qty))
            sums[venue] = sums.get(venue, 0) + qty
            left -= qty
    return taken


def fit(
    task: RouteTask, max_splits: int, take: Callable[[frozenset[str]], dict[str, list[tuple[int, int]]]]
) -> Route:
    """Call `take` with the venues to skip until what it takes keeps every minimum and the number of splits.

    Each round drops the one venue with the least, so there are at most as many rounds as venues.
    """
    skip: dict[str, str] = {}
    while True:
        taken = take(frozenset(skip))
        parts = {venue: allocation_of(venue, levels) for venue, levels in taken.items()}
        wrong = {
            venue: reason
            for venue, part in parts.items()
            if (reason := _below(part, task.terms[venue].listing, task, len(parts)))
        }
        if not wrong and len(parts) > max_splits:
            wrong = dict.fromkeys(parts, f"more than {max_splits} splits")
        if not wrong:
            return Route(allocations=list(parts.values()), left_out=skip)
        least = min(wrong, key=lambda venue: (parts[venue].notional, venue))
        skip[least] = wrong[least]


def allocation_of(venue: str, levels: list[tuple[int, int]]) -> Allocation:
    """One child that reaches all of these levels, best first."""
    return Allocation(
        venue=venue,
        qty=sum(qty for _, qty in levels),
        price=levels[-1][0],
        notional=sum(price * qty for price, qty in levels),
    )


def _below(part: Allocation, listing: Listing, task: RouteTask, parts: int) -> str:
    """Why the venue would refuse this part, or why it is too small to be a part; empty where it is fine."""
    if part.qty < listing.min_qty:
        return f"{Code.BELOW_MINIMUM}: {part.qty} is below the venue's minimum of {listing.min_qty} units"
    if part.qty * part.price < listing.min_notional:
        return f"{Code.BELOW_MINIMUM}: below the venue's minimum notional"
    if parts > 1 and part.notional < task.min_split_notional:
        return f"{Code.BELOW_MINIMUM}: below splitting.min_split_size"
    return ""
