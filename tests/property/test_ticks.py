"""Prices on a grid whose step depends on the price: rounding lands on it, the named way, across bands too."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bestex.errors import Code
from bestex.instruments import TICKS_MAX, Listing, Ticks, wrong_ticks
from bestex.market import MarketModel
from bestex.market.quotes import Quotes
from bestex.matching.terms import bad_terms
from tests.unit.equities import KRX_TICKS, KRX_TICKS_UNITS, korea

PRICES = st.integers(0, 10**6)


@st.composite
def grids(draw: st.DrawFn) -> Listing:
    """Any table that is one: bands that begin on both grids."""
    if draw(st.booleans()):
        return Listing(venue="v", symbol="s", tick=draw(st.integers(1, 1_000)))
    bands = [(0, draw(st.integers(1, 50)))]
    for _ in range(draw(st.integers(0, 6))):
        start, tick = bands[-1]
        following = draw(st.integers(1, 50))
        bands.append((start + draw(st.integers(1, 30)) * tick * following, following))
        if bands[-1][0] % (tick * following):
            bands[-1] = (-(-bands[-1][0] // (tick * following)) * tick * following, following)
    return Listing(venue="v", symbol="s", tick=1, ticks=tuple(bands))


def slow_grid(listing: Listing, most: int) -> list[int]:
    """Every price up to a little above `most`, found by walking up from 0."""
    prices, bands = [0], listing.ticks or ((0, listing.tick),)
    while prices[-1] <= most:
        tick = next(tick for start, tick in reversed(bands) if prices[-1] >= start)
        prices.append(prices[-1] + tick)
    return prices


@given(grids())
def test_such_a_table_is_one(listing: Listing) -> None:
    assert not listing.ticks or not wrong_ticks(listing.ticks)


@given(grids(), st.integers(0, 20_000))
def test_rounding_finds_the_neighbours_of_a_walk_over_the_grid(listing: Listing, price: int) -> None:
    grid = slow_grid(listing, price)
    assert listing.price_down(price) == max(one for one in grid if one <= price)
    assert listing.price_up(price) == min(one for one in grid if one >= price)
    assert listing.on_grid(price) == (price in grid)


@given(grids(), PRICES)
def test_rounding_lands_on_the_grid_and_never_goes_the_other_way(listing: Listing, price: int) -> None:
    down, up = listing.price_down(price), listing.price_up(price)
    assert down <= price <= up
    assert listing.on_grid(down)
    assert listing.on_grid(up)
    assert (down == up) == listing.on_grid(price)
    assert up - down in (0, listing.tick_at(down))
    assert listing.passive(price, buy=True) == listing.marketable(price, buy=False) == down
    assert listing.passive(price, buy=False) == listing.marketable(price, buy=True) == up


@given(grids(), PRICES, PRICES)
def test_rounding_keeps_the_order_of_prices(listing: Listing, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert listing.price_down(low) <= listing.price_down(high)
    assert listing.price_up(low) <= listing.price_up(high)


@given(grids(), st.lists(PRICES, max_size=12), st.booleans())
def test_many_prices_are_on_the_grid_where_each_is(
    listing: Listing, prices: list[int], rounded: bool
) -> None:
    column = [listing.price_down(price) for price in prices] if rounded else prices
    assert listing.are_on_grid(column) == all(listing.on_grid(price) for price in column)


@given(grids(), PRICES)
def test_a_venue_takes_a_price_where_the_grid_has_it(listing: Listing, price: int) -> None:
    assume(price > 0)
    refused = bad_terms(listing, 1, price)
    assert (refused is None) == listing.on_grid(price)
    assert refused is None or refused[0] is Code.OFF_TICK


@pytest.mark.parametrize(
    ("ticks", "said"),
    [
        ((), "begin at 0"),
        (((1, 1),), "begin at 0"),
        (((0, 0),), "positive"),
        (((0, 1), (10, 5), (10, 10)), "ascend"),
        (((0, 5), (12, 6)), "own grid"),
        (((0, 1), (12, 5)), "own grid"),
        (tuple((i, 1) for i in range(TICKS_MAX + 1)), "at most"),
    ],
)
def test_a_table_by_which_no_price_can_be_rounded_is_named(ticks: Ticks, said: str) -> None:
    assert said in wrong_ticks(ticks)


def test_the_table_of_korean_stocks_is_as_it_is_published() -> None:
    steps = {1_999: 1, 2_000: 5, 4_995: 5, 5_000: 10, 19_990: 10, 20_000: 50, 49_950: 50}
    steps |= {50_000: 100, 199_900: 100, 200_000: 500, 499_500: 500, 500_000: 1_000, 3_000_000: 1_000}
    (listing,) = korea(price="70000").listings
    assert listing.ticks == KRX_TICKS_UNITS
    assert {price: listing.tick_at(price) for price in steps} == steps
    assert [int(start) for start, _ in KRX_TICKS] == sorted(int(start) for start, _ in KRX_TICKS)


@pytest.mark.parametrize("price", [1_999, 2_000, 5_000, 20_100, 49_900, 200_000])
def test_the_market_model_quotes_on_the_grid_on_both_sides_of_a_boundary(price: int) -> None:
    instrument = korea(price=str(price), venues=("krx", "nxt"))
    model = MarketModel(instrument, "equity", 7, price, 0)
    seen = set()
    for event in model.step_until(20 * 10**9):
        listing = instrument.listing(event.venue)
        assert listing is not None
        if getattr(event, "aggressor", 1):
            assert listing.on_grid(event.price), event
        seen.add(listing.tick_at(event.price))
    assert seen


@given(grids(), st.lists(st.integers(10, 20_000), min_size=2, max_size=6, unique=True))
def test_quotes_are_placed_behind_what_they_are_asked_for(listing: Listing, prices: list[int]) -> None:
    for side in (1, -1):
        quotes = Quotes(side, listing)
        for price in prices:
            placed = quotes.place(price + 0.5)
            assert side * (price + 0.5 - placed) >= 0
            assert listing.on_grid(placed)
        placed_all = [quotes.place(float(price)) for price in sorted(prices)]
        assert all(low <= high for low, high in pairwise(placed_all))
