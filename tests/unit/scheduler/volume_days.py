"""Days of volume for tests: as a shape of the minutes, and as recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from bestex import messages as m
from bestex.clock import DAY, Time
from bestex.sessions import calendar

Shape = Callable[[float], float | None]  # the volume of a minute by its place in the session, from 0 to 1


def smile(place: float) -> float:
    """Busy at the open and at the close."""
    return 1 + 4 * (2 * place - 1) ** 2


def day(date: str, shape: Shape = smile, symbol: str = "BTC/USDT", hours: str = "24/7") -> m.VolumeDay:
    session = calendar(hours).on(date)
    assert session is not None, "a day of trading"
    volumes = [shape((i + 0.5) / session.minutes) for i in range(session.minutes)]
    return made(date, volumes, symbol, hours)


def made(
    date: str, volumes: Sequence[float | None], symbol: str = "BTC/USDT", hours: str = "24/7"
) -> m.VolumeDay:
    session = calendar(hours).on(date)
    assert session is not None, "a day of trading"
    return m.VolumeDay(
        symbol=symbol,
        date=date,
        opens_at=Time(session.open_ns),
        minutes=[None if volume is None else Decimal(f"{volume:.6f}") for volume in volumes],
        at=Time(session.close_ns),
    )


def before(at_ns: int, count: int, shape: Shape = smile) -> list[m.VolumeDay]:
    """The UTC days before the one of `at_ns`, oldest first."""
    always = calendar("24/7")
    sessions = [always.at(at_ns - back * DAY) for back in range(count, 0, -1)]
    return [day(session.date, shape) for session in sessions if session is not None]


def until(at_ns: int, rate: float) -> m.VolumeDay:
    """The UTC day of `at_ns`, even and known up to then."""
    session = calendar("24/7").at(at_ns)
    assert session is not None
    over = session.minute_of(at_ns) or 0
    return made(session.date, [rate if i < over else None for i in range(session.minutes)])
