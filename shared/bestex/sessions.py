"""When a market trades: its sessions, their opens, breaks and closes.

`24/7` is every UTC day, whole. Every other name is an exchange's of the library exchange_calendars (XNYS, XKRX, ...),
which knows time zones, holidays, half days and breaks; it comes with `bestex[equities]`, and is imported when the
first such calendar is asked for. `NXT` is made from the days of XKRX. `XKRX+NXT` is when at least one of them trades.
Times are ns since 1970, spans half-open: a market is not open at its close.
"""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from importlib import import_module, util
from itertools import chain
from typing import Any, NamedTuple

from bestex.clock import DAY, FOREVER_NS, HOUR, MINUTE, SECOND, parse_time, rfc3339
from bestex.errors import ConfigError

ALWAYS = "24/7"
LIBRARY = "exchange_calendars"
TOGETHER = "+"
NXT = "NXT"
_NAME = re.compile(r"[A-Za-z0-9_]{3,16}")
_EPOCH_DAYS_MAX = 2_932_896  # up to the year 9999, the last that RFC 3339 can write


class Session(NamedTuple):
    """A market's day. `date` is the market's own, as in 2026-11-27; `parts` are the spans in which it trades, two
    where it has a break. Minutes are those of trading: a break has none, and the last one may be short."""

    date: str
    parts: tuple[tuple[int, int], ...]

    @property
    def open_ns(self) -> int:
        return self.parts[0][0]

    @property
    def close_ns(self) -> int:
        return self.parts[-1][1]

    @property
    def minutes(self) -> int:
        return -(-sum(close - opens for opens, close in self.parts) // MINUTE)

    def minute_of(self, at_ns: int) -> int | None:
        """Which minute of trading, from 0; None while it does not trade."""
        before = 0
        for opens, close in self.parts:
            if opens <= at_ns < close:
                return (before + at_ns - opens) // MINUTE
            before += close - opens
        return None

    def begin_ns(self, minute: int) -> int:
        """When that minute of trading begins."""
        left = minute * MINUTE
        for opens, close in self.parts:
            if left < close - opens:
                return opens + left
            left -= close - opens
        raise IndexError(f"{self.date} has {self.minutes} minutes")


class Calendar(ABC):
    """The sessions of one market, in order. A time that it does not know of has none."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def _first(self, at_ns: int) -> int:
        """The number of the first session that closes after `at_ns`."""

    @abstractmethod
    def _session(self, i: int) -> Session | None:
        """The session of that number; None beyond the first and the last."""

    @abstractmethod
    def midnight_ns(self, date: str) -> int:
        """When that date, such as 2026-11-27, begins where the market is. ValueError where it is no date."""

    def at(self, at_ns: int) -> Session | None:
        """The session that trades then."""
        session = self.after(at_ns)
        return None if session is None or session.minute_of(at_ns) is None else session

    def after(self, at_ns: int) -> Session | None:
        """The session that `at_ns` is in, a break included, or the next one."""
        return self._session(self._first(at_ns))

    def before(self, at_ns: int) -> Session | None:
        """The last session that had opened by then."""
        i = self._first(at_ns)
        session = self._session(i)
        if session is not None and session.open_ns <= at_ns:
            return session
        return self._session(i - 1)

    def on(self, date: str) -> Session | None:
        """The session of that date of the market, such as 2026-11-27; None where it does not trade on it. ValueError
        where it is no date."""
        day_ns = parse_time(f"{date}T00:00:00Z")
        # A market's day lies within a day of the same one in UTC.
        found = self.between(day_ns - DAY, day_ns + 2 * DAY)
        return next((session for session in found if session.date == date), None)

    def previous(self, session: Session) -> Session | None:
        return self._session(self._first(session.open_ns) - 1)

    def between(self, start_ns: int, end_ns: int) -> Iterator[Session]:
        """The sessions of which some lies between; in order."""
        i = self._first(start_ns)
        while (session := self._session(i)) is not None and session.open_ns < end_ns:
            yield session
            i += 1

    def spans(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """When it trades between the two; in order."""
        for session in self.between(start_ns, end_ns):
            for opens, close in session.parts:
                if max(opens, start_ns) < min(close, end_ns):
                    yield max(opens, start_ns), min(close, end_ns)

    def traded_ns(self, start_ns: int, end_ns: int) -> int:
        """For how long it trades between the two."""
        return sum(close - opens for opens, close in self.spans(start_ns, end_ns))

    def until(self, start_ns: int, end_ns: int) -> int:
        """How long it trades on from `start_ns` without a stop, `end_ns` at the most."""
        reach = start_ns
        for opens, close in self.spans(start_ns, end_ns):
            if opens > reach:
                break
            reach = close
        return reach

    def open_at_or_after(self, at_ns: int) -> int | None:
        """`at_ns` where it trades then, else its next open."""
        session = self.after(at_ns)
        if session is None:
            return None
        return next(max(opens, at_ns) for opens, close in session.parts if at_ns < close)

    def close_at_or_before(self, at_ns: int) -> int | None:
        """`at_ns` where it has traded up to then, else its last close."""
        session = self.before(at_ns - 1)
        if session is None:
            return None
        return max(min(close, at_ns) for opens, close in session.parts if opens < at_ns)


class AlwaysOpen(Calendar):
    """Every UTC day, whole."""

    def __init__(self) -> None:
        super().__init__(ALWAYS)

    def _first(self, at_ns: int) -> int:
        return at_ns // DAY

    def _session(self, i: int) -> Session | None:
        if not 0 <= i <= _EPOCH_DAYS_MAX:
            return None
        return Session(rfc3339(i * DAY)[:10], ((i * DAY, (i + 1) * DAY),))

    def midnight_ns(self, date: str) -> int:
        return parse_time(f"{date}T00:00:00Z")

    def open_at_or_after(self, at_ns: int) -> int | None:
        return at_ns if 0 <= at_ns // DAY <= _EPOCH_DAYS_MAX else super().open_at_or_after(at_ns)

    def traded_ns(self, start_ns: int, end_ns: int) -> int:
        return max(end_ns - start_ns, 0)

    def until(self, start_ns: int, end_ns: int) -> int:
        return max(start_ns, end_ns)


class ExchangeCalendar(Calendar):
    """An exchange's, as the library knows it: twenty years back and one ahead."""

    def __init__(self, name: str, zone: tzinfo, sessions: Sequence[Session]) -> None:
        super().__init__(name)
        self.zone = zone
        self.sessions = sessions
        self._closes = [session.close_ns for session in sessions]

    def _first(self, at_ns: int) -> int:
        return bisect_right(self._closes, at_ns)

    def _session(self, i: int) -> Session | None:
        return self.sessions[i] if 0 <= i < len(self.sessions) else None

    def midnight_ns(self, date: str) -> int:
        return int(datetime.fromisoformat(date).replace(tzinfo=self.zone).timestamp()) * SECOND


def together(names: Iterable[str]) -> str:
    """The calendar of what trades where at least one of these does."""
    each = dict.fromkeys(names)
    return ALWAYS if ALWAYS in each or not each else TOGETHER.join(each)


def why_closed(name: str, at_ns: int) -> str:
    """Why a market of that calendar does not trade then, as words; empty where it does."""
    if name == ALWAYS:
        return ""
    hours = calendar(name)
    if hours.at(at_ns) is not None:
        return ""
    opens_ns = hours.open_at_or_after(at_ns)
    return (
        f"closed, {name} knows no later session" if opens_ns is None else f"closed until {rfc3339(opens_ns)}"
    )


def next_change_ns(name: str, at_ns: int) -> int:
    """The next open or close of a market of that calendar after `at_ns`, or some time before it."""
    if name == ALWAYS:
        return FOREVER_NS
    hours = calendar(name)
    if hours.at(at_ns) is not None:
        return hours.until(at_ns, at_ns + DAY)
    opens_ns = hours.open_at_or_after(at_ns)
    return FOREVER_NS if opens_ns is None else opens_ns


def problem(name: str) -> str:
    """Why there can be no such calendar, as far as can be told without loading one; empty where there can."""
    if TOGETHER in name:
        return next((wrong for one in name.split(TOGETHER) if (wrong := problem(one))), "")
    if name == ALWAYS:
        return ""
    if not _NAME.fullmatch(name):
        return f"{name} is no calendar; write 24/7, or an exchange's such as XNYS"
    if util.find_spec(LIBRARY) is None:
        return f"{name} needs the calendars of exchanges: pip install 'bestex[equities]'"
    return ""


@lru_cache(maxsize=64)
def calendar(name: str) -> Calendar:
    """Loads it once. Raises ConfigError for one that there is not, or whose library is not installed."""
    if wrong := problem(name):
        raise ConfigError(f"calendar: {wrong}")
    if name == ALWAYS:
        return AlwaysOpen()
    if TOGETHER in name:
        return _union(name)
    if name == NXT:
        korea = _exchange("XKRX")
        return ExchangeCalendar(name, korea.zone, [_nextrade(session) for session in korea.sessions])
    return _exchange(name)


def _union(name: str) -> Calendar:
    found = [calendar(one) for one in name.split(TOGETHER)]
    exchanges = [one for one in found if isinstance(one, ExchangeCalendar)]
    if len(exchanges) < len(found):
        return AlwaysOpen()
    zones = {str(one.zone) for one in exchanges}
    if len(zones) > 1:
        raise ConfigError(f"calendar: {name} has no day of its own, in {' and in '.join(sorted(zones))}")
    days: dict[str, list[tuple[int, int]]] = {}
    for session in chain.from_iterable(one.sessions for one in exchanges):
        days.setdefault(session.date, []).extend(session.parts)
    sessions = [Session(date, _joined(parts)) for date, parts in sorted(days.items())]
    return ExchangeCalendar(name, exchanges[0].zone, sessions)


def _joined(parts: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same time in spans that neither meet nor overlap."""
    spans: list[tuple[int, int]] = []
    for opens, close in sorted(parts):
        if spans and opens <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], close)
        else:
            spans.append((opens, close))
    return tuple(spans)


def _nextrade(krx: Session) -> Session:
    """Nextrade's day in Korea (nextrade.co.kr): 08:00-08:50, 09:00:30-15:20, 15:40-20:00. The main market keeps its
    distance to that of KRX, also on the days on which that begins and ends later."""
    midnight_ns = (
        krx.open_ns - krx.open_ns % DAY - 9 * HOUR
    )  # KRX opens after 09:00, which is midnight in UTC
    main = (krx.open_ns + 30 * SECOND, krx.close_ns - 10 * MINUTE)
    early = (midnight_ns + 8 * HOUR, midnight_ns + 8 * HOUR + 50 * MINUTE)
    late = (krx.close_ns + 10 * MINUTE, midnight_ns + 20 * HOUR)
    return Session(krx.date, (early, main, late))


def _exchange(name: str) -> ExchangeCalendar:
    library: Any = import_module(LIBRARY)
    try:
        with warnings.catch_warnings():  # what the library uses of its own libraries is not its users' affair
            warnings.simplefilter("ignore")
            found = library.get_calendar(name)
            schedule = found.schedule
    except library.errors.CalendarError:
        raise ConfigError(f"calendar: there is no exchange {name}; write 24/7, or one such as XNYS") from None
    columns = [
        schedule[column].dt.as_unit("ns").astype("int64").tolist()
        for column in ("open", "break_start", "break_end", "close")
    ]
    dates = [str(label.date()) for label in schedule.index]
    return ExchangeCalendar(name, found.tz, [_session_of(*row) for row in zip(dates, *columns, strict=True)])


def _session_of(date: str, opens: int, pause: int, again: int, close: int) -> Session:
    """`pause` and `again`: of the break; far below zero where there is none."""
    return Session(date, ((opens, close),) if pause < 0 else ((opens, pause), (again, close)))
