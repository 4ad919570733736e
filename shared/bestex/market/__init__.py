"""A seeded model of a market on several venues, for the simulated exchange, for tests and for backtests."""

from bestex.market.dark import DarkFlow
from bestex.market.model import MarketModel, simulate
from bestex.market.presets import PRESETS, Preset, VenueProfile

__all__ = ["PRESETS", "DarkFlow", "MarketModel", "Preset", "VenueProfile", "simulate"]
