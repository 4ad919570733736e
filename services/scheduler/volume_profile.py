"""What a market is expected to trade and when, from the days before or from the last hour; and from what it has
traded since, what the rest of it will be.

The shape comes from `bestex.volumes`. The day's own volume differs from the typical one by a factor that is not
known in the morning and nearly known in the evening. Its estimate is the mean of a Gamma distribution around 1 that
has seen Poisson counts (conjugate to each other: Gelman et al., Bayesian Data Analysis, 2.6): (prior + traded) /
(prior + expected), where the prior weighs as much as PRIOR of the whole that is expected. With what has been traded,
and the rest of the profile times that factor, the planned share of the order becomes traded / (traded + rest), as in
the dynamic VWAP of Humphery-Jenner (2011, "Optimal VWAP trading under noisy conditions").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from bestex.clock import MINUTE
from bestex.messages import VolumeDay
from bestex.sessions import Calendar, Session
from bestex.volumes import DAYS_KEPT, KNOWN_MIN, Day, Floats, Profile, day_of, profile

SESSIONS_MAX = 31  # that a profile is laid over; a longer order is planned straight
MADE_MAX = 512  # expectations that are kept: one for each order at work, and its changes
# Of the volume expected over the order's time: what the days before weigh against this one. A day's volume differs
# from the typical one by half of it, an order's time from its profile by a sixth: the variances' ratio is a tenth.
PRIOR = 0.1


class Source(NamedTuple):
    """What to expect from: the newest `days`, in buckets of so many minutes; or the last minutes of trading,
    `lookback` of them where that is not 0."""

    days: int
    bucket: int
    lookback: int = 0


class Expected:
    """The volume expected from the first of `times_ns` to each of them, in base, straight in between. Where nothing
    is known it is even, and `is_known` false. `why`: what it is made of."""

    __slots__ = ("_at", "_start_ns", "_totals", "is_known", "times_ns", "why")

    def __init__(self, times_ns: Sequence[int], totals: Sequence[float], is_known: bool, why: str) -> None:
        self.times_ns = tuple(times_ns)
        self.is_known = is_known
        self.why = why
        self._start_ns = self.times_ns[0]
        self._at = np.array([at - self._start_ns for at in self.times_ns], dtype=float)
        self._totals = np.array(totals, dtype=float)

    def until(self, at_ns: int) -> float:
        return float(np.interp(at_ns - self._start_ns, self._at, self._totals))

    @property
    def whole(self) -> float:
        return float(self._totals[-1])

    def share(self, at_ns: int) -> float:
        """From 0 to 1; by time where nothing at all is expected."""
        if self.whole > 0:
            return self.until(at_ns) / self.whole
        return min(max(at_ns - self._start_ns, 0) / max(float(self._at[-1]), 1.0), 1.0)

    def share_given(self, at_ns: int, now_ns: int, traded: float) -> float:
        """The same, where by `now_ns` so much has been traded."""
        so_far, prior = self.until(now_ns), PRIOR * self.whole
        scale = (prior + traded) / (prior + so_far)
        done = traded + scale * (self.until(at_ns) - so_far)
        return done / (traded + scale * (self.whole - so_far))


class VolumeHistory:
    """One symbol's days, as they were heard. What is made of them is kept until a day comes that changes it."""

    def __init__(self) -> None:
        self._days: dict[str, Day] = {}
        self._profiles: dict[tuple[str, int, Source], Profile | None] = {}
        self._made: dict[tuple[str, int, int, Source], Expected] = {}

    def hear(self, message: VolumeDay) -> None:
        """A day, or what of it is known by now. The oldest beyond DAYS_KEPT, and today's, are forgotten."""
        self._days[message.date] = day_of(message)
        if len(self._days) > DAYS_KEPT + 1:
            del self._days[min(self._days)]
        self._profiles = {key: made for key, made in self._profiles.items() if key[0] <= message.date}
        self._made.clear()

    def expected(self, hours: Calendar, start_ns: int, end_ns: int, source: Source) -> Expected:
        key = (hours.name, start_ns, end_ns, source)
        if key not in self._made:
            if len(self._made) >= MADE_MAX:
                self._made.clear()
            self._made[key] = self._expect(hours, start_ns, max(end_ns, start_ns + 1), source)
        return self._made[key]

    def _expect(self, hours: Calendar, start_ns: int, end_ns: int, source: Source) -> Expected:
        sessions = list(islice(hours.between(start_ns, end_ns), SESSIONS_MAX + 1))
        if not sessions or len(sessions) > SESSIONS_MAX:
            text = f"equal parts at equal times: a profile is not laid over more than {SESSIONS_MAX} sessions"
            return Expected((start_ns, end_ns), (0.0, 1.0), False, text)
        if source.lookback:
            rate, why = self._recent(hours, start_ns, source.lookback)
            found = {session.minutes: None if rate is None else _even(session, rate) for session in sessions}
        else:
            first = sessions[0].date
            found = {session.minutes: self._profile(first, session.minutes, source) for session in sessions}
            why = _told(next(iter(found.values())), first)
        is_known = all(found.values())
        pieces = ((session, found[session.minutes] or _even(session, 1.0)) for session in sessions)
        edges = dict(chain.from_iterable(_edges(*piece, source.bucket) for piece in _summed(pieces)))
        whole = Expected(list(edges), list(edges.values()), is_known, why)
        times = [start_ns, *(at for at in edges if start_ns < at < end_ns), end_ns]
        before = whole.until(start_ns)
        return Expected(times, [whole.until(at) - before for at in times], is_known, why)

    def _profile(self, before: str, minutes: int, source: Source) -> Profile | None:
        key = (before, minutes, source)
        if key not in self._profiles:
            dates = sorted(date for date, day in self._days.items() if date < before and day.says_something)
            days = [self._days[date] for date in dates[-source.days :]]
            self._profiles[key] = profile(days, minutes, source.bucket)
        return self._profiles[key]

    def _recent(self, hours: Calendar, before_ns: int, minutes: int) -> tuple[float | None, str]:
        """Base a minute over the last minutes of trading, and a sentence; None where too little of it is known."""
        left = minutes
        parts: list[Floats] = []
        session = hours.before(before_ns - 1)
        while session is not None and left > 0 and len(parts) < SESSIONS_MAX:
            over = session.minute_of(before_ns)
            over = sum(1 for minute in _begins(session) if minute < before_ns) if over is None else over
            day = self._days.get(session.date)
            unknown = np.full(session.minutes, np.nan)
            volumes = unknown if day is None or len(day.volumes) != session.minutes else day.volumes
            parts.append(volumes[:over][-left:])
            left -= len(parts[-1])
            session = hours.previous(session)
        volumes = np.concatenate(parts) if parts else np.empty(0)
        known = volumes[~np.isnan(volumes)]
        if len(known) < max(KNOWN_MIN * minutes, 1) or not known.sum() > 0:
            return None, f"equal parts at equal times: of the last {minutes} minutes no volume is known"
        rate = float(known.mean())
        return rate, f"a steady market, at {rate:.6g} a minute over the last {minutes} minutes"


