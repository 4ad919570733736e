"""`[impact."BTC/USDT"]`: what is known of a symbol's impact. `bestex impact calibrate --toml` writes such sections.

Without one, the published coefficients hold, and what depends on the symbol (its volume, its volatility) is
unknown: estimates then come from the displayed book alone.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from bestex.clock import SECOND
from bestex.human import Duration, Ratio
from bestex.impact.laws import Almgren, SquareRoot


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections here: as those of `bestex.config`."""


class VenueImpact(Settings, frozen=True, kw_only=True):
    """`depth` is base shown on one side within `depth_bps` of the venue's mid on average; `half_life` the time in
    which half of what was taken near the touch is there again. Its default: recorded bitcoin books show 1.2 and
    1.5 s, and no more exactly than between .5 and 7 s."""

    depth: Decimal
    depth_bps: Annotated[float, Meta(gt=0, le=1_000)] = 5.0
    half_life: Duration = Duration(SECOND)


class ImpactSettings(Settings, frozen=True, kw_only=True):
    """`prefactor` and `exponent` of the square-root law, `gamma`, `eta` of Almgren's; `daily_volatility` of the mid,
    `daily_volume` in base over the venues listed; `half_life` of what decays of an impact."""

    prefactor: Annotated[float, Meta(gt=0, le=100)] = 1.0
    exponent: Annotated[float, Meta(gt=0, le=1)] = 0.5
    gamma: Annotated[float, Meta(gt=0, le=100)] = 0.314
    eta: Annotated[float, Meta(gt=0, le=100)] = 0.142
    daily_volatility: Ratio | None = None
    daily_volume: Decimal | None = None
    half_life: Duration = Duration(SECOND)
    venues: dict[str, VenueImpact] = {}

    @property
    def law(self) -> SquareRoot:
        return SquareRoot(prefactor=self.prefactor, exponent=self.exponent)

    @property
    def almgren(self) -> Almgren:
        return Almgren(gamma=self.gamma, eta=self.eta)

    def problem(self) -> str:
        """The first setting that makes no sense, with its path below the section; empty where there is none."""
        if self.daily_volume is not None and not _is_size(self.daily_volume):
            return f"daily_volume: {self.daily_volume} must be above zero"
        if self.daily_volatility is not None and not 0 < self.daily_volatility <= 10:
            return f"daily_volatility: {self.daily_volatility} must be above 0% and at most 1000%"
        if self.half_life <= 0:
            return "half_life: must be longer than nothing"
        for name, venue in self.venues.items():
            if not _is_size(venue.depth):
                return f"venues.{name}.depth: {venue.depth} must be above zero"
            if venue.half_life <= 0:
                return f"venues.{name}.half_life: must be longer than nothing"
        return ""


class OwnImpact(Settings, frozen=True, kw_only=True):
    """`[exchange.own_impact]`: how the market model's makers answer what our own takers take. Off by default.

    The price moves by `move_bps` for each median best size of the preset's first venue that is taken, on all venues
    and linearly; `permanent` of it stays, and half of the rest is gone after `half_life`. A recording cannot answer.
    """

    move_bps: Annotated[float, Meta(ge=0, le=1_000)] = 0.0
    permanent: Ratio = Ratio(0.3)
    half_life: Duration = Duration(5 * SECOND)

    def problem(self) -> str:
        """As that of `ImpactSettings`."""
        if not 0 <= self.permanent <= 1:
            return f"permanent: {self.permanent} must be from 0% to 100%"
        return "" if self.half_life > 0 else "half_life: must be longer than nothing"


def _is_size(value: Decimal) -> bool:
    return value.is_finite() and value > 0
