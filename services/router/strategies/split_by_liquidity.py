"""Split by liquidity: to every venue a part in proportion to what it shows within the limit.

So each book is eaten into by the same share of itself. Where more venues show something than splits are allowed,
those that show the most. What a venue cannot take, for its cap, its lot or its minimum, goes to the others in
the same proportion.
"""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.apportion import apportion, take_parts
from services.router.strategies.base import Route, RouteTask, fit, room
from services.router.strategies.liquidity import LiquidityStrategy


class SplitByLiquidity(LiquidityStrategy, frozen=True, kw_only=True, omit_defaults=True):
    """Parts in proportion to each venue's available liquidity."""

    name: ClassVar[str] = "split_by_liquidity"

    def route(self, task: RouteTask) -> Route:
        market = self.survey(task)
        rooms = {venue: room(task, venue, own) for venue, own in market.levels.items()}
        lots = {venue: task.terms[venue].listing.lot for venue in market.levels}
        ranked = sorted(market.levels, key=lambda venue: -market.shown[venue])

        def take(skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
            chosen = [venue for venue in ranked if venue not in skip][: task.max_splits]
            weights = {venue: market.shown[venue] for venue in chosen}
            return take_parts(task, apportion(task.qty, weights, rooms, lots), market.levels)

        route = fit(task, task.max_splits, take)
        route.left_out |= market.thin
        return route
