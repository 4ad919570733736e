"""Kraken: updates have no number. What tells a gap is the CRC32 of the best ten levels of both sides that comes with
each. The book is of the depth that was subscribed to: what falls out of it is not told, and must be dropped."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.collector.sources.ccxt.quirks.base import BUY_SELL, Quirk, rfc3339_ns
from services.collector.sources.ccxt.stream import FeedBroken, Levels, Stream, Streams

CHECKED = 10  # levels of a side in the checksum


class Side:
    """`way` +1 for asks, -1 for bids: the best has the least way x price."""

    def __init__(self, way: int) -> None:
        self._way = way
        self.levels: dict[int, int] = {}

    def apply(self, changes: Iterable[tuple[int, int]], depth: int) -> Levels:
        """What falls beyond `depth`, as removals."""
        for price, qty in changes:
            if qty:
                self.levels[price] = qty
            else:
                self.levels.pop(price, None)
        if len(self.levels) <= depth:
            return []
        gone = [(price, 0) for price in self.best(len(self.levels))[depth:]]
        for price, _ in gone:
            del self.levels[price]
        return gone

    def best(self, n: int) -> list[int]:
        return sorted(self.levels, reverse=self._way < 0)[:n]


class Book:
    """`price_shift`, `qty_shift`: powers of ten from our units to the digits that the venue counts."""

    def __init__(self, price_shift: int, qty_shift: int) -> None:
        self._shifts = price_shift, qty_shift
        self.bids, self.asks = Side(-1), Side(1)

    def checksum(self) -> int:
        text = "".join(
            f"{_shifted(price, self._shifts[0])}{_shifted(side.levels[price], self._shifts[1])}"
            for side in (self.asks, self.bids)
            for price in side.best(CHECKED)
        )
        return zlib.crc32(text.encode())


def _shifted(units: int, shift: int) -> int:
    one: int = 10 ** abs(shift)
    return units * one if shift >= 0 else units // one


class Kraken(Quirk):
    BOOK_LIMIT = 100
    RESUBSCRIBES = SAYS_EACH = True

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        super().__init__(streams, broken, now_ns)
        self._books: dict[str, Book] = {}
        self._shifts: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, int] = {}

    def prepare(self, exchange: Any) -> None:
        for symbol, stream in self.streams.by_symbol.items():
            info = exchange.market(symbol)["info"]
            digits = int(info["pair_decimals"]), int(info["lot_decimals"])
            self._shifts[symbol] = digits[0] - stream.prices.scale, digits[1] - stream.qtys.scale

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002 - ccxt's
        channel = message.get("channel") if isinstance(message, dict) else None
        if channel == "book":
            for data in message["data"]:
                stream = self.streams.by_symbol.get(data["symbol"])
                if stream is not None:
                    self._book(client, stream, message["type"] == "snapshot", data, recv_ns)
            return True
        if channel is None:
            return self._answered(message)
        if channel == "ticker":
            for data in message["data"]:
                stream = self.streams.by_symbol.get(data["symbol"])
                if stream is not None:
                    bid, ask = ((data[side], data[f"{side}_qty"]) for side in ("bid", "ask"))
                    stream.bbo(0, rfc3339_ns(data.get("timestamp", "")), recv_ns, bid, ask)
            return True
        if channel == "trade":
            # A snapshot repeats the last trades before the subscription.
            for trade in message["data"] if message["type"] == "update" else ():
                stream = self.streams.by_symbol.get(trade["symbol"])
                if stream is not None:
                    at_ns, aggressor = rfc3339_ns(trade["timestamp"]), BUY_SELL[trade["side"]]
                    trade_id = str(trade["trade_id"])
                    stream.trade(trade_id, at_ns, recv_ns, trade["price"], trade["qty"], aggressor)
            return True
        return False

    def _answered(self, message: Any) -> bool:
        number = message.get("req_id") if isinstance(message, dict) else None
        if not isinstance(number, int):
            return False
        return self.anew.answered(number, bool(message.get("success")), str(message.get("error")))

    def off(self, streams: Sequence[Stream], number: int) -> Any:
        return {**self.on(streams, number), "method": "unsubscribe"}

    def on(self, streams: Sequence[Stream], number: int) -> Any:
        symbols = [stream.symbol for stream in streams]
        given = {"channel": "book", "symbol": symbols, "depth": self.BOOK_LIMIT}
        return {"method": "subscribe", "params": given, "req_id": number}

    def _book(self, client: Any, stream: Stream, whole: bool, data: Any, recv_ns: int) -> None:
        if not self.anew.takes(client, stream) if whole else self.anew.awaits(stream):
            return
        bids, asks = _read(stream, data["bids"]), _read(stream, data["asks"])
        if whole:
            self._books[stream.symbol] = Book(*self._shifts[stream.symbol])
        book = self._books.get(stream.symbol)
        if book is None:
            raise FeedBroken(f"{stream.symbol}: an update before the snapshot")
        bids += book.bids.apply(bids, self.BOOK_LIMIT)
        asks += book.asks.apply(asks, self.BOOK_LIMIT)
        if "checksum" in data and book.checksum() != data["checksum"]:
            self.gap(client, [stream], recv_ns, "the checksum is not that of the book")
            return
        self._counts[stream.symbol] = seq = self._counts.get(stream.symbol, 0) + 1
        tell = stream.whole if whole else stream.change
        tell(seq, rfc3339_ns(data.get("timestamp", "")), recv_ns, bids, asks)


def _read(stream: Stream, levels: Iterable[Any]) -> Levels:
    return [(stream.prices[level["price"]], stream.qtys[level["qty"]]) for level in levels]
