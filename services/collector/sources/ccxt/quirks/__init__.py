"""What is special about an exchange's market data: one file each, and one line here. ccxt serves every other one."""

from __future__ import annotations

from importlib import import_module

from services.collector.sources.ccxt.quirks.base import Quirk

_HERE = "services.collector.sources.ccxt.quirks"
QUIRKS = {
    "binance": f"{_HERE}.binance:Binance",
    "binanceusdm": f"{_HERE}.binance:Binance",
    "binancecoinm": f"{_HERE}.binance:Binance",
    "binanceus": f"{_HERE}.binance:Binance",
    "bybit": f"{_HERE}.bybit:Bybit",
    "okx": f"{_HERE}.okx:Okx",
    "kraken": f"{_HERE}.kraken:Kraken",
    "coinbase": f"{_HERE}.coinbase:Coinbase",
}


def quirk_of(exchange: str) -> type[Quirk]:
    """Of the ccxt class `exchange`."""
    where = QUIRKS.get(exchange)
    if where is None:
        return Quirk
    module, _, name = where.partition(":")
    made: type[Quirk] = getattr(import_module(module), name)
    return made
