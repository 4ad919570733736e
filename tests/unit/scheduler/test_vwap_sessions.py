"""VWAP over several sessions: each is a day of its own, and is believed as far as it has gone."""

from __future__ import annotations

from typing import Any

from bestex import messages as m
from bestex.clock import MINUTE, SECOND, parse_time
from tests.unit.scheduler.bench_core import START
from tests.unit.scheduler.hours import HoursBench
from tests.unit.scheduler.play import Play
from tests.unit.scheduler.test_vwap import at_open, market
from tests.unit.scheduler.volume_days import day

OVER_NIGHT: dict[str, Any] = {
    **{"start_time": "2023-11-15T20:00:00Z", "end_time": "2023-11-16T16:00:00Z"},
    **{"interval": "1m", "randomize": 0},
}
NEXT_OPEN = parse_time("2023-11-16T14:30:00Z")


def over_night(*rates: tuple[float, float]) -> Play:
    """Of an even market that trades 6 a minute; an hour of one session and an hour and a half of the next one."""
    volumes = [day(date, lambda _: 6.0, hours="XNYS") for date in ("2023-11-13", "2023-11-14")]
    play = Play(market(*rates), bench=HoursBench(), volumes=volumes, step_ns=30 * SECOND)
    play.order("vwap", **OVER_NIGHT)
    return play


def minute_of(at_ns: int) -> float:
    return (at_ns - START) / MINUTE


def test_each_session_is_believed_as_far_as_it_has_gone() -> None:
    """Busy after the close, when it is not our affair, and with a burst in the second session."""
    close, opens = minute_of(parse_time("2023-11-15T21:00:00Z")), minute_of(NEXT_OPEN)
    night = [(close, 600.0), (opens - 1, 6.0)]  # the statistics are a moment behind
    calm = over_night((0, 6), *night)
    calm.until(NEXT_OPEN + 40 * MINUTE - START)
    [anew] = calm.of(m.ParentReplanned)
    assert (anew.counts_anew, anew.text.partition(":")[0]) == (True, "another session")
    assert NEXT_OPEN <= anew.at <= NEXT_OPEN + MINUTE
    wild = over_night((0, 6), *night, (opens + 10, 60), (opens + 30, 6))
    wild.until(NEXT_OPEN + 40 * MINUTE - START)
    later = [event for event in wild.of(m.ParentReplanned) if event.at > NEXT_OPEN + MINUTE]
    assert later
    assert all("traded where" in event.text for event in later)
    assert wild.sent()[-1][1] > calm.sent()[-1][1] + 0.02 * 10**5
    wild.until(NEXT_OPEN + 91 * MINUTE - START)
    assert sum(wild.sizes) == 10**5
    assert at_open(wild)


def test_killed_after_a_session_was_begun_anew_it_goes_on_the_same() -> None:
    opens = minute_of(NEXT_OPEN)

    def played(kill_at_ns: int) -> list[Any]:
        play = over_night((0, 6), (opens + 10, 60), (opens + 30, 6))
        play.until(kill_at_ns - START)
        if kill_at_ns < NEXT_OPEN + 60 * MINUTE:
            play = play.killed()
        play.until(NEXT_OPEN + 91 * MINUTE - START)
        return play.facts

    whole = played(NEXT_OPEN + 90 * MINUTE)
    assert any(isinstance(event, m.ParentReplanned) and not event.counts_anew for event in whole)
    for minute in (-60, 2, 20):
        assert played(NEXT_OPEN + minute * MINUTE) == whole
