"""Best price: everything to the one venue whose best price is best, fees not looked at."""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.base import Route, RouteTask, Strategy, fit, walk


class BestPrice(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """All of it to the venue with the best price; a tie goes to the lower priority number."""

    name: ClassVar[str] = "best_price"

    def route(self, task: RouteTask) -> Route:
        levels = task.ladder.levels(task.side)
        venues = task.ladder.book.venues

        def take(skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
            best = next(
                (
                    level.venue
                    for level in levels
                    if venues[level.venue].venue not in skip
                    and venues[level.venue].venue in task.terms
                    and task.within(level.own_price)
                ),
                None,
            )
            return walk(task, [level for level in levels if level.venue == best], skip)

        return fit(task, 1, take)
