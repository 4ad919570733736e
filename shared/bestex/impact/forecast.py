"""An order's impact by what is configured of its symbol, for people who plan it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bestex.clock import DAY, SECOND
from bestex.impact.settings import ImpactSettings
from bestex.impact.venues import BPS, Room, VenueDepth, split_bps, spread

PART_SCALE = 8  # a part is shown in 1e-8 of base: finer than any lot


class VenuePart(msgspec.Struct, frozen=True, kw_only=True):
    """`share` of the venue's displayed depth; `peak_bps` is how far that moves the venue's own price at once."""

    venue: str
    qty: Decimal
    share: float
    peak_bps: float


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Impacts of the whole order in bps: `peak` at its end, `cost` what it pays of it on average (both the
    square-root law), `temporary` the cost of its pace alone (Almgren's K). `at_once`, where depths are configured:
    the mean over the venues if all of it were taken now, by the split that moves all of them alike."""

    symbol: str
    qty: Decimal
    share: float
    peak_bps: float
    cost_bps: float
    temporary_bps: float
    at_once_bps: float | None = None
    venues: tuple[VenuePart, ...] = ()


def forecast(symbol: str, qty: Decimal, seconds: float, settings: ImpactSettings) -> Forecast:
    """`settings` must know volume and volatility. The venues' part ignores lots, and goes as deep as it must."""
    assert settings.daily_volume is not None, "whoever asks has seen to that"
    assert settings.daily_volatility is not None, "whoever asks has seen to that"
    size, volume = float(qty), float(settings.daily_volume)
    sigma_bps = float(settings.daily_volatility) * BPS
    law = settings.law
    venues = {
        name: VenueDepth(
            depth=float(venue.depth), bps_at_depth=venue.depth_bps, half_life_ns=int(venue.half_life)
        )
        for name, venue in settings.venues.items()
    }
    units = int(qty.scaleb(PART_SCALE))
    # The same move everywhere is least: b sqrt(q/D) is one value for all where q is proportional to D / b^2.
    rooms = [
        Room(name, int(float(venue.depth.scaleb(PART_SCALE)) / venue.depth_bps**2), units, 1, 0)
        for name, venue in settings.venues.items()
    ]
    parts = {name: Decimal(part).scaleb(-PART_SCALE) for name, part in spread(units, rooms).items()}
    return Forecast(
        symbol=symbol,
        qty=qty,
        share=size / volume,
        peak_bps=law.peak_bps(size, volume, sigma_bps),
        cost_bps=law.cost_bps(size, volume, sigma_bps),
        temporary_bps=settings.almgren.temporary_bps(size, volume, seconds * SECOND / DAY, sigma_bps),
        at_once_bps=split_bps(venues, {name: float(part) for name, part in parts.items()}) if parts else None,
        venues=tuple(
            VenuePart(
                venue=name,
                qty=part,
                share=float(part / settings.venues[name].depth),
                peak_bps=venues[name].peak_bps(float(part)),
            )
            for name, part in parts.items()
        ),
    )
