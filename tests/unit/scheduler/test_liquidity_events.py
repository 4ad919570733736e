"""What a moment of the market is worth to whoever waits for one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bestex import messages as m
from bestex.human import Ratio
from bestex.messages import Side
from services.scheduler.market import Market
from services.scheduler.models.liquidity_events import Parts, bound, moment
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.play import Moment, Play, book_of, market_of, stats_of, usually

INSTRUMENT = Play().instrument
NEAR = 0.0002
PART = st.floats(0, 1)
PARTS = st.builds(Parts, PART, PART, PART, PART)


def levels(
    asks: list[tuple[int, int]], bids: list[tuple[int, int]] | None = None, **extra: Any
) -> m.ConsolidatedBook:
    """One venue's book, of (price, quantity) in units."""
    bids = bids or [(59_999_00, 10**5)]
    column = m.VenueColumn(
        extra.get("venue", "sim_a"), m.BookStatus.LIVE, 0, START, START,
        [price for price, _ in bids], [qty for _, qty in bids],
        [price for price, _ in asks], [qty for _, qty in asks],
    )  # fmt: skip
    return m.ConsolidatedBook("BTC/USDT", 1, START, 2, 5, False, False, [column])


def parts(moment_: Moment, side: Side = Side.BUY) -> Parts:
    seen = moment(side, market_of(moment_, INSTRUMENT), NEAR, None)
    assert seen is not None
    return seen.parts


@given(one=PARTS, name=st.sampled_from(Parts._fields), more=PART)
def test_the_score_is_from_0_to_1_and_rises_with_every_part(one: Parts, name: str, more: float) -> None:
    other = one._replace(**{name: max(getattr(one, name), more)})
    assert 0 <= one.score <= 1 + 1e-9
    assert other.score >= one.score
    assert one._replace(**{name: 1.0}).score - one._replace(**{name: 0.0}).score > 0.09


@given(
    side=st.sampled_from(Side),
    qty=st.integers(1, 10**9),
    more=st.integers(0, 10**9),
    half=st.integers(0, 500),
    narrower=st.integers(0, 500),
    hidden=PART,
    slower=st.floats(0, 30),
)
def test_more_size_a_narrower_spread_and_more_that_is_hidden_never_score_lower(
    side: Side, qty: int, more: int, half: int, narrower: int, hidden: float, slower: float
) -> None:
    def at(qty: int, half: int, hidden: float, refill_s: float) -> float:
        now = Moment(
            bid=60_000_00 - half, ask=60_000_00 + half, bid_qty=qty, ask_qty=qty,
            extra=usually(1.0, "10", hidden, refill_s),
        )  # fmt: skip
        return parts(now, side).score

    score = at(qty, half, hidden, slower)
    assert 0 <= score <= 1 + 1e-9
    assert at(qty + more, half, hidden, slower) >= score
    assert at(qty, max(half - narrower, 0), hidden, slower) >= score
    assert at(qty, half, (1 + hidden) / 2, slower) >= score
    assert at(qty, half, hidden, slower / 2) >= score


def test_the_nearer_to_the_touch_the_depth_stands_the_higher_is_its_concentration() -> None:
    shares = []
    for far in (0, 50_000, 150_000, 350_000):
        book = levels([(60_001_00, 50_000), (60_030_00, far)] if far else [(60_001_00, 50_000)])
        seen = moment(Side.BUY, Market(INSTRUMENT, book), NEAR, None)
        assert seen is not None
        assert (seen.price, seen.qty) == (60_001_00, 50_000)
        shares.append(seen.parts.concentration)
    assert shares == [1.0, 0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    ("depth", "spread", "size_part", "spread_part"),
    [(10**6, 0.3333, 0.5, 0.5), (3 * 10**6, 0.3333, 0.75, 0.5), (10**6, 1.0, 0.5, 0.75)],
)
def test_what_is_as_usual_is_one_half(
    depth: int, spread: float, size_part: float, spread_part: float
) -> None:
    found = parts(Moment(ask_qty=depth, extra=usually(spread, "10")))
    assert found.size == pytest.approx(size_part)
    assert found.spread == pytest.approx(spread_part, abs=1e-4)


