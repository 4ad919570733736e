"""What is special about an exchange: one file each, and one line here. Every other one is served by the base."""

from __future__ import annotations

from importlib import import_module

from services.gateway.venues.ccxt.quirks.base import Quirk

QUIRKS = {
    "binance": "services.gateway.venues.ccxt.quirks.binance:Binance",
    "binanceusdm": "services.gateway.venues.ccxt.quirks.binance_perp:BinancePerp",
    "bybit": "services.gateway.venues.ccxt.quirks.bybit:Bybit",
    "coinbase": "services.gateway.venues.ccxt.quirks.coinbase:Coinbase",
    "kraken": "services.gateway.venues.ccxt.quirks.kraken:Kraken",
    "okx": "services.gateway.venues.ccxt.quirks.okx:Okx",
}


def quirk_of(exchange: str, market_type: str) -> Quirk:
    """Of the ccxt class `exchange`, for its spot or swap markets."""
    where = QUIRKS.get(exchange)
    if where is None:
        return Quirk(market_type)
    module, _, name = where.partition(":")
    made: Quirk = getattr(import_module(module), name)(market_type)
    return made
