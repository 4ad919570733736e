"""What must be true of every routing strategy, those that will be added included: all are in the registry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bestex import config, plugins
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.defects import defect_of
from bestex.instruments import FEE_ONE
from bestex.ladder import Ladder
from services.router.routing import make_strategy
from services.router.strategies.base import Route
from services.router.visible import beyond
from tests.routes import find_route

NOW = 1_700_000_000 * SECOND
PRICE = 100_00  # in cents; quantities are in thousandths

CONFIG = config.parse(
    """
[venues]
a = { priority = 1, max_volume_pct = "60%" }
b = { priority = 1 }
c = { priority = 2, max_volume_pct = "70%" }
d = { priority = 3 }
e = { priority = 4 }
[instruments."X/Y"]
price_scale = 2
qty_scale = 3
[instruments."X/Y".venues]
a = { tick = "0.01", lot = "0.001", min_qty = "0.002", taker_bps = "2" }
b = { tick = "0.05", lot = "0.010", min_notional = "5", taker_bps = "2.5" }
c = { tick = "0.10", lot = "0.1", max_qty = "2", taker_bps = "1" }
d = { tick = "0.01", lot = "0.001", kind = "perp", taker_bps = "-0.5" }
e = { tick = "0.01", lot = "0.001", kind = "dark" }
[splitting]
max_splits = 3
min_split_size = "2"
"""
)
# Shares and least parts are of the quantity: with them a venue more may change what the others are for.
PLAIN = config.parse(
    """
