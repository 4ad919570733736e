"""The life of a parent, step by step."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from bestex import codec, config
from bestex import messages as m
from bestex.clock import SECOND
from bestex.core import RawOrder, Recovered
from bestex.errors import Code, ConfigError
from tests.unit.scheduler.bench_core import START, Bench, book

ORDER = {"side": "buy", "qty": "1", "parent_id": "p1"}
TWAP = {**ORDER, "params": {"duration": "100s", "interval": "10s", "randomize": 0}}


def test_a_market_order_is_one_slice_and_ends_filled() -> None:
    bench = Bench()
    accepted, sliced = bench.order(ORDER, algo="market")
    assert (accepted.leaves_qty, sliced.qty, sliced.tif) == (1, 1, m.Tif.IOC)
    settled, done = bench.settle(sliced)
    assert (settled.cum_qty, settled.leaves_qty, settled.avg_px) == (1, 0, 60_000)
    assert (done.reason, done.notional, done.fees) == (Code.FILLED, 60_000, 6)


def test_a_market_order_ends_with_the_reason_of_its_slice_when_the_book_was_too_thin() -> None:
    bench = Bench()
    _, sliced = bench.order(ORDER, algo="market")
    settled, done = bench.settle(sliced, "0.4", Code.RETRIES_EXHAUSTED)
    assert (settled.leaves_qty, done.reason, done.cum_qty) == (
        Decimal("0.6"),
        Code.RETRIES_EXHAUSTED,
        Decimal("0.4"),
    )


def test_a_slice_never_pays_more_than_the_slippage_allowed_or_the_limit() -> None:
    _, sliced = Bench().order({**ORDER, "params": {"max_slippage": "10bps"}}, algo="market")
    assert sliced.limit_price == Decimal("60060.00")
    _, sliced = Bench().order({**ORDER, "limit_price": "60010"}, algo="market")
    assert sliced.limit_price == Decimal("60010")
    _, sliced = Bench().order({**ORDER, "side": "sell", "params": {"max_slippage": "10bps"}}, algo="market")
    assert sliced.limit_price == Decimal("59940.00")


def test_without_a_book_a_slice_waits_for_one_and_the_order_ends_with_a_reason() -> None:
    bench = Bench(with_book=False)
    assert [type(fact) for fact in bench.order(ORDER, algo="market")] == [m.ParentAccepted]
    bench.advance(START + 2 * SECOND)
    assert len(bench.feed(book())) == 1  # at once, not when it would have been tried again
    assert bench.advance(START + 3 * SECOND) == []
    hopeless = Bench(with_book=False)
    hopeless.order(ORDER, algo="market")
    (done,) = hopeless.advance(START + 60 * SECOND)
    assert (type(done), done.reason) == (m.ParentDone, Code.NO_BOOK)


def test_an_order_that_waits_for_a_book_and_watches_it_is_looked_at_once_when_it_comes() -> None:
    bench = Bench(with_book=False)
    body = {**ORDER, "params": {"duration": "100s", "interval": "10s", "would_price": "1"}}
    bench.order(body)
    assert not bench.of(m.ParentSliced)
    (sliced,) = bench.feed(book())
    assert sliced.slice_no == 1
    assert len(bench.feed(book())) == 0


def test_twap_sends_equal_parts_at_equal_times() -> None:
    bench = Bench()
    bench.order(TWAP)
    for i in range(10):
        bench.advance(START + i * 10 * SECOND)
        assert len(bench.of(m.ParentSliced)) == i + 1
        bench.settle(bench.of(m.ParentSliced)[-1])
    assert {sliced.qty for sliced in bench.of(m.ParentSliced)} == {Decimal("0.1")}
    assert bench.of(m.ParentDone)[0].reason == Code.FILLED


def test_twap_carries_what_a_slice_did_not_fill_but_never_as_a_burst() -> None:
    bench = Bench()
    bench.order(TWAP)
    for i in range(5):
        bench.advance(START + i * 10 * SECOND)
        bench.settle(bench.of(m.ParentSliced)[-1], "0", Code.NO_LIQUIDITY)
    bench.advance(START + 50 * SECOND)
    assert bench.of(m.ParentSliced)[-1].qty == Decimal("0.2")


def test_twap_with_completion_takes_the_rest_at_the_end() -> None:
    bench = Bench()
    bench.order({**TWAP, "params": {**TWAP["params"], "force_completion": True}})  # type: ignore[dict-item]
    bench.settle(bench.of(m.ParentSliced)[-1], "0.05", Code.NO_LIQUIDITY)
    for _ in range(200):
        open_slice = bench.of(m.ParentSliced)[-1]
        if (
            len(bench.of(m.ParentSettled)) < len(bench.of(m.ParentSliced))
            and bench.now_ns < START + 100 * SECOND
        ):
            bench.settle(open_slice, "0.01", Code.NO_LIQUIDITY)
        bench.advance(bench.now_ns + SECOND)
    last = bench.of(m.ParentSliced)[-1]
    assert last.at >= START + 100 * SECOND
    bench.settle(last)
    assert bench.of(m.ParentDone)[0].reason == Code.FILLED


def test_three_of_the_smallest_quantity_over_ten_slices_are_three_slices() -> None:
    bench = Bench()
    bench.order({**TWAP, "qty": "0.0003"})
    for i in range(101):
        bench.advance(START + i * SECOND)
        if len(bench.of(m.ParentSettled)) < len(bench.of(m.ParentSliced)):
            bench.settle(bench.of(m.ParentSliced)[-1])
    assert [sliced.qty for sliced in bench.of(m.ParentSliced)] == [Decimal("0.0001")] * 3
    assert bench.of(m.ParentDone)[0].reason == Code.FILLED


def test_a_rejected_slice_gives_back_only_its_own_quantity() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    bench.advance(START + 10 * SECOND)
    (settled,) = bench.settle(bench.of(m.ParentSliced)[1], "0", Code.VENUE_REJECTED)
    assert (settled.cum_qty, settled.leaves_qty) == (Decimal("0.1"), Decimal("0.9"))


def test_a_cancel_recalls_the_open_slice_and_counts_its_late_fill() -> None:
    bench = Bench()
    _, sliced = bench.order({**ORDER, "limit_price": "59000"}, algo="limit")
    canceling, recalled = bench.request("cancel", "p1", algo="limit")
    assert (type(canceling), recalled.slice_no) == (m.ParentCanceling, sliced.slice_no)
    _, done = bench.settle(sliced, "0.3", Code.CANCELED)
    assert (done.reason, done.cum_qty, done.leaves_qty) == (Code.CANCELED, Decimal("0.3"), Decimal("0.7"))
    (rejected,) = bench.request("cancel", "p1", algo="limit")
    assert rejected.code == Code.TOO_LATE


def test_a_pause_stops_the_schedule_and_a_resume_catches_up_in_bounds() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    (paused,) = bench.request("pause", "p1")
    assert bench.advance(START + 55 * SECOND) == []
    (rejected,) = bench.request("pause", "p1")
    assert rejected.code == Code.INVALID_STATE
    resumed, sliced = bench.request("resume", "p1")
    assert (type(paused), type(resumed), sliced.qty) == (m.ParentPaused, m.ParentResumed, Decimal("0.2"))


def test_an_order_that_is_paused_when_its_time_ends_ends_with_it() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    bench.request("pause", "p1")
    (done,) = bench.advance(START + 101 * SECOND)
    assert (type(done), done.reason) == (m.ParentDone, Code.EXPIRED)


def test_a_pause_that_comes_after_a_later_request_was_taken_is_refused_and_not_forgotten() -> None:
    bench = Bench()
    bench.order(TWAP)
    late = RawOrder("bestex.v1.order.pause.twap.BTC-USDT.p1", b"{}", 2)
    bench.seq = 2
    bench.request("modify", "p1", qty="2")
    (rejected,) = bench.feed(late)
    assert (rejected.code, rejected.order_seq) == (Code.TOO_LATE, 2)
    assert bench.feed(late) == []


def test_a_cancel_counts_however_late_it_comes() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.seq = 2
    bench.request("modify", "p1", qty="2")
    canceling, *_ = bench.feed(RawOrder("bestex.v1.order.cancel.twap.BTC-USDT.p1", b"{}", 2))
    assert isinstance(canceling, m.ParentCanceling)


def test_a_modified_limit_recalls_what_rests_and_posts_it_anew() -> None:
    bench = Bench()
    _, first = bench.order({**ORDER, "limit_price": "59000"}, algo="limit")
    modified, recalled = bench.request("modify", "p1", algo="limit", limit_price="59500")
    assert (modified.order.limit_price, recalled.slice_no) == (59_500, first.slice_no)
    _, second = bench.settle(first, "0.25", Code.REPLACED)
    assert (second.qty, second.limit_price) == (Decimal("0.75"), 59_500)


def test_a_smaller_quantity_takes_back_what_works_and_counts_what_filled_meanwhile() -> None:
    bench = Bench()
    _, first = bench.order({**ORDER, "limit_price": "59000"}, algo="limit")
    modified, recalled = bench.request("modify", "p1", algo="limit", qty="0.7")
    assert (modified.leaves_qty, recalled.slice_no) == (1, 1)
    settled, second = bench.settle(first, "0.2", Code.REPLACED)
    assert (settled.leaves_qty, second.qty) == (Decimal("0.5"), Decimal("0.5"))
    bench.request("modify", "p1", algo="limit", qty="0.3")
    settled, done = bench.settle(second, "0.4", Code.REPLACED)
    assert (settled.leaves_qty, done.reason, done.cum_qty) == (0, Code.FILLED, Decimal("0.6"))


def test_a_smaller_quantity_is_refused_below_what_is_filled_and_ends_the_order_at_it() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    (rejected,) = bench.request("modify", "p1", qty="0.05")
    assert rejected.code == Code.INVALID_QTY
    modified, done = bench.request("modify", "p1", qty="0.1")
    assert (modified.leaves_qty, done.reason) == (0, Code.FILLED)


def test_a_redelivered_request_or_result_changes_nothing() -> None:
    bench = Bench()
    bench.order(TWAP)
    sliced = bench.of(m.ParentSliced)[0]
    bench.settle(sliced)
    assert bench.settle(sliced) == []
    bench.request("pause", "p1")
    bench.seq -= 1
    assert bench.request("pause", "p1") == []


def test_an_order_that_starts_later_waits_for_its_time() -> None:
    bench = Bench()
    body = {**ORDER, "params": {"start_time": "2023-11-14T22:14:20Z", "duration": "10s"}}
    assert len(bench.order(body)) == 1
    assert bench.advance(START + 59 * SECOND) == []
    started, sliced = bench.advance(START + 60 * SECOND)
    assert (type(started), type(sliced)) == (m.ParentStarted, m.ParentSliced)
    assert started.arrival_px == 60_000


def test_a_restart_under_other_limits_and_defaults_continues_as_it_was() -> None:
    bench = Bench()
    bench.order({**ORDER, "params": {"duration": "100s"}})
    other = Bench(with_book=False)
    other.config = config.load(
        None,
        {
            "BESTEX__LIMITS__MAX_ORDER_QTY": "0.1",
            "BESTEX__ALGOS__TWAP__INTERVAL": "50s",
            "BESTEX__VENUES__SIM_A__ENABLED": "false",
        },
    )
    other.core = other.make()
    for event in bench.facts:
        for effect in other.core.apply(codec.from_json(codec.to_json(event), type(event))):
            other._set(effect)
    other.facts, other.now_ns = list(bench.facts), bench.now_ns
    for one in (bench, other):
        one.feed(book())
        one.settle(one.of(m.ParentSliced)[0])
        one.advance(START + 30 * SECOND)
    assert [f.qty for f in other.of(m.ParentSliced)] == [f.qty for f in bench.of(m.ParentSliced)]
    assert [f.at for f in other.of(m.ParentSliced)] == [f.at for f in bench.of(m.ParentSliced)]


def test_open_orders_in_a_symbol_that_is_gone_stop_the_scheduler_with_a_sentence() -> None:
    bench = Bench()
    bench.order(TWAP)
    other = Bench(with_book=False)
    other.config = msgspec.structs.replace(other.config, instruments={})
    other.core = other.make()
    for event in bench.facts:
        other.core.apply(event)
    with pytest.raises(ConfigError, match="BTC/USDT"):
        other.core.decide(Recovered(), START)


def test_an_order_worth_less_than_any_venue_takes_is_refused_at_once() -> None:
    (rejected,) = Bench().order({**ORDER, "qty": "0.00002"}, algo="market")
    assert rejected.code == Code.BELOW_MINIMUM


def valued(most: str = "1000") -> Bench:
    bench = Bench(with_book=False)
    bench.config = config.load(None, {"BESTEX__LIMITS__MAX_ORDER_VALUE": most})
    bench.core = bench.make()
    return bench


def test_the_value_of_an_order_without_a_limit_is_reckoned_at_the_mid() -> None:
    bench = valued()
    bench.feed(book())
    (rejected,) = bench.order(ORDER, algo="market")
    assert rejected.code == Code.LIMIT_EXCEEDED
    assert isinstance(bench.order({**ORDER, "qty": "0.01"}, algo="market")[0], m.ParentAccepted)


def test_an_order_that_comes_before_the_first_price_waits_for_it_to_be_valued_and_sends_nothing_before() -> (
    None
):
    bench = valued()
    (accepted,) = bench.order({**ORDER, "qty": "0.01"}, algo="market")
    assert accepted.unvalued
    assert bench.advance(START + SECOND) == []
    started, sliced = bench.feed(book())
    assert started.arrival_px == Decimal("60000")
    assert sliced.qty == Decimal("0.01")


def test_an_order_that_turns_out_to_be_worth_too_much_ends_with_nothing_sent() -> None:
    bench = valued()
    bench.order(ORDER, algo="market")
    bench.feed(book())
    done = bench.facts[-1]
    assert (type(done), done.reason, done.leaves_qty) == (m.ParentDone, Code.LIMIT_EXCEEDED, Decimal(1))
    assert bench.of(m.ParentSliced) == []


def test_an_order_that_never_gets_a_price_ends_with_the_reason() -> None:
    bench = valued()
    bench.order(ORDER, algo="market")
    (done,) = bench.advance(START + 60 * SECOND)
    assert (type(done), done.reason) == (m.ParentDone, Code.NO_BOOK)


def test_a_waiting_order_that_is_not_valued_yet_is_not_made_larger() -> None:
    bench = valued()
    bench.order({**ORDER, "qty": "0.01"}, algo="market")
    (rejected,) = bench.request("modify", "p1", algo="market", qty="0.02")
    assert rejected.code == Code.NO_BOOK


def test_a_triggered_order_is_valued_when_its_price_is_reached() -> None:
    bench = valued()
    bench.order({**ORDER, "trigger": {"price": "59000", "when": "above"}}, algo="market")
    bench.feed(book())
    assert bench.facts[-1].reason == Code.LIMIT_EXCEEDED


def test_a_request_that_is_redelivered_after_its_order_has_ended_is_not_refused() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    bench.request("cancel", "p1")
    assert isinstance(bench.facts[-1], m.ParentDone)
    bench.seq -= 1
    assert bench.request("cancel", "p1") == []
    (rejected,) = bench.request("cancel", "p1")
    assert rejected.code == Code.TOO_LATE


def test_what_was_refused_stays_refused_when_it_is_redelivered_to_better_times() -> None:
    bench = Bench()
    cancel = RawOrder("bestex.v1.order.cancel.twap.BTC-USDT.p1", b"{}", 1)
    (rejected,) = bench.feed(cancel)
    assert (rejected.code, rejected.order_seq) == (Code.UNKNOWN_ORDER, 1)
    bench.seq = 1
    bench.order(TWAP)
    assert bench.feed(cancel) == []
    assert not bench.of(m.ParentCanceling)


def test_the_id_of_an_order_that_ended_long_ago_is_refused_and_no_order_is_swallowed() -> None:
    bench = Bench()
    bench.core.past("bestex.v1.parent.BTC-USDT.p1.done")
    (rejected,) = bench.order(TWAP)
    assert (rejected.code, rejected.text) == (Code.DUPLICATE_ID, "p1 was used for an order that has ended")
    (late,) = bench.request("cancel", "p1")
    assert late.code == Code.TOO_LATE


def test_modified_strategy_parameters_are_those_of_the_slices_after_it() -> None:
    bench = Bench()
    body = {**ORDER, "limit_price": "59000", "strategy_params": {"max_splits": 2, "price_levels": 3}}
    _, first = bench.order(body, algo="limit")
    assert first.strategy_params == {"max_splits": 2, "price_levels": 3}
    modified, recalled = bench.request("modify", "p1", algo="limit", strategy_params={"max_splits": 1})
    assert (type(modified), recalled.slice_no) == (m.ParentModified, first.slice_no)
    _, second = bench.settle(first, "0.25", Code.REPLACED)
    assert second.strategy_params == {"max_splits": 1, "price_levels": 3}


def test_a_modify_to_a_wrong_strategy_parameter_changes_nothing() -> None:
    bench = Bench()
    bench.order({**ORDER, "limit_price": "59000"}, algo="limit")
    (rejected,) = bench.request("modify", "p1", algo="limit", strategy_params={"max_splits": -1})
    assert (rejected.code, rejected.request) == (Code.INVALID_PARAMETER, "modify")
    assert rejected.text == "Expected `int` >= 0 (max_splits)"
