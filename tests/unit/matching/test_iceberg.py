"""Orders of which the book shows a part: what is seen, who fills when, and what is refused."""

from __future__ import annotations

import pytest

from bestex import sim_wire as w
from bestex.errors import Code
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import Market, SimExchange
from bestex.matching import terms as matching_terms
from bestex.messages import Side, Tif
from bestex.sim_wire import State
from tests.unit.matching.test_market import BUY, NOW, SELL, TERMS, order, put, shape


@pytest.fixture
def market() -> Market:
    return Market(TERMS)


def test_the_book_shows_the_display_quantity_and_never_more(market: Market) -> None:
    iceberg = put(market, SELL, 50, 100, display=10)
    assert market.book(5) == ([], [], [100], [10])
    market.submit(order(BUY, 6, 100, tif=Tif.IOC), NOW)
    assert market.book(5) == ([], [], [100], [4])  # the part is not topped up before it is gone
    market.submit(order(BUY, 8, 100, tif=Tif.IOC), NOW)
    assert market.book(5) == ([], [], [100], [6])
    assert (iceberg.cum_qty, iceberg.state) == (14, State.OPEN)


def test_the_last_part_is_what_is_left(market: Market) -> None:
    iceberg = put(market, SELL, 26, 100, display=10)
    market.submit(order(BUY, 20, 100, tif=Tif.IOC), NOW)
    assert market.book(5) == ([], [], [100], [6])
    market.submit(order(BUY, 10, 100, tif=Tif.IOC), NOW)
    assert (iceberg.state, market.book(5)) == (State.FILLED, ([], [], [], []))


def test_each_new_part_goes_to_the_end_of_the_queue(market: Market) -> None:
    iceberg, plain = put(market, SELL, 30, 100, display=10), put(market, SELL, 10, 100)
    market.submit(order(BUY, 14, 100, tif=Tif.IOC), NOW)
    assert (iceberg.cum_qty, plain.cum_qty) == (10, 4)
    market.submit(order(BUY, 6, 100, tif=Tif.IOC), NOW)
    assert (iceberg.cum_qty, plain.cum_qty) == (10, 10)


def test_a_new_part_stands_behind_the_background_that_is_there(market: Market) -> None:
    iceberg = put(market, SELL, 30, 100, display=10)
    market.set_background(SELL, 100, 8, NOW)
    taker = order(BUY, 22, 100, tif=Tif.IOC)
    assert shape(market.submit(taker, NOW)) == [(100, 10), (100, 8), (100, 4)]
    assert iceberg.cum_qty == 14


def test_a_taker_of_more_than_is_displayed_gets_the_reserves_by_turns(market: Market) -> None:
    first, second = put(market, SELL, 20, 100, display=10), put(market, SELL, 20, 100, display=6)
    taker = order(BUY, 40, 100, tif=Tif.IOC)
    assert shape(market.submit(taker, NOW)) == [(100, 10), (100, 6), (100, 10), (100, 6), (100, 6), (100, 2)]
    assert (first.state, second.state, taker.state) == (State.FILLED, State.FILLED, State.FILLED)


def test_a_fok_counts_the_reserve(market: Market) -> None:
    put(market, SELL, 30, 100, display=4)
    assert put(market, BUY, 32, 100, tif=Tif.FOK).state is State.EXPIRED
    assert put(market, BUY, 30, 100, tif=Tif.FOK).state is State.FILLED


def test_it_takes_what_crosses_with_all_of_it_and_then_displays_a_part(market: Market) -> None:
    market.set_background(SELL, 100, 20, NOW)
    iceberg = put(market, BUY, 50, 100, display=10)
    assert (iceberg.cum_qty, market.book(5)) == (20, ([100], [10], [], []))


def test_a_trade_at_a_worse_price_has_filled_its_reserve_too(market: Market) -> None:
    iceberg = put(market, BUY, 30, 100, display=4)
    matches, rest = market.background_trade(95, 40, SELL, NOW)
    assert (sum(match.qty for match in matches), rest, iceberg.state) == (30, 10, State.FILLED)


def test_less_quantity_comes_out_of_the_reserve_first_and_keeps_the_place(market: Market) -> None:
    iceberg, behind = put(market, SELL, 30, 100, display=10), put(market, SELL, 10, 100)
    market.replace(iceberg, 12, 100, NOW)
    assert market.book(5) == ([], [], [100], [20])
    market.replace(iceberg, 8, 100, NOW)
    assert market.book(5) == ([], [], [100], [18])
    market.submit(order(BUY, 10, 100, tif=Tif.IOC), NOW)
    assert (iceberg.cum_qty, behind.cum_qty) == (8, 2)


def test_at_another_price_it_displays_as_much_as_before(market: Market) -> None:
    iceberg = put(market, SELL, 30, 100, display=10)
    market.submit(order(BUY, 6, 100, tif=Tif.IOC), NOW)
    market.replace(iceberg, 30, 105, NOW)
    assert market.book(5) == ([], [], [105], [10])


@pytest.mark.parametrize(
    ("display", "terms", "code"),
    [
        (3, {}, Code.OFF_LOT),
        (2, {}, Code.BELOW_MINIMUM),
        (-4, {}, Code.INVALID_QTY),
        (52, {}, Code.INVALID_QTY),
        (10, {"tif": Tif.IOC}, Code.INVALID_PARAMETER),
        (10, {"kind": "market", "price": 0, "tif": Tif.IOC}, Code.INVALID_PARAMETER),
    ],
)
def test_a_display_quantity_that_makes_no_sense_is_refused(
    market: Market, display: int, terms: dict[str, object], code: Code
) -> None:
    refused = order(SELL, 50, **{"price": 100, "display": display, **terms})  # type: ignore[arg-type]
    market.submit(refused, NOW)
    assert (refused.state, refused.code) == (State.REJECTED, code)


def test_an_order_has_no_more_parts_than_one_taker_can_meet(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching_terms, "MAX_PARTS", 4)
    assert put(market, SELL, 42, 100, display=10).code is Code.LIMIT_EXCEEDED
    assert put(market, SELL, 40, 100, display=10).state is State.OPEN


def test_after_a_restart_it_still_displays_a_part_only() -> None:
    listing = Listing(venue="sim_a", symbol="X/Y")
    instruments = Instruments((Instrument(symbol="X/Y", price_scale=0, qty_scale=0, listings=(listing,)),))
    exchange = SimExchange(instruments, ["sim_a"])
    submit = w.Submit(
        venue="sim_a", symbol="X/Y", client_id="a", side=Side.SELL, qty=30, price=100, display_qty=4
    )
    answer = exchange.submit(submit, NOW)
    assert answer.order is not None
    assert answer.order.display_qty == 4
    taker = w.Submit(venue="sim_a", symbol="X/Y", client_id="b", side=Side.BUY, qty=5, price=100, tif=Tif.IOC)
    exchange.submit(taker, NOW)
    again = SimExchange(instruments, ["sim_a"])
    for entry in exchange.drain():
        again.restore(entry)
    again.reopen(NOW)
    assert again.market("sim_a", "X/Y").book(5) == ([], [], [100], [4])
    assert again.open_orders("sim_a")[0].leaves_qty == 25
