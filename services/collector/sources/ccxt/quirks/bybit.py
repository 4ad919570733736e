"""Bybit: `u` counts the updates of a symbol one by one, and a snapshot begins anew whenever the venue likes. `seq` is
the matching engine's own and only grows, whatever else is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from bestex.clock import MS
from services.collector.sources.ccxt.quirks.base import BUY_SELL, Quirk, Watch
from services.collector.sources.ccxt.stream import FeedBroken, Stream, Streams


class Bybit(Quirk):
    RESUBSCRIBES = SAYS_EACH = True
    BOOK_LIMIT = 50  # at 20 ms; 200 come at 100 ms
    MARKET_TYPES: ClassVar[Mapping[str, Sequence[str]]] = {"spot": ["spot"], "swap": ["linear"]}

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._last: dict[str, tuple[int, int]] = {}  # u and seq

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002 - ccxt's
        topic = message.get("topic", "") if isinstance(message, dict) else ""
        if not topic:
            return self._answered(message)
        if topic.startswith("orderbook.1."):  # always whole
            data = message["data"]
            stream = self.streams.by_id.get(data["s"])
            if stream is not None:
                at_ns = int(message.get("cts") or message["ts"]) * MS
                bid, ask = (data[side][0] if data[side] else (None, None) for side in ("b", "a"))
                stream.bbo(int(data["u"]), at_ns, recv_ns, bid, ask)
            return True
        if topic.startswith("orderbook."):
            data = message["data"]
            stream = self.streams.by_id.get(data["s"])
            if stream is not None:
                at_ns = int(message.get("cts") or message["ts"]) * MS
                self._book(client, stream, message["type"] == "snapshot", data, at_ns, recv_ns)
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

    def _answered(self, message: Any) -> bool:
        number = message.get("req_id") if isinstance(message, dict) else None
        if not (isinstance(number, str) and number.isdigit()):
            return False
        return self.anew.answered(int(number), bool(message.get("success")), str(message.get("ret_msg")))

    def off(self, streams: Sequence[Stream], number: int) -> Any:
        return {**self.on(streams, number), "op": "unsubscribe"}

    def on(self, streams: Sequence[Stream], number: int) -> Any:
        topics = [f"orderbook.{self.BOOK_LIMIT}.{stream.market_id}" for stream in streams]
        return {"op": "subscribe", "args": topics, "req_id": str(number)}

    def _book(self, client: Any, stream: Stream, whole: bool, data: Any, at_ns: int, recv_ns: int) -> None:
        u, seq = int(data["u"]), int(data.get("seq") or 0)
        bids, asks = stream.pairs(data["b"]), stream.pairs(data["a"])
        if whole:
            if self.anew.takes(client, stream):
                self._last[stream.symbol] = u, seq
                stream.whole(u, at_ns, recv_ns, bids, asks)
            return
        if self.anew.awaits(stream):
            return
        last = self._last.get(stream.symbol)
        if last is None:
            raise FeedBroken(f"{stream.symbol}: an update before the snapshot")
        if u != last[0] + 1 or seq < last[1]:
            self.gap(client, [stream], recv_ns, f"update {u} ({seq}) follows {last[0]} ({last[1]})")
            return
        self._last[stream.symbol] = u, seq
        stream.change(u, at_ns, recv_ns, bids, asks)
