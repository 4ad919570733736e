"""Coinbase Advanced: `sequence_num` counts the messages of a connection, of all channels and symbols together. So one
that is missing makes every book of the connection unknown: they are subscribed to anew, on the same connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from services.collector.sources.ccxt.quirks.base import Quirk, Watch, rfc3339_ns
from services.collector.sources.ccxt.stream import FeedBroken, Levels, Stream, Streams


class Coinbase(Quirk):
    RESUBSCRIBES = True

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._last: WeakKeyDictionary[Any, int] = WeakKeyDictionary()

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002 - ccxt's
        if not isinstance(message, dict) or "sequence_num" not in message:
            return False
        seq, last = int(message["sequence_num"]), self._last.get(client)
        self._last[client] = seq
        if last is not None and seq != last + 1:
            self.gap(client, self.anew.heard_over(client), recv_ns, f"message {seq} follows {last}")
        at_ns = rfc3339_ns(message.get("timestamp", ""))
        if message["channel"] == "l2_data":
            for event in message["events"]:
                self._book(client, seq, event, at_ns, recv_ns)
            return True
        if message["channel"] == "ticker":
            for event in message["events"]:
                for said in event["tickers"]:
                    self._best(seq, said, at_ns, recv_ns)
            return True
        if message["channel"] == "subscriptions":
            return self._confirmed(message["events"])
        if message["channel"] == "market_trades":
            # A snapshot repeats trades before the subscription.
            for event in message["events"]:
                if event["type"] == "update":
                    self._trades(event["trades"], recv_ns)
            return True
        return False

    def bests(self, exchange: Any) -> Iterator[Watch]:
        """They stand in the ticker of each trade."""
        for symbol in self.streams.by_symbol:
            yield lambda symbol=symbol: exchange.watch_ticker(symbol)  # type: ignore[misc]

    def _best(self, seq: int, said: Any, at_ns: int, recv_ns: int) -> None:
        stream = self.streams.by_id.get(said["product_id"])
        if stream is not None:
            bid, ask = ((said[f"best_{side}"], said[f"best_{side}_quantity"]) for side in ("bid", "ask"))
            stream.bbo(seq, at_ns, recv_ns, bid, ask)

    def _confirmed(self, events: Any) -> bool:
        """It says what is on after each change. Whether a change of ours was among it, which is not ccxt's."""
        on = {product for event in events for product in event["subscriptions"].get("level2", ())}
        ours = [
            self.anew.is_off(stream) for product, stream in self.streams.by_id.items() if product not in on
        ]
        return any(ours)

    def off(self, streams: Sequence[Stream], number: int) -> Any:
        return {**self.on(streams, number), "type": "unsubscribe"}

    def on(self, streams: Sequence[Stream], number: int) -> Any:  # noqa: ARG002 - there are no numbers
        return {
            "type": "subscribe",
            "product_ids": [stream.market_id for stream in streams],
            "channel": "level2",
        }

    def _book(self, client: Any, seq: int, event: Any, at_ns: int, recv_ns: int) -> None:
        stream = self.streams.by_id.get(event["product_id"])
        if stream is None:
            return
        bids: Levels = []
        asks: Levels = []
        for update in event["updates"]:
            side = bids if update["side"] == "bid" else asks
            side.append((stream.prices[update["price_level"]], stream.qtys[update["new_quantity"]]))
        if event["type"] == "snapshot":
            if self.anew.takes(client, stream):
                stream.whole(seq, at_ns, recv_ns, bids, asks)
        elif self.anew.awaits(stream):
            return
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
