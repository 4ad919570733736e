"""Price-optimised liquidity: the best prices of all venues for the whole quantity, or nothing yet.

Venues are taken from at their best prices, whichever they are, fees not looked at (`sweep` looks at them). But
only where what they show within the limit and `max_slippage_percent` suffices for the quantity: as quantity, or as
its value at the reference price. A thin market is waited out until the slice expires, and not emptied.

The reference is the order's limit where there is one, else the best price. The slippage itself is always counted
from the best price: a limit is never passed, so nothing could slip beyond it.
"""

from __future__ import annotations

from typing import ClassVar

from bestex.errors import Code
from services.router.strategies.base import Route, RouteTask, fit, walk
from services.router.strategies.liquidity import LiquidityStrategy


class PriceOptimizedLiquidity(LiquidityStrategy, frozen=True, kw_only=True, omit_defaults=True):
    """The best price over all venues, where they show enough for the whole quantity within the slippage."""

    name: ClassVar[str] = "price_optimized_liquidity"

    def route(self, task: RouteTask) -> Route:
        market = self.survey(task)
        venues = task.ladder.book.venues
        merged = [
            level for level in task.ladder.levels(task.side) if venues[level.venue].venue in market.levels
        ]
        if not merged:
            return Route(left_out=market.thin)
        wanted = task.qty
        if self.liquidity_type == "quote":
            wanted *= merged[0].price if task.limit is None else task.limit
        if sum(market.shown[venue] for venue in market.levels) < wanted:
            reason = f"{Code.NO_LIQUIDITY}: all venues show less than the quantity within limit and slippage"
            return Route(left_out=dict.fromkeys(market.levels, reason) | market.thin)
        route = fit(task, task.max_splits, lambda skip: walk(task, merged, skip))
        route.left_out |= market.thin
        return route
