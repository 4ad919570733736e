"""What a calibration finds: figures with their confidence, or refusals that say why there is none."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Why(StrEnum):
    """Why a figure is refused."""

    TOO_FEW = "too_few"
    NOT_IDENTIFIED = "not_identified"


class Figure(msgspec.Struct, frozen=True, kw_only=True, tag="figure"):
    """An estimate: its standard error and the ends of its 90 % interval by the bootstrap; of `count` observations."""

    value: float
    standard_error: float
    low: float
    high: float
    count: int


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """No estimate, and the reason in a sentence."""

    why: Why
    text: str


Estimate = Figure | Refused


NO_METAORDERS = Refused(
    why=Why.NOT_IDENTIFIED,
    text="Almgren's gamma and eta need orders whose beginning and end are known; public trades have no owner",
)


class DepthAt(msgspec.Struct, frozen=True, kw_only=True):
    bps: float
    qty: Estimate


class VenueCalibration(msgspec.Struct, frozen=True, kw_only=True):
    """Quantities in base (contracts of an inverse contract). `venue` is empty for all venues together."""

    venue: str
    unit: str
    spread_bps: float | None
    depths: tuple[DepthAt, ...]
    half_life_s: Estimate
    prefactor: Estimate
    exponent: Estimate
    daily_volatility_bps: Estimate
    daily_volume: Estimate


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument. `seconds` looked at, `bucket_s` and `day_s` as asked for."""

    symbol: str
    seconds: float
    bucket_s: float
    day_s: float
    venues: tuple[VenueCalibration, ...]
    together: VenueCalibration
    almgren: Refused = NO_METAORDERS
