"""Best price: everything to the one venue whose best price is best, fees not looked at."""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.base import Route, RouteTask, Strategy, in_turn, levels_by_venue


class BestPrice(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """All of it to the venue with the best price; a tie goes to the lower priority number."""

    name: ClassVar[str] = "best_price"

    def route(self, task: RouteTask) -> Route:
        levels = levels_by_venue(task)
        ranked = sorted(levels, key=lambda venue: task.side.sign * levels[venue][0].price)
        return in_turn(task, ranked, levels, 1)
