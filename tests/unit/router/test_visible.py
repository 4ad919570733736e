"""What all strategies leave to the order: which venues, how deep, and how many. Every refusal has its reason."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import MINUTE, SECOND, parse_time
from bestex.messages import BookStatus, Side
from services.router.routing import make_strategy, rest_leg
from services.router.strategies.base import Route
from services.router.visible import beyond
from tests.routes import find_route
from tests.unit.equities import HOURS, SYMBOL, korean
from tests.unit.router.strategies.market import NOW, REGISTRY, column, configured, route_of, shown, taken

TWO = configured(a="", b="")
KINDS = configured(a="", b='kind = "perp"', c='kind = "dark"')
EQUAL = shown(*(column(venue, {100_00: 1_000}) for venue in "abc"))
every_strategy = pytest.mark.parametrize("name", sorted(REGISTRY))


def why(name: str, book: m.ConsolidatedBook, settings: Any = TWO, **more: Any) -> dict[str, str]:
    route = route_of(name, 1_000, settings, book, **more)
    assert set(taken(route)).isdisjoint(route.left_out)
    return route.left_out


@every_strategy
def test_spot_and_perpetual_venues_can_be_left_out_and_dark_ones_are(name: str) -> None:
    dark = f"not_selected: {name} does not route to dark venues"
    assert why(name, EQUAL, KINDS, include_spot=False)["a"] == "not_selected: include_spot is false"
    assert why(name, EQUAL, KINDS, include_perp=False)["b"] == "not_selected: include_perp is false"
    assert why(name, EQUAL, KINDS)["c"] == dark


@every_strategy
def test_nothing_beyond_the_slippage_from_the_best_price_is_taken(name: str) -> None:
    # 0.3 % beyond 100.00 is 100.30.
    book = shown(column("a", {100_00: 100, 100_30: 100, 100_31: 5_000}), column("b", {100_31: 5_000}))
    route = route_of(name, 200, TWO, book, max_slippage_percent=0.3)
    assert all(part.qty <= 200 and part.price <= 100_30 for part in route.allocations)
    assert route.left_out["b"] == "out_of_limit: its best price is beyond max_slippage_percent"


@every_strategy
def test_no_venue_is_taken_beyond_the_impact_from_its_own_best_price(name: str) -> None:
    # 0.2 % beyond 100.00 is 100.20, beyond 100.10 it is 100.3002.
    book = shown(
        column("a", {100_00: 10, 100_21: 5_000}), column("b", {100_10: 10, 100_30: 10, 100_31: 5_000})
    )
    for part in route_of(name, 30, TWO, book, max_price_impact_percent=0.2).allocations:
        assert (part.venue, part.price) in {("a", 100_00), ("b", 100_10), ("b", 100_30)}


@every_strategy
def test_no_more_levels_of_a_venue_are_taken_than_asked_for(name: str) -> None:
    book = shown(column("a", {100_00: 100, 100_01: 100, 100_02: 5_000}))
    route = route_of(name, 500, TWO, book, price_levels=2)
    assert all(part.qty <= 200 and part.price <= 100_01 for part in route.allocations)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"max_slippage_percent": 0.3}, {"a": (20, 100_30)}),
        ({"max_slippage_percent": 0.31}, {"a": (20, 100_30), "b": (10, 100_31)}),
        ({"max_price_impact_percent": 0.2}, {"a": (10, 100_00), "b": (20, 100_40)}),
        ({"price_levels": 1}, {"a": (10, 100_00), "b": (10, 100_31)}),
        ({"price_levels": 1, "max_slippage_percent": 0}, {"a": (10, 100_00)}),
    ],
)
def test_all_that_the_parameters_allow_is_there_to_be_taken(asked: dict[str, Any], found: object) -> None:
    book = shown(column("a", {100_00: 10, 100_30: 10}), column("b", {100_31: 10, 100_40: 10}))
    assert taken(route_of("lowest_fees", 1_000, TWO, book, **asked)) == found


@pytest.mark.parametrize(("price", "side", "worst"), [(99_99, Side.BUY, 100_28), (100_01, Side.SELL, 99_71)])
def test_a_bound_is_rounded_towards_the_better_price(price: int, side: Side, worst: int) -> None:
    assert beyond(price, 0.3, side) == worst  # 100.28997 and 99.70997


def test_slippage_is_counted_from_prices_without_their_basis() -> None:
    book = shown(column("a", {100_00: 100}), column("b", {130_30: 100, 130_31: 100}, basis=30_00))
    route = route_of("sweep", 300, TWO, book, max_slippage_percent=0.3)
    assert taken(route) == {"a": (100, 100_00), "b": (100, 130_30)}


def test_an_orders_share_of_a_venue_only_lowers_the_configured_one() -> None:
    settings = configured(venues='max_volume_pct = "60%"', a="", b="")
    book = shown(column("a", {100_00: 5_000}), column("b", {100_01: 5_000}))
    for asked, first in (("50%", 500), ("100%", 600), (0.57, 570)):
        route = route_of("sweep", 1_000, settings, book, max_volume_pct=asked)
        assert taken(route) == {"a": (first, 100_00), "b": (1_000 - first, 100_01)}


def test_a_share_is_exact() -> None:
    settings = configured(venues='max_volume_pct = "29%"', a="", b="")
    book = shown(column("a", {100_00: 5_000}), column("b", {100_01: 5_000}))
    assert taken(route_of("sweep", 100, settings, book))["a"] == (29, 100_00)  # 0.29 x 100 is 28.999...


def test_a_venue_that_slippage_leaves_alone_still_has_its_share_only() -> None:
    book = shown(column("a", {100_00: 5_000}), column("b", {101_00: 5_000}))
    route = route_of("sweep", 1_000, TWO, book, max_slippage_percent=0.3, max_volume_pct="40%")
    assert taken(route) == {"a": (400, 100_00)}


@pytest.mark.parametrize(
    ("configured_size", "asked", "venues"),
    [("5", "1", "ab"), ("5", "10.001", "ab"), ("5", "10.0010001", "a"), ("11", "1", "a")],
)
def test_an_orders_least_part_only_raises_the_configured_one(
    configured_size: str, asked: str, venues: str
) -> None:
    settings = configured(f'[splitting]\nmin_split_size = "{configured_size}"', a="", b="")
    book = shown(column("a", {100_00: 900}), column("b", {100_01: 5_000}))  # 0.100 at 100.01 is 10.001
    assert set(taken(route_of("lowest_fees", 1_000, settings, book, min_split_size=asked))) == set(venues)


@every_strategy
def test_an_orders_splits_only_lower_the_configured_ones(name: str) -> None:
    settings = configured("[splitting]\nmax_splits = 2", a="", b="", c="")
    book = shown(*(column(venue, {100_00: 400}) for venue in "abc"))
    for asked, most in ((0, 2), (1, 1), (2, 2), (3, 2)):
        assert len(route_of(name, 1_000, settings, book, max_splits=asked).allocations) <= most


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (column("a", {}, {}), "no_liquidity: its book is empty"),
        (column("a", {}, {99_00: 1}), "no_liquidity: nothing on that side"),
        (column("a", {99_00: 1}, {99_00: 1}), "crossed_book: its own bid reaches its own ask"),
        (column("a", {100_00: 0}), "bad_book: its levels are not positive"),
        (column("a", {100_00: 1_000, 100_01: -5}), "bad_book: its levels are not positive"),
        (column("a", {-5: 1_000}, {}), "bad_book: its levels are not positive"),
        (column("a", {100_00: 1_000}, {99_00: 0}), "bad_book: its levels are not positive"),
        (column("a", {100_01: 1_000, 100_00: 1}), "bad_book: its levels are unsorted"),
        (column("a", {100_00: 1_000}, status=BookStatus.STALE), "stale_book: its book is stale"),
        (column("a", {100_00: 1_000}, status=BookStatus.DOWN), "venue_down: its book is down"),
        (column("nobody", {100_00: 1_000}), "no_book: no book heard"),
    ],
)
@every_strategy
def test_a_book_that_cannot_be_used_leaves_its_venue_out_and_the_others_in(
    name: str, broken: m.VenueColumn, reason: str
) -> None:
    route = route_of(name, 500, TWO, shown(broken, column("b", {100_10: 500})))
    assert set(taken(route)) == {"b"}
    assert route.left_out == {"a": reason}


def test_a_price_without_a_quantity_leaves_the_venue_out() -> None:
    ragged = msgspec.structs.replace(column("a", {100_00: 1_000}), ask_qty=[])
    assert why("sweep", shown(ragged)) == {
        "a": "bad_book: its levels are ragged",
        "b": "no_book: no book heard",
    }


def test_a_price_off_the_tick_leaves_the_venue_out() -> None:
    settings = configured(a='tick = "0.05"', b="")
    found = why("sweep", shown(column("a", {100_00: 1, 100_01: 1})), settings)
    assert found["a"] == "bad_book: a price is off the venue's tick"


def test_a_venue_that_stands_in_the_book_twice_is_left_out() -> None:
    twice = shown(column("a", {100_00: 1_000}), column("a", {99_00: 1_000}))
    assert why("sweep", twice)["a"] == "bad_book: it stands in the book 2 times"


def test_a_venue_that_does_not_list_the_instrument_is_named() -> None:
    strategy = make_strategy(REGISTRY, TWO, "sweep", {})
    route: Route = find_route(
        TWO.make_instruments().by_symbol["X"],
        TWO,
        strategy,
        EQUAL,
        Side.BUY,
        500,
        None,
        NOW,
        venues=["a", "x"],
    )
    assert taken(route) == {"a": (500, 100_00)}
    assert route.left_out["x"] == "unknown_venue: it does not trade X"


@every_strategy
def test_an_old_or_missing_book_is_not_traded_on(name: str) -> None:
    strategy = make_strategy(REGISTRY, TWO, name, {})
    instrument = TWO.make_instruments().by_symbol["X"]
    for book, code in ((EQUAL, "stale_book"), (None, "no_book")):
        route = find_route(instrument, TWO, strategy, book, Side.BUY, 500, None, NOW + 60 * SECOND)
        assert (route.allocations, route.text) == ([], "no venue can be used now")
        assert {reason.partition(":")[0] for reason in route.left_out.values()} == {code}


@every_strategy
def test_what_no_lot_holds_has_its_reason(name: str) -> None:
    settings = configured(a='lot = "1"', b='lot = "0.1"')
    book = shown(column("a", {100_00: 5_000}), column("b", {100_00: 99}))
    route = route_of(name, 500, settings, book)
    assert route.allocations == []
    if name == "sweep":
        assert route.left_out["a"] == "below_minimum: the quantity is less than its lot"
        assert route.left_out["b"] == "no_liquidity: no level of it holds a whole lot"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"include_spot": False, "include_perp": "false"}, "so no venue is left"),
        ({"max_slippage_percent": -0.1}, "Expected `float` >= 0.0 - at `$.max_slippage_percent`"),
        ({"max_slippage_percent": 100}, "Expected `float` < 100.0 - at `$.max_slippage_percent`"),
        ({"max_price_impact_percent": "nan"}, "at `$.max_price_impact_percent`"),
        ({"price_levels": -1}, "at `$.price_levels`"),
        ({"max_volume_pct": 40}, 'max_volume_pct must be above 0% and at most 100%; write "40%" or 0.4'),
        ({"max_volume_pct": 0}, "max_volume_pct must be above 0%"),
        ({"max_volume_pct": "lots"}, "is no ratio"),
        ({"min_split_size": "-1"}, "min_split_size must not be negative"),
        ({"min_split_size": "NaN"}, "min_split_size: NaN is not a finite number"),
        ({"min_split_size": "1e99"}, "min_split_size: a number of more than 38 digits"),
        ({"max_splits": -1}, "Expected `int` >= 0 - at `$.max_splits`"),
        ({"max_split": 1}, "unknown field `max_split`"),
    ],
)
@every_strategy
def test_a_wrong_parameter_is_refused_with_a_sentence(
    name: str, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        make_strategy(REGISTRY, TWO, name, given)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", ["best_liquidity", "split_by_liquidity", "price_optimized_liquidity"])
def test_a_fraction_where_percent_are_asked_for_is_refused_with_what_to_write(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"for 5 % write 5, not 0\.05"):
        make_strategy(REGISTRY, TWO, name, {"min_liquidity_percent": 0.05})
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'both'"):
        make_strategy(REGISTRY, TWO, name, {"liquidity_type": "both"})


OPEN, CLOSE = parse_time("2026-11-27T00:00:00Z"), parse_time("2026-11-27T06:30:00Z")
KOREA = korean(price="49950", venues=("krx", "nxt"), calendars=HOURS)


def korean_route(now_ns: int, asks: dict[int, int], name: str = "sweep", **changed: Any) -> Route:
    columns = [
        m.VenueColumn(
            venue, BookStatus.LIVE, 0, now_ns, now_ns, [49_000], [50], list(asks), list(asks.values())
        )
        for venue in ("krx", "nxt")
    ]
    book = m.ConsolidatedBook(SYMBOL, 1, now_ns, 0, 0, False, False, columns)
    strategy = make_strategy(REGISTRY, KOREA, name, changed)
    instrument = KOREA.make_instruments().by_symbol[SYMBOL]
    return find_route(instrument, KOREA, strategy, book, Side.BUY, 20, None, now_ns=now_ns)


@every_strategy
@pytest.mark.parametrize(
    ("now_ns", "closed"),
    [
        (OPEN - 30 * MINUTE, {"krx"}),
        (OPEN, {"nxt"}),
        (OPEN + 30 * SECOND, set()),
        (CLOSE - MINUTE, {"nxt"}),
        (CLOSE, {"krx", "nxt"}),
        (CLOSE + 10 * MINUTE, {"krx"}),
    ],
)
def test_a_venue_whose_market_is_closed_is_left_out_until_it_opens(
    name: str, now_ns: int, closed: set[str]
) -> None:
    route = korean_route(now_ns, {49_950: 100}, name)
    reasons = {
        venue for venue, why in route.left_out.items() if why.startswith("market_closed: closed until 2")
    }
    assert reasons == closed
    assert set(taken(route)).isdisjoint(closed)
    assert bool(route.allocations) == (len(closed) < 2)


@pytest.mark.parametrize(
    ("asks", "is_bad"),
    [
        ({49_950: 5, 50_000: 5, 50_100: 90}, False),
        ({49_950: 5, 50_050: 90}, True),
        ({49_960: 90}, True),
        ({50_100: 90}, False),
    ],
)
def test_a_book_is_on_the_ticks_of_its_prices(asks: dict[int, int], is_bad: bool) -> None:
    left_out = korean_route(OPEN + MINUTE, asks).left_out
    assert (left_out.get("krx") == "bad_book: a price is off the venue's tick") == is_bad


@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [
        (Side.BUY, 50_049, 50_000),
        (Side.BUY, 49_999, 49_950),
        (Side.SELL, 49_951, 50_000),
        (Side.SELL, 50_001, 50_100),
    ],
)
def test_what_rests_is_rounded_to_its_passive_side_across_a_boundary(
    side: Side, limit: int, price: int
) -> None:
    instrument = KOREA.make_instruments().by_symbol[SYMBOL]
    rest = rest_leg(instrument, KOREA, side, 10, limit, {"krx"})
    assert rest is not None
    assert rest.price == price
