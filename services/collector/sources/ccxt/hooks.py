"""ccxt's own classes with our ears in them: what they are sent goes past us before they look at it.

A frame that the exchange's quirk takes never reaches ccxt's handlers, which cost more than all else of a feed
(`Quirk.hear`). For every other exchange ccxt does what it does, and each book and trade that it shows to those who
wait for it is taken from there (`Told`): a handler of any exchange ends in `client.resolve`. It is not passed on, so
that nobody is woken up for each: subscriptions, pings, logins and what they wait for stay ccxt's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from bestex.clock import MS
from bestex.units import UnitError
from services.collector.sources.ccxt.stream import Levels, Stream, Streams

AGGRESSORS = {"buy": 1, "sell": -1}


class FeedBroken(Exception):
    """A feed cannot be trusted any more: an update is missing, or its book cannot be."""


class Hearing(Protocol):
    def hear(self, exchange: Any, client: Any, message: Any) -> bool:
        """Whether it is dealt with, so that ccxt is not to see it."""

    def told(self, exchange: Any, result: Any) -> bool:
        """The same of what ccxt made of a message."""

    def broken(self, error: BaseException) -> None: ...


def hooked(kind: type, hearing: Hearing) -> type:
    """A subclass of the ccxt class `kind`. An exception in a handler would end ccxt's reading in silence: here it
    ends the session."""

    class Hooked(kind):  # type: ignore[misc]
        def handle_message(self, client: Any, message: Any) -> None:
            try:
                if not hearing.hear(self, client, message):
                    super().handle_message(client, message)
            except Exception as error:  # noqa: BLE001 - whatever it was, what follows is not to be relied on
                hearing.broken(error)

        def client(self, url: str) -> Any:
            client = super().client(url)
            if "resolve" not in vars(client):
                resolve: Callable[[Any, Any], Any] = client.resolve

                def told(result: Any, message_hash: Any) -> Any:
                    return result if hearing.told(self, result) else resolve(result, message_hash)

                client.resolve = told
            return client

    Hooked.__name__ = Hooked.__qualname__ = kind.__name__
    return Hooked


class Told:
    """Books and trades as ccxt has them, of any exchange. FeedBroken for a book that cannot be."""

    def __init__(self, streams: Streams, levels: int, since_ms: int) -> None:
        """`since_ms`: trades that the venue dates before it were told before, or nobody heard them."""
        self._streams, self._levels, self._since_ms = streams, levels, since_ms
        self._last: dict[int, Any] = {}  # by cache: the last trade that was taken from it

    def take(self, exchange: Any, result: Any, recv_ns: int) -> bool:
        from ccxt.async_support.base.ws.cache import ArrayCache
        from ccxt.async_support.base.ws.order_book import OrderBook

        if isinstance(result, OrderBook):
            stream = self._streams.by_symbol.get(_symbol_of(exchange, result))
            if stream is not None:
                self._book(stream, result, recv_ns)
            return True
        if type(result) is ArrayCache:
            self._trades(self._new(result), recv_ns)
            return True
        if _is_trade(result):
            self._trades([result], recv_ns)
            return True
        if type(result) is list and result and all(map(_is_trade, result)):
            self._trades(result, recv_ns)
            return True
        return False

    def _book(self, stream: Stream, book: Any, recv_ns: int) -> None:
        bids = self._best(stream, book["bids"], -1)
        asks = self._best(stream, book["asks"], 1)
        if bids and asks and bids[0][0] >= asks[0][0]:
            raise FeedBroken(f"{stream.symbol}: the book is crossed")
        stream.best(int(book.get("nonce") or 0), int(book.get("timestamp") or 0) * MS, recv_ns, bids, asks)

    def _best(self, stream: Stream, side: Iterable[Any], way: int) -> Levels:
        """The best levels; orders of one price, of exchanges that show each, are one level."""
        made: Levels = []
        for level in side:
            price, qty = stream.prices[level[0]], stream.qtys[level[1]]
            if not qty:
                continue  # less than one unit
            if not made or way * price > way * made[-1][0]:
                if len(made) == self._levels:
                    break
                made.append((price, qty))
            elif price == made[-1][0]:
                made[-1] = price, made[-1][1] + qty
            else:
                raise FeedBroken(f"{stream.symbol}: the book is not in order")
        return made

    def _new(self, cache: Any) -> list[Any]:
        """What was added since the last time: ccxt keeps the last thousand, and shows them all."""
        last, new = self._last.get(id(cache)), []
        for trade in reversed(cache):
            if trade is last:
                break
            new.append(trade)
        if new:
            self._last[id(cache)] = new[0]
        return new[::-1]

    def _trades(self, trades: Iterable[Any], recv_ns: int) -> None:
        for trade in trades:
            stream = self._streams.by_symbol.get(trade["symbol"])
            at_ms = int(trade.get("timestamp") or 0)
            if stream is None or (at_ms and at_ms < self._since_ms) or not trade.get("amount"):
                continue
            try:
                stream.trade(
                    str(trade.get("id") or ""),
                    at_ms * MS,
                    recv_ns,
                    trade["price"],
                    trade["amount"],
                    AGGRESSORS.get(trade.get("side"), 0),
                )
            except UnitError as error:
                raise FeedBroken(f"{stream.symbol}: a trade of {error}") from None


def _is_trade(result: Any) -> bool:
    return type(result) is dict and "takerOrMaker" in result and bool(result.get("price"))


def _symbol_of(exchange: Any, book: Any) -> str:
    symbol = book.get("symbol")
    if symbol:
        return str(symbol)
    return next((name for name, kept in exchange.orderbooks.items() if kept is book), "")
