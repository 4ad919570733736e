"""How our orders and the displayed background share a book: queues, consumed size, trades, crossings."""

from __future__ import annotations

import pytest

from bestex.instruments import Listing
from bestex.matching import Market
from bestex.sim_wire import State
from tests.unit.matching.test_market import BUY, NOW, SELL, order, put


@pytest.fixture
def market() -> Market:
    return Market(Listing(venue="sim_a", symbol="X/Y"))


def asks(market: Market) -> list[tuple[int, int]]:
    _, _, prices, sizes = market.book(10)
    return list(zip(prices, sizes, strict=True))


def bids(market: Market) -> list[tuple[int, int]]:
    prices, sizes, _, _ = market.book(10)
    return list(zip(prices, sizes, strict=True))


# -- consumed size ---------------------------------------------------------------------------------------------


def test_taken_size_does_not_come_back_while_the_feed_shows_the_same(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    put(market, BUY, 4, 100)
    market.set_background(SELL, 100, 10, NOW)
    assert asks(market) == [(100, 6)]


def test_growth_of_the_shown_size_is_new_size(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    put(market, BUY, 10, 100)
    assert asks(market) == []
    market.set_background(SELL, 100, 13, NOW)
    assert asks(market) == [(100, 3)]


def test_a_decrease_is_first_what_we_took_ourselves(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    put(market, BUY, 4, 100)
    market.set_background(SELL, 100, 7, NOW)
    assert asks(market) == [(100, 6)]
    market.set_background(SELL, 100, 5, NOW)
    assert asks(market) == [(100, 5)]


def test_a_level_that_was_gone_comes_back_whole(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    put(market, BUY, 10, 100)
    market.set_background(SELL, 100, 0, NOW)
    market.set_background(SELL, 100, 10, NOW)
    assert asks(market) == [(100, 10)]


def test_a_background_trade_leaves_it_to_the_feed_to_say_what_is_shown(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    market.background_trade(100, 4, BUY, NOW)
    assert asks(market) == [(100, 10)]
    market.set_background(SELL, 100, 6, NOW)
    assert asks(market) == [(100, 6)]


def test_a_level_that_trades_and_is_refilled_for_ever_never_runs_dry(market: Market) -> None:
    market.set_background(SELL, 100, 10, NOW)
    for _ in range(10):
        market.background_trade(100, 4, BUY, NOW)
        market.set_background(SELL, 100, 10, NOW)
    assert asks(market) == [(100, 10)]


# -- place in the queue ----------------------------------------------------------------------------------------


def test_an_order_joins_behind_the_displayed_size(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    matches, rest = market.background_trade(100, 12, SELL, NOW)
    assert (resting.cum_qty, [match.qty for match in matches], rest) == (2, [2], 10)


def test_new_size_stands_behind_our_order(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    market.set_background(BUY, 100, 30, NOW)
    market.background_trade(100, 15, SELL, NOW)
    assert resting.state is State.FILLED


def test_cancellations_come_from_behind_our_order_first(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    market.set_background(BUY, 100, 20, NOW)
    market.set_background(BUY, 100, 12, NOW)
    assert resting.ahead == 10
    market.set_background(BUY, 100, 7, NOW)
    assert resting.ahead == 7


def test_trades_move_the_queue_from_the_front_and_their_level_update_does_not_move_it_again(
    market: Market,
) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    market.background_trade(100, 4, SELL, NOW)
    market.set_background(BUY, 100, 6, NOW)
    assert resting.ahead == 6


def test_our_own_taker_respects_the_queue_too(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    market.submit(order(SELL, 12, 100), NOW)
    assert (resting.cum_qty, resting.ahead) == (2, 0)


def test_the_book_shows_our_resting_orders(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    put(market, BUY, 5, 100)
    put(market, BUY, 3, 101)
    assert bids(market) == [(101, 3), (100, 15)]


# -- background that meets our orders --------------------------------------------------------------------------


def test_a_trade_through_our_price_fills_us_first(market: Market) -> None:
    market.set_background(BUY, 99, 10, NOW)
    resting = put(market, BUY, 5, 100)
    matches, rest = market.background_trade(99, 8, SELL, NOW)
    assert ([(m.price, m.qty, m.maker) for m in matches], rest) == ([(100, 5, resting)], 3)


def test_a_trade_through_our_price_fills_us_whatever_was_shown_in_front(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    resting = put(market, BUY, 5, 100)
    market.background_trade(99, 8, SELL, NOW)
    assert resting.state is State.FILLED


def test_a_trade_of_unknown_aggressor_takes_from_the_side_that_its_price_meets(market: Market) -> None:
    resting = put(market, BUY, 5, 100)
    put(market, SELL, 5, 110)
    assert market.background_trade(105, 5, 0, NOW) == ([], 5)
    market.background_trade(100, 5, 0, NOW)
    assert resting.state is State.FILLED


def test_a_level_that_appears_through_our_order_trades_with_it_at_our_price(market: Market) -> None:
    resting = put(market, BUY, 5, 100)
    [match] = market.set_background(SELL, 98, 8, NOW)
    assert (match.price, match.qty, resting.state) == (100, 5, State.FILLED)
    assert (bids(market), asks(market)) == ([], [(98, 3)])


def test_what_our_order_took_of_a_crossing_level_stays_taken(market: Market) -> None:
    put(market, BUY, 5, 100)
    market.set_background(SELL, 98, 8, NOW)
    market.set_background(SELL, 98, 8, NOW)
    assert asks(market) == [(98, 3)]


def test_where_the_background_crosses_itself_the_newer_level_is_right(market: Market) -> None:
    market.set_background(BUY, 100, 10, NOW)
    market.set_background(BUY, 99, 10, NOW)
    market.set_background(SELL, 100, 4, NOW)
    assert (bids(market), asks(market)) == ([(99, 10)], [(100, 4)])
