"""Best liquidity: everything to the one venue that shows the most within the limit, prices not compared.

What the venue does not hold comes back and is routed again: where the most is shown then.
"""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.base import Route, RouteTask, in_turn
from services.router.strategies.liquidity import LiquidityStrategy


class BestLiquidity(LiquidityStrategy, frozen=True, kw_only=True, omit_defaults=True):
    """All of it to the venue with the most liquidity; a tie goes to the lower priority number."""

    name: ClassVar[str] = "best_liquidity"

    def route(self, task: RouteTask) -> Route:
        market = self.survey(task)
        ranked = sorted(market.levels, key=lambda venue: -market.shown[venue])
        route = in_turn(task, ranked, market.levels, 1)
        route.left_out |= market.thin
        return route
