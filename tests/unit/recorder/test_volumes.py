"""Minutes of volume from cumulative counts: a minute is what was traded in it, or missing, never a guess."""

from __future__ import annotations

import random
from decimal import Decimal as D
from pathlib import Path

import msgspec

from bestex import codec, config, subjects
from bestex import messages as m
from bestex.clock import DAY, MINUTE, SECOND, Time, parse_time
from bestex.instruments import Instruments
from bestex.volumes import DAYS_KEPT
from services.recorder import volumes
from services.recorder.core import RecorderCore
from services.recorder.store import Store
from services.recorder.volumes import Volumes

INSTRUMENTS = config.load(None, {}).make_instruments()
START = parse_time("2026-11-27T10:00:00Z")
SINCE = Time(START - 3 * DAY)
BTC = "BTC/USDT"


def stats(at_ns: int, traded: float | D, since: int = SINCE, symbol: str = BTC) -> m.Stats:
    return m.Stats(symbol=symbol, at=Time(at_ns), traded=D(str(traded)), counting_since=Time(since))


class Heard:
    """What a recorder knows after statistics at these times, of a count that grows by 1 a second from START on."""

    def __init__(self, instruments: Instruments = INSTRUMENTS, days: tuple[m.VolumeDay, ...] = ()) -> None:
        self.volumes = Volumes(instruments, days)

    def each_second(self, start_s: float, end_s: float, since: int = SINCE) -> Heard:
        at_ns = START + round(start_s * SECOND)
        while at_ns <= START + round(end_s * SECOND):
            self.volumes.take(stats(at_ns, D(at_ns - START) / SECOND, since))
            at_ns += SECOND
        return self

    def days(self) -> list[m.VolumeDay]:
        rows = self.volumes.drain(START)
        return [codec.from_json(str(row.values["day"]).encode(), m.VolumeDay) for row in rows]

    def minutes(self) -> dict[int, D]:
        """By the minutes since START."""
        (day,) = self.days()
        return {i - 600: volume for i, volume in enumerate(day.minutes) if volume is not None}


def test_a_minute_is_the_difference_of_the_count_over_it() -> None:
    assert Heard().each_second(0, 181).minutes() == {0: D(60), 1: D(60), 2: D(60)}


def test_the_first_minute_was_not_listened_to_whole() -> None:
    assert Heard().each_second(20, 130).minutes() == {1: D(60)}


def test_what_is_traded_between_two_statistics_is_divided_at_the_full_minute() -> None:
    assert Heard().each_second(0.3, 125.3).minutes() == {1: D(60)}


def test_a_silence_within_a_minute_costs_nothing() -> None:
    assert Heard().each_second(0, 10).each_second(50, 121).minutes() == {0: D(60), 1: D(60)}


def test_minutes_over_which_nobody_listened_are_missing_and_not_zero() -> None:
    assert Heard().each_second(0, 70).each_second(200, 301).minutes() == {0: D(60), 4: D(60)}


def test_a_new_count_begins_anew() -> None:
    heard = Heard().each_second(0, 70).each_second(71, 250, since=START)
    assert heard.minutes() == {0: D(60), 2: D(60), 3: D(60)}


def test_late_and_uncounted_statistics_change_nothing() -> None:
    heard = Heard().each_second(0, 90)
    heard.volumes.take(stats(START + 30 * SECOND, 5))
    heard.volumes.take(msgspec.structs.replace(stats(START + 91 * SECOND, 999), counting_since=None))
    heard.volumes.take(stats(START + 92 * SECOND, 5, symbol="NO/NE"))
    assert heard.each_second(91, 121).minutes() == {0: D(60), 1: D(60)}


def test_every_midnight_begins_a_day_and_only_what_is_new_is_said() -> None:
    heard = Heard().each_second(14 * 3600 - 70, 14 * 3600 + 61)
    (day,) = heard.days()
    assert day.date == "2026-11-28"
    assert day.minutes[0] == D(60)
    assert len(day.minutes) == 1440
    assert heard.days() == []


