"""From a book and an order's wishes to a route: the same few lines for the router, `plan`, and every test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bestex import codec
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.errors import Code
from bestex.instruments import FEE_ONE, Instrument, Listing
from bestex.ladder import Ladder
from bestex.messages import ConsolidatedBook, Side, Stats, Tif
from bestex.units import MAX_SCALE, floor_to, to_units
from services.router.strategies.base import Allocation, Route, RouteTask, Strategy, Terms, taken_side
from services.router.visible import narrowed, usable

FINEST = 2 * MAX_SCALE  # of price units x quantity units


def make_strategy(
    registry: Mapping[str, type[Strategy]], config: Config, name: str, params: Mapping[str, Any]
) -> Strategy:
    """The strategy with its parameters: the order's over the configuration's over its own defaults.

    `max_splits` comes out as what holds: an order may ask for fewer splits than the configuration, not for more.
    Raises msgspec.ValidationError where a parameter is unknown or out of its range.
    """
    given = {**config.strategies.get(name, {}), **params}
    strategy = codec.convert(given, registry[name], strict=False)
    return msgspec.structs.replace(strategy, max_splits=_max_splits(config, strategy))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is to be routed now. `avoid` names venues with the reason not to use them, `used` what each venue has had
    of the same order, for its share, `handicaps_e8` by how much it counts as dearer than it is; `until_ns`, `stats`
    and `seed` are those of `RouteTask`."""

    instrument: Instrument
    config: Config
    book: ConsolidatedBook | None
    side: Side
    qty: int
    limit: int | None
    now_ns: int
    venues: Collection[str] | None = None
    avoid: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    until_ns: int = 0
    stats: Stats | None = None
    seed: int = 0
    handicaps_e8: Mapping[str, int] = field(default_factory=dict)


def route_of(strategy: Strategy, ask: Ask) -> Route:
    """The route now, with a reason for every venue left out; empty where there is none. Raises PluginFailed where the
    strategy fails, or wants what cannot be."""
    task, left_out = make_task(strategy, ask)
    if task is None:
        return Route(left_out=left_out, text="no venue can be used now")
    route = asked(strategy, strategy.route, task)
    if wrong := _wrong(route, task):
        raise PluginFailed(strategy, ValueError(wrong))
    sent = Counter[str]()
    for allocation in route.allocations:
        sent[allocation.venue] += allocation.qty
    for venue in task.terms:
        if venue not in sent and venue not in route.left_out:
            route.left_out[venue] = _why_not(task, venue)
    route.left_out = {**left_out, **route.left_out}
    route.text = _why_a_rest(task, route)
    return route


def _wrong(route: Any, task: RouteTask) -> str:
    """Why this is no route of the task, as a sentence; empty where it is one."""
    if not isinstance(route, Route):
        return f"no route, but a {type(route).__name__}"
    sent = Counter[str]()
    kinds = ((route.review_ns, int), (route.gap_bps, float | int), (route.why, str), (route.left_out, dict))
    for value, kind in kinds:
        if not isinstance(value, kind):
            return f"a route with {value!r}"
    if not all(isinstance(one, str) for pair in route.left_out.items() for one in pair):
        return f"{route.left_out!r} left out"
    for one in route.allocations:
        units = (one.qty, one.price, one.notional, one.display, one.min_qty)
        if not (all(isinstance(number, int) for number in units) and one.qty > 0):
            return f"{one.qty!r} at {one.price!r} for {one.venue}, which are no quantity and price"
        if not (isinstance(one.venue, str) and isinstance(one.reason, str) and isinstance(one.tif, Tif)):
            return f"{one.tif!r} at {one.venue!r} for {one.reason!r}"
        sent[one.venue] += one.qty
    for venue, qty in sent.items():
        if venue not in task.terms:
            return f"{venue} is none of its venues"
        if qty > task.terms[venue].cap:
            return f"{qty} for {venue}, which may have {task.terms[venue].cap}"
    return f"{route.qty} of {task.qty}" if route.qty > task.qty else ""


def make_task(strategy: Strategy, ask: Ask) -> tuple[RouteTask | None, dict[str, str]]:
    """What a strategy is asked, and the venues that it may not use, each with its reason; no task where none is left.

    Never trades on books that are stale, or crossed by more than the fees.
    """
    instrument, config, book = ask.instrument, ask.config, ask.book
    allowed, left_out = usable(instrument, config, strategy, book, ask.now_ns, ask.venues, ask.avoid)
    if book is None or not allowed:
        return None, left_out
    priority = {venue: config.venues[venue].priority for venue in allowed}
    ladder = Ladder(book, venues=allowed, priority=priority)
    crossed = _crossed(ladder, allowed)
    if crossed:
        return None, {**left_out, **dict.fromkeys(allowed, crossed)}
    seen, beyond = narrowed(ladder, ask.side, strategy)
    if seen is not book:
        ladder = Ladder(seen, venues=allowed.keys() - beyond.keys(), priority=priority)
    whole = ask.qty + sum(ask.used.values())
    terms = {
        venue: Terms(
            listing=listing,
            priority=priority[venue],
            cap=_cap(listing, config, strategy, ask.qty, whole, ask.used.get(venue, 0), len(allowed)),
            handicap_e8=ask.handicaps_e8.get(venue, 0),
        )
        for venue, listing in allowed.items()
        if venue not in beyond
    }
    task = RouteTask(
        side=ask.side,
        qty=ask.qty,
        limit=ask.limit,
        ladder=ladder,
        terms=terms,
        max_splits=_max_splits(config, strategy),
        min_split_notional=_min_split(instrument, config, strategy),
        now_ns=ask.now_ns,
        until_ns=ask.until_ns,
        stats=ask.stats,
        seed=ask.seed,
        qty_unit=float(instrument.qty(1)),
    )
    return task, left_out | beyond


