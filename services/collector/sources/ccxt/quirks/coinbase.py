"""Coinbase Advanced: `sequence_num` counts the messages of a connection, of all channels and symbols together. So one
that is missing makes every book of the connection unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from services.collector.sources.ccxt.quirks.base import Quirk, rfc3339_ns
from services.collector.sources.ccxt.stream import FeedBroken, Levels, Streams


class Coinbase(Quirk):
    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._last: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002
        if not isinstance(message, dict) or "sequence_num" not in message:
            return False
        seq, last = int(message["sequence_num"]), self._last.get(client)
        if last is not None and seq != last + 1:
            raise FeedBroken(f"message {seq} follows {last}")
        self._last[client] = seq
        at_ns = rfc3339_ns(message.get("timestamp", ""))
        if message["channel"] == "l2_data":
            for event in message["events"]:
                self._book(seq, event, at_ns, recv_ns)
            return True
        if message["channel"] == "market_trades":
            # A snapshot repeats trades before the subscription.
            for event in message["events"]:
                if event["type"] == "update":
                    self._trades(event["trades"], recv_ns)
            return True
        return False

    def _book(self, seq: int, event: Any, at_ns: int, recv_ns: int) -> None:
        stream = self.streams.by_id.get(event["product_id"])
        if stream is None:
            return
        bids: Levels = []
        asks: Levels = []
        for update in event["updates"]:
            side = bids if update["side"] == "bid" else asks
            side.append((stream.prices[update["price_level"]], stream.qtys[update["new_quantity"]]))
        if event["type"] == "snapshot":
            stream.whole(seq, at_ns, recv_ns, bids, asks)
        elif stream.is_known:
            stream.change(seq, at_ns, recv_ns, bids, asks)
        else:
            raise FeedBroken(f"{stream.symbol}: an update before the snapshot")

    def _trades(self, trades: Any, recv_ns: int) -> None:
        for trade in reversed(trades):  # the newest stands first
            stream = self.streams.by_id.get(trade["product_id"])
            if stream is not None:
                at_ns = rfc3339_ns(trade["time"])
                # Whose side `side` is, the maker's or the taker's, the venue does not say: so it is not told.
                stream.trade(str(trade["trade_id"]), at_ns, recv_ns, trade["price"], trade["size"], 0)
