"""What a strategy is: typed parameters and one pure function `route`.

Every strategy sees the same task and answers with allocations that sum to at most the task's quantity, and
with a reason for each venue left out. Whatever all strategies must respect (lots, minimums, caps, the number
of splits) stands here once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from bestex.errors import Code
from bestex.human import Ratio
from bestex.instruments import FEE_ONE, Listing
from bestex.ladder import Ladder, Level
from bestex.messages import Side, Stats, Tif, VenueColumn, VenueStats
from bestex.units import MAX_SCALE, UnitError, floor_to, to_units


@dataclass(frozen=True, slots=True)
class Terms:
    """A venue's terms for this task. `cap` is the most that may go there, in quantity units; `handicap_e8` by how
    much it counts as dearer than it is, because it cannot be relied on, in 1e-8 of the notional."""

    listing: Listing
    priority: int
    cap: int
    handicap_e8: int = 0


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

    def rank_factor(self, venue: str) -> int:
        """The same with the venue's handicap: what it is compared by with others."""
        return self.fee_factor(venue) + self.side.sign * self.terms[venue].handicap_e8


@dataclass(frozen=True, slots=True)
class Allocation:
    """Send `qty` to `venue` at `price`: the worst of its levels that the quantity reaches, or where it is to rest. Of
    what rests the venue is to show `display` at a time, 0 for all; in the dark nothing below `min_qty` is traded at
    once."""

    venue: str
    qty: int
    price: int
    notional: int
    tif: Tif = Tif.IOC
    post_only: bool = False
    reason: str = ""
    display: int = 0
    min_qty: int = 0

    @property
    def rests(self) -> bool:
        return self.tif is not Tif.IOC


@dataclass(slots=True)
class Route:
    """`gap_bps`: by how much, of the notional, a cheaper one may exist that was not found; 0 where none does.
    `review_ns`: when what rests is to be looked at again; 0 where it may rest until the slice's end. `why`: what the
    strategy decided, in a sentence. `text`: why not all of the task is routed; empty where it is."""

    allocations: list[Allocation] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    gap_bps: float = 0.0
    review_ns: int = 0
    why: str = ""
    text: str = ""

    @property
    def qty(self) -> int:
        return sum(allocation.qty for allocation in self.allocations)

    def taken(self) -> Route:
        """Only what is taken of it; nothing rests, so there is nothing to look at again."""
        return replace(self, allocations=[one for one in self.allocations if not one.rests], review_ns=0)


