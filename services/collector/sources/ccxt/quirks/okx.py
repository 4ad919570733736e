"""OKX: `prevSeqId` of an update is `seqId` of the one before. After maintenance ids may begin anew, and say so; where
nothing changed for a while, an empty update repeats its id, and the book is told again: it is that of now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from bestex.clock import MS
from services.collector.sources.ccxt.quirks.base import BUY_SELL, Quirk
from services.collector.sources.ccxt.stream import FeedBroken, Stream, Streams


class Okx(Quirk):
    """Books without sequence ids, as they once were, are left to ccxt."""

    RESUBSCRIBES = SAYS_EACH = True

    MARKET_TYPES: ClassVar[Mapping[str, Sequence[str]]] = {"spot": ["spot"], "swap": ["swap"]}

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._last: dict[str, int] = {}

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002 - ccxt's
        if not isinstance(message, dict) or "arg" not in message:
            return False
        if "data" not in message:
            return self._confirmed(message)
        channel, stream = message["arg"]["channel"], self.streams.by_id.get(message["arg"].get("instId"))
        if stream is None:
            return False
        if channel == "books" and "prevSeqId" in message["data"][0]:
            for data in message["data"]:
                self._book(client, stream, message["action"] == "snapshot", data, recv_ns)
            return True
        if channel == "bbo-tbt":
            for data in message["data"]:
                bid, ask = (data[side][0][:2] if data[side] else (None, None) for side in ("bids", "asks"))
                stream.bbo(int(data.get("seqId") or 0), int(data["ts"]) * MS, recv_ns, bid, ask)
            return True
        if channel == "trades":
            for trade in message["data"]:
                at_ns, aggressor = int(trade["ts"]) * MS, BUY_SELL[trade["side"]]
                stream.trade(trade["tradeId"], at_ns, recv_ns, trade["px"], trade["sz"], aggressor)
            return True
        if channel == "mark-price":
            for data in message["data"]:
                stream.mark(int(data["ts"]) * MS, recv_ns, data["markPx"], None, None, None)
            return True
        if channel == "funding-rate":
            for data in message["data"]:
                at_ns = int(data.get("ts") or 0) * MS
                stream.mark(at_ns, recv_ns, None, None, data["fundingRate"], data["fundingTime"])
            return True
        return False

    def _confirmed(self, message: Any) -> bool:
        """The end of a subscription of ours: ccxt is not to take it for one of its own."""
        stream = self.streams.by_id.get(message["arg"].get("instId"))
        is_books = message.get("event") == "unsubscribe" and message["arg"].get("channel") == "books"
        return is_books and stream is not None and self.anew.is_off(stream)

    def off(self, streams: Sequence[Stream], number: int) -> Any:
        return {**self.on(streams, number), "op": "unsubscribe"}

    def on(self, streams: Sequence[Stream], number: int) -> Any:  # noqa: ARG002 - an answer names what it is of
        return {
            "op": "subscribe",
            "args": [{"channel": "books", "instId": stream.market_id} for stream in streams],
        }

    def _book(self, client: Any, stream: Stream, whole: bool, data: Any, recv_ns: int) -> None:
        seq, previous, at_ns = int(data["seqId"]), int(data["prevSeqId"]), int(data["ts"]) * MS
        bids, asks = stream.read(data["bids"]), stream.read(data["asks"])
        if whole:
            if self.anew.takes(client, stream):
                self._last[stream.symbol] = seq
                stream.whole(seq, at_ns, recv_ns, bids, asks)
            return
        if self.anew.awaits(stream):
            return
        last = self._last.get(stream.symbol)
        if last is None:
            raise FeedBroken(f"{stream.symbol}: an update before the snapshot")
        if previous != last:
            self.gap(client, [stream], recv_ns, f"an update after {previous} follows {last}")
            return
        self._last[stream.symbol] = seq
        stream.change(seq, at_ns, recv_ns, bids, asks)
