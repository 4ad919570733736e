"""Small raw Binance recordings, made by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

START_MS = 1_723_161_255_000
Pairs = list[tuple[str, str]]


class Frames:
    """Lines of one symbol. Time passes 100 ms a line; the receiving clock is `behind_ms` behind."""

    def __init__(self, symbol: str = "BTCUSDT", behind_ms: int = 0) -> None:
        self.symbol = symbol
        self.behind_ms = behind_ms
        self.at_ms = START_MS
        self.lines: list[bytes] = []

    def add(self, frame: Any, delay_ms: int = 5) -> None:
        recv_ns = (self.at_ms + delay_ms - self.behind_ms) * 1_000_000
        self.lines.append(f"{recv_ns} {json.dumps(frame)}".encode())
        self.at_ms += 100

    def spot_depth(self, first: int, last: int, bids: Pairs, asks: Pairs = []) -> None:  # noqa: B006
        body = {"e": "depthUpdate", "E": self.at_ms, "s": self.symbol, "U": first, "u": last}
        stream = f"{self.symbol.lower()}@depth@100ms"
        self.add({"stream": stream, "data": {**body, "b": bids, "a": asks}})

    def futures_depth(self, first: int, last: int, previous: int, bids: Pairs) -> None:
        body = {"e": "depthUpdate", "E": self.at_ms, "T": self.at_ms - 1, "s": self.symbol}
        ids = {"U": first, "u": last, "pu": previous, "b": bids, "a": []}
        self.add({"stream": f"{self.symbol.lower()}@depth@0ms", "data": {**body, **ids}})

    def snapshot(self, last: int, bids: Pairs, asks: Pairs) -> None:
        self.add({"lastUpdateId": last, "bids": bids, "asks": asks})

    def ticker(self, update_id: int, bid: tuple[str, str], ask: tuple[str, str]) -> None:
        body = {"u": update_id, "s": self.symbol, "b": bid[0], "B": bid[1], "a": ask[0], "A": ask[1]}
        self.add({"stream": f"{self.symbol.lower()}@bookTicker", "data": body})

    def trade(self, trade_id: int, price: str, qty: str, *, buyer_is_maker: bool, **more: str) -> None:
        body = {"e": "trade", "E": self.at_ms, "T": self.at_ms, "s": self.symbol, "t": trade_id}
        tail = {"p": price, "q": qty, "m": buyer_is_maker, **more}
        self.add({"stream": f"{self.symbol.lower()}@trade", "data": {**body, **tail}})

    def write(self, path: Path) -> Path:
        path.write_bytes(gzip.compress(b"\n".join(self.lines) + b"\n"))
        return path


def good_spot(symbol: str = "BTCUSDT", behind_ms: int = 0) -> Frames:
    """Two differences before the snapshot, of which it spans the second; then one more, and both tickers."""
    frames = Frames(symbol, behind_ms)
    frames.spot_depth(1, 5, [("99.00", "9.00")])
    frames.ticker(10, ("100.00", "1.50"), ("101.00", "2.00"))
    frames.spot_depth(6, 10, [("100.00", "1.50")])
    frames.snapshot(8, [("100.00", "1.00"), ("98.00", "4.00")], [("101.00", "2.00")])
    frames.spot_depth(11, 12, [("100.00", "0.00")], [("101.00", "3.00")])
    frames.ticker(12, ("98.00", "4.00"), ("101.00", "3.00"))
    frames.trade(7, "101.00", "0.50", buyer_is_maker=False)
    return frames
