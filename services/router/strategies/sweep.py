"""Sweep: the cheapest fill over all venues at once, exact: fees, tickets, lots, minimums, caps and splits.

Where fees are linear and nothing else binds, walking the consolidated book from the cheapest level net of fees is
optimal: any other filling of the same quantity exchanges a cheaper unit for a dearer one. Where a minimum, a ticket,
a lot or the number of splits binds, `services.router.exact` finds the optimum, or says how far from it this may be.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from operator import neg
from typing import ClassVar

from bestex.errors import Code
from bestex.instruments import FEE_ONE
from bestex.messages import Side
from services.router.exact.offer import Offer
from services.router.exact.offers import offers_of
from services.router.exact.search import Found, cheapest, most
from services.router.strategies.base import Allocation, Route, RouteTask, Strategy, taken_side

BPS = 10_000


class Sweep(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """The cheapest fill over all venues' books, net of taker fees."""

    name: ClassVar[str] = "sweep"

    def route(self, task: RouteTask) -> Route:
        splits = self.max_splits or task.max_splits
        walked = _walk(task)
        if _is_final(task, walked, splits):
            return Route(walked)
        return _exact(task, splits, wanted={part.venue for part in walked})


def _walk(task: RouteTask) -> list[Allocation]:
    """Level by level, the cheapest of all venues first, as if every quantity could be sent everywhere."""
    sign, columns = task.side.sign, task.ladder.columns
    sides = [taken_side(column, task.side) for _, column in columns]
    count = len(columns)
    factors, bases, rooms = [0] * count, [0] * count, [0] * count
    level, depth = (
        [0] * count,
        [0] * count,
    )  # where each venue stands, and how many of its levels are in the limit
    heap = []
    for number, (_, column) in enumerate(columns):
        prices = sides[number][0]
        terms = task.terms.get(column.venue)
        depth[number] = _within(task, prices)
        if terms is not None and depth[number] and terms.cap > 0:
            factors[number], rooms[number] = task.rank_factor(column.venue) * sign, terms.cap
            bases[number] = column.basis * FEE_ONE * sign
            heap.append((prices[0] * factors[number] - bases[number], number))
    heapq.heapify(heap)
    qtys, worst, paid, left = [0] * count, [0] * count, [0] * count, task.qty
    order: list[int] = []  # the best first
    while heap and left:
        number = heap[0][1]
        prices, sizes = sides[number]
        at = level[number]
        price, part = prices[at], sizes[at]
        if part > left:
            part = left
        if part >= rooms[number]:
            part = rooms[number]
            heapq.heappop(heap)
        elif at + 1 < depth[number]:
            level[number] = at + 1
            heapq.heapreplace(heap, (prices[at + 1] * factors[number] - bases[number], number))
        else:
            heapq.heappop(heap)
        if not qtys[number]:
            order.append(number)
        qtys[number] += part
        worst[number] = price
        paid[number] += price * part
        rooms[number] -= part
        left -= part
    return [Allocation(columns[n][1].venue, qtys[n], worst[n], paid[n]) for n in order if qtys[n]]


def _within(task: RouteTask, prices: Sequence[int]) -> int:
    """How many of these, best first, are within the limit."""
    if task.limit is None:
        return len(prices)
    if task.side is Side.BUY:
        return bisect_right(prices, task.limit)
    return bisect_right(prices, -task.limit, key=neg)


def _is_final(task: RouteTask, parts: list[Allocation], splits: int) -> bool:
    """Whether that is the answer: all of it is placed, every venue takes its part, and no ticket is paid."""
    if not parts or len(parts) > splits or sum(part.qty for part in parts) < task.qty:
        return False
    least = task.min_split_notional if len(parts) > 1 else 0
    for part in parts:
        listing = task.terms[part.venue].listing
        if (
            part.qty % listing.lot
            or part.qty < listing.min_qty
            or part.qty * part.price < listing.min_notional
            or part.notional < least
            or listing.ticket_fee
        ):
            return False
    return True


def _exact(task: RouteTask, splits: int, wanted: set[str]) -> Route:
    """All of it at the least cost; where that cannot be placed, as much as can be."""
    alone = offers_of(task, alone=True)
    several = offers_of(task, alone=False) if task.min_split_notional else alone
    for search in (cheapest, most):
        tried = [search(alone, task.qty, 1), search(several, task.qty, splits) if splits > 1 else None]
        found = [one for one in tried if one is not None]
        if found:
            made = min(found, key=lambda one: (-sum(one.qtys.values()), one.cost))
            rivals = [one for one in found if sum(one.qtys.values()) == sum(made.qtys.values())]
            bound = min(one.bound for one in rivals)
            return _route(task, made, bound, {offer.venue: offer for offer in alone}, wanted)
    return Route()


def _route(task: RouteTask, made: Found, bound: int, offers: dict[str, Offer], wanted: set[str]) -> Route:
    parts = [
        Allocation(venue, qty, offers[venue].price(qty), offers[venue].notional(qty))
        for venue, qty in made.qtys.items()
    ]
    left_out = {}
    for venue in wanted - made.qtys.keys():
        listing = task.terms[venue].listing
        if offers[venue].least > min(offers[venue].most, task.qty):
            left_out[venue] = f"{Code.BELOW_MINIMUM}: what is to be had there is below the venue's minimum"
        elif listing.ticket_fee:
            left_out[venue] = (
                f"{Code.NOT_SELECTED}: dearer with its minimum, its ticket or as a further split"
            )
        else:
            left_out[venue] = f"{Code.NOT_SELECTED}: dearer with its minimum or as a further split"
    value = sum(part.notional for part in parts) * FEE_ONE
    return Route(parts, left_out, gap_bps=(made.cost - min(bound, made.cost)) / value * BPS if value else 0.0)
