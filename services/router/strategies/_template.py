"""NAME: the idea in a sentence. Its source.

Copy this file, name the class, and add one line to STRATEGIES in `bestex.plugins`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from services.router.strategies.base import Route, RouteTask, Strategy, fit, walk


class Template(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Takes only a part of every level."""

    name: ClassVar[str] = "template"

    level_percent: Annotated[
        int, Meta(ge=1, le=100, description="How much of each level may be taken: 50 is half of it.")
    ] = 50

    def route(self, task: RouteTask) -> Route:
        levels = [
            level._replace(qty=level.qty * self.level_percent // 100)
            for level in task.ladder.levels(task.side)
        ]
        return fit(task, task.max_splits, lambda skip: walk(task, levels, skip))
