"""Minimal market impact: the same share of every venue's depth, within the levels and prices that are allowed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex import codec, config
from bestex import messages as m
from bestex.clock import SECOND
from bestex.human import Ratio
from bestex.messages import BookStatus, Side
from services.router.strategies.base import Route
from services.router.strategies.minimal_market_impact import MinimalMarketImpact
from tests.routes import find_route

NOW = 1_700_000_000 * SECOND
PRICE = 100_00
Levels = list[tuple[int, int]]


def settings(lots: dict[str, str], text: str = "") -> config.Config:
    venues = "\n".join(f"[venues.{name}]" for name in lots)
    listed = "\n".join(f'{name} = {{ tick = "0.01", lot = "{lot}" }}' for name, lot in lots.items())
    return config.parse(
        f'{venues}\n[instruments."X/Y"]\nprice_scale = 2\nqty_scale = 3\n'
        f'[instruments."X/Y".venues]\n{listed}\n{text}'
    )


def column(venue: str, asks: Levels, basis: int = 0) -> m.VenueColumn:
    bids = [(2 * PRICE - 1 - price + 2 * basis, qty) for price, qty in asks]
    return m.VenueColumn(
        venue,
        BookStatus.LIVE,
        basis,
        NOW,
        NOW,
        [price for price, _ in bids],
        [qty for _, qty in bids],
        [price for price, _ in asks],
        [qty for _, qty in asks],
    )


def route(
    columns: list[m.VenueColumn],
    qty: int,
    side: Side = Side.BUY,
    text: str = "",
    lot: str = "0.001",
    **params: Any,
) -> Route:
    made = settings({each.venue: lot for each in columns}, text)
    book = m.ConsolidatedBook("X/Y", 1, NOW, 2, 3, False, False, columns)
    strategy = codec.convert(params, MinimalMarketImpact, strict=False)
    return find_route(made.make_instruments().all[0], made, strategy, book, side, qty, None, NOW)


def taken(found: Route) -> dict[str, int]:
    return {part.venue: part.qty for part in found.allocations}


TWO = [column("a", [(PRICE, 1_000)]), column("b", [(PRICE, 3_000)])]


@pytest.mark.parametrize("side", list(Side))
def test_every_venue_gives_the_same_share_of_its_depth(side: Side) -> None:
    assert taken(route(TWO, 400, side)) == {"a": 100, "b": 300}


def test_the_whole_is_taken_where_the_whole_is_asked_for() -> None:
    assert taken(route(TWO, 9_999)) == {"a": 1_000, "b": 3_000}


def test_size_close_to_the_worst_price_makes_no_venue_deep() -> None:
    near, far = column("a", [(PRICE, 1_000)]), column("b", [(PRICE, 500), (PRICE + 20, 500)])
    found = taken(route([near, far], 300, max_price_impact_percent=0.2))
    assert sum(found.values()) == 300
    assert found["a"] == pytest.approx(300 * 21_000 / (21_000 + 10_500 + 500), abs=1)


@pytest.mark.parametrize(("percent", "qty"), [(0.099, 1_000), (0.101, 2_000), ("0.301", 3_000)])
def test_no_price_beyond_the_most_that_is_allowed_is_taken(percent: object, qty: int) -> None:
    shown = [column("a", [(PRICE, 1_000), (PRICE + 10, 1_000), (PRICE + 30, 1_000)])]
    for side in Side:
        assert route(shown, 9_000, side, max_price_impact_percent=percent).qty == qty


def test_the_worst_price_counts_from_the_best_of_all_venues_without_the_basis() -> None:
    shown = [column("a", [(PRICE, 1_000)]), column("b", [(PRICE + 530, 1_000)], basis=500)]
    found = route(shown, 2_000, max_price_impact_percent=0.2)
    assert taken(found) == {"a": 1_000}
    assert found.left_out["b"] == "out_of_limit: its best price is beyond max_price_impact_percent"
    assert set(taken(route(shown, 2_000, max_price_impact_percent=0.3))) == {"a", "b"}


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_only_so_many_levels_of_each_venue_are_taken(levels: int) -> None:
    shown = [column(venue, [(PRICE + i, 1_000) for i in range(3)]) for venue in "ab"]
    assert route(shown, 9_000, price_levels=levels).qty == levels * 2_000


def test_depth_in_quote_weighs_by_the_price() -> None:
    dear = [column("a", [(PRICE, 1_000)]), column("b", [(2 * PRICE, 1_000)], basis=PRICE)]
    assert taken(route(dear, 300)) == {"a": 150, "b": 150}
    assert taken(route(dear, 300, liquidity_type="quote")) == {"a": 100, "b": 200}


def test_a_share_that_is_capped_goes_to_the_others() -> None:
    made = settings({"a": "0.001", "b": "0.001"})
    half = msgspec.structs.replace(made.venues["b"], max_volume_pct=Ratio(0.5))
    capped = msgspec.structs.replace(made, venues=made.venues | {"b": half})
    book = m.ConsolidatedBook("X/Y", 1, NOW, 2, 3, False, False, TWO)
    [instrument] = capped.make_instruments().all
    found = find_route(instrument, capped, MinimalMarketImpact(), book, Side.BUY, 400, None, NOW)
    assert taken(found) == {"a": 200, "b": 200}


def test_a_part_below_the_smallest_split_is_left_to_the_others() -> None:
    text = '[splitting]\nmin_split_size = "20"'
    assert taken(route(TWO, 400, text=text)) == {"b": 400}


def test_no_more_venues_than_splits_are_allowed() -> None:
    assert taken(route(TWO, 400, max_splits=1)) == {"b": 400}


def test_an_empty_side_has_no_route() -> None:
    bids_only = msgspec.structs.replace(TWO[0], ask_px=[], ask_qty=[])
    assert route([bids_only], 100).qty == 0


def test_what_no_order_may_say_is_refused() -> None:
    for params in ({"price_levels": 0}, {"max_price_impact_percent": 0}, {"liquidity_type": "gold"}):
        with pytest.raises(msgspec.ValidationError):
            codec.convert(params, MinimalMarketImpact, strict=False)


levels = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5_000)), min_size=1, max_size=5).map(
    lambda drawn: sorted({PRICE + step: qty for step, qty in drawn}.items())
)


@given(
    asks=st.lists(levels, min_size=1, max_size=4),
    qty=st.integers(1, 20_000),
    lots=st.sampled_from(["0.001", "0.01", "0.1"]),
    order=st.randoms(use_true_random=False),
    side=st.sampled_from(list(Side)),
)
def test_a_route_does_not_look_at_the_order_of_venues(
    asks: list[Levels], qty: int, lots: str, order: Any, side: Side
) -> None:
    columns = [column(name, shown) for name, shown in zip("abcd", asks, strict=False)]
    first = route(columns, qty, side, lot=lots)
    order.shuffle(columns)
    again = route(columns, qty, side, lot=lots)
    assert sorted(again.allocations, key=str) == sorted(first.allocations, key=str)
    bound = min(shown[0][0] for shown in asks) * 1.002
    if side is Side.BUY:
        assert all(part.price <= bound for part in first.allocations)
