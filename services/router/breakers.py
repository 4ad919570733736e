"""A circuit breaker for each venue: what fails again and again is left alone for a while, longer each time.

closed     it is used; failures in a row are counted
open       it is not used until a time
half-open  the time is over: one decision may try it; what comes of that closes the breaker or opens it for longer

A failure is a child that the venue did not take for a reason of its own, or about which it never answered. One that
it worked, however it ended, is a success. All is merely heard: a router that starts anew tries every venue again.
"""

from __future__ import annotations

from dataclasses import dataclass

from bestex.clock import SECOND
from bestex.config import BreakerConfig
from bestex.errors import Code
from bestex.messages import ExecCanceled, ExecEnded, ExecExpired, ExecFilled, ExecRejected

FAULTS = frozenset({Code.TIMEOUT, Code.VENUE_DOWN, Code.VENUE_REJECTED, Code.RATE_LIMITED, Code.NOT_READY})
DOUBLINGS_MAX = 20
TRIAL_NS_MAX = 30 * SECOND  # what became of a trial is known by then, or another one may be made


@dataclass(slots=True)
class _Breaker:
    failures: int = 0
    opened: int = 0  # times in a row without a success between
    until_ns: int = 0
    trial_ns: int = 0
    why: str = ""


class Breakers:
    def __init__(self, config: BreakerConfig) -> None:
        self._config = config
        self._venues: dict[str, _Breaker] = {}

    def sent(self, venue: str, now_ns: int) -> None:
        """A child goes there; where the breaker is half-open, it is the trial."""
        breaker = self._venues.get(venue)
        if breaker is not None and breaker.opened:
            breaker.trial_ns = now_ns

    def ended(self, end: ExecEnded) -> None:
        if isinstance(end, ExecFilled | ExecExpired | ExecCanceled):
            self._venues.pop(end.venue, None)
        elif isinstance(end, ExecRejected) and end.code in FAULTS:
            self._failed(self._venues.setdefault(end.venue, _Breaker()), end)

    def _failed(self, breaker: _Breaker, end: ExecRejected) -> None:
        if end.at < breaker.until_ns:
            return  # it was sent before the breaker opened
        breaker.failures += 1
        breaker.why = f"{end.code}: {end.text}"
        if breaker.opened or breaker.failures >= self._config.failures:
            pause_ns = int(self._config.pause) << min(breaker.opened, DOUBLINGS_MAX)
            breaker.until_ns = end.at + min(pause_ns, int(self._config.max_pause))
            breaker.opened += 1
            breaker.failures = breaker.trial_ns = 0

    def check(self, venue: str, now_ns: int) -> str:
        """Why the venue is not to be used now; empty where it may be."""
        breaker = self._venues.get(venue)
        if breaker is None or not breaker.opened:
            return ""
        if now_ns < breaker.until_ns:
            seconds = (breaker.until_ns - now_ns) / SECOND
            return f"{Code.BREAKER_OPEN}: for {seconds:.1f} s more after {breaker.why}"
        if breaker.trial_ns and now_ns < breaker.trial_ns + TRIAL_NS_MAX:
            return f"{Code.BREAKER_OPEN}: it is being tried after {breaker.why}"
        return ""
