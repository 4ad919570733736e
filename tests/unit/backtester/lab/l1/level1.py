"""Level-1 files for tests: rows as they are written, and a short simulated day of three venues."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from bestex.clock import SECOND
from bestex.instruments import Instrument, Listing
from bestex.market import simulate
from services.backtester.lab.l1 import files
from services.backtester.lab.l1.quotes import Level1, Terms, read

START_NS = 1_750_000_000 * SECOND
VENUES = ("P", "Q", "R")
STOCK = Instrument(
    symbol="ABC/EUR",
    price_scale=4,
    qty_scale=0,
    listings=tuple(Listing(venue=venue, symbol="ABC", tick=100) for venue in VENUES),
)
START_PRICE = 340_000


class Row(NamedTuple):
    """`at_s` counts seconds from the file's start; prices in cents."""

    at_s: float
    venue: int
    ask: int
    ask_size: int
    bid: int = 0
    bid_size: int = 0


def write(path: Path, rows: Iterable[Row]) -> Path:
    lines = [",".join(files.COLUMNS)]
    for row in rows:
        prices = [Decimal(price).scaleb(-2) for price in (row.ask, row.bid)]
        lines.append(
            f"{START_NS + int(row.at_s * SECOND)},{row.venue},{prices[0]},{row.ask_size},{prices[1]},{row.bid_size}"
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def quotes(path: Path, rows: Iterable[Row], sign: int = 1, terms: Terms | None = None) -> Level1:
    return read(write(path, rows), sign, terms or Terms())


def day(path: Path, seed: int, hours: float) -> Path:
    """A part of a simulated day of a stock on three venues."""
    events = simulate(STOCK, "equity", seed, hours * 3600, START_PRICE, START_NS)
    files.write(path, files.of_events(events, VENUES), 4, 0)
    return path
