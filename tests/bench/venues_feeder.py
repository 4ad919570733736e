"""An emulated exchange that floods: `python -m tests.bench.venues_feeder binance_perp|bybit_perp`.

Says where it serves, then takes lines `<count> <per second>` from its standard input (0: as fast as it is read), and
sends so many messages, each fourth a trade, to whoever has subscribed; it answers each line with the numbers of the
last update and of the last trade. `mark` sends two updates, of which one makes a bid of MARK the best and the next
takes it away, and a trade: who has heard of these has heard of all before. Everything but these messages (markets,
time, snapshots) is the emulator's own.

Levels are those of a recorded perpetual, five of each side in an update (`tests.bench.diffs`). They are written to
the sockets as they are, several in a row, so that the feeder is never what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count as counting
from itertools import cycle
from pathlib import Path
from typing import Any

from tests.bench.diffs import imitated, recorded
from tests.contract.rigs import BINANCE_PERP, BYBIT_PERP
from tests.emulators.server import Emulator, Socket

LEVELS = 5
TRADE_EVERY = 4
BURST = 16  # messages in one write, as they arrive in one segment
BUFFERED_MAX = 1 << 18  # bytes that the other end has not taken yet
RIGS = {rig.venue: rig for rig in (BINANCE_PERP, BYBIT_PERP)}
SYMBOL = "BTCUSDT"
TRADES = counting(1)
SEQ_AHEAD = 1_000_000  # of what the emulator has counted by itself

MARK = "999999.00"
MARKS = (f'[["{MARK}","1"]]', f'[["{MARK}","0"]]')

Depth = Callable[[int, int, str, str], bytes]  # (number, time in ms, bids, asks) to a message
Trade = Callable[[int, int], bytes]  # (number, time in ms)


def levels() -> Iterator[tuple[str, str]]:
    _, _, bids, asks = recorded() or imitated()
    starts = range(0, min(len(bids), len(asks)) - LEVELS, LEVELS)
    return cycle([(json.dumps(bids[at : at + LEVELS]), json.dumps(asks[at : at + LEVELS])) for at in starts])


def binance() -> tuple[Depth, Trade]:
    def depth(number: int, now_ms: int, bids: str, asks: str) -> bytes:
        return (
            f'{{"e":"depthUpdate","E":{now_ms},"T":{now_ms},"s":"{SYMBOL}","U":{number},"u":{number},'
            f'"pu":{number - 1},"b":{bids},"a":{asks}}}'
        ).encode()

    def trade(number: int, now_ms: int) -> bytes:
        return (
            f'{{"e":"trade","E":{now_ms},"T":{now_ms},"s":"{SYMBOL}","t":{number},"p":"61800.10","q":"0.013",'
            f'"X":"MARKET","m":true}}'
        ).encode()

    return depth, trade


def bybit() -> tuple[Depth, Trade]:
    def depth(number: int, now_ms: int, bids: str, asks: str) -> bytes:
        return (
            f'{{"topic":"orderbook.50.{SYMBOL}","type":"delta","ts":{now_ms},"data":{{"s":"{SYMBOL}",'
            f'"b":{bids},"a":{asks},"u":{number},"seq":{number + SEQ_AHEAD}}},"cts":{now_ms}}}'
        ).encode()

    def trade(number: int, now_ms: int) -> bytes:
        return (
            f'{{"topic":"publicTrade.{SYMBOL}","type":"snapshot","ts":{now_ms},"data":[{{"T":{now_ms},'
            f'"s":"{SYMBOL}","S":"Sell","v":"0.013","p":"61800.10","L":"ZeroMinusTick","i":"{number}","BT":false}}]}}'
        ).encode()

    return depth, trade


def framed(payload: bytes) -> bytes:
    """A text frame of RFC 6455, from a server."""
    size = len(payload)
    return (bytes([0x81, size]) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + payload


def hearing(emulator: Emulator, what: str) -> list[Socket]:
    return [one for one in emulator.sockets if any(what in topic for topic in one.topics)]


class Feed:
    """`number`: of the last update, and so of a snapshot. Nothing happens while nobody hears."""

    def __init__(self, emulator: Any, symbol: str, make: tuple[Depth, Trade]) -> None:
        self._emulator, self._make = emulator, make
        self._levels, self.trade = levels(), 0
        self.number: int = emulator.engine.markets[symbol].last_id

    def snapshot(self, _: Any) -> dict[str, Any]:
        """Binance's; what it has no levels of the updates have, sooner or later."""
        now_ms = self._emulator.now_ms()
        return {"lastUpdateId": self.number, "E": now_ms, "T": now_ms, "bids": [], "asks": []}

    def views(self) -> list[Any]:
        """Bybit's."""
        return list(getattr(self._emulator, "views", {}).values())

    async def mark(self) -> None:
        now_ms, (depth, trade) = self._emulator.now_ms(), self._make
        books = [depth(self._next(), now_ms, bids, "[]") for bids in MARKS]
        self.trade = next(TRADES)
        await self._put([framed(one) for one in books], [framed(trade(self.trade, now_ms))])

    def _next(self) -> int:
        self.number = 1 + max((view.number for view in self.views()), default=self.number)
        for view in self.views():
            view.number = self.number
        return self.number

    async def send(self, count: int, per_s: int) -> None:
        depth, trade = self._make
        if not hearing(self._emulator, "depth") and not hearing(self._emulator, "orderbook"):
            return
        began, sent = time.monotonic(), 0
        while sent < count:
            if per_s:
                await asyncio.sleep(max(began + sent / per_s - time.monotonic(), 0))
            now_ms = self._emulator.now_ms()
            books, trades = [], []
            for place in range(sent, min(sent + BURST, count)):
                if place % TRADE_EVERY == TRADE_EVERY - 1:
                    self.trade = next(TRADES)
                    trades.append(framed(trade(self.trade, now_ms)))
                else:
                    books.append(framed(depth(self._next(), now_ms, *next(self._levels))))
            sent += BURST
            await self._put(books, trades)
            await asyncio.sleep(0)

    async def _put(self, books: list[bytes], trades: list[bytes]) -> None:
        for what, messages in (("depth", books), ("orderbook", books), ("rade", trades)):
            for socket in hearing(self._emulator, what):
                transport = socket.request.transport
                if transport is None:
                    continue  # has left
                transport.write(b"".join(messages))
                while transport.get_write_buffer_size() > BUFFERED_MAX:  # noqa: ASYNC110 - it sets no event
                    await asyncio.sleep(0.0005)


async def main(venue: str) -> None:
    rig = RIGS[venue]
    with tempfile.TemporaryDirectory(prefix="bestex-bench-") as folder:
        emulator: Any = rig.make(Path(folder), market="none")
        feed = Feed(emulator, rig.symbol, (binance if venue.startswith("binance") else bybit)())
        emulator._depth_snapshot = feed.snapshot
        await emulator.start()
        print(json.dumps(emulator.url), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            if line.strip() == "mark":
                await feed.mark()
            else:
                await feed.send(*map(int, line.split()))
            print(json.dumps([feed.number, feed.trade]), flush=True)
        await emulator.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
