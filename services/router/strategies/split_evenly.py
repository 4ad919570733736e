"""Split evenly: an equal part to every venue that can take one.

Where more venues can than splits are allowed, those that hold the most. What a venue cannot hold, for its depth,
its cap or its lot, goes to the others in equal parts; a part too small for its venue goes to the others too.
"""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.apportion import apportion, take_parts
from services.router.strategies.base import Route, RouteTask, Strategy, fit, levels_by_venue, room


class SplitEvenly(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """Equal parts to all usable venues; what one cannot hold goes to the others."""

    name: ClassVar[str] = "split_evenly"

    def route(self, task: RouteTask) -> Route:
        levels = levels_by_venue(task)
        rooms = {venue: room(task, venue, own) for venue, own in levels.items()}
        lots = {venue: task.terms[venue].listing.lot for venue in levels}
        ranked = sorted(levels, key=lambda venue: -rooms[venue])

        def take(skip: frozenset[str]) -> dict[str, list[tuple[int, int]]]:
            chosen = [venue for venue in ranked if venue not in skip][: task.max_splits]
            return take_parts(task, apportion(task.qty, dict.fromkeys(chosen, 1), rooms, lots), levels)

        return fit(task, task.max_splits, take)
