"""What a market trades in each minute of its sessions, from the cumulative counts of its statistics.

A minute counts where it was listened to from its beginning to its end, or where the count tells for certain: within
one minute a silence costs nothing, over several it is not known which of them traded what. Such a minute is missing,
and not zero. A new count, after a restart of the aggregator, begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import MINUTE, SECOND, Time
from bestex.instruments import Instrument, Instruments
from bestex.sessions import Session, calendar
from bestex.units import plain
from services.recorder.rows import Upsert

SILENCE_NS = (
    5 * SECOND
)  # statistics come once a second; what was traded in less is divided at the full minute


class Volumes:
    """Counts every symbol of the configuration. `days`: what is known of before; each symbol's newest goes on."""

    def __init__(self, instruments: Instruments, days: Iterable[m.VolumeDay] = ()) -> None:
        self._counts = {instrument.symbol: _Count(instrument) for instrument in instruments.all}
        for day in sorted(days, key=lambda day: day.date):
            if day.symbol in self._counts:
                self._counts[day.symbol].resume(day)
        self._changed: dict[str, None] = {}

    def take(self, stats: m.Stats) -> None:
        count = self._counts.get(stats.symbol)
        if count is not None and count.take(stats):
            self._changed[stats.symbol] = None

    def drain(self, now_ns: int) -> list[Upsert]:
        """Rows for the days in which a minute became known since the last call."""
        rows = [row(self._counts[symbol].day(Time(now_ns))) for symbol in self._changed]
        self._changed.clear()
        return rows


def row(day: m.VolumeDay) -> Upsert:
    """As the database holds it, to be published."""
    return Upsert(
        "volumes",
        {"symbol": day.symbol, "date": day.date},
        {"day": codec.to_json(day).decode(), "published_ns": 0},
    )


def subject(day: m.VolumeDay) -> str:
    return subjects.volume(day.symbol, day.date)


class _Count:
    """One symbol's. Quantities in the instrument's units, until they are a day's."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._hours = calendar(instrument.calendar)
        self._at_ns = self._since_ns = self._total = 0
        self._heard_from_ns = 0  # without a silence that would leave a minute in doubt
        self._sum = 0  # of the minute that is not over
        self._session: Session | None = None
        self._minutes: list[Decimal | None] = []

    def resume(self, day: m.VolumeDay) -> None:
        session = self._hours.on(day.date)
        if session is not None and len(day.minutes) == session.minutes:
            self._session, self._minutes = session, list(day.minutes)

    def day(self, at: Time) -> m.VolumeDay:
        assert self._session is not None, "a minute of it is known"
        return m.VolumeDay(
            symbol=self._instrument.symbol,
            date=self._session.date,
            opens_at=Time(self._session.open_ns),
            minutes=list(self._minutes),
            at=at,
        )

    def take(self, stats: m.Stats) -> bool:
        """Whether a minute became known."""
        if stats.counting_since is None or stats.at <= self._at_ns:
            return False
        at_ns, since_ns = int(stats.at), int(stats.counting_since)
        total = self._instrument.qty_units(stats.traded)
        before_ns, traded = self._at_ns, total - self._total
        anew = since_ns != self._since_ns or traded < 0
        self._at_ns, self._since_ns, self._total = at_ns, since_ns, total
        full_ns = at_ns - at_ns % MINUTE
        if not anew and before_ns >= full_ns:
            self._sum += traded
            return False
        if anew or at_ns - before_ns > SILENCE_NS:
            self._heard_from_ns, self._sum = at_ns, 0
            return False
        before_full = traded * (full_ns - before_ns) // (at_ns - before_ns)
        known = self._note(full_ns - MINUTE, self._sum + before_full)
        self._sum = traded - before_full
        return known

    def _note(self, minute_ns: int, qty: int) -> bool:
        """The minute that began then is over."""
        session = self._hours.at(minute_ns)
        if session is None or self._heard_from_ns > minute_ns:
            return False
        if self._session is None or self._session.date != session.date:
            self._session, self._minutes = session, [None] * session.minutes
        minute = session.minute_of(minute_ns)
        assert minute is not None, "the session trades then"
        self._minutes[minute] = plain(self._instrument.qty(qty), self._instrument.qty_scale)
        return True
