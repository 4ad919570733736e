"""The strategies of slices, asked so that a bug in one ends the slices that it routes, and no others.

What comes out of a strategy is an outcome of the one slice: it goes into its history, nothing more of it is routed,
and it ends with a code once what is at its venues has come back. Its scheduler then holds the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from bestex import messages as m
from bestex import subjects
from bestex.config import Config
from bestex.contained import PluginFailed, asked
from bestex.core import Alarm
from bestex.errors import Code
from services.router.review import review
from services.router.routing import Ask, make_strategy, route_of
from services.router.state import SliceState
from services.router.strategies.base import Route, Strategy


class Strategies:
    """`alarms`: of what has failed since they were taken last."""

    def __init__(self, registry: Mapping[str, type[Strategy]], config: Config) -> None:
        self._registry = registry
        self._config = config
        self.alarms: list[Alarm] = []

    def route(self, state: SliceState, ask: Ask) -> tuple[Route, dict[str, str], str]:
        """The route of what is left, the venues where nothing may rest either, each with the reason, and how the
        strategy failed, if it did."""
        listings = state.instrument.listings
        try:
            strategy = self._of(state.slice)
            if not isinstance(strategy, str):
                excluded = {
                    one.venue: asked(strategy, strategy.excludes, one, gives=str) for one in state.choosable
                }
                found = {venue: why for venue, why in excluded.items() if why}
                return route_of(strategy, ask), {**ask.avoid, **found}, ""
            failed = ""
        except PluginFailed as error:
            strategy = f"{Code.STRATEGY_FAILED}: {error.text}"
            failed = error.text
            self.failed(error, state.slice)
        nowhere = {listing.venue: strategy for listing in listings}
        return Route(left_out=nowhere, text=strategy), nowhere, failed

    def review(
        self, state: SliceState, ask: Ask, resting: Sequence[str]
    ) -> int | m.RouteRepriced | m.RouteWithdrawn:
        """When to look again at what rests, or what is to be done about it."""
        try:
            return review(self._of(state.slice), ask, state, resting)
        except PluginFailed as error:
            self.failed(error, state.slice)
            return m.RouteWithdrawn(**state.base(ask.now_ns), children=list(resting), failed=error.text)

    def failed(self, error: PluginFailed, sliced: m.ParentSliced) -> None:
        subject = subjects.route(sliced.symbol, sliced.parent_id, sliced.slice_no, "*")
        self.alarms.append(Alarm(Code.STRATEGY_FAILED, subject, error.error))

    def taken(self) -> list[Alarm]:
        alarms, self.alarms = self.alarms, []
        return alarms

    def _of(self, sliced: m.ParentSliced) -> Strategy | str:
        """Or why there is none: its parameters were good under the configuration of their day."""
        name, passes = sliced.strategy, (msgspec.ValidationError, KeyError)
        kind = self._registry.get(name)
        if kind is None:
            return f"{Code.INVALID_PARAMETER}: there is no strategy {name}"
        try:
            made: Strategy = asked(
                kind, make_strategy, self._registry, self._config, name, sliced.strategy_params, passes=passes
            )
        except passes as error:
            return f"{Code.INVALID_PARAMETER}: {name}: {error}"
        return made