def rest_leg(
    instrument: Instrument,
    config: Config,
    side: Side,
    qty: int,
    limit: int,
    usable: Collection[str],
    skip: Collection[str] = (),
    post_only: bool = False,
    display: int = 0,
    least: int = 0,
) -> Allocation | None:
    """Where to post what does not cross: the usable venue with the lowest maker fee, then by priority.

    With a `display`, no book is to show more of it. A venue that shows an order in parts (`native_iceberg`) takes all
    of it and comes before the others; on any other one only so much is posted, but for the dark, which shows nothing.
    There nothing below `least` is to be traded at once.
    """
    best: tuple[tuple[bool, int, int, int], Allocation] | None = None
    for listing in instrument.listings:
        if listing.venue not in usable or listing.venue in skip or listing.inverse:
            continue
        price = listing.passive(limit, buy=side is Side.BUY)
        venue = config.venues[listing.venue]
        whole = venue.native_iceberg or not display or listing.kind == "dark"
        most = qty if whole else min(display, qty)
        lots = floor_to(min(most, listing.max_qty or most), listing.lot)
        shown = floor_to(min(display or lots, lots), listing.lot)
        if shown < listing.min_qty or shown * price < listing.min_notional or price <= 0:
            continue
        # The finest lot leaves the least behind; then the cheapest venue.
        rank = (not whole, most - lots, listing.maker_fee_e8, venue.priority)
        if best is None or rank < best[0]:
            best = rank, _rest(listing, lots, price, shown, least, post_only)
    return None if best is None else best[1]


def _rest(listing: Listing, lots: int, price: int, shown: int, least: int, post_only: bool) -> Allocation:
    """What rests, as its venue takes it: the dark shows nothing, and knows a least quantity instead."""
    why, display, min_qty = "rests at the limit", 0, 0
    if listing.kind == "dark":
        why, min_qty = "rests in the dark, within the limit", floor_to(min(least, lots), listing.lot)
    elif shown < lots:
        why, display = "rests at the limit, and is shown in parts", shown
    return Allocation(listing.venue, lots, price, lots * price, Tif.GTC, post_only, why, display, min_qty)


def _max_splits(config: Config, strategy: Strategy) -> int:
    most = config.splitting.max_splits if config.splitting.enabled else 1
    return min(strategy.max_splits or most, most)


def _min_split(instrument: Instrument, config: Config, strategy: Strategy) -> int:
    """The least part of a split in price units x quantity units, rounded up."""
    size = max(config.splitting.min_split_size, strategy.min_split_size)
    coarser: int = 10 ** (FINEST - instrument.price_scale - instrument.qty_scale)
    return -(-to_units(size, FINEST) // coarser)


def _cap(
    listing: Listing, config: Config, strategy: Strategy, qty: int, whole: int, used: int, venues: int
) -> int:
    """What may still go to the venue. A share is among several: a lone venue may have all."""
    share_e8 = round(min(config.venues[listing.venue].max_volume_pct, strategy.max_volume_pct) * FEE_ONE)
    cap = qty if venues == 1 else max(floor_to(whole * share_e8 // FEE_ONE, listing.lot) - used, 0)
    return min(cap, qty, listing.max_qty or qty)


def _crossed(ladder: Ladder, allowed: Mapping[str, Listing]) -> str:
    """Why the book is not to be traded on: bids above asks by more than it costs to trade on both."""
    bid, ask = ladder.best_bid, ladder.best_ask
    if bid is None or ask is None or bid <= ask:
        return ""
    fee = max(listing.taker_fee_e8 for listing in allowed.values())
    if (bid - ask) * FEE_ONE <= (bid + ask) * max(fee, 0):
        return ""
    return f"{Code.CROSSED_BOOK}: the consolidated book is crossed by more than the fees"


def _why_not(task: RouteTask, venue: str) -> str:
    column = next(column for _, column in task.ladder.columns if column.venue == venue)
    prices, sizes = taken_side(column, task.side)
    lot = task.terms[venue].listing.lot
    if not prices:
        return f"{Code.NO_LIQUIDITY}: nothing on that side"
    if not task.within(prices[0]):
        return f"{Code.OUT_OF_LIMIT}: its best price is beyond the limit"
    if task.qty < lot:
        return f"{Code.BELOW_MINIMUM}: the quantity is less than its lot"
    if task.terms[venue].cap < lot:
        return f"{Code.VENUE_CAP}: it has had its share"
    if max(sizes) < lot:
        return f"{Code.NO_LIQUIDITY}: no level of it holds a whole lot"
    return f"{Code.NOT_SELECTED}: other venues were better"


def _why_a_rest(task: RouteTask, route: Route) -> str:
    """Why not all of the task is routed, as a sentence; empty where it is."""
    if route.qty == task.qty:
        return ""
    sides = [taken_side(column, task.side) for _, column in task.ladder.columns]
    depth = sum(
        qty for prices, sizes in sides for price, qty in zip(prices, sizes, strict=True) if task.within(price)
    )
    if depth < task.qty:
        return f"the books hold {'only a part' if depth else 'none'} of it within the limits"
    return "lots, minimums, shares or the strategy leave a part of it"
