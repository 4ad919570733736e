"""A share of the market's volume, played: how close it keeps to its rate, and what it does not do."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import replace
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

import pytest

import bestex
from bestex import messages as m
from bestex.clock import DAY, MINUTE, SECOND
from bestex.errors import Code
from services.scheduler.algos.pov import SLICES_MOST
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.play import Moment, Play, Script, all_of_it

WINDOW_S = 300
ENOUGH = 60 * 10_000  # a window with less volume than a minute of the usual market says nothing of a rate


def trading(by_second: list[int], **moment: Any) -> Script:
    """A market that trades so much in each second, in units; heard once a second, with the last minute's volume."""
    totals = [0, *accumulate(by_second)]

    def script(at_ns: int) -> Moment:
        second = min(at_ns // SECOND, len(by_second))
        minute = totals[second] - totals[max(second - 60, 0)]
        recent = totals[second] - totals[max(second - 5, 0)]
        extra = {"volume": Decimal(minute).scaleb(-5), "recent_volume": Decimal(recent).scaleb(-5)}
        return Moment(traded=totals[second], extra=extra, **moment)

    return script


def evenly(seconds: int) -> list[int]:
    return [10_000] * seconds


def with_bursts_and_droughts(seconds: int) -> list[int]:
    """Nothing for up to two minutes, twenty times the usual for up to twenty seconds, and noise in between."""
    draw, found = random.Random(5), list[int]()
    while len(found) < seconds:
        kind = draw.random()
        if kind < 0.25:
            found += [0] * draw.randrange(20, 120)
        elif kind < 0.5:
            found += [draw.randrange(100_000, 200_000) for _ in range(draw.randrange(1, 20))]
        else:
            found += [draw.choice((0, 0, 5_000, 30_000)) for _ in range(draw.randrange(30, 180))]
    return found[:seconds]


def with_blocks(seconds: int) -> list[int]:
    """A thin market in which half of the volume is single prints of a minute's worth."""
    draw = random.Random(6)
    return [draw.choice((0, 10_000)) + (300_000 if draw.random() < 1 / 60 else 0) for _ in range(seconds)]


MARKETS = {"even": evenly, "bursts and droughts": with_bursts_and_droughts, "blocks": with_blocks}


class Measured(NamedTuple):
    windows: int
    whole: float
    lowest: float
    highest: float


def measure(play: Play, begin_s: int, end_s: int, script: Script) -> Measured:
    """The order's share of what was traded over all five minutes with enough volume, by the second. It hears of a
    second's volume when that is over, so its fills count until half a second later."""
    settled = play.of(m.ParentSettled)
    filled = [0, *(int(event.cum_qty.scaleb(5)) for event in settled)]
    at_ns = [int(event.at) - START for event in settled]
    done = [filled[bisect_right(at_ns, second * SECOND + SECOND // 2)] for second in range(end_s + 1)]
    traded = [script(second * SECOND).traded for second in range(end_s + 1)]
    shares = []
    for second in range(begin_s, end_s - WINDOW_S):
        volume = traded[second + WINDOW_S] - traded[second]
        if volume >= ENOUGH:
            shares.append((done[second + WINDOW_S] - done[second]) / volume)
    whole = (done[end_s] - done[begin_s]) / (traded[end_s] - traded[begin_s])
    return Measured(len(shares), whole, min(shares), max(shares))


@pytest.mark.parametrize(
    ("rate", "market"), [(0.05, "even"), (0.1, "blocks"), *((0.2, market) for market in MARKETS)]
)
def test_it_keeps_to_its_rate_within_a_point_over_any_five_minutes(market: str, rate: float) -> None:
    seconds = 1_800
    script = trading(MARKETS[market](seconds + 60))
    play = Play(script, step_ns=SECOND // 2)
    play.until(MINUTE)
    play.order("pov", qty="10000", duration="30m", rate=rate)
    play.until(seconds * SECOND)
    found = measure(play, 60, seconds, script)
    print(
        f"{market:20} rate {rate:6.1%}  whole {found.whole:7.2%}  five minutes {found.lowest:7.2%} to "
        f"{found.highest:7.2%} of {found.windows:5} windows, {len(play.sizes):4} slices"
    )
    assert found.windows > 1_000
    assert rate - 0.01 <= found.lowest
    assert found.highest <= rate + 0.01
    assert found.whole == pytest.approx(rate, abs=0.002)


def test_it_never_runs_ahead_of_its_share() -> None:
    script = trading(with_bursts_and_droughts(1_000))
    play = Play(script)
    play.order("pov", qty="10000", duration="1000s", rate="10%")
    for second in range(1, 990):
        play.until(second * SECOND)
        sent = play.sent()[-1][1] if play.sent() else 0
        assert sent <= script(play.at_ns).traded // 10


def test_a_slice_waits_for_a_clip() -> None:
    play = Play(trading(evenly(400)))
    play.order("pov", qty="10", duration="400s", rate="10%", min_slice="0.5", randomize=0)
    play.to_end()
    assert set(play.sizes) == {50_000}
    times = [int(event.at) - START for event in play.of(m.ParentSliced)]
    assert times == [50 * SECOND * number for number in range(1, 8)]
    play = Play(trading(evenly(400)))
    play.order("pov", qty="10", duration="400s", rate="10%", randomize=0)
    play.until(390 * SECOND)
    assert set(play.sizes[60:]) == {2_000}  # .3 % of 600,000 a minute, and what a second brings beyond


def test_what_was_traded_while_the_scheduler_was_down_brings_no_burst() -> None:
    script = trading(evenly(3_000))
    play = Play(script)
    play.order("pov", qty="100", duration="3000s", rate="10%", randomize=0)
    play.until(100 * SECOND)
    assert play.sent()[-1][1] > 90_000
    play = play.killed()
    before = len(play.sizes)
    play.bench.now_ns += 300 * SECOND  # nothing happens
    play.until(420 * SECOND)
    assert play.sent()[-1][1] < 100_000 + 2 * 20_000 + 10_500
    assert max(play.sizes[before:]) <= 10_500  # its own share of five seconds, and as much again
    play.until(800 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(800_000, abs=10_000)  # and in time it is caught up


def test_without_catching_up_what_was_missed_stays_missed() -> None:
    script = trading(evenly(3_000))
    play = Play(script)
    play.order("pov", qty="100", duration="3000s", rate="10%", catch_up=0)
    play.until(100 * SECOND)
    play = play.killed()
    play.bench.now_ns += 300 * SECOND
    play.until(600 * SECOND)
    before = play.sent()[-1][1]
    play.until(700 * SECOND)
    assert play.sent()[-1][1] - before <= 101_000


def test_what_is_traded_during_a_pause_is_not_its_own() -> None:
    play = Play(trading(evenly(1_000)))
    play.order("pov", qty="100", duration="1000s", rate="10%")
    play.until(100 * SECOND)
    play.request("pause")
    play.until(500 * SECOND)
    play.request("resume")
    play.until(600 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(200_000, abs=10_000)


def test_a_new_rate_holds_from_then_on() -> None:
    play = Play(trading(evenly(1_000)))
    play.order("pov", qty="100", duration="1000s", rate="10%")
    play.until(500 * SECOND)
    play.request("modify", params={"rate": "20%"})
    play.until(600 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(500_000 + 200_000, abs=20_000)


def test_changes_of_its_limit_do_not_keep_it_from_trading() -> None:
    play = Play(trading(evenly(200)))
    play.order("pov", qty="100", duration="200s", rate="10%", limit_price="60100")
    for second in range(1, 150):
        play.until(second * SECOND)
        play.request("modify", limit_price=str(60_100 + second))
    assert play.sent()[-1][1] == pytest.approx(149_000, abs=10_000)


@pytest.mark.parametrize(
    ("moved", "urgency", "low", "high"),
    [
        (0, None, 0.095, 0.105),
        (-120_00, None, 0.19, 0.205),
        (-30_00, None, 0.14, 0.16),
        (+120_00, None, 0.045, 0.055),
        (0, "low", 0.045, 0.055),
        (0, "high", 0.19, 0.205),
        (+120_00, "immediate", 0.19, 0.205),
    ],
)
def test_within_its_band_the_rate_follows_price_and_urgency(
    moved: int, urgency: str | None, low: float, high: float
) -> None:
    volume = trading(evenly(1_000))

    def script(at_ns: int) -> Moment:
        there = moved if at_ns > 0 else 0
        return replace(volume(at_ns), bid=59_999_00 + there, ask=60_001_00 + there)

    play = Play(script)
    named = {} if urgency is None else {"urgency": urgency}
    play.order("pov", qty="10000", duration="1000s", rate="10%", min_rate="5%", max_rate="20%", **named)
    play.until(900 * SECOND)
    assert low <= play.sent()[-1][1] / script(900 * SECOND).traded <= high


def test_the_share_of_the_whole_stays_within_the_band_while_the_price_turns() -> None:
    volume = trading(with_bursts_and_droughts(2_000))

    def script(at_ns: int) -> Moment:
        there = (0, -200_00, 200_00, 50_00)[at_ns // (50 * SECOND) % 4] if at_ns else 0
        return replace(volume(at_ns), bid=59_999_00 + there, ask=60_001_00 + there)

    play = Play(script)
    play.order("pov", qty="10000", duration="2000s", rate="10%", min_rate="5%", max_rate="20%")
    for second in range(10, 1_990, 10):
        play.until(second * SECOND)
        sent = play.sent()[-1][1] if play.sent() else 0
        assert sent <= script(play.at_ns).traded // 5
    assert play.sent()[-1][1] >= script(play.at_ns).traded * 0.045


@pytest.mark.parametrize(("force", "reason"), [(False, Code.COMPLETED), (True, Code.FILLED)])
def test_at_its_end_the_rest_is_given_up_or_taken(force: bool, reason: Code) -> None:
    play = Play(trading(evenly(1_000)))
    play.order("pov", qty="1", duration="50s", rate="10%", force_completion=force)
    play.to_end(100)
    assert play.done is not None
    assert play.done.reason is reason
    if force:
        assert play.of(m.ParentSliced)[-1].why == "completion at the end"
    else:
        assert play.done.text == "its time ended; the market traded too little for the rest"


def test_nothing_goes_out_beyond_the_limit_and_what_was_missed_is_caught_up_slowly() -> None:
    volume = trading(evenly(1_000))

    def script(at_ns: int) -> Moment:
        away = 500_00 if 100 * SECOND <= at_ns < 300 * SECOND else 0
        return replace(volume(at_ns), bid=59_999_00 + away, ask=60_001_00 + away)

    play = Play(script)
    play.order("pov", qty="100", duration="1000s", rate="10%", limit_price="60100", randomize=0)
    play.until(299 * SECOND)
    before = len(play.sizes)
    assert play.sent()[-1][0] <= START + 100 * SECOND
    play.until(900 * SECOND)
    assert max(play.sizes[before:]) <= 10_500
    assert play.sent()[-1][1] == pytest.approx(900_000, abs=10_000)


def test_what_was_missed_beyond_the_limit_is_left_where_that_is_asked_for() -> None:
    volume = trading(evenly(1_000))

    def script(at_ns: int) -> Moment:
        away = 500_00 if 100 * SECOND <= at_ns < 300 * SECOND else 0
        return replace(volume(at_ns), bid=59_999_00 + away, ask=60_001_00 + away)

    play = Play(script)
    order = {"qty": "100", "duration": "1000s", "rate": "10%", "limit_price": "60100"}
    play.order("pov", out_of_limit="pause", **order)
    play.until(900 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(700_000, abs=15_000)


def test_what_is_expected_follows_the_market_and_says_so() -> None:
    seconds = [10_000] * 300 + [50_000] * 700
    script = trading(seconds)
    play = Play(script)
    play.until(100 * SECOND)
    play.order("pov", qty="100", duration="900s", rate="10%")
    (accepted,) = play.of(m.ParentAccepted)
    expected = play.plan()
    # It brings its own ninth on top of what the others have traded before.
    assert expected.qty(START + 190 * SECOND) == pytest.approx(90 * 10_000 / 9, rel=0.001)
    point = expected.at(START + 190 * SECOND)
    assert point.low < point.qty < point.high
    play.until(290 * SECOND)
    assert not play.of(m.ParentReplanned)
    assert play.beyond_plan() == 0
    play.until(900 * SECOND)
    replanned = play.of(m.ParentReplanned)
    assert [event.text for event in replanned] == ["the market trades 0.5 a second"]
    assert accepted.schedule != replanned[0].schedule


def test_what_went_ahead_of_its_share_at_the_would_price_is_waited_for() -> None:
    volume = trading(evenly(400))

    def script(at_ns: int) -> Moment:
        there = -200_00 if 0 <= at_ns - 50 * SECOND < SECOND else 0
        return replace(volume(at_ns), bid=59_999_00 + there, ask=60_001_00 + there)

    def thin(sliced: m.ParentSliced, moment: Moment) -> int | None:
        return min(all_of_it(sliced, moment) or 0, 100_000)

    play = Play(script, thin, delay_ns=0)
    play.order("pov", qty="100", duration="400s", rate="10%", would_price="59900")
    play.until(140 * SECOND)
    assert play.of(m.ParentSliced)[-1].why == "at the would price"
    play.until(399 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(399_000, abs=5_000)


def test_without_volume_anything_is_expected_until_there_is_some() -> None:
    play = Play(trading([0] * 100 + [10_000] * 400))
    play.order("pov", qty="10", duration="500s", rate="10%")
    play.until(90 * SECOND)
    assert not play.sizes
    assert not play.of(m.ParentReplanned)
    play.until(400 * SECOND)
    assert play.of(m.ParentReplanned)
    assert play.sent()[-1][1] == pytest.approx(300_000, abs=10_000)


def test_an_order_has_a_bounded_number_of_slices_however_long_it_works() -> None:
    play = Play(trading([1_000_000] * 400), step_ns=SECOND)
    play.order("pov", qty="100000", duration="1d", rate="1%", min_slice="0.0001")
    play.until(399 * SECOND)
    assert len(play.sizes) * DAY / (399 * SECOND) <= SLICES_MOST
    assert play.sent()[-1][1] == pytest.approx(3_990_000, rel=0.03)


def test_what_does_not_fill_is_tried_again_and_bounded() -> None:
    def most_of_it(sliced: m.ParentSliced, moment: Moment) -> int | None:
        return (all_of_it(sliced, moment) or 0) * 7 // 10

    play = Play(trading(evenly(1_000)), most_of_it)
    play.order("pov", qty="100", duration="1000s", rate="10%", randomize=0)
    play.until(900 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(900_000, rel=0.02)
    assert max(play.sizes) <= 5_000


def test_users_find_it_by_its_name_and_it_has_a_day() -> None:
    pov: Any = bestex.POV(rate="10%")
    assert (pov.name, int(pov.duration)) == ("pov", DAY)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"rate": "0%"}, "rate must be above 0% and below 100%"),
        ({"rate": "100%"}, "rate must be above 0% and below 100%"),
        (
            {"rate": "10%", "min_rate": "20%"},
            "min_rate, rate and max_rate must be in this order, from 0% to below 100%",
        ),
        ({"reach": "0%"}, "reach must be above 0%"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("pov", **params)
    assert isinstance(rejected, m.ParentRejected)
    assert rejected.text == text
