"""A route asked for by its parts, as tests and benchmarks do it; the router builds its `Ask` itself."""

from __future__ import annotations

from typing import Any

from bestex.config import Config
from bestex.instruments import Instrument
from bestex.messages import ConsolidatedBook, Side
from services.router.routing import Ask, route_of
from services.router.strategies.base import Route, Strategy


def find_route(
    instrument: Instrument,
    config: Config,
    strategy: Strategy,
    book: ConsolidatedBook | None,
    side: Side,
    qty: int,
    limit: int | None,
    now_ns: int,
    **more: Any,
) -> Route:
    """`route_of` what these and `more` ask for: see `Ask`."""
    ask = Ask(
        instrument=instrument,
        config=config,
        book=book,
        side=side,
        qty=qty,
        limit=limit,
        now_ns=now_ns,
        **more,
    )
    return route_of(strategy, ask)
