"""What the router has learned of each venue: does it work now, can it be relied on, how far away is it?"""

from __future__ import annotations

from collections.abc import Collection

from bestex.clock import MS
from bestex.config import Config
from bestex.instruments import BPS_E8
from bestex.messages import ExecEnded, VenueMetrics
from services.router.breakers import Breakers

HOLD_NS_MIN = MS  # below that a message queue decides which child is first
HOLD_NS_MAX = 50 * MS  # a venue that is further away than that is not waited for


class Venues:
    """All of it is merely heard, and empty at first."""

    def __init__(self, config: Config) -> None:
        self._unreliability_bps = config.execution.unreliability_bps
        self._equalise = config.execution.arrive_together
        self._breakers = Breakers(config.breaker)
        self._metrics: dict[str, VenueMetrics] = {}

    def hear(self, metrics: VenueMetrics) -> None:
        self._metrics[metrics.venue] = metrics

    def sent(self, venue: str, now_ns: int) -> None:
        self._breakers.sent(venue, now_ns)

    def ended(self, end: ExecEnded) -> None:
        self._breakers.ended(end)

    def avoid(self, venue: str, now_ns: int) -> str:
        """Why it is not to be used now; empty where it may be."""
        return self._breakers.check(venue, now_ns)

    @property
    def handicaps_e8(self) -> dict[str, int]:
        """By how much a venue counts as dearer than it is, in 1e-8 of the notional: what it does not take or fill has
        to go somewhere else later, at a price that has moved."""
        return {
            venue: round((1.0 - metrics.reliability) * self._unreliability_bps * BPS_E8)
            for venue, metrics in self._metrics.items()
            if metrics.reliability is not None
        }

    def holds_ns(self, venues: Collection[str]) -> dict[str, int]:
        """How long a child for each of these venues is held, so that all arrive together and none warns the others'
        market makers: half the difference of the times until a venue has answered."""
        if not self._equalise or len(venues) < 2:
            return {}
        answers = {
            venue: metrics.ack_ms_p50 * MS / 2
            for venue in venues
            if (metrics := self._metrics.get(venue)) is not None and metrics.ack_ms_p50 is not None
        }
        latest = min(max(answers.values(), default=0.0), min(answers.values(), default=0.0) + HOLD_NS_MAX)
        holds = {venue: round(latest - answer) for venue, answer in answers.items()}
        return {venue: hold for venue, hold in holds.items() if hold >= HOLD_NS_MIN}