[venues]
a = { priority = 1 }
b = { priority = 2 }
c = { priority = 3 }
[instruments."X/Y"]
price_scale = 2
qty_scale = 3
[instruments."X/Y".venues]
a = { tick = "0.01", lot = "0.001", taker_bps = "2" }
b = { tick = "0.05", lot = "0.010", min_notional = "5", taker_bps = "2.5" }
c = { tick = "0.10", lot = "0.1", taker_bps = "1" }
"""
)
INSTRUMENT = CONFIG.make_instruments().by_symbol["X/Y"]
LISTINGS = {listing.venue: listing for listing in INSTRUMENT.listings}
REGISTRY = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
every_strategy = pytest.mark.parametrize("name", sorted(REGISTRY))

sides = st.sampled_from(list(m.Side))
quantities = st.integers(1, 20_000)
limits = st.none() | st.integers(PRICE - 300, PRICE + 300)


@st.composite
def sane_columns(draw: st.DrawFn, venue: str, calm: bool = False) -> m.VenueColumn:
    """A book that a venue can have: on its grid, of one side or both. Where it is not `calm`, now and then stale,
    and crossed with others."""
    tick, lot = LISTINGS[venue].tick, LISTINGS[venue].lot
    shift = 0 if calm else 10 * draw(st.sampled_from([0] * 8 + [-4, 4]))
    steps = st.lists(st.integers(1, 300 // tick), unique=True, max_size=6)
    bids = [PRICE + shift - tick * step for step in sorted(draw(steps))]
    asks = [PRICE + shift + tick * step for step in sorted(draw(steps))]
    sizes = st.integers(1, 4_000 // lot).map(lambda lots: lots * lot)
    status = (
        m.BookStatus.LIVE if calm else draw(st.sampled_from([m.BookStatus.LIVE] * 8 + [m.BookStatus.STALE]))
    )
    basis = draw(st.integers(-10, 10)) if LISTINGS[venue].kind == "perp" else 0
    bid_qty, ask_qty = [draw(sizes) for _ in bids], [draw(sizes) for _ in asks]
    return m.VenueColumn(venue, status, basis, NOW, NOW, bids, bid_qty, asks, ask_qty)


def book_of(columns: list[m.VenueColumn]) -> m.ConsolidatedBook:
    return m.ConsolidatedBook("X/Y", 1, NOW, 2, 3, False, False, columns)


sane_books = st.tuples(*(sane_columns(venue) for venue in LISTINGS)).map(
    lambda columns: book_of(list(columns))
)

any_ints = st.lists(
    st.integers(-5, 5) | st.integers(PRICE - 50, PRICE + 50) | st.integers(-(2**63), 2**63), max_size=5
)
weird_columns = st.builds(
    m.VenueColumn,
    st.sampled_from([*LISTINGS, "unheard_of"]),
    st.sampled_from(list(m.BookStatus)),
    st.integers(-200, 200) | st.integers(-(2**63), 2**63),
    st.just(NOW),
    st.integers(NOW - 5 * SECOND, NOW + 5 * SECOND),
    any_ints,
    any_ints,
    any_ints,
    any_ints,
)
weird_books = st.none() | st.lists(weird_columns | sane_columns("a") | sane_columns("c"), max_size=7).map(
    book_of
)

percents = st.sampled_from([0.001, 0.05, 0.3, 2.0])
parameters = st.fixed_dictionaries(
    {},
    optional={
        "include_spot": st.just(False),
        "max_slippage_percent": percents,
        "max_price_impact_percent": percents,
        "price_levels": st.integers(1, 3),
        "max_volume_pct": st.sampled_from(["30%", "50%", "100%"]),
        "min_split_size": st.sampled_from(["0", "20", "0.0000001"]),
        "max_splits": st.integers(0, 9),
    },
) | st.just({"include_perp": False})


QUEUE = m.QueueStats(outflow=2.0, outflow_sd=2.0, traded=1.0, seconds=1_000.0)
KNOWN = m.Stats(
    symbol="X/Y",
    at=Time(NOW),
    volatility_bps=0.5,
    venues=[
        m.VenueStats(venue=venue, status=m.BookStatus.LIVE, age_ms=1.0, bid_queue=QUEUE, ask_queue=QUEUE)
        for venue in LISTINGS
    ],
)
# Whether there is time to post, and something known of the queues.
moments = st.sampled_from([{}, {"until_ns": NOW + 10 * SECOND, "stats": KNOWN}])


def route_of(
    name: str,
    book: m.ConsolidatedBook | None,
    side: m.Side,
    qty: int,
    limit: int | None,
    params: dict[str, Any],
    moment: dict[str, Any],
) -> Route:
    strategy = make_strategy(REGISTRY, CONFIG, name, params)
    return find_route(INSTRUMENT, CONFIG, strategy, book, side, qty, limit, NOW, **moment)


def check(
    route: Route, book: m.ConsolidatedBook, side: m.Side, qty: int, limit: int | None, params: dict[str, Any]
) -> None:
    """That the route keeps all that every route must keep."""
    columns = {column.venue: column for column in book.venues}
    asked = make_strategy(REGISTRY, CONFIG, "best_price", params)
    assert route.qty <= qty
    assert (route.text == "") == (route.qty == qty)
    chosen = {part.venue for part in route.allocations}
    assert len(chosen) <= min(asked.max_splits, CONFIG.splitting.max_splits)
    assert len({(part.venue, part.rests) for part in route.allocations}) == len(route.allocations)
    assert chosen.isdisjoint(route.left_out)
    assert chosen | set(route.left_out) == set(LISTINGS)
    assert all(": " in reason for reason in route.left_out.values())
    usable = [
        column
        for venue, column in columns.items()
        if column.status is m.BookStatus.LIVE and not asked.excludes(LISTINGS[venue])
    ]
    best = Ladder(book_of(usable)).best_ask if side is m.Side.BUY else Ladder(book_of(usable)).best_bid
    taking = sum(not part.rests for part in route.allocations)
    for part in route.allocations:
        listing, column = LISTINGS[part.venue], columns[part.venue]
        assert column in usable
        prices, sizes = (
            (column.ask_px, column.ask_qty) if side is m.Side.BUY else (column.bid_px, column.bid_qty)
        )
        assert (part.qty % listing.lot, part.price % listing.tick) == (0, 0)
        assert listing.min_qty <= part.qty <= (listing.max_qty or qty)
        assert part.qty * part.price >= listing.min_notional
        assert limit is None or (part.price - limit) * side.sign <= 0
        if not part.rests:
            assert part.price in prices[: asked.price_levels or len(prices)]
            assert part.qty <= sum(sizes[: prices.index(part.price) + 1])
        if asked.max_slippage_percent is not None:
            assert best is not None
            worst = beyond(best, asked.max_slippage_percent, side)
            assert (part.price - column.basis - worst) * side.sign <= 0
        if asked.max_price_impact_percent is not None and not part.rests:
            worst = beyond(prices[0], asked.max_price_impact_percent, side)
            assert (part.price - worst) * side.sign <= 0
        if part.rests or taking > 1:  # the one part that is taken beside what is posted may be less
            least = max(asked.min_split_size, CONFIG.splitting.min_split_size)
            assert len(route.allocations) == 1 or INSTRUMENT.cash(part.notional) >= least
        if len(chosen) > 1:
            share = min(asked.max_volume_pct, CONFIG.venues[part.venue].max_volume_pct)
            there = sum(other.qty for other in route.allocations if other.venue == part.venue)
            assert 100 * there <= round(100 * share) * qty


@every_strategy
@settings(max_examples=60, deadline=None)
@given(book=sane_books, side=sides, qty=quantities, limit=limits, params=parameters, moment=moments)
def test_a_route_conserves_and_keeps_every_constraint(
    name: str,
    book: m.ConsolidatedBook,
    side: m.Side,
    qty: int,
    limit: int | None,
    params: dict[str, Any],
    moment: dict[str, Any],
) -> None:
    check(route_of(name, book, side, qty, limit, params, moment), book, side, qty, limit, params)


@every_strategy
@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    book=sane_books,
    side=sides,
    qty=quantities,
    limit=limits,
    params=parameters,
    moment=moments,
)
def test_the_order_of_venues_in_the_book_changes_nothing(
    name: str,
    data: st.DataObject,
    book: m.ConsolidatedBook,
    side: m.Side,
    qty: int,
    limit: int | None,
    params: dict[str, Any],
    moment: dict[str, Any],
) -> None:
    mixed = book_of(data.draw(st.permutations(book.venues)))
    one, other = (route_of(name, shown, side, qty, limit, params, moment) for shown in (book, mixed))
    assert set(one.allocations) == set(other.allocations)
    assert (one.left_out, one.text) == (other.left_out, other.text)


@every_strategy
@settings(max_examples=60, deadline=None)
@given(
    book=weird_books, side=sides, qty=st.integers(1, 2**63), limit=limits, params=parameters, moment=moments
)
def test_no_book_makes_it_fail_or_trade_on_what_cannot_be(
    name: str,
    book: m.ConsolidatedBook | None,
    side: m.Side,
    qty: int,
    limit: int | None,
    params: dict[str, Any],
    moment: dict[str, Any],
) -> None:
    route = route_of(name, book, side, qty, limit, params, moment)
    chosen = {part.venue for part in route.allocations}
    assert chosen | set(route.left_out) == set(LISTINGS)
    assert chosen.isdisjoint(route.left_out)
    for column in book.venues if book is not None else ():
        if column.venue in chosen:
            assert column.status is m.BookStatus.LIVE
            assert defect_of(column.bid_px, column.bid_qty, column.ask_px, column.ask_qty) is None


@st.composite
def books_with_more(draw: st.DrawFn) -> tuple[m.ConsolidatedBook, m.ConsolidatedBook]:
    """A book, and the same with a venue, or a level of one, more."""
    columns = [draw(sane_columns(venue, calm=True)) for venue in "abc"]
    place, level = draw(st.integers(0, 2)), draw(st.none() | st.integers(0, 5))
    fewer = list(columns)
    if level is None:
        del fewer[place]
    else:
        names = ("bid_px", "bid_qty", "ask_px", "ask_qty")
        cut = {name: getattr(columns[place], name)[:] for name in names}
        for values in cut.values():
            del values[level : level + 1]
        fewer[place] = replace(columns[place], **cut)
    return book_of(fewer), book_of(columns)


def asks(venue: str, levels: dict[int, int]) -> m.VenueColumn:
    return m.VenueColumn(venue, m.BookStatus.LIVE, 0, NOW, NOW, [], [], list(levels), list(levels.values()))


# c has the lower fee and takes two of its lots; what is left is below b's minimum, and a has nothing.
FINER, COARSER = asks("b", {100_10: 1_000}), asks("c", {100_10: 1_000})


@settings(max_examples=120, deadline=None)
@given(books=books_with_more(), side=sides, qty=st.integers(1, 600))
@example(books=(book_of([FINER]), book_of([FINER, COARSER])), side=m.Side.BUY, qty=236)
def test_sweep_never_fills_less_nor_costs_more_for_a_venue_or_a_level_more(
    books: tuple[m.ConsolidatedBook, m.ConsolidatedBook], side: m.Side, qty: int
) -> None:
    instrument = PLAIN.make_instruments().by_symbol["X/Y"]
    strategy = make_strategy(REGISTRY, PLAIN, "sweep", {})

    def cost(book: m.ConsolidatedBook) -> tuple[int, int]:
        route = find_route(instrument, PLAIN, strategy, book, side, qty, None, NOW)
        paid = sum(
            part.notional * (FEE_ONE + side.sign * LISTINGS[part.venue].taker_fee_e8)
            for part in route.allocations
        )
        return route.qty, side.sign * paid

    (filled, before), (more, after) = cost(books[0]), cost(books[1])
    assert more >= filled
    if more == filled:  # the cost of another quantity is the cost of something else
        assert after <= before
