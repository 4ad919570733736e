"""One order's algorithm fails: that order is held, or refused, and no other one notices."""

from __future__ import annotations

from typing import Any

import pytest

from bestex import codec
from bestex import messages as m
from bestex.clock import SECOND
from bestex.contained import PluginFailed
from bestex.errors import Code
from bestex.status import State, status_of
from services.scheduler.algos.base import Params
from services.scheduler.algos.twap import Twap
from services.scheduler.parent import Parent
from tests.unit.scheduler.bench_core import Bench
from tests.unit.scheduler.faulty import FAULTY, WRONG, faulty
from tests.unit.scheduler.play import ID, Play

__all__ = ["faulty"]
pytestmark = pytest.mark.usefixtures("faulty")
PLACE = "tests.unit.scheduler.faulty:"


def bench() -> Bench:
    made = Bench()
    made.expects = True
    return made


def play(qty: str = "1", **params: Any) -> Play:
    made = Play()
    made.bench.expects = True
    made.order(FAULTY, qty, duration="60s", **params)
    return made


def pauses(played: Play) -> list[m.ParentPaused]:
    return played.of(m.ParentPaused)


def test_an_order_whose_algorithm_fails_is_held_with_the_error_in_its_history() -> None:
    played = play(fails_at=3).until(10 * SECOND)
    (held,) = pauses(played)
    assert (held.code, held.order_seq, len(played.sizes)) == (Code.ALGO_FAILED, 0, 2)
    assert held.text.startswith("faulty failed, ValueError: nobody knows <object object at 0x...> (")
    assert PLACE in held.text
    status = status_of(played.facts)[ID]
    assert (status.state, status.reason, status.text) == (State.PAUSED, "algo_failed", held.text)


def test_the_alarm_holds_the_error_with_its_traceback() -> None:
    (alarm,) = play(fails_at=1).bench.alarms
    assert alarm.code is Code.ALGO_FAILED
    assert alarm.subject == f"bestex.v1.parent.BTC-USDT.{ID}.paused"
    assert isinstance(alarm.error, ValueError)
    assert alarm.error.__traceback__ is not None


def test_other_orders_go_on() -> None:
    both = bench()
    body = {"side": "buy", "qty": "1"}
    both.order({**body, "parent_id": "bad", "params": {"fails_at": 1}}, algo=FAULTY)
    both.order({**body, "parent_id": "good", "params": {"duration": "10s", "interval": "1s"}})
    both.advance(both.now_ns + 5 * SECOND)
    assert {event.parent_id for event in both.of(m.ParentSliced)} == {"good"}


def test_what_is_at_work_is_called_back() -> None:
    played = Play(fill=lambda *_: None, delay_ns=0)
    played.bench.expects = True
    played.order(FAULTY, "1", duration="60s", fails_at=2)
    played.until(2 * SECOND)
    assert len(pauses(played)) == 1
    (recalled,) = played.of(m.ParentRecalled)
    assert recalled.slice_no == 1


def test_a_held_order_asks_nothing_until_its_user_does_and_is_then_asked_once() -> None:
    played = play(fails_at=2).until(20 * SECOND)
    assert len(played.bench.alarms) == len(pauses(played)) == 1
    for times in (2, 3):
        played.request("resume")
        played.until(played.at_ns + 5 * SECOND)
        assert len(played.bench.alarms) == len(pauses(played)) == times


def test_its_user_may_change_it_and_let_it_go_on() -> None:
    played = play(fails_at=3).until(10 * SECOND)
    played.request("modify", params={"fails_at": 0})
    played.request("resume")
    played.to_end(100)
    assert played.done is not None
    assert played.done.reason is Code.FILLED
    assert len(pauses(played)) == 1


def test_its_user_may_cancel_it() -> None:
    played = play(fails_at=3).until(10 * SECOND)
    played.request("cancel")
    assert played.done is not None
    assert played.done.reason is Code.CANCELED


def test_when_its_time_is_over_it_ends() -> None:
    played = play(fails_at=3).to_end(100)
    assert played.done is not None
    assert played.done.reason is Code.EXPIRED


def test_a_process_that_starts_again_asks_it_nothing() -> None:
    played = play(fails_at=3).until(10 * SECOND)
    twin = played.killed()
    twin.bench.expects, twin.bench.alarms = True, []
    twin.until(20 * SECOND)
    assert twin.bench.alarms == []
    assert len(pauses(twin)) == 1