def _told(found: Profile | None, before: str) -> str:
    if found is None:
        return f"equal parts at equal times: no day before {before} has a known volume"
    dates = found.dates
    span = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"the volume profile of {len(dates)} day{'s' * (len(dates) > 1)}, {span}"


def _even(session: Session, rate: float) -> Profile:
    return Profile(np.full(session.minutes, 1 / session.minutes), rate * session.minutes, ())


def _begins(session: Session) -> Iterator[int]:
    for opens, close in session.parts:
        yield from range(opens, close, MINUTE)


def _summed(
    pieces: Iterator[tuple[Session, Profile]],
) -> Iterator[tuple[Session, Floats]]:
    """Each session with the total expected by each of its minutes' beginnings, and its end."""
    before = 0.0
    for session, found in pieces:
        totals = before + np.concatenate(([0.0], np.cumsum(found.shares * found.volume)))
        before = float(totals[-1])
        yield session, totals


def _edges(session: Session, totals: Floats, bucket: int) -> Iterator[tuple[int, float]]:
    """(time, total) wherever the curve may bend: at every bucket's edge, at opens and closes."""
    minute = 0
    for opens, close in session.parts:
        last = minute + (close - opens) // MINUTE
        first_edge = (minute // bucket + 1) * bucket
        for edge in (minute, *range(first_edge, last, bucket)):
            yield opens + (edge - minute) * MINUTE, float(totals[edge])
        yield close, float(totals[last])
        minute = last
