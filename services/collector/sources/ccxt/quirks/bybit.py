"""Bybit: `u` counts the updates of a symbol one by one, and a snapshot begins anew whenever the venue likes. `seq` is
the matching engine's own and only grows, whatever else is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from bestex.clock import MS
from services.collector.sources.ccxt.quirks.base import BUY_SELL, Quirk, Watch
from services.collector.sources.ccxt.stream import FeedBroken, Stream, Streams


class Bybit(Quirk):
    BOOK_LIMIT = 50  # at 20 ms; 200 come at 100 ms
    MARKET_TYPES: ClassVar[Mapping[str, Sequence[str]]] = {"spot": ["spot"], "swap": ["linear"]}

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._last: dict[str, tuple[int, int]] = {}  # u and seq

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002
        topic = message.get("topic", "") if isinstance(message, dict) else ""
        if topic.startswith("orderbook."):
            data = message["data"]
            stream = self.streams.by_id.get(data["s"])
            if stream is not None:
                at_ns = int(message.get("cts") or message["ts"]) * MS
                self._book(stream, message["type"] == "snapshot", data, at_ns, recv_ns)
            return True
        if topic.startswith("tickers."):
            data = message["data"]
            stream = self.streams.by_id.get(data["symbol"])
            if stream is not None and stream.listing.kind == "perp":
                said = (
                    data.get(name) for name in ("markPrice", "indexPrice", "fundingRate", "nextFundingTime")
                )
                stream.mark(int(message["ts"]) * MS, recv_ns, *said)
            return True
        if topic.startswith("publicTrade."):
            for trade in message["data"]:
                stream = self.streams.by_id.get(trade["s"])
                if stream is not None:
                    price, qty = trade["p"], trade["v"]
                    stream.trade(
                        str(trade["i"]), int(trade["T"]) * MS, recv_ns, price, qty, BUY_SELL[trade["S"]]
                    )
            return True
        return False

    def marks(self, exchange: Any) -> Iterator[Watch]:
        """They stand in the tickers, which say what has changed."""
        symbols = self.perpetuals
        yield lambda: exchange.watch_tickers(symbols)

    def _book(self, stream: Stream, whole: bool, data: Any, at_ns: int, recv_ns: int) -> None:
        u, seq = int(data["u"]), int(data.get("seq") or 0)
        bids, asks = stream.pairs(data["b"]), stream.pairs(data["a"])
        if whole:
            self._last[stream.symbol] = u, seq
            stream.whole(u, at_ns, recv_ns, bids, asks)
            return
        last = self._last.get(stream.symbol)
        if last is None:
            raise FeedBroken(f"{stream.symbol}: an update before the snapshot")
        if u != last[0] + 1 or seq < last[1]:
            raise FeedBroken(f"{stream.symbol}: update {u} ({seq}) follows {last[0]} ({last[1]})")
        self._last[stream.symbol] = u, seq
        stream.change(u, at_ns, recv_ns, bids, asks)
