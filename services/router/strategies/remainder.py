"""A remainder that is too small for any venue, taken along: a coarse venue gives up a lot or two, and a finer
venue takes them together with the remainder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bestex.messages import Side, VenueColumn
from bestex.units import ceil_to, floor_to
from services.router.strategies.base import Route, RouteTask, Terms, allocation_of

Parts = dict[str, list[tuple[int, int]]]


def with_remainder(task: RouteTask, route: Route, max_splits: int) -> Route:
    """The route with the remainder placed, at the least cost found; unchanged where that cannot be.

    Pure. Every venue stays on its lot, above its minimums and within its cap; the number of splits holds.
    """
    rest = task.qty - route.qty
    if rest <= 0 or not route.allocations:
        return route
    sums = {part.venue: part.qty for part in route.allocations}
    ways = (_walk_each(task, quantities) for quantities in _exchanges(task, sums, rest, max_splits))
    parts = min((way for way in ways if way is not None), key=lambda way: _cost(task, way), default=None)
    if parts is None:
        return route
    left_out = {venue: reason for venue, reason in route.left_out.items() if venue not in parts}
    return Route([allocation_of(venue, levels) for venue, levels in parts.items()], left_out)


def _exchanges(
    task: RouteTask, sums: Mapping[str, int], rest: int, max_splits: int
) -> Iterator[dict[str, int]]:
    """Ways to place the whole quantity by moving as few of one venue's lots to another as its minimum asks."""
    columns = {column.venue: column for _, column in task.ladder.columns}
    for receiver, terms in task.terms.items():
        have = sums.get(receiver, 0)
        if rest % terms.listing.lot or (not have and len(sums) >= max_splits):
            continue
        least = 0 if have else _least(task, terms, columns[receiver])
        for donor, given in sums.items():
            if donor == receiver:
                continue
            lot = task.terms[donor].listing.lot
            moved = ceil_to(max(least - rest, 0), lot)
            gains = have + rest + moved
            if moved > given or gains > terms.cap or moved % terms.listing.lot:
                continue
            if given - moved and given - moved < _least(task, task.terms[donor], columns[donor]):
                continue
            yield {**sums, donor: given - moved, receiver: gains}


def _least(task: RouteTask, terms: Terms, column: VenueColumn) -> int:
    """The smallest quantity that the venue takes as a part of a split, at its best price."""
    prices = column.ask_px if task.side is Side.BUY else column.bid_px
    if not prices:
        return terms.cap + 1
    notional = max(terms.listing.min_notional, task.min_split_notional)
    return ceil_to(max(terms.listing.min_qty, -(-notional // prices[0])), terms.listing.lot)


def _walk_each(task: RouteTask, quantities: Mapping[str, int]) -> Parts | None:
    """Each venue's quantity from its own levels; None where one does not hold it within the limit."""
    columns = {column.venue: column for _, column in task.ladder.columns}
    parts: Parts = {}
    for venue, wanted in quantities.items():
        column, lot = columns[venue], task.terms[venue].listing.lot
        buy = task.side is Side.BUY
        prices, sizes = (column.ask_px, column.ask_qty) if buy else (column.bid_px, column.bid_qty)
        left = wanted
        for price, size in zip(prices, sizes, strict=True):
            qty = floor_to(min(size, left), lot)
            if not task.within(price) or not left:
                break
            if qty:
                parts.setdefault(venue, []).append((price, qty))
                left -= qty
        if left:
            return None
    return parts


def _cost(task: RouteTask, parts: Parts) -> int:
    """What it costs a buyer, or fails to bring a seller, net of fees and basis; 1e-8 price x quantity units."""
    total = 0
    basis = {column.venue: column.basis for _, column in task.ladder.columns}
    for venue, levels in parts.items():
        part = allocation_of(venue, levels)
        total += part.notional * task.fee_factor(venue) - part.qty * basis[venue] * task.fee_factor(None)
    return total * task.side.sign
