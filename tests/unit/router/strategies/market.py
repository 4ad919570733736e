"""A market in a few words: venues with their listings' settings, asks by venue, and the route of a strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bestex import config, plugins
from bestex import messages as m
from bestex.clock import SECOND
from bestex.config import Config
from bestex.messages import BookStatus, Side
from services.router.routing import make_strategy
from services.router.strategies.base import Route
from tests.routes import find_route

NOW = 1_700_000_000 * SECOND
REGISTRY = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}

Levels = Mapping[int, int]  # quantity by price, best first


def configured(text: str = "", venues: str = "", **listings: str) -> Config:
    """`listings` are settings by venue beside tick 0.01 and lot 0.001; prices in cents, quantities in thousandths.

    `venues` are settings of every venue; its priority is its place.
    """
    sections = [
        f"[venues.{name}]\npriority = {place}\n{venues}" for place, name in enumerate(listings, start=1)
    ]
    listed = [
        f"[instruments.X.venues.{name}]\n{_with_defaults(settings)}" for name, settings in listings.items()
    ]
    return config.parse(
        "\n".join([*sections, "[instruments.X]\nprice_scale = 2\nqty_scale = 3", *listed, text])
    )


def _with_defaults(settings: str) -> str:
    defaults = {"tick": '"0.01"', "lot": '"0.001"'}
    return "\n".join(
        [settings, *(f"{key} = {value}" for key, value in defaults.items() if key not in settings)]
    )


def column(
    venue: str, asks: Levels, bids: Levels | None = None, status: BookStatus = BookStatus.LIVE, basis: int = 0
) -> m.VenueColumn:
    bids = {1: 1} if bids is None else bids
    return m.VenueColumn(
        venue, status, basis, NOW, NOW, list(bids), list(bids.values()), list(asks), list(asks.values())
    )


def shown(*columns: m.VenueColumn) -> m.ConsolidatedBook:
    return m.ConsolidatedBook("X", 1, NOW, 2, 3, False, False, list(columns))


def route_of(
    name: str,
    qty: int,
    settings: Config,
    book: m.ConsolidatedBook,
    side: Side = Side.BUY,
    limit: int | None = None,
    **params: Any,
) -> Route:
    strategy = make_strategy(REGISTRY, settings, name, params)
    return find_route(
        settings.make_instruments().by_symbol["X"], settings, strategy, book, side, qty, limit, NOW
    )


def taken(route: Route) -> dict[str, tuple[int, int]]:
    """Quantity and price by venue."""
    return {part.venue: (part.qty, part.price) for part in route.allocations}
