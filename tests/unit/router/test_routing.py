"""The configuration's say in a route: priority, maximum share, splitting, and a reason for whoever is left out."""

from __future__ import annotations

from typing import Any

import pytest

from bestex import config, plugins
from bestex import messages as m
from bestex.clock import SECOND
from bestex.config import Config
from bestex.messages import BookStatus, Side
from services.router.routing import make_strategy
from services.router.strategies.base import Route
from tests.routes import find_route

NOW = 1_700_000_000 * SECOND
PRICE = 100_00
REGISTRY = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
SHARES_A_TIE = {"minimal_market_impact"}  # two venues that are alike are one deep venue to it


def configured(text: str = "", **venues: str) -> Config:
    """Venues with their settings, one instrument without fees: prices in cents, quantities in thousandths."""
    sections = [f"[venues.{name}]\n{settings}" for name, settings in venues.items()]
    listed = "\n".join(f'{name} = {{ tick = "0.01", lot = "0.001" }}' for name in venues)
    instrument = '[instruments."X/Y"]\nprice_scale = 2\nqty_scale = 3\n[instruments."X/Y".venues]\n'
    return config.parse("\n".join([*sections, instrument + listed, text]))


def book(status: BookStatus = BookStatus.LIVE, **asks: tuple[int, int]) -> m.ConsolidatedBook:
    """One ask (price, quantity) for each venue, and a bid far below."""
    columns = [
        m.VenueColumn(venue, status, 0, NOW, NOW, [PRICE - 100], [1_000], [price], [qty])
        for venue, (price, qty) in asks.items()
    ]
    return m.ConsolidatedBook("X/Y", 1, NOW, 2, 3, False, False, columns)


def route(settings: Config, shown: m.ConsolidatedBook, qty: int, name: str = "sweep", **more: Any) -> Route:
    instrument = settings.make_instruments().by_symbol["X/Y"]
    strategy = make_strategy(REGISTRY, settings, name, {})
    return find_route(instrument, settings, strategy, shown, Side.BUY, qty, None, NOW, **more)


def taken(found: Route) -> dict[str, int]:
    return {part.venue: part.qty for part in found.allocations}


@pytest.mark.parametrize("name", sorted(REGISTRY.keys() - SHARES_A_TIE))
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_a_tie_goes_to_the_lower_priority_number(name: str, first: int, second: int) -> None:
    one = "[splitting]\nmax_splits = 1"
    settings = configured(one, a=f"priority = {first}", b=f"priority = {second}")
    found = route(settings, book(a=(PRICE, 1_000), b=(PRICE, 1_000)), 500, name)
    assert taken(found) == {"a" if first < second else "b": 500}


def test_a_venue_gets_no_more_than_its_share_of_the_slice() -> None:
    settings = configured(a='max_volume_pct = "60%"', b='max_volume_pct = "60%"')
    found = route(settings, book(a=(PRICE, 5_000), b=(PRICE + 1, 5_000)), 1_000)
    assert taken(found) == {"a": 600, "b": 400}


def test_what_a_venue_has_had_of_the_slice_counts_towards_its_share() -> None:
    settings = configured(a='max_volume_pct = "60%"', b="")
    shown = book(a=(PRICE, 5_000), b=(PRICE + 1, 5_000))
    found = route(settings, shown, 400, used={"a": 600})
    assert taken(found) == {"b": 400}
    assert found.left_out["a"] == "venue_cap: it has had its share"


def test_a_venue_that_is_alone_may_have_all() -> None:
    settings = configured(a='max_volume_pct = "10%"', b="")
    found = route(settings, book(a=(PRICE, 5_000), b=(PRICE + 1, 5_000)), 1_000, venues=["a"])
    assert taken(found) == {"a": 1_000}
    assert found.left_out == {"b": "not_selected: the order names other venues"}


def test_without_splitting_one_venue_gets_it() -> None:
    settings = configured("[splitting]\nenabled = false", a="", b="")
    found = route(settings, book(a=(PRICE, 600), b=(PRICE + 1, 5_000)), 1_000)
    assert len(taken(found)) == 1


def test_no_more_venues_than_splits_are_allowed() -> None:
    settings = configured("[splitting]\nmax_splits = 2", a="", b="", c="")
    shown = book(a=(PRICE, 400), b=(PRICE + 1, 400), c=(PRICE + 2, 400))
    assert len(taken(route(settings, shown, 1_000))) == 2
    assert len(taken(route(configured(a="", b="", c=""), shown, 1_000))) == 3


def test_a_part_smaller_than_the_smallest_split_is_not_made() -> None:
    shown = book(a=(PRICE, 900), b=(PRICE + 1, 5_000))
    settings = configured('[splitting]\nmin_split_size = "50"', a="", b="")
    assert taken(route(settings, shown, 1_000)) == {"a": 500, "b": 500}
    assert taken(route(configured(a="", b=""), shown, 1_000)) == {"a": 900, "b": 100}


def test_the_configured_defaults_of_a_strategy_are_its_parameters() -> None:
    shown = book(a=(PRICE, 400), b=(PRICE + 1, 400), c=(PRICE + 2, 400))
    settings = configured("[strategies.sweep]\nmax_splits = 1", a="", b="", c="")
    assert len(taken(route(settings, shown, 1_000))) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(BookStatus.STALE, "stale_book: its book is stale"), (BookStatus.DOWN, "venue_down: its book is down")],
)
def test_a_venue_whose_book_is_not_live_is_left_out_with_its_reason(status: BookStatus, reason: str) -> None:
    found = route(configured(a=""), book(status, a=(PRICE, 1_000)), 500)
    assert (taken(found), found.left_out) == ({}, {"a": reason})


def test_a_book_older_than_the_limit_is_not_traded_on() -> None:
    settings = configured('[limits]\nmax_book_age = "1s"', a="")
    instrument = settings.make_instruments().by_symbol["X/Y"]
    strategy = make_strategy(REGISTRY, settings, "sweep", {})
    shown = book(a=(PRICE, 1_000))
    for age_ns, count in ((SECOND, 1), (SECOND + 1, 0)):
        found = find_route(instrument, settings, strategy, shown, Side.BUY, 500, None, NOW + age_ns)
        assert len(found.allocations) == count
