"""When a market trades. The dates are those that the exchange publishes: nyse.com/markets/hours-calendars."""

from __future__ import annotations

import importlib.util

import pytest

from bestex import config, sessions
from bestex.clock import DAY, HOUR, MINUTE, parse_time, rfc3339
from bestex.errors import ConfigError
from bestex.sessions import calendar

NYSE = "XNYS"


def at(text: str) -> int:
    return parse_time(text)


def test_what_never_closes_has_a_session_for_each_utc_day() -> None:
    always, now = calendar("24/7"), at("2026-11-28T13:30:10Z")  # a Saturday
    session = always.at(now)
    assert session is not None
    assert (session.date, session.minutes, session.minute_of(now)) == ("2026-11-28", 1440, 13 * 60 + 30)
    assert session.begin_ns(13 * 60 + 30) == at("2026-11-28T13:30:00Z")
    assert always.open_at_or_after(now) == always.close_at_or_before(now) == now
    assert always.until(now, now + 9 * DAY) == now + 9 * DAY
    assert always.traded_ns(now, now + 9 * DAY) == 9 * DAY
    assert [day.date for day in always.between(now, now + DAY)] == ["2026-11-28", "2026-11-29"]


def test_a_time_is_in_a_session_or_before_the_next_one() -> None:
    hours = calendar(NYSE)
    for time, date, is_open in (
        ("2026-11-24T14:29:59Z", "2026-11-24", False),
        ("2026-11-24T14:30:00Z", "2026-11-24", True),
        ("2026-11-24T20:59:59Z", "2026-11-24", True),
        ("2026-11-24T21:00:00Z", "2026-11-25", False),  # the close is not in the session
        ("2026-11-25T21:00:00Z", "2026-11-27", False),  # Thanksgiving is a holiday
        ("2026-11-27T18:00:00Z", "2026-11-30", False),  # and the day after it half a day; then a weekend
    ):
        session = hours.after(at(time))
        assert session is not None
        assert session.date == date
        assert (hours.at(at(time)) is not None) is is_open
        assert (session.minute_of(at(time)) is not None) is is_open


def test_a_half_day_is_as_long_as_it_is_and_a_holiday_is_no_session() -> None:
    hours = calendar(NYSE)
    half, whole = hours.on("2026-11-27"), hours.on("2026-11-30")
    assert half is not None
    assert whole is not None
    assert (half.minutes, whole.minutes) == (210, 390)
    assert hours.on("2026-11-26") is None
    assert hours.previous(whole) == half
    assert hours.before(at("2026-11-28T12:00:00Z")) == half


def test_the_clocks_of_a_market_change_with_its_season() -> None:
    hours = calendar(NYSE)
    assert hours.open_at_or_after(at("2026-03-06T00:00:00Z")) == at("2026-03-06T14:30:00Z")
    assert hours.open_at_or_after(at("2026-03-09T00:00:00Z")) == at("2026-03-09T13:30:00Z")
    assert hours.midnight_ns("2026-03-06") == at("2026-03-06T05:00:00Z")
    assert hours.midnight_ns("2026-03-09") == at("2026-03-09T04:00:00Z")


def test_between_two_times_it_trades_only_in_its_sessions() -> None:
    hours = calendar(NYSE)
    friday, monday = at("2026-11-20T20:00:00Z"), at("2026-11-23T15:30:00Z")
    assert list(hours.spans(friday, monday)) == [
        (friday, at("2026-11-20T21:00:00Z")),
        (at("2026-11-23T14:30:00Z"), monday),
    ]
    assert hours.traded_ns(friday, monday) == 2 * HOUR
    assert hours.until(friday, monday) == at("2026-11-20T21:00:00Z")
    assert hours.close_at_or_before(at("2026-11-22T00:00:00Z")) == at("2026-11-20T21:00:00Z")
    assert hours.close_at_or_before(at("2026-11-20T21:00:00Z")) == at("2026-11-20T21:00:00Z")


def test_a_break_has_no_minutes_and_is_not_traded_in() -> None:
    hours = calendar("XHKG")
    session = hours.at(at("2026-11-24T02:00:00Z"))
    assert session is not None
    (opens, pause), (again, close) = session.parts
    assert session.minutes == (close - opens - (again - pause)) // MINUTE == 330
    assert session.minute_of(pause) is None
    assert session.minute_of(again) == 150
    assert session.begin_ns(150) == again
    assert hours.after(pause) == session
    assert hours.at(pause) is None
    assert hours.open_at_or_after(pause) == again
    assert hours.close_at_or_before(pause + MINUTE) == pause
    assert hours.until(opens, close) == pause


def test_beyond_what_is_known_there_is_nothing() -> None:
    hours = calendar(NYSE)
    assert hours.open_at_or_after(at("2099-01-01T00:00:00Z")) is None
    assert hours.close_at_or_before(at("1970-01-02T00:00:00Z")) is None


