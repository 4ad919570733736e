"""The dark book: who meets whom at which price, minimums, conditional orders, and what the journal keeps of it."""

from __future__ import annotations

from typing import Any

import pytest

from bestex import codec
from bestex import sim_wire as w
from bestex.background import ASK, BID, HiddenOrder, LevelSet
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.matching.dark import FIRM_UP_NS
from bestex.messages import Side, Tif
from bestex.sim_wire import State

NOW = 1_000 * SECOND
BTC = "BTC/USDT"


def make(*, lit: bool = True) -> SimExchange:
    listings = [Listing(venue="dark_a", symbol=BTC, kind="dark", taker_fee_e8=5_000, maker_fee_e8=5_000)]
    listings += [Listing(venue="sim_a", symbol=BTC)] if lit else []
    one = Instrument(symbol=BTC, price_scale=2, qty_scale=3, listings=tuple(listings))
    return SimExchange(Instruments((one,)), [listing.venue for listing in listings])


@pytest.fixture
def exchange() -> SimExchange:
    """Lit 98 to 101: the mid is 99.5 units."""
    made = make()
    quote(made, 98, 101)
    return made


def quote(exchange: SimExchange, bid: int, ask: int, at_ns: int = NOW) -> None:
    old = exchange.market("sim_a", BTC).book(1)
    for side, prices in ((BID, old[0]), (ASK, old[2])):
        for price in prices:
            exchange.background(BTC, LevelSet(at_ns, "sim_a", side, price, 0))
    for side, price in ((BID, bid), (ASK, ask)):
        if price:
            exchange.background(BTC, LevelSet(at_ns, "sim_a", side, price, 10))


def buy(client_id: str, qty: int = 10, price: int = 110, **terms: Any) -> w.Submit:
    return w.Submit(
        venue="dark_a", symbol=BTC, client_id=client_id, qty=qty, price=price, **{"side": Side.BUY, **terms}
    )


def sell(client_id: str, qty: int = 10, price: int = 90, **terms: Any) -> w.Submit:
    return buy(client_id, qty, price, side=Side.SELL, **terms)


def trades(exchange: SimExchange) -> list[tuple[str, int, int]]:
    found = exchange.trades_since("dark_a")
    return [(trade.client_id, trade.price, trade.qty) for trade in found]


def state(exchange: SimExchange, client_id: str) -> w.OrderState:
    found = exchange.query("dark_a", client_id)
    assert found is not None
    return found


def hidden(side: int, qty: int, min_qty: int = 0, life_ns: int = 100 * SECOND) -> HiddenOrder:
    return HiddenOrder(NOW, "dark_a", side, qty, min_qty, NOW + life_ns)


def test_two_orders_of_ours_meet_at_the_mid_and_the_half_unit_goes_to_the_first(
    exchange: SimExchange,
) -> None:
    exchange.submit(buy("b1", 10), NOW)
    answer = exchange.submit(sell("s1", 4), NOW)
    assert trades(exchange) == [("s1", 99, 4), ("b1", 99, 4)]
    assert (answer.trades[0].liquidity, state(exchange, "b1").cum_qty) == ("taker", 4)
    other = make()
    quote(other, 98, 101)
    other.submit(sell("s1", 4), NOW)
    other.submit(buy("b1", 10), NOW)
    assert trades(other) == [("b1", 100, 4), ("s1", 100, 4)]
    assert other.balances("dark_a").balances["BTC"] == 0


def test_nothing_of_it_is_displayed(exchange: SimExchange) -> None:
    exchange.submit(buy("b1"), NOW)
    exchange.background(BTC, hidden(BID, 50))
    assert exchange.market("dark_a", BTC).book(10) == ([], [], [], [])
    assert exchange.market("dark_a", BTC).best(1) is None


@pytest.mark.parametrize(("bid", "ask"), [(0, 101), (98, 0), (0, 0)])
def test_nothing_meets_without_a_reference(bid: int, ask: int) -> None:
    exchange = make()
    quote(exchange, bid, ask)
    exchange.submit(buy("b1"), NOW)
    exchange.submit(sell("s1"), NOW)
    assert trades(exchange) == []
    quote(exchange, 98, 101)
    exchange.advance(NOW + SECOND)
    assert len(trades(exchange)) == 2


