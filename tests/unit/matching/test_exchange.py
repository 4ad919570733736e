"""The exchange in process: accounts, ids, history, dead-man switch, and what its journal restores."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import codec
from bestex import sim_wire as w
from bestex.background import ASK, BID, BackgroundTrade, LevelSet
from bestex.clock import SECOND
from bestex.errors import Code, ConfigError
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.messages import Side, Tif
from bestex.sim_wire import State

NOW = 1_000 * SECOND
BTC = "BTC/USDT"
ETH = "ETH/USDT"


def instruments() -> Instruments:
    def listed(symbol: str) -> Instrument:
        terms = [
            Listing(venue=venue, symbol=symbol, taker_fee_e8=20_000, maker_fee_e8=-5_000)
            for venue in ("sim_a", "sim_b")
        ]
        return Instrument(symbol=symbol, price_scale=2, qty_scale=3, listings=tuple(terms))

    return Instruments((listed(BTC), listed(ETH)))


def make() -> SimExchange:
    return SimExchange(instruments(), ["sim_a", "sim_b"])


@pytest.fixture
def exchange() -> SimExchange:
    made = make()
    made.background(BTC, LevelSet(NOW, "sim_a", ASK, 101, 10))
    made.background(BTC, LevelSet(NOW, "sim_a", BID, 99, 10))
    return made


def buy(client_id: str, qty: int = 5, price: int = 101, **terms: Any) -> w.Submit:
    defaults: dict[str, Any] = {"venue": "sim_a", "symbol": BTC, "side": Side.BUY}
    return w.Submit(client_id=client_id, qty=qty, price=price, **(defaults | terms))


def sell(client_id: str, qty: int = 5, price: int = 99, **terms: Any) -> w.Submit:
    return buy(client_id, qty, price, side=Side.SELL, **terms)


def cancel(client_id: str, **terms: Any) -> w.Cancel:
    return w.Cancel(venue="sim_a", client_id=client_id, **terms)


def test_the_answer_to_a_submit_carries_the_order_and_its_fills(exchange: SimExchange) -> None:
    answer = exchange.handle(buy("c1", 12, id=7), NOW)
    assert (answer.id, answer.ok, answer.order and answer.order.state) == (7, True, State.OPEN)
    assert [(trade.price, trade.qty, trade.liquidity) for trade in answer.trades] == [(101, 10, "taker")]
    assert exchange.query("sim_a", "c1") == answer.order


def test_fees_and_notional_are_exact_decimals_of_quote(exchange: SimExchange) -> None:
    order = exchange.handle(buy("c1", 10), NOW).order
    assert order is not None
    assert (order.notional, order.fees) == (Decimal("0.0101"), Decimal("0.0101") * Decimal("0.0002"))
    assert exchange.balances("sim_a").balances == {
        "BTC": Decimal("0.010"),
        "USDT": -Decimal("0.0101") - order.fees,
    }


def test_a_client_id_is_used_once_for_ever_rejected_or_not(exchange: SimExchange) -> None:
    exchange.handle(buy("filled"), NOW)
    exchange.handle(buy("bad", 0), NOW)
    for client_id, state in (("filled", State.FILLED), ("bad", State.REJECTED)):
        answer = exchange.handle(buy(client_id), NOW + SECOND)
        assert (answer.ok, answer.code) == (False, Code.DUPLICATE_ORDER)
        assert answer.order is not None
        assert answer.order.state is state
    assert exchange.handle(buy("filled", account="other"), NOW + SECOND).ok
    assert exchange.handle(buy("filled", venue="sim_b"), NOW + SECOND).ok


def test_a_request_for_what_is_not_there_says_so_and_uses_no_id(exchange: SimExchange) -> None:
    assert exchange.handle(buy("c1", venue="sim_x"), NOW).code is Code.UNKNOWN_VENUE
    assert exchange.handle(buy("c1", symbol="X/Y"), NOW).code is Code.UNKNOWN_SYMBOL
    assert exchange.handle(cancel("c1"), NOW).code is Code.UNKNOWN_ORDER
    assert exchange.query("sim_a", "c1") is None
    assert exchange.handle(buy("c1"), NOW).ok


def test_an_order_that_comes_after_its_deadline_is_rejected(exchange: SimExchange) -> None:
    late = exchange.handle(buy("c1", deadline_ns=NOW - 1), NOW)
    assert (late.ok, late.code, late.order and late.order.state) == (False, Code.EXPIRED, State.REJECTED)
    assert exchange.handle(buy("c2", deadline_ns=NOW), NOW).ok


def test_a_replace_that_comes_after_its_deadline_changes_nothing(exchange: SimExchange) -> None:
    exchange.handle(buy("c1", 5, 98), NOW)
    late = w.Replace(venue="sim_a", client_id="c1", qty=12, price=101, deadline_ns=NOW - 1)
    answer = exchange.handle(late, NOW)
    assert (answer.code, answer.order and answer.order.qty, answer.trades) == (Code.EXPIRED, 5, [])
    in_time = w.Replace(venue="sim_a", client_id="c1", qty=6, price=98, deadline_ns=NOW)
    assert exchange.handle(in_time, NOW).ok


def test_cancel_and_replace_of_an_ended_order_are_too_late_and_show_it(exchange: SimExchange) -> None:
    exchange.handle(buy("c1"), NOW)
    for request in (cancel("c1"), w.Replace(venue="sim_a", client_id="c1", qty=3, price=99)):
        answer = exchange.handle(request, NOW)
        assert (answer.code, answer.order and answer.order.state) == (Code.TOO_LATE, State.FILLED)


def test_replace_answers_with_the_order_as_it_is_now(exchange: SimExchange) -> None:
    exchange.handle(buy("c1", 5, 98), NOW)
    answer = exchange.handle(w.Replace(venue="sim_a", client_id="c1", qty=12, price=101), NOW)
    assert answer.order is not None
    assert (answer.order.qty, answer.order.price, answer.order.cum_qty) == (12, 101, 10)
    assert [trade.qty for trade in answer.trades] == [10]


def test_cancel_all_takes_one_accounts_orders_of_one_symbol_or_of_all(exchange: SimExchange) -> None:
    exchange.handle(buy("a", 5, 98), NOW)
    exchange.handle(buy("b", 5, 98, symbol=ETH), NOW)
    exchange.handle(buy("c", 5, 98, account="other"), NOW)
    answer = exchange.handle(w.CancelAll(venue="sim_a", symbol=ETH), NOW)
    assert [state.client_id for state in answer.orders] == ["b"]
    exchange.handle(w.CancelAll(venue="sim_a"), NOW)
    assert exchange.open_orders("sim_a") == []
    assert [state.client_id for state in exchange.open_orders("sim_a", "other")] == ["c"]


def test_the_dead_man_switch_cancels_unless_it_is_renewed(exchange: SimExchange) -> None:
    arm = w.CancelAllAfter(venue="sim_a", timeout_ns=SECOND)
    exchange.handle(buy("a", 5, 98), NOW)
    exchange.handle(arm, NOW)
    exchange.handle(arm, NOW + SECOND // 2)
    exchange.advance(NOW + SECOND)
    assert len(exchange.open_orders("sim_a")) == 1
    exchange.advance(NOW + 2 * SECOND)
    assert exchange.open_orders("sim_a") == []


def test_a_disarmed_dead_man_switch_does_nothing(exchange: SimExchange) -> None:
    exchange.handle(buy("a", 5, 98), NOW)
    exchange.handle(w.CancelAllAfter(venue="sim_a", timeout_ns=SECOND), NOW)
    exchange.handle(w.CancelAllAfter(venue="sim_a", timeout_ns=0), NOW)
    exchange.advance(NOW + 10 * SECOND)
    assert len(exchange.open_orders("sim_a")) == 1


def test_trades_can_be_read_again_with_overlap(exchange: SimExchange) -> None:
    for number in range(3):
        exchange.handle(buy(f"c{number}", 3), NOW + number * SECOND)
    ids = [trade.trade_id for trade in exchange.trades_since("sim_a")]
    assert ids == [1, 2, 3]
    assert [t.trade_id for t in exchange.trades_since("sim_a", after=1)] == [2, 3]
    assert [t.trade_id for t in exchange.trades_since("sim_a", since_ns=NOW + 2 * SECOND)] == [3]
    assert [t.trade_id for t in exchange.trades_since("sim_a", client_id="c1")] == [2]
    assert [t.trade_id for t in exchange.trades_since("sim_a", limit=2)] == [1, 2]


def test_a_page_never_parts_the_two_sides_of_a_trade(exchange: SimExchange) -> None:
    exchange.handle(buy("maker", 5, 100), NOW)
    exchange.handle(sell("taker", 5, 100), NOW)
    page = exchange.trades_since("sim_a", limit=1)
    assert [(trade.trade_id, trade.client_id) for trade in page] == [(1, "taker"), (1, "maker")]


def test_trade_ids_increase_over_all_markets_of_a_venue(exchange: SimExchange) -> None:
    exchange.background(ETH, LevelSet(NOW, "sim_a", ASK, 101, 10))
    trades = [exchange.handle(buy(f"c{i}", 1, symbol=s), NOW).trades for i, s in enumerate((BTC, ETH, BTC))]
    assert [trade.trade_id for each in trades for trade in each] == [1, 2, 3]


def test_public_trades_conserve_volume(exchange: SimExchange) -> None:
    exchange.handle(buy("c1", 5, 100), NOW)
    exchange.background(BTC, BackgroundTrade(NOW, "sim_a", 100, 8, -1, "t1"))
    prints = exchange.drain_prints()
    assert sorted((each.qty, each.trade_id) for each in prints) == [(3, "t1"), (5, "x1")]


def test_time_never_goes_back(exchange: SimExchange) -> None:
    exchange.handle(buy("c1", 1), NOW + SECOND)
    assert exchange.handle(buy("c2", 1), NOW).at_ns == NOW + SECOND


def test_a_maker_hears_of_its_fill_in_the_takers_entry(exchange: SimExchange) -> None:
    exchange.handle(buy("maker", 5, 100, account="m"), NOW)
    exchange.drain()
    answer = exchange.handle(sell("taker", 5, 100), NOW)
    [entry] = exchange.drain()
    assert {(state.client_id, state.state) for state in entry.orders} == {
        ("maker", State.FILLED),
        ("taker", State.FILLED),
    }
    assert [trade.client_id for trade in answer.trades] == ["taker"]


def test_a_venue_cannot_list_a_symbol_twice() -> None:
    listing = Listing(venue="sim_a", symbol="BTC/USDT:USDT")
    twice = [Instrument(symbol=s, price_scale=2, qty_scale=3, listings=(listing,)) for s in (BTC, ETH)]
    with pytest.raises(ConfigError, match="lists BTC/USDT:USDT twice"):
        SimExchange(Instruments(tuple(twice)), ["sim_a"])


def lively() -> tuple[SimExchange, list[w.JournalEntry]]:
    """An exchange in which a little of everything has happened, and its journal."""
    exchange = make()
    exchange.background(BTC, LevelSet(NOW, "sim_a", ASK, 101, 10))
    exchange.handle(buy("filled", 4), NOW)
    exchange.handle(buy("partly", 12, tif=Tif.GTD, good_till_ns=NOW + 60 * SECOND), NOW)
    exchange.handle(buy("resting", 5, 98), NOW)
    exchange.handle(buy("gone", 5, 98), NOW)
    exchange.handle(cancel("gone"), NOW)
    exchange.handle(buy("bad", 0), NOW)
    exchange.handle(w.CancelAllAfter(venue="sim_a", timeout_ns=300 * SECOND), NOW)
    exchange.background(BTC, BackgroundTrade(NOW, "sim_a", 101, 2, -1, "t1"))
    return exchange, exchange.drain()


def restored(entries: list[w.JournalEntry]) -> SimExchange:
    exchange = make()
    for entry in entries:
        line = codec.json_decoder(w.JournalLine).decode(codec.to_json(entry))
        assert line == entry
        exchange.restore(entry)
    return exchange


def test_the_journal_restores_orders_trades_and_balances() -> None:
    before, entries = lively()
    after = restored(entries)
    for client_id in ("filled", "partly", "resting", "gone", "bad"):
        assert after.query("sim_a", client_id) == before.query("sim_a", client_id)
    assert after.trades_since("sim_a") == before.trades_since("sim_a")
    assert after.balances("sim_a") == before.balances("sim_a")
    assert after.open_orders("sim_a") == before.open_orders("sim_a")


def test_restored_ids_stay_used_and_new_ones_go_on() -> None:
    _, entries = lively()
    after = restored(entries)
    after.reopen(NOW + SECOND)
    assert after.handle(buy("filled"), NOW + SECOND).code is Code.DUPLICATE_ORDER
    after.background(BTC, LevelSet(NOW + SECOND, "sim_a", ASK, 105, 10))
    answer = after.handle(buy("new", 1, 105), NOW + SECOND)
    assert answer.order is not None
    assert answer.order.order_id == 6
    assert answer.trades[0].trade_id == entries[-1].trades[-1].trade_id + 1


def test_restored_orders_stand_behind_what_is_displayed_and_can_fill() -> None:
    _, entries = lively()
    after = restored(entries)
    after.background(BTC, LevelSet(NOW, "sim_a", BID, 98, 10))
    after.reopen(NOW + SECOND)
    after.background(BTC, BackgroundTrade(NOW + SECOND, "sim_a", 98, 16, -1, "t2"))
    states = [after.query("sim_a", client_id) for client_id in ("partly", "resting")]
    assert [(state.state, state.cum_qty) for state in states if state] == [
        (State.FILLED, 12),
        (State.OPEN, 2),
    ]


def test_a_restored_order_whose_time_passed_does_not_trade_on_the_way_out() -> None:
    before, entries = lively()
    after = restored(entries)
    after.background(BTC, LevelSet(NOW, "sim_a", ASK, 100, 50))
    after.reopen(NOW + 100 * SECOND)
    assert [t for t in after.trades_since("sim_a") if t.client_id == "partly"] == [
        t for t in before.trades_since("sim_a") if t.client_id == "partly"
    ]


def test_a_restored_order_whose_time_passed_expires_and_the_dead_man_switch_still_springs() -> None:
    _, entries = lively()
    after = restored(entries)
    after.reopen(NOW + 100 * SECOND)
    partly, resting = after.query("sim_a", "partly"), after.query("sim_a", "resting")
    assert partly is not None
    assert resting is not None
    assert (partly.state, resting.state) == (State.EXPIRED, State.OPEN)
    after.advance(NOW + 301 * SECOND)
    assert after.open_orders("sim_a") == []
