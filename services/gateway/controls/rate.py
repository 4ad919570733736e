"""The message rate per venue and account: a token bucket on the decided time. Cancels are not counted.

Kept as one number per bucket, the time at which it would be empty of messages again (the generic cell rate
algorithm, ITU-T I.371): the same bucket, without a timer, and a function of the journal's times.
"""

from __future__ import annotations

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.limits import LimitsConfig
from services.gateway.controls.wanted import Refusal, Wanted

ACCOUNTS_KEPT = 10_000  # per process; a bucket that was not used for as many others' use is full again


class Rate:
    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self.drained_ns: dict[tuple[str, str], int] = {}

    def sent(self, venue: str, account: str, at_ns: int) -> None:
        """A message was decided; whether it leaves or not, it is paid for."""
        key = venue, account
        drained_ns = max(self.drained_ns.pop(key, 0), at_ns)
        self.drained_ns[key] = drained_ns + self._interval_ns(venue)
        if len(self.drained_ns) > ACCOUNTS_KEPT:
            del self.drained_ns[next(iter(self.drained_ns))]

    def check(self, wanted: Wanted, now_ns: int) -> Refusal | None:
        limits = self._limits.of_rate(wanted.venue)
        ahead_ns = self.drained_ns.get((wanted.venue, wanted.account), 0) - now_ns
        if ahead_ns <= (limits.burst - 1) * self._interval_ns(wanted.venue):
            return None
        text = (
            f"more than {limits.per_second:g} messages a second, or {limits.burst} at once, to {wanted.venue}"
        )
        return Refusal(Code.RATE_LIMITED, f"{text} for account {wanted.account}")

    def _interval_ns(self, venue: str) -> int:
        return max(1, round(SECOND / self._limits.of_rate(venue).per_second))