def test_nothing_meets_while_the_lit_venues_are_crossed_or_there_are_none() -> None:
    terms = [Listing(venue=name, symbol=BTC) for name in ("sim_a", "sim_b")]
    terms.append(Listing(venue="dark_a", symbol=BTC, kind="dark"))
    one = Instrument(symbol=BTC, price_scale=2, qty_scale=3, listings=tuple(terms))
    exchange = SimExchange(Instruments((one,)), ["sim_a", "sim_b", "dark_a"])
    quote(exchange, 98, 101)
    exchange.background(BTC, LevelSet(NOW, "sim_b", BID, 102, 10))
    exchange.submit(buy("b1"), NOW)
    exchange.submit(sell("s1"), NOW)
    assert trades(exchange) == []
    exchange.background(BTC, LevelSet(NOW, "sim_b", BID, 102, 0))
    exchange.advance(NOW)
    assert [price for _, price, _ in trades(exchange)] == [99, 99]
    alone = make(lit=False)
    alone.submit(buy("b1"), NOW)
    alone.submit(sell("s1"), NOW)
    assert trades(alone) == []


def test_a_limit_bounds_the_mid_and_holds_an_order_back_until_the_market_comes(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", price=99), NOW)  # the mid is 99.5
    exchange.background(BTC, hidden(ASK, 10))
    assert trades(exchange) == []
    quote(exchange, 97, 101)
    exchange.advance(NOW)
    assert trades(exchange) == [("b1", 99, 10)]


def test_who_came_first_meets_first_and_a_replaced_order_is_the_last(exchange: SimExchange) -> None:
    for client_id in ("b1", "b2", "b3"):
        exchange.submit(buy(client_id, 10), NOW)
    exchange.replace(w.Replace(venue="dark_a", client_id="b1", qty=11, price=110), NOW)
    exchange.background(BTC, hidden(ASK, 25))
    assert [(name, qty) for name, _, qty in trades(exchange)] == [("b2", 10), ("b3", 10), ("b1", 5)]


def test_nothing_below_a_minimum_is_traded_at_once_on_either_side(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", 20, min_qty=10), NOW)
    exchange.background(BTC, hidden(ASK, 9))
    exchange.background(BTC, hidden(ASK, 9))  # two small ones are not one large one
    assert trades(exchange) == []
    exchange.background(BTC, hidden(ASK, 40, min_qty=21))
    assert trades(exchange) == []
    exchange.background(BTC, hidden(ASK, 15))
    # What is left of it is below its minimum, and is traded whole with one that was too small for the whole.
    assert trades(exchange) == [("b1", 99, 15), ("b1", 99, 5)]


def test_a_rest_below_its_minimum_is_traded_whole(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", 20, min_qty=10), NOW)
    exchange.background(BTC, hidden(ASK, 15, life_ns=1))
    exchange.background(BTC, hidden(ASK, 4, life_ns=SECOND))
    assert state(exchange, "b1").cum_qty == 15
    exchange.background(BTC, hidden(ASK, 5))
    assert state(exchange, "b1").state is State.FILLED


def test_a_rest_meets_who_was_passed_over_because_of_the_whole(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", 3, min_qty=3), NOW)
    exchange.submit(buy("b2", 7), NOW)
    exchange.background(BTC, hidden(ASK, 10, min_qty=5))
    assert [(name, qty) for name, _, qty in trades(exchange)] == [("b2", 7), ("b1", 3)]


def test_a_smaller_quantity_makes_a_smaller_minimum(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", 20, min_qty=10), NOW)
    exchange.background(BTC, hidden(ASK, 5))
    exchange.replace(w.Replace(venue="dark_a", client_id="b1", qty=5, price=110), NOW)
    assert trades(exchange) == [("b1", 99, 5)]


def test_a_conditional_order_is_invited_and_trades_when_it_is_firmed_up(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", conditional=True), NOW)
    exchange.background(BTC, hidden(ASK, 6))
    assert trades(exchange) == []
    assert state(exchange, "b1").invited_ns == NOW
    answer = exchange.handle(w.Firm(venue="dark_a", client_id="b1"), NOW + 1)
    assert [(trade.price, trade.qty) for trade in answer.trades] == [(99, 6)]
    assert (state(exchange, "b1").conditional, state(exchange, "b1").invited_ns) == (False, 0)
    again = exchange.handle(w.Firm(venue="dark_a", client_id="b1"), NOW + 2)
    assert again.code is Code.INVALID_STATE


def test_nobody_waits_for_a_conditional_order(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", conditional=True), NOW)
    exchange.background(BTC, hidden(ASK, 6))
    exchange.submit(buy("b2", 6), NOW)
    assert trades(exchange) == [("b2", 100, 6)]
    assert exchange.handle(w.Firm(venue="dark_a", client_id="b1"), NOW + 1).ok
    assert state(exchange, "b1").cum_qty == 0


def test_an_invitation_that_is_not_answered_in_time_drops_the_order(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", conditional=True), NOW)
    exchange.background(BTC, hidden(ASK, 6))
    exchange.advance(NOW + FIRM_UP_NS - 1)
    assert state(exchange, "b1").state is State.OPEN
    exchange.advance(NOW + FIRM_UP_NS)
    assert (state(exchange, "b1").state, state(exchange, "b1").code) == (State.EXPIRED, Code.EXPIRED)
    late = exchange.handle(w.Firm(venue="dark_a", client_id="b1"), NOW + FIRM_UP_NS)
    assert late.code is Code.TOO_LATE


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"tif": Tif.FOK}, Code.INVALID_PARAMETER),
        ({"post_only": True}, Code.INVALID_PARAMETER),
        ({"min_qty": 11}, Code.INVALID_QTY),
        ({"conditional": True, "tif": Tif.IOC}, Code.INVALID_PARAMETER),
    ],
)
def test_what_makes_no_sense_in_the_dark_is_refused(
    exchange: SimExchange, terms: dict[str, Any], code: Code
) -> None:
    assert exchange.submit(buy("b1", **terms), NOW).code is code


def test_a_lit_venue_refuses_what_only_a_dark_one_knows(exchange: SimExchange) -> None:
    for terms in ({"min_qty": 1}, {"conditional": True}):
        request = w.Submit(
            venue="sim_a", symbol=BTC, client_id=f"c{terms}", side=Side.BUY, qty=5, price=90, **terms
        )
        assert exchange.submit(request, NOW).code is Code.INVALID_PARAMETER
    assert exchange.submit(buy("b1"), NOW).ok
    assert exchange.handle(w.Firm(venue="dark_a", client_id="b1"), NOW).code is Code.INVALID_STATE


def test_an_order_that_does_not_rest_meets_who_is_there_and_goes(exchange: SimExchange) -> None:
    exchange.background(BTC, hidden(ASK, 4))
    answer = exchange.submit(buy("b1", tif=Tif.IOC), NOW)
    assert answer.order is not None
    assert (answer.order.state, answer.order.cum_qty) == (State.EXPIRED, 4)


def test_others_orders_go_when_their_time_is_over(exchange: SimExchange) -> None:
    exchange.background(BTC, hidden(ASK, 4, life_ns=SECOND))
    exchange.advance(NOW + SECOND)
    exchange.submit(buy("b1"), NOW + SECOND)
    assert trades(exchange) == []


def test_the_journal_restores_the_dark_orders_with_their_terms(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", 20, min_qty=10), NOW)
    exchange.submit(buy("b2", 20, conditional=True), NOW)
    exchange.background(BTC, hidden(ASK, 30, min_qty=20))
    lines = [codec.from_json(codec.to_json(entry), w.JournalEntry) for entry in exchange.drain()]
    assert trades(exchange) == [("b1", 99, 20)]
    other = make()
    for line in lines:
        other.restore(line)
    quote(other, 98, 101)
    other.reopen(NOW + 1)
    for client_id in ("b1", "b2"):
        assert state(other, client_id) == state(exchange, client_id)
    assert other.trades_since("dark_a") == exchange.trades_since("dark_a")


def test_an_invited_order_is_still_invited_after_a_restart(exchange: SimExchange) -> None:
    exchange.submit(buy("b1", conditional=True), NOW)
    exchange.background(BTC, hidden(ASK, 6))
    other = make()
    for entry in exchange.drain():
        other.restore(entry)
    quote(other, 98, 101)
    other.reopen(NOW + 1)
    other.background(BTC, hidden(ASK, 6))
    assert other.handle(w.Firm(venue="dark_a", client_id="b1"), NOW + 2).trades[0].qty == 6
