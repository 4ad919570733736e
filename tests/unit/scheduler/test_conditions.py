"""Orders that wait for a price, stops that follow the market, and one that cancels the other."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bestex import codec
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.play import ID, Moment, Play

TWAP: dict[str, Any] = {"duration": "100s", "interval": "10s", "randomize": 0}


def path(*mids: int) -> Callable[[int], Moment]:
    """A market at these mids (quote), one for each second, and then for ever at the last."""

    def at(at_ns: int) -> Moment:
        mid = mids[min(at_ns // SECOND, len(mids) - 1)] * 100
        return Moment(bid=mid - 100, ask=mid + 100)

    return at


def handed_in(play: Play, algo: str = "twap", side: str = "buy", **body: Any) -> list[Any]:
    play.algo = algo
    params = {"params": TWAP if algo == "twap" else {}, **body}
    return play.bench.order({"side": side, "qty": "1", "parent_id": ID, **params}, algo=algo)


def test_a_stop_waits_for_its_price_and_its_duration_counts_from_there() -> None:
    play = Play(path(60_000, 60_050, 60_099, 60_101))
    handed_in(play, trigger={"price": "60100"})
    play.until(2 * SECOND)
    assert [type(fact) for fact in play.facts] == [m.ParentAccepted]
    play.until(4 * SECOND)
    (started,) = play.of(m.ParentStarted)
    assert started.text == "the mid 60101 is at or above 60100"
    assert (started.at, started.end_at) == (START + 3 * SECOND, START + 103 * SECOND)
    assert started.arrival_px == 60_101
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.beyond_plan() <= 1


def test_a_sells_stop_is_below_and_a_price_may_be_waited_for_from_the_other_side() -> None:
    play = Play(path(60_000, 59_950, 59_900))
    handed_in(play, "market", "sell", trigger={"price": "59900"})
    assert not play.until(2 * SECOND - 1).of(m.ParentStarted)
    assert play.until(3 * SECOND).of(m.ParentStarted)
    touched = Play(path(60_000, 59_950, 59_900))  # a buy when it has become cheap
    handed_in(touched, "market", trigger={"price": "59901", "when": "below", "by": "ask"})
    assert not touched.until(2 * SECOND - 1).of(m.ParentStarted)
    (started,) = touched.until(3 * SECOND).of(m.ParentStarted)
    assert started.text == "the ask 59901 is at or below 59901"


def test_a_trailing_stop_follows_the_market_and_never_goes_back() -> None:
    play = Play(path(60_000, 60_200, 60_150, 60_400, 60_350, 60_310, 60_299))
    handed_in(play, "market", "sell", trigger={"trail": "100"})
    play.until(5 * SECOND)
    assert [event.stop_price for event in play.of(m.ParentTrailed)] == [59_900, 60_100, 60_300]
    assert not play.of(m.ParentStarted)
    (started,) = play.until(7 * SECOND).of(m.ParentStarted)
    assert started.text == "the mid 60299 is at or below 60300"


def test_a_trailing_stop_moves_by_a_hundredth_of_its_distance_and_four_times_a_second_at_most() -> None:
    rises = Play(lambda at_ns: Moment(bid=60_000_00 + at_ns // 10**6, ask=60_002_00 + at_ns // 10**6))
    handed_in(rises, "market", "sell", trigger={"trail_percent": "1"})
    rises.step_ns = 10**7
    rises.until(10 * SECOND)
    moves = rises.of(m.ParentTrailed)
    assert 10 < len(moves) <= 41
    assert all(
        after.stop_price - before.stop_price >= before.stop_price / 10_000
        for before, after in pairwise(moves)
    )


def test_where_a_stop_stands_survives_the_scheduler() -> None:
    prices = (60_000, 60_400, 60_200, 60_200, 60_301, 60_299)
    play = Play(path(*prices))
    handed_in(play, "market", "sell", trigger={"trail": "200"})
    play.until(2 * SECOND - 1)
    play = play.killed()
    (started,) = play.until(3 * SECOND).of(m.ParentStarted)
    assert started.text == "the mid 60200 is at or below 60200"


def test_a_price_that_does_not_come_ends_the_order_with_a_reason() -> None:
    play = Play()
    handed_in(play, "market", trigger={"price": "61000", "until": "2023-11-14T22:13:50Z"})
    play.to_end(100)
    assert play.done is not None
    assert (play.done.reason, play.done.text) == (Code.EXPIRED, "the price that it waited for did not come")
    assert play.done.at == START + 30 * SECOND


def test_an_order_that_waits_is_paused_modified_and_cancelled_like_any() -> None:
    play = Play(path(60_000, 60_000, 60_200, 60_200, 60_200))
    handed_in(play, trigger={"price": "60100"})
    play.request("pause")
    play.until(3 * SECOND)
    assert not play.of(m.ParentStarted), "what is paused looks for no price"
    play.request("modify", qty="0.5")
    play.request("resume")
    assert play.of(m.ParentStarted)
    waits = Play()
    handed_in(waits, trigger={"price": "60100"})
    canceling, done = waits.request("cancel")
    assert (type(canceling), done.reason) == (m.ParentCanceling, Code.CANCELED)


def test_one_cancels_the_other_and_what_the_first_filled_is_not_bought_twice() -> None:
    play = Play(path(60_000, 60_000, 60_000, 61_000))
    other = {"algo": "market", "trigger": {"price": "60900"}}
    handed_in(play, "limit", limit_price="59000", otherwise=other)
    (resting,) = play.of(m.ParentSliced)
    play.until(4 * SECOND)
    (switched,) = play.of(m.ParentSwitched)
    assert (switched.works_as, switched.order.limit_price) == ("market", None)
    assert switched.text == "the mid 61000 is at or above 60900"
    assert [event.slice_no for event in play.of(m.ParentRecalled)] == [resting.slice_no]
    play.to_end()
    assert play.sizes == [100_000, 100_000]
    assert play.done is not None
    assert play.done.reason is Code.FILLED

    late = Play(path(60_000, 60_000, 61_000), delay_ns=10**15)
    handed_in(late, "limit", limit_price="59000", otherwise=other)
    late.until(3 * SECOND)
    late.settle(late.of(m.ParentSliced)[0], 70_000, Code.REPLACED)  # filled while it was called back
    assert late.sizes == [100_000, 30_000]


def test_what_its_alternative_does_is_decided_when_the_order_is_accepted() -> None:
    play = Play(path(60_000, 60_000, 61_000))
    other = {"algo": "twap", "params": {"duration": "50s", "interval": "5s"}, "trigger": {"price": "60900"}}
    handed_in(play, "limit", limit_price="59000", otherwise=other)
    play.until(SECOND)
    play = play.killed()
    play.until(5 * SECOND)
    (switched,) = play.of(m.ParentSwitched)
    assert switched.params["interval"] == "5s"
    assert switched.end_at == switched.at + 50 * SECOND
    (modified, *_) = play.request("modify", params={"interval": "10s"})
    assert modified.params["interval"] == "10s", "parameters are now those of the alternative"
    (rejected,) = play.request("modify", params={"tif": "ioc"})
    assert rejected.code is Code.INVALID_PARAMETER
    play = play.killed()
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED


def test_a_scheduler_killed_at_any_event_of_conditions_goes_on_as_if_it_lived() -> None:
    prices = (60_000, 60_400, 60_100, 60_800, 61_000, 60_900, 61_500, 61_000)
    body: dict[str, Any] = {
        "limit_price": "60000",
        "trigger": {"trail": "150", "when": "below"},
        "otherwise": {"algo": "twap", "params": TWAP, "trigger": {"trail_percent": "0.5", "when": "below"}},
    }

    def played(kill_after: int) -> list[bytes]:
        play = Play(path(*prices))
        handed_in(play, "limit", **body)
        for second in range(1, 130):
            play.until(second * SECOND)
            if len(play.facts) > kill_after:
                play, kill_after = play.killed(), 10**9
        return list(map(codec.to_json, play.facts))

    lived = played(10**9)
    assert len(lived) > 12
    for kill_after in range(len(lived)):
        assert played(kill_after) == lived


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"trigger": {}}, Code.INVALID_PARAMETER, "trigger needs a price, a trail or a trail_percent"),
        ({"trigger": {"price": "-1"}}, Code.INVALID_PARAMETER, "trigger.price must be above zero"),
        ({"trigger": {"price": "1.001"}}, Code.OFF_TICK, "trigger.price 1.001 is finer than 0.01"),
        (
            {"trigger": {"trail": "1", "trail_percent": "1"}},
            Code.INVALID_PARAMETER,
            "trigger.trail and trigger.trail_percent say the same; give one",
        ),
        (
            {"trigger": {"price": "1", "until": "2020-01-01T00:00:00Z"}},
            Code.EXPIRED,
            "trigger.until 2020-01-01T00:00:00.000000Z has passed",
        ),
        (
            {"trigger": {"price": "1", "until": "2099-01-01T00:00:00Z"}},
            Code.INVALID_PARAMETER,
            "trigger.until is later than the bus keeps orders (bus.max_age)",
        ),
        (
            {"otherwise": {"algo": "limit", "trigger": {"price": "1"}}},
            Code.MISSING_PARAMETER,
            "otherwise: limit needs a limit_price",
        ),
        (
            {"otherwise": {"algo": "twap", "params": {"intervall": 1}, "trigger": {"price": "1"}}},
            Code.UNKNOWN_FIELD,
            "otherwise: Object contains unknown field `intervall`",
        ),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused_with_a_sentence(
    body: dict[str, Any], code: Code, text: str
) -> None:
    (rejected,) = handed_in(Play(), **body)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.code is code
    assert rejected.text.startswith(text)


def test_a_day_order_ends_with_its_session_and_one_good_till_a_date_then() -> None:
    play = Play()
    handed_in(play, "limit", limit_price="59000", params={"tif": "day", "duration": "3d"})
    (accepted,) = play.of(m.ParentAccepted)
    assert str(accepted.end_at) == "2023-11-15T00:00:00.000000Z"  # a day of bitcoin is one of UTC
    dated = Play()
    handed_in(dated, "limit", limit_price="59000", params={"tif": "gtd", "end_time": "2023-11-16T12:00:00Z"})
    assert str(dated.of(m.ParentAccepted)[0].end_at) == "2023-11-16T12:00:00.000000Z"
    schedule = Play()
    handed_in(schedule, params={"tif": "day", "duration": "2d", "interval": "1h"})
    assert str(schedule.of(m.ParentAccepted)[0].end_at) == "2023-11-15T00:00:00.000000Z"


def test_a_day_order_that_waits_ends_with_the_session_in_which_it_begins() -> None:
    play = Play(path(60_000, 60_200))
    handed_in(play, "limit", limit_price="59000", params={"tif": "day"}, trigger={"price": "60100"})
    (started,) = play.until(2 * SECOND).of(m.ParentStarted)
    assert str(started.end_at) == "2023-11-15T00:00:00.000000Z"