@pytest.mark.parametrize("where", ["curve", "problem", "choose", "begin", "making"])
def test_an_order_whose_algorithm_fails_when_it_is_handed_in_is_refused(where: str) -> None:
    played = play(fails_in=where)
    (answer,) = played.facts
    assert isinstance(answer, m.ParentRejected)
    assert answer.code is Code.ALGO_FAILED
    assert "AssertionError: " in answer.text
    assert PLACE in answer.text
    (alarm,) = played.bench.alarms
    assert (alarm.code, str(alarm.error) in answer.text) == (Code.ALGO_FAILED, True)


@pytest.mark.parametrize("gives", ["nothing", "halves", "unspeakable"])
@pytest.mark.parametrize("where", ["curve", "problem", "choose", "begin"])
def test_an_order_whose_algorithm_gives_what_cannot_be_is_refused(where: str, gives: str) -> None:
    played = play(fails_in=where, gives=gives)
    (answer,) = played.facts
    assert (type(answer), answer.code) == (m.ParentRejected, Code.ALGO_FAILED)
    assert len(played.bench.alarms) == 1
    assert (gives == "unspeakable") == (f"Unspeakable ({PLACE}" in answer.text)


def test_what_an_error_says_can_always_be_stored() -> None:
    failed = PluginFailed(Twap, ValueError("half of a pair: \ud800, and " + 1000 * "a book "))
    assert "half of a pair: ?, and a book" in failed.text
    assert len(codec.to_json(failed.text)) < 500


def test_a_refused_order_is_refused_once() -> None:
    made = bench()
    body = {"side": "buy", "qty": "1", "parent_id": ID, "params": {"fails_in": "curve"}}
    made.order(body, algo=FAULTY)
    made.seq -= 1
    assert made.order(body, algo=FAULTY) == []


@pytest.mark.parametrize("where", ["curve", "problem", "choose"])
def test_a_change_that_its_algorithm_fails_at_is_refused_and_the_order_goes_on(where: str) -> None:
    played = play().until(3 * SECOND)
    (answer,) = played.request("modify", params={"fails_in": where})
    assert (type(answer), answer.code, answer.request) == (m.ParentRejected, Code.ALGO_FAILED, "modify")
    played.to_end(100)
    assert played.done is not None
    assert played.done.reason is Code.FILLED


def test_an_order_whose_algorithm_fails_at_its_late_start_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench()
    later = "2023-11-14T22:13:30Z"  # ten seconds after the start
    body = {"side": "buy", "qty": "1", "parent_id": ID, "params": {"start_time": later}}
    made.order(body)
    twap: Any = type(made.core._parents[ID].params)
    with monkeypatch.context() as broken:
        broken.setattr(twap, "curve", lambda *_: 1 // 0)
        made.advance(made.now_ns + 11 * SECOND)
    (held,) = made.of(m.ParentPaused)
    assert held.code is Code.ALGO_FAILED
    assert "ZeroDivisionError" in held.text
    made.request("resume", ID)
    assert len(made.of(m.ParentStarted)) == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_decision_is_a_failure(wrong: str) -> None:
    played = Play(fill=lambda *_: 0)
    played.bench.expects = True
    # Before its end an order's slices are cut to what is left; then this one is the last.
    played.order(FAULTY, "1", duration="60s", fails_at=61 if wrong == "too much" else 1, wrong=wrong)
    played.until(61 * SECOND)
    (held,) = pauses(played)
    assert held.code is Code.ALGO_FAILED
    assert len(played.bench.alarms) == 1


def test_a_broken_invariant_of_the_life_cycle_still_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise AssertionError("filled and open must never exceed the order")

    monkeypatch.setattr(Parent, "sliced", broken)
    with pytest.raises(AssertionError, match="must never exceed"):
        play()


def test_want_of_memory_is_the_process_s_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(*_: Any) -> None:
        raise MemoryError

    played = play(fails_at=9)
    kind: type[Params] = type(played.bench.core._parents[ID].params)
    monkeypatch.setattr(kind, "decide", hungry)
    with pytest.raises(MemoryError):
        played.until(5 * SECOND)


def test_an_order_whose_routing_strategy_failed_is_held_until_its_user_lets_it_go_on() -> None:
    made = bench()
    made.order({"side": "buy", "qty": "1", "parent_id": ID}, algo="market")
    (sliced,) = made.of(m.ParentSliced)
    made.settle(sliced, "0", Code.STRATEGY_FAILED)
    (held,) = made.of(m.ParentPaused)
    assert held.code is Code.STRATEGY_FAILED
    assert "slice 1 " in held.text
    made = made.recovered()
    made.advance(made.now_ns + SECOND)
    assert len(made.of(m.ParentSliced)) == len(made.of(m.ParentPaused)) == 1
    made.request("resume", ID, algo="market")
    assert len(made.of(m.ParentSliced)) == 2
