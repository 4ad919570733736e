"""Small running estimates, all weighted by time and not by the number of updates."""

from __future__ import annotations

from collections import deque
from math import log, sqrt

from bestex.clock import MINUTE, SECOND

NEVER = 2**63 - 1
BASIS_HOLD_NS = MINUTE  # a basis drifts by about a basis point a minute; older ones order venues by guesswork
VOLATILITY_HALF_LIFE_NS = MINUTE
VOLATILITY_MIN_RETURNS = 10  # below that the estimate is mostly chance
VOLATILITY_GAP_NS = 5 * SECOND  # two mids further apart say nothing about one second
STEADINESS_HALF_LIFE_NS = MINUTE
VOLUME_WINDOW_S = 60
USUAL_HALF_LIFE_NS = MINUTE
USUAL_NS_MIN = 10 * SECOND  # of observation; what was seen for a shorter time is not usual yet
VOLUME_RECENT_S = 5


def decay(elapsed_ns: int, half_life_ns: int) -> float:
    """The weight that remains of the past after `elapsed_ns`; 0 where there is no half life."""
    weight: float = 0.5 ** (elapsed_ns / half_life_ns) if half_life_ns > 0 else 0.0
    return weight


class Basis:
    """EWMA of a difference in price units; each value weighs by how long it stood.

    `known_until_ns`: 0 before the first observation, NEVER while something is observed, else
    BASIS_HOLD_NS after the last observation stopped standing.
    """

    __slots__ = ("_at_ns", "_half_life_ns", "_standing", "known_until_ns", "value")

    def __init__(self, half_life_ns: int) -> None:
        self._half_life_ns = half_life_ns
        self._standing = 0.0
        self._at_ns = 0
        self.value = 0.0
        self.known_until_ns = 0

    def observe(self, difference: float, now_ns: int) -> None:
        """From now on `difference` stands. The first one is the estimate, also after a long silence."""
        if self.known_until_ns == NEVER:
            self._advance(now_ns)
        elif now_ns >= self.known_until_ns:
            self.value = difference
        self._standing, self._at_ns, self.known_until_ns = difference, now_ns, NEVER

    def suspend(self, now_ns: int) -> None:
        """Nothing can be observed for now."""
        if self.known_until_ns == NEVER:
            self._advance(now_ns)
            self.known_until_ns = now_ns + BASIS_HOLD_NS

    def _advance(self, now_ns: int) -> None:
        past = decay(max(now_ns - self._at_ns, 0), self._half_life_ns)
        self.value = self._standing + (self.value - self._standing) * past


class Volatility:
    """EWMA of squared log returns of the mid per second, in bps per square root of a second.

    RiskMetrics' estimator (J.P. Morgan, 1996) with a half life instead of lambda, and its start corrected
    for the weights that are still missing, as in Kingma and Ba (2015), section 3.
    """

    __slots__ = ("_at_ns", "_mid", "_sum", "_weight", "returns")

    def __init__(self) -> None:
        self._mid: float | None = None
        self._at_ns = 0
        self._sum = 0.0
        self._weight = 0.0
        self.returns = 0

    def observe(self, mid: float | None, now_ns: int) -> None:
        """The mid of about every second, in any unit; None where there is none."""
        elapsed = now_ns - self._at_ns
        if mid is not None and self._mid is not None and 0 < elapsed <= VOLATILITY_GAP_NS:
            past = decay(elapsed, VOLATILITY_HALF_LIFE_NS)
            squared = log(mid / self._mid) ** 2 * SECOND / elapsed
            self._sum = past * self._sum + (1 - past) * squared
            self._weight = past * self._weight + (1 - past)
            self.returns += 1
        self._mid, self._at_ns = mid, now_ns

    @property
    def bps(self) -> float | None:
        if self.returns < VOLATILITY_MIN_RETURNS:
            return None
        return 1e4 * sqrt(self._sum / self._weight)


class Steadiness:
    """EWMA of how much of the smaller of two successive depths the larger one kept: 1 is a book that stands
    still, 0 one that is never there. Takes both flicker and outages."""

    __slots__ = ("_at_ns", "_depth", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._depth = 0
        self._at_ns = 0

    def observe(self, depth: int, now_ns: int) -> None:
        if self._at_ns:
            most = max(depth, self._depth)
            kept = min(depth, self._depth) / most if most else 0.0
            past = decay(now_ns - self._at_ns, STEADINESS_HALF_LIFE_NS)
            self.value = kept + (self.value - kept) * past
        else:
            self.value = 1.0 if depth else 0.0
        self._depth, self._at_ns = depth, now_ns


class Usual:
    """EWMA of a figure that is looked at about once a second: what it was of late.

    Each value weighs by the time since the look before, and the start is corrected as in `Volatility`.
    """

    __slots__ = ("_at_ns", "_seen_ns", "_sum", "_weight")

    def __init__(self) -> None:
        self._at_ns = self._seen_ns = 0
        self._sum = self._weight = 0.0

    def observe(self, value: float | None, now_ns: int) -> None:
        """None where there is nothing to observe; that time does not count."""
        elapsed = now_ns - self._at_ns if self._at_ns else 0
        if value is not None and elapsed > 0:
            past = decay(elapsed, USUAL_HALF_LIFE_NS)
            self._sum = past * self._sum + (1 - past) * value
            self._weight = past * self._weight + (1 - past)
            self._seen_ns += elapsed
        self._at_ns = now_ns

    @property
    def value(self) -> float | None:
        """None before USUAL_NS_MIN have been seen."""
        return self._sum / self._weight if self._seen_ns >= USUAL_NS_MIN else None


class Volume:
    """What was traded in the last minute, kept by the second, and `ever`, since the count began."""

    __slots__ = ("_seconds", "_total", "ever")

    def __init__(self) -> None:
        self._seconds: deque[list[int]] = deque()
        self._total = 0
        self.ever = 0

    def add(self, qty: int, now_ns: int) -> None:
        second = now_ns // SECOND
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += qty
        else:
            self._seconds.append([second, qty])
            self._forget(second)
        self._total += qty
        self.ever += qty

    def total(self, now_ns: int) -> int:
        self._forget(now_ns // SECOND)
        return self._total

    def recent(self, now_ns: int) -> int:
        """Of the last VOLUME_RECENT_S, the second under way included."""
        first = now_ns // SECOND - VOLUME_RECENT_S
        return sum(qty for second, qty in self._seconds if second >= first)

    def _forget(self, second: int) -> None:
        while self._seconds and self._seconds[0][0] <= second - VOLUME_WINDOW_S:
            self._total -= self._seconds.popleft()[1]
