"""The merged ladder against a naive oracle: one list of everything, sorted by the definition."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bestex.instruments import FEE_ONE
from bestex.ladder import Ladder, net_price
from bestex.messages import BookStatus, ConsolidatedBook, Side, VenueColumn

SIDES = st.sampled_from(list(Side))
PRICES = st.sets(st.integers(900, 1100), min_size=1, max_size=12) | st.just(set[int]())
# Mostly live, or there is nothing to merge.
STATUSES = st.sampled_from([BookStatus.LIVE] * 6 + [BookStatus.STALE, BookStatus.DOWN])
FEES = st.lists(st.integers(-5_000_000, 5_000_000), min_size=5, max_size=5)


@st.composite
def columns(draw: st.DrawFn, venue: str) -> VenueColumn:
    bids, asks = sorted(draw(PRICES), reverse=True), sorted(draw(PRICES))
    sizes = st.integers(1, 10**9)
    return VenueColumn(
        venue,
        draw(STATUSES),
        draw(st.integers(-50, 50)),
        0,
        draw(st.integers(0, 100)),
        bids,
        [draw(sizes) for _ in bids],
        asks,
        [draw(sizes) for _ in asks],
    )


@st.composite
def books(draw: st.DrawFn) -> ConsolidatedBook:
    count = draw(st.integers(2, 5))
    return ConsolidatedBook(
        "BTC/USDT", 1, 0, 2, 5, False, False, [draw(columns(f"v{i}")) for i in range(count)]
    )


def everything(book: ConsolidatedBook, taker: Side) -> list[tuple[int, int, int, int]]:
    """Oracle: (adjusted price, venue, own price, qty) of all live columns, in no order."""
    found = []
    for venue, column in enumerate(book.venues):
        if column.status != BookStatus.LIVE:
            continue
        prices = column.ask_px if taker is Side.BUY else column.bid_px
        sizes = column.ask_qty if taker is Side.BUY else column.bid_qty
        found += [(price - column.basis, venue, price, qty) for price, qty in zip(prices, sizes, strict=True)]
    return found


@given(books(), SIDES)
def test_the_ladder_is_every_live_level_sorted_by_adjusted_price_then_venue(
    book: ConsolidatedBook, taker: Side
) -> None:
    wanted = sorted(everything(book, taker), key=lambda level: (taker.sign * level[0], level[1]))
    assert Ladder(book).levels(taker) == wanted


@given(books(), SIDES, FEES)
def test_the_ladder_net_of_fees_is_sorted_by_exact_cost(
    book: ConsolidatedBook, taker: Side, fees: list[int]
) -> None:
    def cost(level: tuple[int, int, int, int]) -> Fraction:
        return Fraction(level[0]) + taker.sign * level[2] * Fraction(fees[level[1]], FEE_ONE)

    wanted = sorted(everything(book, taker), key=lambda level: (taker.sign * cost(level), level[1]))
    got = Ladder(book).levels(taker, {f"v{i}": fee for i, fee in enumerate(fees)})
    assert got == wanted
    for level in got:
        assert Fraction(net_price(taker, level.price, level.own_price, fees[level.venue]), FEE_ONE) == cost(
            level
        )


@given(books(), SIDES)
def test_merging_conserves_quantity(book: ConsolidatedBook, taker: Side) -> None:
    total = sum(qty for _, _, _, qty in everything(book, taker))
    ladder = Ladder(book)
    rows = ladder.display(taker)
    assert ladder.total_qty(taker) == sum(level.qty for level in ladder.levels(taker)) == total
    assert sum(row.qty for row in rows) == total
    assert all(row.qty == sum(row.by_venue.values()) for row in rows)


@given(books(), SIDES, st.randoms(use_true_random=False))
def test_the_ladder_does_not_depend_on_the_order_of_venues_but_for_ties(
    book: ConsolidatedBook, taker: Side, shuffle: random.Random
) -> None:
    venues = list(book.venues)
    shuffle.shuffle(venues)
    other = ConsolidatedBook("BTC/USDT", 1, 0, 2, 5, False, False, venues)
    priority = {f"v{i}": i for i in range(5)}

    def named(of: ConsolidatedBook) -> list[tuple[int, str, int, int]]:
        return [
            (level.price, of.venues[level.venue].venue, level.own_price, level.qty)
            for level in Ladder(of, priority=priority).levels(taker)
        ]

    assert named(other) == named(book)
    assert [row.price for row in Ladder(other).display(taker)] == [
        row.price for row in Ladder(book).display(taker)
    ]


@given(books(), SIDES, st.integers(0, 2_000))
def test_depth_counts_the_levels_within_the_distance_and_no_others(
    book: ConsolidatedBook, taker: Side, bps: int
) -> None:
    bids = [level[0] for level in everything(book, Side.SELL)]
    asks = [level[0] for level in everything(book, Side.BUY)]
    wanted = 0
    if bids and asks:
        mid = Fraction(max(bids) + min(asks), 2)
        wanted = sum(
            qty
            for price, _, _, qty in everything(book, taker)
            if taker.sign * (price - mid) <= mid * Fraction(bps, 10_000)
        )
    assert Ladder(book).depth(taker, bps) == wanted