# Percent means percent: 0.3 is 0.3 %.
Percent = Annotated[float, Meta(ge=0, lt=100)]
PRICE_LEVELS_MAX = 1_000  # as many as market_data.levels may be


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all strategies' parameters: what every strategy takes.

    All of these only narrow what the configuration and the order's limit allow. They are seen to before `route`
    is asked (`services.router.visible`): its task has the levels, caps and splits that are left.
    """

    name: ClassVar[str]
    # What of Listing.kind it routes to. A dark venue shows no levels, so there is nothing to choose it by.
    kinds: ClassVar[frozenset[str]] = frozenset({"spot", "perp"})

    include_spot: Annotated[bool, Meta(description="Whether spot venues may be used.")] = True
    include_perp: Annotated[bool, Meta(description="Whether perpetual futures may be used.")] = True
    max_slippage_percent: Annotated[
        Percent | None,
        Meta(
            description="Worst price, from the best of all usable venues: 0.3 is 0.3 %. The limit still holds."
        ),
    ] = None
    max_price_impact_percent: Annotated[
        Percent | None,
        Meta(description="Worst price at each venue, from that venue's own best: 0.2 is 0.2 %."),
    ] = None
    price_levels: Annotated[
        int,
        Meta(ge=0, le=PRICE_LEVELS_MAX, description="Most levels of each venue that may be taken; 0 is all."),
    ] = 0
    max_volume_pct: Annotated[
        Ratio,
        Meta(
            description='Most of a slice for each of several venues, "40%" or 0.4. Only lowers the venues\' own.',
            extra={"range": "above 0%, at most 100%"},
        ),
    ] = Ratio(1.0)
    min_split_size: Annotated[
        Decimal,
        Meta(
            description="Least part of a split, in quote. Only raises splitting.min_split_size.",
            extra={"range": "0 or more"},
        ),
    ] = Decimal(0)
    max_splits: Annotated[
        int, Meta(ge=0, description="Most venues at once; 0 is splitting.max_splits. Only lowers that.")
    ] = 0

    def __post_init__(self) -> None:
        """ValueError with a sentence for what a type cannot say; msgspec hands it on as any wrong type."""
        if not (self.include_spot or self.include_perp):
            raise ValueError("include_spot and include_perp are both false, so no venue is left")
        if not 0 < self.max_volume_pct <= 1:
            raise ValueError('max_volume_pct must be above 0% and at most 100%; write "40%" or 0.4')
        try:
            to_units(self.min_split_size, MAX_SCALE)
        except UnitError as error:
            raise ValueError(f"min_split_size: {error}") from None
        if self.min_split_size < 0:
            raise ValueError("min_split_size must not be negative")

    def excludes(self, listing: Listing) -> str:
        """Why a listing of its kind is not used, whatever its book; empty where it may be."""
        if listing.kind not in self.kinds:
            return f"{Code.NOT_SELECTED}: {self.name} does not route to {listing.kind} venues"
        if listing.kind == "spot" and not self.include_spot:
            return f"{Code.NOT_SELECTED}: include_spot is false"
        if listing.kind == "perp" and not self.include_perp:
            return f"{Code.NOT_SELECTED}: include_perp is false"
        return ""

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

    def reprices(
        self,
        task: RouteTask,  # noqa: ARG002 - for those that post
        since_ns: int,  # noqa: ARG002
        resting: Sequence[tuple[str, int]],  # noqa: ARG002
    ) -> list[int]:
        """The prices at which to go on resting where `keeps` says no, in the order given; empty where not at all."""
        return []


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


def levels_by_venue(task: RouteTask) -> dict[str, list[Level]]:
    """Each venue's levels within the limit, best first; venues by priority, and only those that can take a lot."""
    found: dict[str, list[Level]] = {}
    for index, column in task.ladder.columns:
        if column.venue in task.terms:
            prices, sizes = taken_side(column, task.side)
            levels = [
                Level(own - column.basis, index, own, qty)
                for own, qty in zip(prices, sizes, strict=True)
                if task.within(own)
            ]
            if room(task, column.venue, levels):
                found[column.venue] = levels
    return found


def taken_side(column: VenueColumn, taker: Side) -> tuple[list[int], list[int]]:
    """Prices and quantities of the levels that `taker` takes, best first."""
    return (column.ask_px, column.ask_qty) if taker is Side.BUY else (column.bid_px, column.bid_qty)


def room(task: RouteTask, venue: str, levels: Sequence[Level]) -> int:
    """The most that `walk` would take of these levels of one venue: whole lots of each, within the cap."""
    terms = task.terms[venue]
    lots = sum(floor_to(level.qty, terms.listing.lot) for level in levels)
    return floor_to(min(lots, terms.cap), terms.listing.lot)


def in_turn(task: RouteTask, ranked: Sequence[str], levels: Mapping[str, list[Level]], most: int) -> Route:
    """As much as the first venue takes, the rest to the next one, and so on; `most` venues at most."""

    def take(skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
        taken: dict[str, list[tuple[int, int]]] = {}
        left = task.qty
        for venue in ranked:
            if not left or len(taken) == most:
                break
            if venue not in skip and (part := walk(replace(task, qty=left), levels[venue], skip)):
                taken |= part
                left -= sum(qty for _, qty in part[venue])
        return taken

    return fit(task, most, take)


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
            wrong = dict.fromkeys(parts, f"{Code.NOT_SELECTED}: more than {max_splits} splits")
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
