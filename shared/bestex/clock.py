"""Time: integer nanoseconds since 1970 inside, RFC 3339 UTC with microseconds on the durable plane.

Times that enter a core are whole microseconds, so that a time that went through the journal equals the one
that did not.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 3600 * SECOND
DAY = 24 * HOUR
FOREVER_NS = 253_402_300_800 * SECOND  # the year 10000, which RFC 3339 does not have

ENV_CLOCK = "BESTEX_CLOCK"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Time(int):
    """Nanoseconds since 1970 that travel as RFC 3339; always whole microseconds."""

    __slots__ = ()

    def __new__(cls, ns: int) -> Time:
        return super().__new__(cls, ns - ns % US)

    def __str__(self) -> str:
        return rfc3339(self)

    def __repr__(self) -> str:
        return f"Time({rfc3339(self)})"


def rfc3339(ns: int) -> str:
    """`2026-11-20T21:24:50.123456Z`."""
    seconds, rest = divmod(ns, SECOND)
    t = time.gmtime(seconds)
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}"
        f".{rest // US:06d}Z"
    )


def parse_time(text: str) -> Time:
    """RFC 3339 with an offset or Z; ValueError without one, because a local time is a trap."""
    if len(text) == 27 and text[19] == "." and text[26] == "Z":
        # As `rfc3339` writes it, as nearly all are. Neighbours share their second, so that is read once.
        microseconds = text[20:26]
        if microseconds.isascii() and microseconds.isdigit():
            return int.__new__(Time, _second_ns(text[:19]) + int(microseconds) * US)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write 2026-11-20T21:24:50Z")
    return Time((moment - _EPOCH) // timedelta(microseconds=1) * US)


_SECONDS_KEPT = 4_096  # an hour of a history that is read from its beginning


@lru_cache(_SECONDS_KEPT)
def _second_ns(text: str) -> int:
    return (datetime.fromisoformat(f"{text}Z") - _EPOCH) // timedelta(seconds=1) * SECOND


@dataclass(frozen=True)
class AffineClock:
    """now = origin + (wall - wall_origin) x speed. Live: speed 1 and equal origins.

    One such clock is shared by all services of a replayed session, through the environment, so that recording
    time passes for all of them alike.
    """

    origin_ns: int = 0
    wall_origin_ns: int = 0
    speed: float = 1.0

    @property
    def is_live(self) -> bool:
        return self.speed == 1.0 and self.origin_ns == self.wall_origin_ns

    def now_ns(self) -> int:
        """Whole microseconds."""
        wall = time.time_ns()
        if not self.is_live:
            wall = self.origin_ns + int((wall - self.wall_origin_ns) * self.speed)
        return wall - wall % US

    def wall_seconds(self, duration_ns: int) -> float:
        """How long `duration_ns` of this clock takes on the wall, in seconds."""
        return duration_ns / self.speed / SECOND

    def encode(self) -> str:
        return f"{self.origin_ns}:{self.wall_origin_ns}:{self.speed!r}"

    @classmethod
    def from_environment(cls) -> AffineClock:
        """The clock that `bestex up --replay` hands to its services; the wall clock where there is none."""
        return cls.parse(os.environ.get(ENV_CLOCK, ""))

    @classmethod
    def parse(cls, text: str) -> AffineClock:
        """What `encode` wrote; the wall clock for an empty text."""
        if not text:
            return cls()
        origin, wall_origin, speed = text.split(":")
        return cls(int(origin), int(wall_origin), float(speed))
