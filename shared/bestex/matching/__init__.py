"""The simulated exchange, pure: a matching engine for each market, and an exchange of many venues."""

from bestex.matching.book import Order
from bestex.matching.exchange import SimExchange
from bestex.matching.market import Market
from bestex.matching.sweep import Match
from bestex.matching.venue import Print

__all__ = ["Market", "Match", "Order", "Print", "SimExchange"]
