"""VWAP: its curve is the market's, it works within its hours, and it believes the day as far as that has gone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import DAY, HOUR, MINUTE, SECOND, Time, parse_time
from bestex.errors import Code
from bestex.sessions import calendar
from services.scheduler.curve import of_schedule
from services.scheduler.volume_profile import SESSIONS_MAX, Source, VolumeHistory
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.hours import HoursBench
from tests.unit.scheduler.play import Moment, Play, book_of, steady
from tests.unit.scheduler.volume_days import before, day, made, smile, until

HOURLY: dict[str, Any] = {"duration": "90m", "interval": "1m", "randomize": 0}  # 22:13 to 23:43
ALWAYS = calendar("24/7")


def late(place: float) -> float:
    """Next to nothing until 23:00 UTC, then busy."""
    return 1 if place < 23 / 24 else 9


def reason(play: Play) -> str:
    text: str = play.of(m.ParentAccepted)[0].reason
    return text


def shares(play: Play, *minutes: int) -> list[float]:
    return [play.plan().qty(START + minute * MINUTE) / 10**5 for minute in minutes]


# -- the curve -------------------------------------------------------------------------------------------------


def test_the_planned_curve_is_the_profile_of_the_days_before() -> None:
    play = Play(volumes=before(START, 20, late))
    play.order("vwap", **HOURLY)
    assert reason(play) == "the volume profile of 20 days, 2023-10-25 to 2023-11-13"
    # 46 2/3 minutes at a ninth of the rate of the 43 1/3 after them; an even day is a twenty-first of it.
    even = 32 / 24 / 20
    quiet, busy = 46 + 2 / 3, 43 + 1 / 3
    total = quiet * (1 + even) + busy * (9 + even)
    found = shares(play, 0, 30, 60, 90)
    assert found == pytest.approx(
        [0, 30 * (1 + even) / total, (quiet * (1 + even) + (60 - quiet) * (9 + even)) / total, 1], abs=1e-4
    )


def test_fills_follow_the_plan_within_its_bounds_however_it_is_randomised() -> None:
    for randomize in (0, 0.3, 0.9):
        for shape in (late, smile):
            play = Play(volumes=before(START, 5, shape), step_ns=SECOND)
            play.order("vwap", **{**HOURLY, "randomize": randomize})
            play.until(91 * MINUTE)
            assert play.beyond_plan() <= 1, (randomize, shape)
            assert sum(play.sizes) == 10**5
            assert play.done is not None
            assert play.done.reason is Code.FILLED


def test_without_a_known_day_it_is_the_straight_line_and_says_so() -> None:
    play, other = Play(), Play()
    play.order("vwap", **HOURLY)
    other.order("twap", **HOURLY)
    assert reason(play) == "equal parts at equal times: no day before 2023-11-14 has a known volume"
    assert shares(play, 0, 20, 45, 70) == pytest.approx(shares(other, 0, 20, 45, 70), abs=2e-5)
    play.until(91 * MINUTE)
    assert not play.of(m.ParentReplanned)
    assert play.beyond_plan() <= 1


def test_a_day_of_nothing_is_no_day() -> None:
    play = Play(volumes=[day("2023-11-13", lambda _: 0.0)])
    play.order("vwap", **HOURLY)
    assert "no day before 2023-11-14" in reason(play)


def test_the_day_itself_and_the_days_after_make_no_profile() -> None:
    play = Play(volumes=[day("2023-11-14"), day("2023-11-15"), day("2023-11-12")])
    play.order("vwap", **HOURLY)
    assert reason(play) == "the volume profile of 1 day, 2023-11-12"


def test_as_many_days_as_were_asked_for_and_the_newest() -> None:
    play = Play(volumes=before(START, 9))
    play.order("vwap", **HOURLY, days=3)
    assert reason(play) == "the volume profile of 3 days, 2023-11-11 to 2023-11-13"


def test_with_a_look_back_the_plan_is_even_and_knows_the_rate() -> None:
    play = Play(volumes=[*before(START, 3, late), until(START, 5.0)])
    play.order("vwap", **HOURLY, lookback="1h")
    assert reason(play) == "a steady market, at 5 a minute over the last 60 minutes"
    assert shares(play, 45) == [pytest.approx(0.5, abs=1e-4)]


def test_a_look_back_of_which_nothing_is_known_says_so() -> None:
    play = Play(volumes=before(START, 3, late))
    play.order("vwap", **HOURLY, lookback="1h")
    assert reason(play) == "equal parts at equal times: of the last 60 minutes no volume is known"


def test_a_look_back_goes_over_the_night_and_leaves_out_what_is_missing() -> None:
    history, hours = VolumeHistory(), calendar("XNYS")
    history.hear(made("2023-11-13", [4.0] * 390, hours="XNYS"))
    history.hear(made("2023-11-14", [None] * 10 + [10.0] * 380, hours="XNYS"))
    session = hours.on("2023-11-14")
    assert session is not None
    at_ns = session.begin_ns(20)
    found = history.expected(hours, at_ns, session.close_ns, Source(20, 15, lookback=40))
    # The last 20 minutes: ten missing, ten of 10; and 20 of the day before, of 4.
    assert found.whole == pytest.approx(370 * (10 * 10 + 20 * 4) / 30)


def test_an_order_over_more_sessions_than_a_profile_is_laid_over_is_straight() -> None:
    history = VolumeHistory()
    for one in before(START, 3, late):
        history.hear(one)
    long = history.expected(ALWAYS, START, START + (SESSIONS_MAX + 2) * DAY, Source(20, 15))
    assert not long.is_known
    assert long.share(START + (SESSIONS_MAX + 2) * DAY // 2) == pytest.approx(0.5)


def test_a_day_that_comes_late_is_in_the_next_plan() -> None:
    history = VolumeHistory()
    history.hear(day("2023-11-12"))
    first = history.expected(ALWAYS, START, START + HOUR, Source(20, 15))
    history.hear(day("2023-11-13", late))
    assert history.expected(ALWAYS, START, START + HOUR, Source(20, 15)).why != first.why


def test_a_change_plans_anew_from_what_is_filled_and_says_of_what() -> None:
    play = Play(volumes=before(START, 5, late), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(50 * MINUTE + SECOND)
    play.request("modify", qty="2")
    (modified,) = play.of(m.ParentModified)
    assert modified.text == "the volume profile of 5 days, 2023-11-09 to 2023-11-13"
    play.until(91 * MINUTE)
    assert sum(play.sizes) == 2 * 10**5
    assert play.beyond_plan() <= 1


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"bucket": "90s"}, "bucket must be whole minutes, from one to a day's"),
        ({"lookback": "30s"}, "lookback must be whole minutes, from one to a day's"),
        ({"lookback": "2d"}, "lookback must be whole minutes, from one to a day's"),
        ({"interval": "0s"}, "interval must be longer than nothing"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_a_sentence(params: dict[str, Any], text: str) -> None:
    (rejected,) = Play().order("vwap", **params)
    assert rejected.text == text


# -- the day's own volume --------------------------------------------------------------------------------------


def market(*rates: tuple[float, float]) -> Any:
    """(from which minute on, base a minute)."""

    def script(at_ns: int) -> Moment:
        total = 0.0
        for (begin, rate), (end, _) in zip(rates, [*rates[1:], (1e9, 0)], strict=True):
            total += rate * max(min(at_ns / MINUTE, end) - begin, 0)
        return Moment(traded=round(total * 1e5))

    return script


def test_a_market_that_trades_as_expected_changes_no_plan() -> None:
    play = Play(market((0, 6)), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(91 * MINUTE)
    assert not play.of(m.ParentReplanned)


def test_a_market_that_is_as_much_busier_all_the_time_changes_little() -> None:
    play = Play(market((0, 18)), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(45 * MINUTE + 10 * SECOND)
    assert play.sent()[-1][1] == pytest.approx(0.5 * 10**5, rel=0.1)


def test_a_burst_is_followed_and_calm_is_waited_out() -> None:
    """A burst of 20 minutes is most of the day: by its end, most of the order is to be sent."""
    play = Play(market((0, 6), (10, 60), (30, 6)), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(40 * MINUTE)
    after_burst = play.sent()[-1][1] / 10**5
    straight = 40 / 90
    assert after_burst > straight + 0.05
    for event in play.of(m.ParentReplanned):
        assert "traded where" in event.text
    play.until(91 * MINUTE)
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    assert play.beyond_plan() <= 1
    assert max(play.sizes) <= 0.15 * 10**5, "never a burst of our own"


def test_plans_are_made_anew_at_a_bounded_rate() -> None:
    wild = [(minute, 60.0 if minute % 10 < 5 else 0.1) for minute in range(0, 90, 5)]
    play = Play(market(*wild), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(91 * MINUTE)
    times = [event.at for event in play.of(m.ParentReplanned)]
    assert 2 < len(times) <= 60
    assert all(after - earlier >= 90 * SECOND for earlier, after in pairwise(times))


def test_after_a_pause_the_rest_is_spread_over_what_is_left_and_not_caught_up() -> None:
    play = Play(market((0, 6)), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(30 * MINUTE + 10 * SECOND)
    play.request("pause")
    play.until(42 * MINUTE)
    play.request("resume")
    play.until(60 * MINUTE)
    # Of the third that had been sent and 18 of the 48 minutes that were left; the old plan would be at two thirds.
    assert play.sent()[-1][1] / 10**5 == pytest.approx(1 / 3 + 2 / 3 * 18 / 48, abs=0.03)
    play.until(91 * MINUTE)
    assert sum(play.sizes) == 10**5


def test_where_the_count_begins_anew_what_is_not_known_is_not_held_against_the_market() -> None:
    play = Play(market((0, 6)), volumes=before(START, 5, lambda _: 6.0), step_ns=SECOND)
    play.order("vwap", **HOURLY)
    play.until(30 * MINUTE)
    since = Time(play.bench.now_ns)
    while not play.done:
        now_ns = play.bench.now_ns
        play.bench.feed(book_of(Moment(), now_ns))
        traded = play.instrument.qty((now_ns - since) * 6 * 10**5 // MINUTE)
        stats = m.Stats(symbol="BTC/USDT", at=Time(now_ns), traded=traded, counting_since=since)
        play.bench.feed(stats)
        play.bench.advance(now_ns + SECOND)
        play.come_back()
    assert not play.of(m.ParentReplanned)
    assert sum(play.sizes) == 10**5


# -- the market's hours ----------------------------------------------------------------------------------------


def exchange(*dates: str, step_ns: int = MINUTE) -> Play:
    volumes = [day(date, smile, hours="XNYS") for date in dates]
    return Play(steady(), bench=HoursBench(), volumes=volumes, step_ns=step_ns)


def at_open(play: Play) -> bool:
    hours = calendar("XNYS")
    return all(hours.at(event.at) is not None for event in play.of(m.ParentSliced))


def test_an_order_of_the_night_begins_at_the_open() -> None:
    play = exchange("2023-11-13", "2023-11-14")
    play.order("vwap", duration="1h", interval="5m", randomize=0)
    (accepted,) = play.of(m.ParentAccepted)
    assert accepted.start_at == parse_time("2023-11-15T14:30:00Z")
    assert accepted.end_at == parse_time("2023-11-15T15:30:00Z")
    play.until(accepted.end_at - START + MINUTE)
    assert at_open(play)
    assert sum(play.sizes) == 10**5
    (started,) = play.of(m.ParentStarted)
    assert started.text == "the volume profile of 2 days, 2023-11-13 to 2023-11-14"
    assert play.sizes[0] > play.sizes[-1], "the open is busy"


@pytest.mark.parametrize("minute", range(5))  # in which of a step's minutes the market opens
def test_an_order_over_a_weekend_does_nothing_while_the_market_is_closed(minute: int) -> None:
    play = exchange("2023-11-14", "2023-11-15", "2023-11-16")
    play.order(
        "vwap",
        start_time=f"2023-11-17T20:0{minute}:00Z",
        end_time="2023-11-20T15:30:00Z",
        interval="5m",
        randomize=0.3,
    )
    play.until(parse_time("2023-11-20T15:31:00Z") - START)
    assert at_open(play)
    assert sum(play.sizes) == 10**5
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    friday = [event for event in play.of(m.ParentSliced) if event.at < parse_time("2023-11-18T00:00:00Z")]
    assert 8 <= len(friday) <= 14
    assert 8 <= len(play.sizes) - len(friday) <= 14
    assert all(event.expires_at <= parse_time("2023-11-17T21:00:00Z") for event in friday)
    plan = play.plan()
    assert plan.qty(parse_time("2023-11-17T21:00:00Z")) == plan.qty(parse_time("2023-11-20T14:30:00Z"))


def test_of_few_units_each_hour_of_trading_gets_its_part_however_long_the_night_is() -> None:
    play = exchange("2023-11-14", "2023-11-15", "2023-11-16")
    play.order(
        "vwap",
        qty="0.004",  # forty times what the smallest venue takes
        start_time="2023-11-17T20:00:00Z",
        end_time="2023-11-20T15:30:00Z",
        interval="5m",
        randomize=0,
    )
    play.until(parse_time("2023-11-20T15:31:00Z") - START)
    assert len(play.sizes) >= 16
    assert sum(play.sizes) == 400


def test_a_half_day_ends_at_its_close_and_a_holiday_is_waited_out() -> None:
    play = exchange("2023-11-13", "2023-11-14")
    play.order(
        "vwap",
        start_time="2023-11-23T15:00:00Z",  # Thanksgiving
        end_time="2023-11-24T21:00:00Z",
        interval="10m",
        randomize=0,
    )
    (accepted,) = play.of(m.ParentAccepted)
    assert str(accepted.start_at) == "2023-11-24T14:30:00.000000Z"
    assert str(accepted.end_at) == "2023-11-24T18:00:00.000000Z"
    play.until(parse_time("2023-11-24T18:01:00Z") - START)
    assert at_open(play)
    assert play.done is not None
    assert play.done.reason is Code.FILLED
    (started,) = play.of(m.ParentStarted)
    middle = of_schedule(started.schedule, play.instrument).qty(parse_time("2023-11-24T16:15:00Z"))
    assert middle == pytest.approx(0.5 * 10**5, rel=0.02), "the smile of a whole day, stretched"


def test_what_is_left_is_completed_before_the_close() -> None:
    play = exchange("2023-11-13", step_ns=MINUTE // 6)
    play.fill = lambda sliced, _: 0 if not sliced.why else int(sliced.qty.scaleb(5))
    play.order(
        "vwap",
        start_time="2023-11-15T20:30:00Z",
        end_time="2023-11-15T23:00:00Z",
        interval="5m",
        force_completion=True,
    )
    play.until(parse_time("2023-11-15T21:01:00Z") - START)
    assert at_open(play)
    last = play.of(m.ParentSliced)[-1]
    assert last.why == "completion at the end"
    assert last.expires_at <= parse_time("2023-11-15T21:00:00Z")
    assert play.done is not None
    assert play.done.reason is Code.FILLED


def test_an_order_that_ends_before_the_next_open_is_refused() -> None:
    play = exchange("2023-11-13")
    (rejected,) = play.order("vwap", end_time="2023-11-15T14:00:00Z")
    assert rejected.code is Code.INVALID_PARAMETER
    assert rejected.text == "BTC/USDT is not traded between 2023-11-14T22:13:20.000000Z and its end"


def test_what_could_not_be_sold_by_the_close_is_given_up_with_a_reason() -> None:
    play = exchange("2023-11-13", step_ns=MINUTE // 6)
    play.fill = lambda *_: 0
    play.order("vwap", start_time="2023-11-15T20:30:00Z", end_time="2023-11-15T23:00:00Z", interval="5m")
    play.until(parse_time("2023-11-15T21:02:00Z") - START)
    assert at_open(play)
    assert play.done is not None
    assert play.done.reason is Code.COMPLETED


def test_killed_in_the_night_it_goes_on_at_the_open_as_it_would_have() -> None:
    def played(kill: bool) -> list[Any]:
        play = exchange("2023-11-14", "2023-11-15", "2023-11-16")
        params = {"start_time": "2023-11-17T20:30:00Z", "end_time": "2023-11-20T15:00:00Z"}
        play.order("vwap", interval="5m", randomize=0.5, **params)
        play.until(parse_time("2023-11-18T12:00:00Z") - START)
        if kill:
            play = play.killed()
        play.until(parse_time("2023-11-20T15:01:00Z") - START)
        return play.facts

    assert played(True) == played(False)