def test_a_restarted_recorder_goes_on_with_the_day_and_only_the_minute_between_is_missing() -> None:
    before = Heard().each_second(0, 125).days()
    after = Heard(days=tuple(before)).each_second(140, 301).minutes()
    assert after == {0: D(60), 1: D(60), 3: D(60), 4: D(60)}


def test_an_exchange_is_recorded_in_its_sessions_alone() -> None:
    instrument = msgspec.structs.replace(INSTRUMENTS.by_symbol[BTC], calendar="XNYS")
    made = Volumes(Instruments((instrument,)))
    opens = parse_time("2026-11-27T14:30:00Z")  # until 18:00: half a day
    for second in range(-130, 3 * 3600 + 1800 + 130):
        made.take(stats(opens + second * SECOND, second + 1000))
    (row,) = made.drain(START)
    day = codec.from_json(str(row.values["day"]).encode(), m.VolumeDay)
    assert day.minutes == [D(60)] * 210
    assert day.opens_at == opens


def test_however_the_statistics_come_no_minute_is_counted_wrongly() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        traded, at_ns, heard = 0.0, int(START), Heard()
        truth: dict[int, float] = {}
        while at_ns < START + 6 * MINUTE:
            step_ns = draw.choice((SECOND, SECOND, SECOND, 4 * SECOND, 25 * SECOND, 90 * SECOND))
            if at_ns // MINUTE != (at_ns + step_ns) // MINUTE:  # nothing is traded around the full minute
                qty = 0
            else:
                qty = draw.randrange(5)
                truth[(at_ns - START) // MINUTE] = truth.get((at_ns - START) // MINUTE, 0) + qty
            at_ns, traded = at_ns + step_ns, traded + qty
            heard.volumes.take(stats(at_ns, traded))
        for day in heard.days():
            for i, volume in enumerate(day.minutes):
                assert volume is None or volume == truth.get(i - 600, 0), seed


def test_a_tiny_volume_is_written_without_an_exponent() -> None:
    fine = msgspec.structs.replace(INSTRUMENTS.by_symbol[BTC], qty_scale=12)
    made = Volumes(Instruments((fine,)))
    for second in range(62):
        made.take(stats(START + second * SECOND, D("0.000000070000") * second))
    (row,) = made.drain(START)
    assert b'"0.000004"' in str(row.values["day"]).encode()
    assert "E-" not in str(row.values["day"])


def day(date: str, volume: str = "1") -> m.VolumeDay:
    return m.VolumeDay(symbol=BTC, date=date, opens_at=START, minutes=[D(volume)] * 1440, at=START)


def test_a_day_is_due_until_the_bus_has_it_and_again_before_the_stream_forgets_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "bestex.db")
    first = day("2026-11-26")
    with store:
        store.write([volumes.row(first)], START)
    assert store.volumes(START) == [first]
    with store:
        store.mark_volume(first, START)
    assert store.volumes(START) == []
    assert store.volumes(START + 1) == [first]
    changed = day("2026-11-26", "2")
    with store:
        store.write([volumes.row(changed)], START)
        store.mark_volume(first, START)  # it was on its way meanwhile
    assert store.volumes(START) == [changed]
    store.close()


def test_no_more_days_are_kept_than_a_profile_can_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "bestex.db")
    dates = [f"2026-{month:02}-{number:02}" for month in (9, 10) for number in range(1, 29)]
    with store:
        store.write([volumes.row(day(date)) for date in dates], START)
        store.forget_volumes()
    assert [kept.date for kept in store.volumes()] == dates[-DAYS_KEPT:]
    store.close()


def test_a_database_from_before_there_were_volumes_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "bestex.db"
    store = Store(path)
    store.rows("DROP TABLE volumes")
    store.close()
    store = Store(path)
    assert store.volumes() == []
    store.close()


def test_a_day_that_an_operator_brings_is_kept_like_a_recorded_one() -> None:
    brought = msgspec.structs.replace(day("2026-11-26"), by="me")
    (row,) = RecorderCore().take(brought)
    assert row == volumes.row(brought)
    assert volumes.subject(brought) == "bestex.v1.metrics.volume.BTC-USDT.2026-11-26"
    assert subjects.kind_of(subjects.bring_volume(BTC, "2026-11-26")).message is m.VolumeDay
