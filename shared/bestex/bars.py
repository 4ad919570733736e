"""Recorded minute bars as days of volume: the files of LEAN, one zip a day, and plain `time,volume` rows.

Bars are written for trades, so a minute without one, between the first and the last of a session, is a minute of
nothing. Before the first and after the last nobody knows: those minutes are missing. What was traded outside the
market's sessions is left out.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from io import StringIO
from pathlib import Path

from bestex.clock import MINUTE, MS, Time, parse_time
from bestex.errors import RecordingError
from bestex.messages import VolumeDay
from bestex.sessions import Calendar
from bestex.units import DIGITS_MAX, plain

BYTES_MAX = 256 * 1024 * 1024  # of one file, unpacked: some years of minutes
_LEAN = re.compile(r"(\d{4})(\d\d)(\d\d)_.+_minute_trade\.csv")
_LEAN_VOLUME = 5  # ms since midnight, open, high, low, close, volume

Row = tuple[int, Decimal]  # when it was traded, in ns, and how much base


def volume_days(path: Path, symbol: str, hours: Calendar, at: Time, by: str = "") -> list[VolumeDay]:
    """The sessions of one file, oldest first. RecordingError where it cannot be read or has none."""
    try:
        rows = list(
            _lean(path, hours) if zipfile.is_zipfile(path) else _plain(_text(path.read_bytes(), path))
        )
    except (ValueError, InvalidOperation, IndexError, csv.Error, zipfile.BadZipFile) as error:
        raise RecordingError(f"{path}: {error}") from None
    minutes: dict[str, list[Decimal | None]] = {}
    opens: dict[str, int] = {}
    for at_ns, volume in sorted(rows):
        session = hours.at(at_ns)
        minute = None if session is None else session.minute_of(at_ns)
        if session is None or minute is None:
            continue
        if session.date not in minutes:
            minutes[session.date] = [None] * minute
            opens[session.date] = session.open_ns
        day = minutes[session.date]
        day += [Decimal(0)] * (minute + 1 - len(day))
        day[minute] = (day[minute] or Decimal(0)) + volume
    if not minutes:
        raise RecordingError(f"{path}: nothing in it was traded in a session of {hours.name}")
    return [
        VolumeDay(
            symbol=symbol,
            date=date,
            opens_at=Time(opens[date]),
            minutes=_whole(day, hours, date),
            at=at,
            by=by,
        )
        for date, day in minutes.items()
    ]


def _whole(day: list[Decimal | None], hours: Calendar, date: str) -> list[Decimal | None]:
    session = hours.on(date)
    assert session is not None, "the day was found by its session"
    known = [None if volume is None else plain(volume, DIGITS_MAX) for volume in day]
    return known + [None] * (session.minutes - len(known))


def _text(data: bytes, path: Path) -> str:
    if len(data) > BYTES_MAX:
        raise RecordingError(f"{path}: has more than {BYTES_MAX} bytes; import a part of it")
    return data.decode()


def _lean(path: Path, hours: Calendar) -> Iterator[Row]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            named = _LEAN.fullmatch(Path(info.filename).name)
            if named is None:
                raise ValueError(f"{info.filename} is no file of minute bars of trades")
            if info.file_size > BYTES_MAX:
                raise ValueError(f"{info.filename} has more than {BYTES_MAX} bytes")
            midnight_ns = hours.midnight_ns("-".join(named.groups()))
            for row in csv.reader(StringIO(_text(archive.read(info), path))):
                yield midnight_ns + int(row[0]) * MS, _amount(row[_LEAN_VOLUME])


def _plain(text: str) -> Iterator[Row]:
    for number, row in enumerate(csv.reader(StringIO(text)), 1):
        if len(row) != 2:
            raise ValueError(f"line {number}: write time,volume, such as 2026-11-27T14:30:00Z,12.5")
        if number == 1 and row[0].strip().lower() == "time":
            continue
        at_ns = parse_time(row[0].strip())
        yield at_ns - at_ns % MINUTE, _amount(row[1])


def _amount(text: str) -> Decimal:
    amount = Decimal(text.strip())
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text} is no volume")
    return amount
