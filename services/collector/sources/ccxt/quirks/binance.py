"""Binance, spot, USD-M and COIN-M: `U` and `u` (spot) or `pu` and `u` chain the updates of a symbol, and a snapshot
over REST begins the chain. The rules are those of recordings, and so is the code (`bestex.importers.binance_book`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bestex.clock import MS
from bestex.importers.binance_book import BookBuilder, Diff, Snapshot
from services.collector.sources.ccxt.anew import noted
from services.collector.sources.ccxt.quirks.base import Quirk
from services.collector.sources.ccxt.stream import FeedBroken, Stream, Streams

SNAPSHOT_LEVELS = 1_000
SNAPSHOTS_AT_ONCE = 4  # each weighs as much as fifty other requests
# A snapshot that is older than the first update that was heard is asked for again, after twice as long each time.
AGAIN_S, AGAIN_S_MAX = 0.25, 4.0
TRIES_MAX = 8


class Binance(Quirk):
    SAYS_EACH = True
    MARKET_TYPES: ClassVar[Mapping[str, Sequence[str]]] = {"spot": ["spot"], "swap": ["linear"]}

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._builders = {symbol: _builder(stream) for symbol, stream in streams.by_symbol.items()}
        self._fetches: dict[str, asyncio.Task[None]] = {}
        self._at_once = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)

    def prepare(self, exchange: Any) -> None:
        def subscribed(client: Any, message: Any, subscription: Any) -> None:  # noqa: ARG001 - ccxt's
            for symbol in self.streams.by_symbol:
                self._fetch(exchange, symbol)

        exchange.handle_order_book_subscription = subscribed  # instead of ccxt's own snapshot

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002
        if not isinstance(message, dict):
            return False
        body = message.get("data", message) if "stream" in message else message
        kind = body.get("e") if isinstance(body, dict) else None
        if kind == "depthUpdate":
            stream = self.streams.by_id.get(body["s"])
            if stream is not None:
                self._diff(exchange, stream, body, recv_ns)
            return True
        if kind in ("trade", "aggTrade"):
            stream = self.streams.by_id.get(body["s"])
            if stream is not None:
                trade_id = str(body["t"] if kind == "trade" else body["a"])
                aggressor = -1 if body["m"] else 1
                stream.trade(trade_id, body["T"] * MS, recv_ns, body["p"], body["q"], aggressor)
            return True
        if kind == "bookTicker" or (kind is None and isinstance(body, dict) and "B" in body and "A" in body):
            stream = self.streams.by_id.get(body["s"])
            if stream is not None:
                at_ns = body.get("T", body.get("E", 0)) * MS  # spot says none
                stream.bbo(body["u"], at_ns, recv_ns, (body["b"], body["B"]), (body["a"], body["A"]))
            return True
        if kind == "markPriceUpdate":
            stream = self.streams.by_id.get(body["s"])
            if stream is not None:
                stream.mark(body["E"] * MS, recv_ns, body["p"], body.get("i"), body.get("r"), body.get("T"))
            return True
        return False

    def _diff(self, exchange: Any, stream: Stream, body: Any, recv_ns: int) -> None:
        builder = self._builders[stream.symbol]
        event_ns = body["E"] * MS
        bids, asks = stream.pairs(body["b"]), stream.pairs(body["a"])
        change = builder.on_diff(Diff(body["U"], body["u"], body.get("pu"), event_ns, bids, asks))
        if change is not None:
            self._tell(stream, change, body.get("T", body["E"]) * MS, recv_ns)
        else:
            self.streams.books += 1  # it waits for a snapshot; the connection carries books all the same
        if builder.needs_snapshot:
            self._fetch(exchange, stream.symbol)

    def _tell(self, stream: Stream, change: Any, venue_ns: int, recv_ns: int) -> None:
        builder = self._builders[stream.symbol]
        if not change.whole:
            stream.change(builder.last_id, venue_ns, recv_ns, change.bids, change.asks)
        elif builder.is_known:
            stream.whole(builder.last_id, venue_ns, recv_ns, change.bids, change.asks)
        else:
            stream.unknown(recv_ns)
            noted(stream, "an update is missing", "gap")

    def disagree(self, exchange: Any, stream: Stream, recv_ns: int, why: str) -> None:
        """A snapshot is all that is needed: the updates go on."""
        self._builders[stream.symbol].distrust()
        stream.unknown(recv_ns)
        noted(stream, why, "disagreement")
        self._fetch(exchange, stream.symbol)

    def _fetch(self, exchange: Any, symbol: str) -> None:
        if symbol not in self._fetches:
            self._fetches[symbol] = asyncio.create_task(self._snapshot(exchange, symbol))

    async def _snapshot(self, exchange: Any, symbol: str) -> None:
        """Until there is one that the updates join."""
        stream, builder = self.streams.by_symbol[symbol], self._builders[symbol]
        market = exchange.market(symbol)
        ask = exchange.publicGetDepth
        if market["contract"]:
            ask = exchange.fapiPublicGetDepth if market["linear"] else exchange.dapiPublicGetDepth
        pause_s, tries = AGAIN_S, 0
        try:
            while builder.needs_snapshot:
                if tries == TRIES_MAX:
                    raise FeedBroken(f"{symbol}: {tries} snapshots were all too old")
                if tries:
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, AGAIN_S_MAX)
                tries += 1
                async with self._at_once:
                    said = await ask({"symbol": stream.market_id, "limit": SNAPSHOT_LEVELS})
                bids, asks = stream.read(said["bids"]), stream.read(said["asks"])
                change = builder.on_snapshot(Snapshot(int(said["lastUpdateId"]), bids, asks))
                if change is not None:
                    venue_ns = int(said.get("T") or said.get("E") or 0) * MS
                    self._tell(stream, change, venue_ns, self.now_ns())
        except Exception as error:  # noqa: BLE001 - without a snapshot there is no book: the session ends
            self.broken(error)
        finally:
            del self._fetches[symbol]

    async def stop(self) -> None:
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()


def _builder(stream: Stream) -> BookBuilder:
    return BookBuilder(stream.prices.scale, stream.qtys.scale, compares=False)
