"""A made-up recording of a spot market and a perpetual 23 below it, in which little happens."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bestex.clock import MS, SECOND
from bestex.feed import DepthUpdate, FeedStream
from bestex.messages import MarketTrade
from bestex.recording import RecordingWriter

START_NS = 1_750_000_000 * SECOND
SPOT, PERP = ("binance_spot", "BTC/USDT"), ("binance_perp", "BTC/USDT:USDT")
MIDS = {SPOT: 60_000_00, PERP: 59_977_00}  # cents
LEVELS = 5
SIZE = 100_000  # one bitcoin at each level


def book(market: tuple[str, str], seq: int, at_ns: int, size: int = SIZE) -> DepthUpdate:
    mid = MIDS[market]
    bids = [(mid - 50 - 100 * i, size) for i in range(LEVELS)]
    asks = [(mid + 50 + 100 * i, size) for i in range(LEVELS)]
    return DepthUpdate(*market, seq, at_ns, at_ns, 2, 5, seq == 1, bids, asks)


def write(path: Path, seconds: int = 60) -> Path:
    """Both books every 100 ms, the outermost size always a little different; a trade every second."""
    kinds: dict[tuple[str, str], Literal["spot", "perp"]] = {SPOT: "spot", PERP: "perp"}
    streams = [
        FeedStream(venue=venue, symbol=symbol, price_scale=2, qty_scale=5, kind=kind)
        for (venue, symbol), kind in kinds.items()
    ]
    with RecordingWriter(path, "made up", streams) as out:
        for i in range(seconds * 10):
            at_ns = START_NS + i * 100 * MS
            for market in (SPOT, PERP):
                update = book(market, i + 1, at_ns)
                if not update.snapshot:
                    outermost = update.bids[-1][0], SIZE + i % 7
                    update = DepthUpdate(*market, i + 1, at_ns, at_ns, 2, 5, False, [outermost], [])
                out.write(update)
                if i % 10 == 9:
                    out.write(MarketTrade(*market, f"t{i}", at_ns, at_ns, 2, 5, MIDS[market] + 50, 100, 1))
    return path
