"""How long the way between a client and a simulated venue takes: always the same, spread, or as it was recorded.

Drawn from a seed of the venue and the direction, so that the ways of one do not depend on what is sent to another.
What is sent later on one way arrives later: a connection keeps its order.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import NamedTuple

from bestex.clock import US
from bestex.config_fills import LATENCY_NS_MAX, LatencyConfig, VenueFills
from bestex.errors import ConfigError
from bestex.human import Duration
from bestex.ids import digest

RECORDED_MAX = 1_000_000  # latencies of a file: a day of ten a second


class Way:
    """Times in ns. ConfigError where a file of latencies cannot be read or holds none."""

    def __init__(self, settings: LatencyConfig | int, seed: int, *name: str) -> None:
        """`settings` as a number: that long, every time."""
        self._settings = settings
        self._rng = Random(digest("way", seed, *name))
        self._last_ns = 0
        self._recorded = (
            _recorded(Path(settings.file))
            if isinstance(settings, LatencyConfig) and settings.kind == "recorded"
            else []
        )

    def draw_ns(self) -> int:
        """How long one message takes."""
        of = self._settings
        if isinstance(of, int):
            return of
        if of.kind == "recorded":
            return self._rng.choice(self._recorded)
        if of.kind == "constant" or not of.sigma:
            return int(of.median)
        spread = math.exp(of.sigma * self._rng.gauss(0.0, 1.0))
        return min(int(of.median * spread) // US * US, LATENCY_NS_MAX)

    def arrival_ns(self, now_ns: int) -> int:
        """When what leaves now is there: not before what left earlier. In order of time."""
        self._last_ns = max(now_ns + self.draw_ns(), self._last_ns)
        return self._last_ns


class Ways(NamedTuple):
    """Of one venue: an order's way there, an answer's way back, and that of its market data."""

    there: Way
    back: Way
    data: Way


def ways(venue: str, fills: VenueFills, usual_ns: int, seed: int) -> Ways:
    """`usual_ns` for a way of which nothing special is configured. ConfigError as `Way`."""
    chosen = {"there": fills.there, "back": fills.back, "data": fills.data}
    return Ways(
        **{name: Way(usual_ns if of is None else of, seed, venue, name) for name, of in chosen.items()}
    )


def _recorded(path: Path) -> list[int]:
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
        found = [int(Duration.parse(line)) for line in lines if line and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not 0 < len(found) <= RECORDED_MAX:
        raise ConfigError(f"{path}: holds {len(found)} latencies; there must be 1 to {RECORDED_MAX}")
    if max(found) > LATENCY_NS_MAX:
        raise ConfigError(f"{path}: a latency above a minute is none")
    return [ns - ns % US for ns in found]