def spans(name: str, date: str) -> list[tuple[str, str]]:
    """By the clock of Seoul."""
    session = calendar(name).on(date)
    assert session is not None
    shift = 9 * HOUR
    return [(rfc3339(a + shift)[11:19], rfc3339(b + shift)[11:19]) for a, b in session.parts]


def test_nextrade_has_three_markets_a_day_on_the_days_of_krx() -> None:
    usual = [("08:00:00", "08:50:00"), ("09:00:30", "15:20:00"), ("15:40:00", "20:00:00")]
    assert spans("NXT", "2026-11-27") == usual
    assert spans("XKRX", "2026-11-27") == [("09:00:00", "15:30:00")]
    assert calendar("NXT").on("2026-12-25") is None, "a holiday of the exchange"
    assert calendar("NXT").on("2026-11-28") is None, "a Saturday"
    # The first day of a year begins at ten.
    assert spans("XKRX", "2026-01-02") == [("10:00:00", "15:30:00")]
    assert spans("NXT", "2026-01-02")[1] == ("10:00:30", "15:20:00")


def test_a_half_minute_at_the_end_is_one_of_the_session() -> None:
    session = calendar("NXT").on("2026-11-27")
    assert session is not None
    assert session.minutes == 690
    assert session.minute_of(session.close_ns - 1) == 689
    assert session.begin_ns(689) < session.close_ns


def test_together_they_trade_whenever_one_of_them_does() -> None:
    assert spans("XKRX+NXT", "2026-11-27") == [
        ("08:00:00", "08:50:00"),
        ("09:00:00", "15:30:00"),
        ("15:40:00", "20:00:00"),
    ]
    both = calendar("XKRX+NXT")
    for at_ns in range(at("2026-11-26T22:00:00Z"), at("2026-11-27T13:00:00Z"), 5 * MINUTE):
        apart = [calendar(name).at(at_ns) is not None for name in ("XKRX", "NXT")]
        assert (both.at(at_ns) is not None) == any(apart)
    assert sessions.together(["NXT", "XKRX", "NXT"]) == "NXT+XKRX"
    assert sessions.together(["NXT", "24/7"]) == "24/7"
    assert sessions.together([]) == "24/7"


def test_markets_of_different_zones_have_no_day_together() -> None:
    with pytest.raises(ConfigError, match=r"XKRX.XNYS has no day .* in America/New_York and in Asia/Seoul"):
        calendar("XKRX+XNYS")


def test_why_it_is_closed_says_until_when() -> None:
    assert sessions.why_closed("24/7", 0) == ""
    assert sessions.why_closed("XKRX", at("2026-11-27T00:00:00Z")) == ""
    assert (
        sessions.why_closed("XKRX", at("2026-11-27T06:30:00Z")) == "closed until 2026-11-30T00:00:00.000000Z"
    )
    assert sessions.why_closed("XKRX", at("2099-01-01T00:00:00Z")) == "closed, XKRX knows no later session"


@pytest.mark.parametrize(
    ("name", "text"), [("XNYX", "there is no exchange XNYX"), ("a/b", "a/b is no calendar")]
)
def test_a_calendar_that_there_is_not_is_a_mistake_of_the_configuration(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        calendar(name)


def test_where_the_library_is_missing_the_configuration_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    text = """
    [venues.a]
    [instruments.ABC]
    price_scale = 2
    qty_scale = 0
    calendar = "{}"
    [instruments.ABC.venues]
    a = {{ tick = "0.01", lot = "1" }}
    """
    with pytest.raises(ConfigError, match=r"ABC\.calendar: XNYS needs .* pip install 'bestex\[equities\]'"):
        config.parse(text.format("XNYS"))
    made = config.parse(text.format("24/7")).make_instruments()
    assert made.by_symbol["ABC"].calendar == "24/7"
    with pytest.raises(ConfigError, match=r"venues\.a\.calendar: XKRX needs"):
        config.parse(text.format("24/7").replace("[venues.a]", '[venues.a]\ncalendar = "XKRX+NXT"'))


def test_an_instrument_is_traded_whenever_one_of_its_venues_is() -> None:
    from tests.unit.equities import SYMBOL, korean

    hours = {"krx": "XKRX", "nxt": "NXT"}
    made = korean(venues=("krx", "nxt"), calendars=hours).make_instruments().by_symbol[SYMBOL]
    assert made.calendar == "XKRX+NXT"
    assert korean(venues=("krx", "nxt")).make_instruments().by_symbol[SYMBOL].calendar == "24/7"
    off = korean(venues=("krx", "nxt"), calendars=hours, terms={"krx": "enabled = false"})
    assert off.make_instruments().by_symbol[SYMBOL].calendar == "NXT", "a venue that is off has no say"


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from bestex import config, sessions; config.load(None, {}).make_instruments(); "
        "sessions.calendar('24/7'); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert sessions.LIBRARY == "exchange_calendars"
