"""Market impact: laws, decay, venue by venue; what is configured of it, and what a recording says."""

from bestex.impact.estimate import Expected, expected_impact
from bestex.impact.laws import Almgren, SquareRoot
from bestex.impact.settings import ImpactSettings, VenueImpact
from bestex.impact.transient import Exponential, Permanent, PowerLaw, Trade, Transient, obizhaeva_wang
from bestex.impact.venues import Room, VenueDepth, split_bps, spread, take

__all__ = [
    "Almgren",
    "Expected",
    "Exponential",
    "ImpactSettings",
    "Permanent",
    "PowerLaw",
    "Room",
    "SquareRoot",
    "Trade",
    "Transient",
    "VenueDepth",
    "VenueImpact",
    "expected_impact",
    "obizhaeva_wang",
    "split_bps",
    "spread",
    "take",
]
