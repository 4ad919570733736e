"""Lowest fees: the cheapest venue by taker fee as far as its book goes, the rest to the next cheapest.

Prices are not compared, so a better price at a dearer venue is passed by; `sweep` weighs both.
"""

from __future__ import annotations

from typing import ClassVar

from services.router.strategies.base import Route, RouteTask, Strategy, in_turn, levels_by_venue


class LowestFees(Strategy, frozen=True, kw_only=True, omit_defaults=True):
    """The lowest taker fee first, the next venues take what it cannot; a tie goes to the lower priority number."""

    name: ClassVar[str] = "lowest_fees"

    def route(self, task: RouteTask) -> Route:
        levels = levels_by_venue(task)
        ranked = sorted(levels, key=lambda venue: task.terms[venue].listing.taker_fee_e8)
        return in_turn(task, ranked, levels, task.max_splits)
