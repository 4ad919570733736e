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
from services.collector.sources.ccxt.stream import FeedBroken, Levels, Stream, Streams

JSON = ("{", "[")  # what a text begins with that ccxt takes for JSON
AGGRESSORS = {"buy": 1, "sell": -1}


class Hearing(Protocol):
    def frame(self, exchange: Any, client: Any, message: Any, pass_on: Callable[[Any, Any], None]) -> None:
        """A message, parsed; `pass_on(client, message)` gives it to ccxt. Never raises."""

    def told(self, exchange: Any, client: Any, result: Any) -> bool:
        """Whether what ccxt made of a message, or asked for because of one, is dealt with, so that nobody is woken up
        for it."""

    def broken(self, error: BaseException) -> None: ...


def hooked(kind: type, hearing: Hearing) -> type:
    """A subclass of the ccxt class `kind`. An exception in a handler, or text that cannot be parsed, would end ccxt's
    reading in silence: here it ends the session."""

    from aiohttp import WSMsgType
    from orjson import loads

    text = WSMsgType.TEXT

    class Hooked(kind):  # type: ignore[misc]
        def handle_message(self, client: Any, message: Any) -> None:
            hearing.frame(self, client, message, super().handle_message)

        def client(self, url: str) -> Any:
            client = super().client(url)
            if "resolve" not in vars(client):
                receive: Callable[[Any], None] = client.handle_message
                resolve: Callable[[Any, Any], Any] = client.resolve

                passed = super().handle_message

                def received(frame: Any) -> None:
                    """Of a text that is JSON, what ccxt's client would do with it, without its detours."""
                    try:
                        if frame.type is text and frame.data[:1] in JSON:
                            hearing.frame(self, client, loads(frame.data), passed)
                        else:
                            receive(frame)
                    except Exception as error:  # noqa: BLE001 - no JSON, no gzip: what follows is not to be relied on
                        hearing.broken(error)

                def told(result: Any, message_hash: Any) -> Any:
                    try:
                        if hearing.told(self, client, result):
                            return result
                    except Exception as error:  # noqa: BLE001 - here a task of ccxt's own would swallow it
                        hearing.broken(error)
                        return result
                    return resolve(result, message_hash)

                client.handle_message, client.resolve = received, told
            return client

    Hooked.__name__ = Hooked.__qualname__ = kind.__name__
    return Hooked


class Told:
    """Books and trades as ccxt has them, of any exchange. FeedBroken for a book that cannot be."""

    def __init__(self, streams: Streams, levels: int, since_ms: int, *, bests: bool = False) -> None:
        """`since_ms`: trades that the venue dates before it were told before, or nobody heard them. `bests`: whether
        tickers are heard for the best prices in them."""
        self._bests = bests
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
        if type(result) is dict and self._bests and "bidVolume" in result:
            self._best_prices(result, recv_ns)
        if type(result) is dict and (result.get("markPrice") or "fundingRate" in result):
            self._mark(result, recv_ns)
            return True
        if _is_trade(result):
            self._trades([result], recv_ns)
            return True
        if type(result) is list and result and all(map(_is_trade, result)):
            self._trades(result, recv_ns)
            return True
        return False

    def _mark(self, said: Any, recv_ns: int) -> None:
        """A ticker or a funding rate of ccxt's."""
        stream = self._streams.by_symbol.get(said.get("symbol"))
        if stream is not None and stream.listing.kind == "perp":
            at_ns = int(said.get("timestamp") or 0) * MS
            rate, next_ms = said.get("fundingRate"), said.get("fundingTimestamp")
            stream.mark(at_ns, recv_ns, said.get("markPrice"), said.get("indexPrice"), rate, next_ms)

    def _best_prices(self, said: Any, recv_ns: int) -> None:
        """Of a ticker of ccxt's."""
        stream = self._streams.by_symbol.get(said.get("symbol"))
        if stream is not None:
            at_ns = int(said.get("timestamp") or 0) * MS
            bid, ask = ((said.get(side), said.get(f"{side}Volume")) for side in ("bid", "ask"))
            stream.bbo(0, at_ns, recv_ns, bid, ask)

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
