"""Sweep: walk the consolidated book from the cheapest level net of fees, over all venues at once.

Optimal for linear fees without minimums: any other filling of the same quantity exchanges a cheaper unit for a
dearer one. Minimums and the number of splits are met by dropping the least venue and walking again; what is
then too small for any venue is taken along by one that has a finer lot.
"""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.base import Route, RouteTask, Strategy, fit, walk
from services.router.strategies.remainder import with_remainder


class Sweep(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """The cheapest fill over all venues' books, net of taker fees."""

    name: ClassVar[str] = "sweep"

    def route(self, task: RouteTask) -> Route:
        fees = {venue: terms.listing.taker_fee_e8 for venue, terms in task.terms.items()}
        levels = task.ladder.levels(task.side, fees)
        splits = self.max_splits or task.max_splits
        route = fit(task, splits, lambda skip: walk(task, levels, skip))
        return with_remainder(task, route, splits)
