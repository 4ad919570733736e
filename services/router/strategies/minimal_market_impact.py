"""Minimal market impact: the same small share of every venue's depth, and as little of each level as that allows.

The impact of a part at its venue follows the square root of the share of that venue's depth which it takes
(`bestex.impact.venues`); the sum over venues is least where that share is the same everywhere. Within a venue the
best levels go first, because no venue lets an order skip them. Fees are not looked at: `sweep` is the cheapest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from bestex.errors import Code
from bestex.impact.venues import Room, spread
from bestex.ladder import Ladder
from bestex.messages import Side, VenueColumn
from bestex.units import floor_to
from services.router.strategies.base import Route, RouteTask, Strategy, fit, walk
from services.router.strategies.remainder import with_remainder

PPM_PER_PERCENT = 10_000
PPM_ONE = 1_000_000


class MinimalMarketImpact(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Spreads the quantity over all venues by their depth, so that each price moves as little as can be."""

    name: ClassVar[str] = "minimal_market_impact"

    max_price_impact_percent: Annotated[
        float,
        Meta(
            gt=0,
            le=100,
            description="The worst price taken, in percent beyond the best of all venues: 0.2 is 0.2 %.",
        ),
    ] = 0.2
    price_levels: Annotated[int, Meta(ge=1, description="How many levels of each venue may be taken.")] = 15
    liquidity_type: Annotated[
        Literal["base", "quote"], Meta(description="Depth is counted in base, or in quote: price x quantity.")
    ] = "base"

    def route(self, task: RouteTask) -> Route:
        best = task.ladder.best_ask if task.side is Side.BUY else task.ladder.best_bid
        if best is None:
            return Route()
        worst = self._worst(task.side, best)
        near = _narrowed(task, worst, self.price_levels)
        splits = self.max_splits or task.max_splits
        route = fit(near, splits, lambda skip: self._take(near, worst, skip))
        route = with_remainder(near, route, splits)
        route.left_out |= _out_of_reach(task, near)
        return route

    def _worst(self, side: Side, best: int) -> int:
        """The worst basis-adjusted price that may be taken, rounded towards the best."""
        ppm = round(self.max_price_impact_percent * PPM_PER_PERCENT)
        bound = best * (PPM_ONE + side.sign * ppm)
        return bound // PPM_ONE if side is Side.BUY else -(-bound // PPM_ONE)

    def _take(self, task: RouteTask, worst: int, skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
        rooms = [
            self._room(task, column, worst)
            for _, column in task.ladder.columns
            if column.venue in task.terms and column.venue not in skip
        ]
        parts = spread(task.qty, rooms)
        capped = {venue: replace(task.terms[venue], cap=part) for venue, part in parts.items()}
        return walk(replace(task, terms=capped), task.ladder.levels(task.side), skip)

    def _room(self, task: RouteTask, column: VenueColumn, worst: int) -> Room:
        """Levels count the more the farther they are from the worst price: this is the depth on average over all
        prices from there to the best one, so size that is only just acceptable makes no venue deep."""
        terms = task.terms[column.venue]
        prices, sizes = _side(task.side, column)
        depth = most = 0
        for price, size in zip(prices, sizes, strict=True):
            inside = abs(worst - (price - column.basis)) + 1
            depth += size * inside * (price if self.liquidity_type == "quote" else 1)
            most += floor_to(size, terms.listing.lot)
        return Room(column.venue, depth, min(most, terms.cap), terms.listing.lot, terms.priority)


def _side(side: Side, column: VenueColumn) -> tuple[list[int], list[int]]:
    return (column.ask_px, column.ask_qty) if side is Side.BUY else (column.bid_px, column.bid_qty)


def _narrowed(task: RouteTask, worst: int, price_levels: int) -> RouteTask:
    """The task over a book that shows only what may be taken; nothing further looks beyond it."""
    columns = []
    for _, column in task.ladder.columns:
        prices, sizes = _side(task.side, column)
        within = [
            (price, size)
            for price, size in zip(prices[:price_levels], sizes, strict=False)
            if task.within(price) and (price - column.basis - worst) * task.side.sign <= 0
        ]
        prices, sizes = [price for price, _ in within], [size for _, size in within]
        fields = ("ask_px", "ask_qty") if task.side is Side.BUY else ("bid_px", "bid_qty")
        columns.append(msgspec.structs.replace(column, **dict(zip(fields, (prices, sizes), strict=True))))
    book = msgspec.structs.replace(task.ladder.book, venues=columns)
    return replace(task, ladder=Ladder(book))


def _out_of_reach(task: RouteTask, near: RouteTask) -> dict[str, str]:
    """Venues that have something within the limit, but nothing as near as the parameters ask for."""
    left = {column.venue for _, column in near.ladder.columns if _side(task.side, column)[0]}
    text = f"{Code.OUT_OF_LIMIT}: its best price is beyond max_price_impact_percent"
    return {
        column.venue: text
        for _, column in task.ladder.columns
        if column.venue not in left and any(task.within(price) for price in _side(task.side, column)[0][:1])
    }
