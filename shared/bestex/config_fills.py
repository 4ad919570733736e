"""`[exchange.fills]`: how a simulated venue fills what rests, and how long the ways to it are.

    [exchange.fills]
    queue = "power3"          # who cancels: those before us or those behind
    exponent = 3.0

    [exchange.fills.there]    # an order's way; `back` is an answer's, `data` that of market data
    kind = "lognormal"
    median = "2ms"
    sigma = 0.4

    [exchange.fills.venues.sim_b]   # in place of all of the above, for this venue
    queue = "share"
    ahead_share = "30%"

Where no way is given it takes the venue's `latency`, else `exchange.latency`, every time. The models are in
`queues`, `refill`, `fees` and `latency` of `bestex.matching`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from bestex.clock import MS, SECOND
from bestex.config_terms import FeeTier, Name, Section
from bestex.human import Duration, Ratio
from bestex.instruments import BPS_E8

REFILL_NS_MIN = 250 * MS  # faster than any book that was measured
LATENCY_NS_MAX = 60 * SECOND  # of a way; what takes longer has been lost


class LatencyConfig(Section, frozen=True, kw_only=True):
    """One way. `constant` takes `median` every time, `lognormal` is spread around it by `sigma` (of the logarithm);
    `recorded` draws from the `file`, which has a duration a line, such as 1.8ms."""

    kind: Literal["constant", "lognormal", "recorded"] = "constant"
    median: Duration = Duration(2 * MS)
    sigma: Annotated[float, Meta(ge=0, le=3)] = 0.0
    file: str = ""

    def problem(self) -> str:
        """Empty where there is none."""
        if (self.kind == "recorded") != bool(self.file):
            return 'file: is what kind = "recorded" needs, and no other'
        return "" if self.median <= LATENCY_NS_MAX else "median: must be a minute or less"


class VenueFills(Section, frozen=True, kw_only=True):
    """`queue` says of what is canceled at an order's price how much of it stood before the order. `exponent` is for
    `power`, `power2` and `power3`, `ahead_share` for `share`, `half_life` for `aged`. `refill` is the half-life in
    which what our takers took of a displayed size is there again by itself; without one only the feed refills.
    `fee_tiers`: fees of whoever has traded `volume` there, in quote, in place of the listings'.
    """

    queue: Literal[
        "risk_averse", "optimistic", "share", "power", "power2", "power3", "log", "log2", "aged"
    ] = "risk_averse"
    exponent: Annotated[float, Meta(gt=0, le=10)] = 3.0
    ahead_share: Ratio = Ratio(0.5)
    half_life: Duration = Duration(10 * SECOND)
    refill: Duration | None = None
    fee_tiers: list[FeeTier] = []
    there: LatencyConfig | None = None
    back: LatencyConfig | None = None
    data: LatencyConfig | None = None

    def problem(self) -> str:
        """The first setting that makes no sense, with its path below the section; empty where there is none."""
        if not 0 <= self.ahead_share <= 1:
            return f"ahead_share: {self.ahead_share} must be from 0% to 100%"
        if self.half_life <= 0:
            return "half_life: must be longer than nothing"
        if self.refill is not None and self.refill < REFILL_NS_MIN:
            return "refill: must be 250ms or more"
        for number, tier in enumerate(self.fee_tiers, 1):
            if tier.volume < 0 or any(bps * BPS_E8 % 1 for bps in (tier.taker_bps, tier.maker_bps)):
                return f"fee_tiers: tier {number} needs a volume from 0 on and fees of at most 4 digits"
        for name, way in (("there", self.there), ("back", self.back), ("data", self.data)):
            if way is not None and (wrong := way.problem()):
                return f"{name}.{wrong}"
        return ""


class FillsConfig(VenueFills, frozen=True, kw_only=True):
    """For every venue but those of `venues`, of which each has a section of its own."""

    venues: dict[Name, VenueFills] = {}

    def of(self, venue: str) -> VenueFills:
        return self.venues.get(venue, self)

    def problems(self) -> Iterator[str]:
        if wrong := self.problem():
            yield wrong
        for name, venue in self.venues.items():
            if wrong := venue.problem():
                yield f"venues.{name}.{wrong}"
