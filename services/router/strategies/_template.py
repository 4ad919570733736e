"""NAME: the idea in a sentence. Its source.

Copy this file, name the class, and add one line to STRATEGIES in `bestex.plugins`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from services.router.strategies.base import Route, RouteTask, Strategy, fit, walk


class Template(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Walks only the first levels of every venue."""

    name: ClassVar[str] = "template"

    price_levels: Annotated[int, Meta(ge=1, description="How many levels of each venue may be taken.")] = 5

    def route(self, task: RouteTask) -> Route:
        seen: dict[int, int] = {}
        levels = []
        for level in task.ladder.levels(task.side):
            seen[level.venue] = seen.get(level.venue, 0) + 1
            if seen[level.venue] <= self.price_levels:
                levels.append(level)
        return fit(task, self.max_splits or task.max_splits, lambda skip: walk(task, levels, skip))
