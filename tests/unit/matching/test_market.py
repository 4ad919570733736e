"""The matching engine: orders, their terms, and their place among each other and the background."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from bestex.clock import DAY
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.matching import Market, Match, Order
from bestex.matching import market as market_module
from bestex.messages import Tif
from bestex.sim_wire import State

BUY, SELL = 1, -1
NOW = 1_000

TERMS = Listing(
    venue="sim_a",
    symbol="X/Y",
    tick=5,
    lot=2,
    min_qty=4,
    max_qty=1_000,
    min_notional=500,
    taker_fee_e8=20_000,
    maker_fee_e8=-5_000,
)

numbers = count(1)


def order(side: int, qty: int, price: int, **terms: Any) -> Order:
    number = next(numbers)
    defaults: dict[str, Any] = {
        "account": "default",
        "client_id": f"c{number}",
        "order_id": number,
        "kind": "limit",
        "tif": Tif.GTC,
        "post_only": False,
        "good_till_ns": 0,
        "created_ns": NOW,
        "updated_ns": NOW,
    }
    return Order(side=side, qty=qty, price=price, **(defaults | terms))


@pytest.fixture
def market() -> Market:
    return Market(TERMS)


def put(market: Market, side: int, qty: int, price: int, **terms: Any) -> Order:
    made = order(side, qty, price, **terms)
    market.submit(made, NOW)
    return made


def shape(matches: list[Match]) -> list[tuple[int, int]]:
    return [(match.price, match.qty) for match in matches]


def test_a_taker_takes_the_best_price_first_and_rests_with_what_is_left(market: Market) -> None:
    market.set_background(SELL, 105, 6, NOW)
    market.set_background(SELL, 100, 4, NOW)
    taker = order(BUY, 16, 105)
    assert shape(market.submit(taker, NOW)) == [(100, 4), (105, 6)]
    assert (taker.state, taker.cum_qty, taker.notional) == (State.OPEN, 10, 1_030)
    assert market.book(5) == ([105], [6], [], [])


def test_at_one_price_the_earlier_order_fills_first(market: Market) -> None:
    first, second = put(market, SELL, 10, 100), put(market, SELL, 10, 100)
    market.submit(order(BUY, 12, 100), NOW)
    assert (first.cum_qty, second.cum_qty) == (10, 2)


def test_the_taker_pays_the_takers_fee_and_the_maker_gets_the_makers(market: Market) -> None:
    maker, taker = put(market, SELL, 10, 100), put(market, BUY, 10, 100)
    assert (taker.fees_e8, maker.fees_e8) == (1_000 * 20_000, 1_000 * -5_000)


def test_two_orders_of_ours_that_meet_share_one_trade_id(market: Market) -> None:
    maker = put(market, SELL, 10, 100)
    taker = order(BUY, 10, 100)
    [match] = market.submit(taker, NOW)
    assert (match.trade_id, match.taker, match.maker) == (1, taker, maker)


def test_the_rest_of_an_ioc_expires(market: Market) -> None:
    market.set_background(SELL, 100, 6, NOW)
    taker = put(market, BUY, 10, 100, tif=Tif.IOC)
    assert (taker.state, taker.cum_qty, taker.code) == (State.EXPIRED, 6, Code.NO_LIQUIDITY)
    assert market.book(5) == ([], [], [], [])


def test_a_fok_fills_whole_or_not_at_all(market: Market) -> None:
    market.set_background(SELL, 100, 6, NOW)
    market.set_background(SELL, 105, 6, NOW)
    refused = put(market, BUY, 12, 100, tif=Tif.FOK)
    assert (refused.state, refused.cum_qty, refused.code) == (State.EXPIRED, 0, Code.FOK_UNFILLED)
    assert put(market, BUY, 12, 105, tif=Tif.FOK).state is State.FILLED


def test_a_market_order_takes_at_any_price_and_never_rests(market: Market) -> None:
    market.set_background(SELL, 100, 6, NOW)
    market.set_background(SELL, 900, 2, NOW)
    taker = put(market, BUY, 10, 0, kind="market")
    assert (taker.state, taker.cum_qty, taker.code) == (State.EXPIRED, 8, Code.NO_LIQUIDITY)


def test_a_post_only_order_that_would_take_is_rejected(market: Market) -> None:
    market.set_background(SELL, 100, 6, NOW)
    assert put(market, BUY, 10, 100, post_only=True).code is Code.POST_ONLY_WOULD_TAKE
    assert put(market, BUY, 10, 95, post_only=True).state is State.OPEN


def test_post_only_takes_fully_consumed_levels_for_empty(market: Market) -> None:
    market.set_background(SELL, 100, 6, NOW)
    put(market, BUY, 6, 100)
    assert put(market, BUY, 10, 100, post_only=True).state is State.OPEN


@pytest.mark.parametrize(
    ("qty", "price", "terms", "code"),
    [
        (0, 100, {}, Code.INVALID_QTY),
        (-4, 100, {}, Code.INVALID_QTY),
        (5, 100, {}, Code.OFF_LOT),
        (2, 100, {}, Code.BELOW_MINIMUM),
        (1_002, 100, {}, Code.LIMIT_EXCEEDED),
        (10, 0, {}, Code.INVALID_PRICE),
        (10, -5, {}, Code.INVALID_PRICE),
        (10, 101, {}, Code.OFF_TICK),
        (4, 100, {}, Code.BELOW_MINIMUM),
        (10, 100, {"kind": "market"}, Code.INVALID_PRICE),
        (10, 100, {"post_only": True, "tif": Tif.IOC}, Code.INVALID_PARAMETER),
        (10, 0, {"post_only": True, "kind": "market"}, Code.INVALID_PARAMETER),
        (10, 100, {"tif": Tif.GTD, "good_till_ns": NOW}, Code.EXPIRED),
    ],
)
def test_bad_terms_are_rejected_with_their_code(
    market: Market, qty: int, price: int, terms: dict[str, Any], code: Code
) -> None:
    refused = put(market, BUY, qty, price, **terms)
    assert (refused.state, refused.code) == (State.REJECTED, code)
    assert market.open_count == 0


def test_a_gtd_order_expires_at_its_time_and_a_day_order_at_midnight(market: Market) -> None:
    until = put(market, BUY, 10, 100, tif=Tif.GTD, good_till_ns=NOW + 50)
    today = put(market, BUY, 10, 95, tif=Tif.DAY)
    market.advance(NOW + 49)
    assert until.state is State.OPEN
    market.advance(NOW + 60)
    assert (until.state, until.updated_ns, today.state) == (State.EXPIRED, NOW + 50, State.OPEN)
    market.advance(DAY)
    assert today.state is State.EXPIRED
    assert market.open_count == 0


def test_a_canceled_order_leaves_the_book_and_cannot_expire_later(market: Market) -> None:
    resting = put(market, BUY, 10, 100, tif=Tif.GTD, good_till_ns=NOW + 50)
    market.cancel(resting, NOW)
    market.advance(NOW + 60)
    assert (resting.state, resting.code) == (State.CANCELED, Code.CANCELED)
    assert market.book(5) == ([], [], [], [])


def test_less_at_the_same_price_keeps_the_place_in_the_queue(market: Market) -> None:
    first, second = put(market, BUY, 20, 100), put(market, BUY, 20, 100)
    assert market.replace(first, 10, 100, NOW) == (None, [])
    market.submit(order(SELL, 10, 100), NOW)
    assert (first.state, second.cum_qty) == (State.FILLED, 0)


@pytest.mark.parametrize(("qty", "price"), [(22, 100), (20, 95)])
def test_more_or_another_price_loses_the_place(market: Market, qty: int, price: int) -> None:
    first, second = put(market, BUY, 20, 100), put(market, BUY, 20, 100)
    market.replace(first, qty, price, NOW)
    market.submit(order(SELL, 20, 100), NOW)
    assert (first.cum_qty, second.cum_qty) == (0, 20)


def test_a_replace_to_a_price_that_crosses_trades_at_once(market: Market) -> None:
    market.set_background(SELL, 105, 6, NOW)
    resting = put(market, BUY, 10, 100)
    refusal, matches = market.replace(resting, 10, 105, NOW)
    assert (refusal, shape(matches), resting.leaves) == (None, [(105, 6)], 4)


def test_a_refused_replace_leaves_the_order_as_it_was(market: Market) -> None:
    market.set_background(SELL, 105, 6, NOW)
    resting = put(market, BUY, 10, 100, post_only=True)
    for qty, price, code in ((11, 100, Code.OFF_LOT), (10, 105, Code.POST_ONLY_WOULD_TAKE)):
        refusal, _ = market.replace(resting, qty, price, NOW)
        assert refusal is not None
        assert refusal[0] is code
    assert (resting.qty, resting.price, resting.state) == (10, 100, State.OPEN)


def test_a_replace_down_to_what_has_filled_ends_the_order(market: Market) -> None:
    resting = put(market, BUY, 10, 100)
    market.submit(order(SELL, 6, 100), NOW)
    assert market.replace(resting, 6, 100, NOW) == (None, [])
    assert (resting.state, resting.code, resting.cum_qty) == (State.CANCELED, Code.REPLACED, 6)


def test_a_market_takes_only_so_many_open_orders(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market_module, "MAX_OPEN_ORDERS", 1)
    first = put(market, BUY, 10, 100)
    assert put(market, BUY, 10, 100).code is Code.LIMIT_EXCEEDED
    market.cancel(first, NOW)
    assert put(market, BUY, 10, 100).state is State.OPEN


def test_a_replaced_gtd_order_expires_once(market: Market) -> None:
    resting = put(market, BUY, 10, 100, tif=Tif.GTD, good_till_ns=NOW + 50)
    market.replace(resting, 10, 95, NOW)
    market.advance(NOW + 50)
    assert (resting.state, market.open_count) == (State.EXPIRED, 0)
