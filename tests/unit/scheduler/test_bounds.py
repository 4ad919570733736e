"""What every order may ask of its slices, by the example of TWAP."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import MINUTE, SECOND
from bestex.errors import Code
from tests.unit.scheduler.play import Moment, Play, steady

TWAP: dict[str, Any] = {"duration": "100s", "interval": "10s", "randomize": 0}


def test_what_is_sent_stays_within_the_bounds_of_the_plan_however_it_is_randomised() -> None:
    for randomize in (0, 0.3, 0.9):
        play = Play()
        play.order("twap", **{**TWAP, "randomize": randomize})
        play.to_end()
        assert play.beyond_plan() <= 1
        assert sum(play.sizes) == 10**5
        assert play.done is not None


def test_a_slice_is_no_larger_and_no_smaller_than_was_asked_for() -> None:
    play = Play()
    play.order("twap", **TWAP, max_slice="0.05")
    play.to_end()
    assert max(play.sizes) == 5_000
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.COMPLETED, play.done.cum_qty)
    play = Play()
    play.order("twap", **TWAP, min_slice="0.3")
    play.to_end()
    assert min(play.sizes[:-1]) >= 30_000
    assert sum(play.sizes) == 10**5


def test_no_more_than_its_share_of_what_the_market_trades_and_that_is_counted_from_its_start() -> None:
    script = steady(per_s=2_000)
    play = Play(script)
    play.until(500 * SECOND)
    play.order("twap", **TWAP, max_participation="20%")
    for second in range(1, 101):
        play.until((500 + second) * SECOND)
        sent = play.sent()[-1][1] if play.sent() else 0
        assert sent <= 2_000 * second // 5
    assert sum(play.sizes) > 30_000  # a fifth of 200,000 less the last step's


def test_volume_that_was_traded_while_the_scheduler_was_down_is_counted_and_brings_no_burst() -> None:
    play = Play(steady(per_s=2_000))
    play.order("twap", **{**TWAP, "duration": "1000s"}, max_participation="20%")
    play.until(100 * SECOND)
    before = play.sent()[-1][1]
    dead = play.bench
    play = play.killed()
    assert play.bench is not dead
    play.bench.now_ns += 300 * SECOND  # nothing happens
    play.until(425 * SECOND)
    assert before < play.sent()[-1][1] <= 2_000 * 425 // 5
    assert max(play.sizes) <= 2 * 1_000 + 1_000


def test_the_rest_goes_at_once_at_the_would_price() -> None:
    def script(at_ns: int) -> Moment:
        return Moment(bid=59_899_00, ask=59_901_00) if at_ns >= 35 * SECOND else Moment()

    play = Play(script)
    play.order("twap", **TWAP, would_price="59950")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.done.at <= play.of(m.ParentAccepted)[0].at + 36 * SECOND
    last = play.of(m.ParentSliced)[-1]
    assert (last.why, last.limit_price) == ("at the would price", 59_950)


@pytest.mark.parametrize("algo", ["peg", "iceberg", "limit"])
def test_what_rests_is_called_back_for_the_would_price(algo: str) -> None:
    def script(at_ns: int) -> Moment:
        return Moment(bid=59_899_00, ask=59_901_00) if at_ns >= 35 * SECOND else Moment()

    play = Play(script, fill=lambda sliced, _: 100_000 if sliced.tif is m.Tif.IOC else None)
    play.order(algo, duration="100s", would_price="59950", limit_price="59000")
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.done.at <= play.of(m.ParentAccepted)[0].at + 36 * SECOND
    assert play.of(m.ParentRecalled)[-1].text == "the rest is to be had at the would price"


@pytest.mark.parametrize(("policy", "filled"), [("catch_up", 100_000), ("pause", 60_000)])
def test_what_was_missed_beyond_the_limit_is_caught_up_or_left(policy: str, filled: int) -> None:
    def script(at_ns: int) -> Moment:
        away = 20 * SECOND <= at_ns < 60 * SECOND
        return Moment(bid=60_499_00, ask=60_501_00) if away else Moment()

    play = Play(script)
    play.order("twap", **TWAP, limit_price="60100", out_of_limit=policy)
    play.to_end()
    assert play.done is not None
    assert int(play.done.cum_qty.scaleb(5)) == filled
    assert max(play.sizes) <= 20_000


def test_what_was_missed_is_taken_at_the_end_where_completion_is_asked_for() -> None:
    def script(at_ns: int) -> Moment:
        away = 20 * SECOND <= at_ns < 60 * SECOND
        return Moment(bid=60_499_00, ask=60_501_00) if away else Moment()

    play = Play(script)
    play.order("twap", **TWAP, limit_price="60100", out_of_limit="pause", force_completion=True)
    play.to_end()
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.of(m.ParentSliced)[-1].why == "completion at the end"


def test_changes_in_quick_succession_bring_no_slice_of_their_own() -> None:
    play = Play()
    play.order("twap", **TWAP)
    play.until(32 * SECOND)
    assert len(play.sizes) == 4
    for hundredths in range(100, 120):
        play.request("modify", qty=str(hundredths / 100))
        play.until(play.at_ns + SECOND // 10)
    assert len(play.sizes) == 4
    play.to_end()
    assert sum(play.sizes) == 119_000
    assert max(play.sizes) <= 2 * 13_200


def test_an_order_that_begins_late_is_planned_and_measured_from_its_start() -> None:
    play = Play(lambda at_ns: Moment(bid=60_000_00 + at_ns // SECOND, ask=60_002_00 + at_ns // SECOND))
    play.order("twap", duration="100s", interval="10s", start_time="2023-11-14T22:14:20Z")
    play.until(2 * MINUTE)
    (started,) = play.of(m.ParentStarted)
    assert started.arrival_px == Decimal("60001.6")
    assert started.schedule[0].at == started.at
    play.to_end()
    assert play.beyond_plan() <= 1


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"would_price": "-1"}, "would_price must be above zero"),
        ({"would_price": "1.001"}, "would_price 1.001 is finer than 0.01"),
        ({"min_slice": "0"}, "min_slice must be above zero"),
        ({"min_slice": "2", "max_slice": "1"}, "min_slice must not be above max_slice"),
        ({"max_participation": "0%"}, "max_participation must be above 0% and at most 100%"),
        ({"catch_up": -1}, "catch_up must not be negative"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("twap", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
