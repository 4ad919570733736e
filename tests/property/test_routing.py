"""Every strategy conserves quantity and keeps every constraint, whatever the book."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bestex import config, plugins
from bestex import messages as m
from bestex.clock import SECOND
from bestex.instruments import FEE_ONE
from services.router.routing import make_strategy, rest_leg
from tests.routes import find_route

NOW = 1_700_000_000 * SECOND
CONFIG = config.load(None, {})
UNCAPPED = config.load(
    None, {f"BESTEX__VENUES__SIM_{letter}__MAX_VOLUME_PCT": "100%" for letter in "ABCD"}
)  # a share of another quantity is another constraint
INSTRUMENT = CONFIG.make_instruments().by_symbol["BTC/USDT"]
REGISTRY = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
NAMES = sorted(REGISTRY)


@st.composite
def columns(draw: st.DrawFn, venue: str) -> m.VenueColumn:
    listing = INSTRUMENT.listing(venue)
    assert listing is not None
    gap = st.integers(1, 50)
    size = st.integers(1, 200_000)
    count = draw(st.integers(0, 8))
    ask = 60_000_00 + draw(st.integers(-200, 200))
    asks = [ask + sum(steps) for steps in [draw(st.lists(gap, min_size=i, max_size=i)) for i in range(count)]]
    asks = sorted({price - price % listing.tick for price in asks})
    bids = sorted({2 * 60_000_00 - price - 100 for price in asks}, reverse=True)
    bids = [price - price % listing.tick for price in bids]
    status = draw(st.sampled_from([m.BookStatus.LIVE, m.BookStatus.LIVE, m.BookStatus.STALE]))
    return m.VenueColumn(
        venue,
        status,
        draw(st.integers(-30, 30)),
        NOW,
        NOW,
        bids,
        [draw(size) for _ in bids],
        asks,
        [draw(size) for _ in asks],
    )


@st.composite
def books(draw: st.DrawFn) -> m.ConsolidatedBook:
    venues = [draw(columns(listing.venue)) for listing in INSTRUMENT.listings]
    return m.ConsolidatedBook("BTC/USDT", 1, NOW, 2, 5, False, False, venues)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=120, deadline=None)
@given(
    book=books(),
    side=st.sampled_from(list(m.Side)),
    qty=st.integers(1, 500_000),
    limit=st.none() | st.integers(59_000_00, 61_000_00),
)
def test_a_route_conserves_and_keeps_every_constraint(
    name: str, book: m.ConsolidatedBook, side: m.Side, qty: int, limit: int | None
) -> None:
    strategy = make_strategy(REGISTRY, CONFIG, name, {})
    route = find_route(INSTRUMENT, CONFIG, strategy, book, side, qty, limit, NOW)
    assert route.qty <= qty
    by_name = {column.venue: column for column in book.venues}
    for part in route.allocations:
        listing = INSTRUMENT.listing(part.venue)
        assert listing is not None
        column = by_name[part.venue]
        prices, sizes = (
            (column.ask_px, column.ask_qty) if side is m.Side.BUY else (column.bid_px, column.bid_qty)
        )
        reached = sum(s for p, s in zip(prices, sizes, strict=True) if (p - part.price) * side.sign <= 0)
        assert column.status is m.BookStatus.LIVE
        assert part.qty % listing.lot == 0
        assert listing.min_qty <= part.qty <= reached
        assert part.qty * part.price >= listing.min_notional
        assert part.price in prices
        assert limit is None or (part.price - limit) * side.sign <= 0
    chosen = {part.venue for part in route.allocations}
    assert len(chosen) == len(route.allocations) <= CONFIG.splitting.max_splits
    assert chosen.isdisjoint(route.left_out)
    assert chosen | set(route.left_out) == {listing.venue for listing in INSTRUMENT.listings}


@settings(max_examples=120, deadline=None)
@given(book=books(), side=st.sampled_from(list(m.Side)), qty=st.integers(10_000, 300_000))
def test_sweep_never_costs_more_than_best_price_for_what_both_fill(
    book: m.ConsolidatedBook, side: m.Side, qty: int
) -> None:
    def cost(name: str, wanted: int) -> tuple[int, int]:
        strategy = make_strategy(REGISTRY, UNCAPPED, name, {})
        route = find_route(INSTRUMENT, UNCAPPED, strategy, book, side, wanted, None, NOW)
        paid = 0
        for part in route.allocations:
            listing = INSTRUMENT.listing(part.venue)
            column = next(column for column in book.venues if column.venue == part.venue)
            assert listing is not None
            paid += part.notional * (FEE_ONE + side.sign * listing.taker_fee_e8)
            paid -= part.qty * column.basis * FEE_ONE
        return route.qty, paid * side.sign

    filled, single = cost("best_price", qty)
    swept, total = cost("sweep", filled) if filled else (0, 0)
    if filled and swept == filled:
        assert total <= single


@settings(max_examples=60, deadline=None)
@given(qty=st.integers(1, 500_000), limit=st.integers(1_00, 90_000_00), side=st.sampled_from(list(m.Side)))
def test_a_rest_is_posted_on_the_grid_and_never_beyond_the_limit(qty: int, limit: int, side: m.Side) -> None:
    rest = rest_leg(INSTRUMENT, CONFIG, side, qty, limit, ("sim_a", "sim_b", "sim_c", "sim_d"))
    if rest is not None:
        listing = INSTRUMENT.listing(rest.venue)
        assert listing is not None
        assert rest.qty <= qty
        assert (rest.qty % listing.lot, rest.price % listing.tick) == (0, 0)
        assert (rest.price - limit) * side.sign <= 0
        assert rest.qty * rest.price >= listing.min_notional