def test_of_a_seller_the_bids_count() -> None:
    now = Moment(bid_qty=9 * 10**6, ask_qty=10**6, extra=usually(None, "10"))
    assert parts(now, Side.SELL).size == pytest.approx(0.9)
    assert parts(now, Side.BUY).size == pytest.approx(0.5)


def test_each_side_is_held_against_what_is_usual_of_itself() -> None:
    extra = usually(None, "10")
    (venue,) = extra["venues"]
    lopsided = structs.replace(venue, usual_bid_depth=Decimal(30), usual_ask_depth=Decimal(10))
    now = Moment(bid_qty=10**6, ask_qty=10**6, extra={**extra, "venues": [lopsided]})
    assert parts(now, Side.BUY).size == pytest.approx(0.5)
    assert parts(now, Side.SELL).size == pytest.approx(0.25)


def test_what_is_not_known_is_no_event() -> None:
    assert parts(Moment()) == Parts(size=0.5, concentration=1.0, spread=0.5, hidden=0.0)
    assert parts(Moment()).score == pytest.approx(0.575)
    seen = moment(Side.BUY, Market(INSTRUMENT, book_of(Moment(), START)), NEAR, None)
    assert seen is not None
    assert seen.parts.score == pytest.approx(0.575)


def test_hidden_and_soon_refilled_size_counts_by_what_its_venue_displays() -> None:
    assert parts(Moment(extra=usually(None, None, hidden_share=0.4))).hidden == pytest.approx(0.4)
    assert parts(Moment(extra=usually(None, None, refill_s=1.0))).hidden == pytest.approx(0.5)
    both = parts(Moment(extra=usually(None, None, hidden_share=0.4, refill_s=1.0))).hidden
    assert both == pytest.approx(1 - 0.6 * 0.5)
    one, other = levels([(60_001_00, 1)]).venues[0], levels([(60_001_00, 3)], venue="sim_b").venues[0]
    book = m.ConsolidatedBook("BTC/USDT", 1, START, 2, 5, False, False, [one, other])
    market = Market(INSTRUMENT, book, stats_of(Moment(extra=usually(None, None, 0.4)), START))
    seen = moment(Side.BUY, market, NEAR, None)
    assert seen is not None
    assert seen.parts.hidden == pytest.approx(0.1)


def test_nothing_beyond_the_bound_and_nothing_of_other_venues_is_seen() -> None:
    book = levels([(60_001_00, 50_000), (60_002_00, 70_000), (60_020_00, 10**6)])
    market = Market(INSTRUMENT, book)
    at = {price: moment(Side.BUY, market, NEAR, price) for price in (60_000_00, 60_001_50, 60_050_00)}
    assert at[60_000_00] is None
    assert at[60_001_50] is not None
    assert at[60_050_00] is not None
    assert at[60_001_50][:2] == (60_001_00, 50_000)
    assert at[60_050_00][:2] == (60_002_00, 120_000)
    assert moment(Side.BUY, market, NEAR, None, {"sim_b"}) is None
    assert moment(Side.BUY, Market(INSTRUMENT), NEAR, None) is None


def test_the_bound_is_the_limit_or_the_slippage_whichever_is_closer() -> None:
    market = market_of(Moment(), INSTRUMENT)
    assert bound(Side.BUY, market, None, None) is None
    assert bound(Side.BUY, market, 60_100_00, None) == 60_100_00
    assert bound(Side.BUY, market, 60_100_00, Ratio(0.001)) == 60_060_00
    assert bound(Side.SELL, market, 59_900_00, Ratio(0.001)) == 59_940_00
    assert bound(Side.BUY, market, 60_010_00, Ratio(0.001)) == 60_010_00
