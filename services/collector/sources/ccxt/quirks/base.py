"""What an exchange without anything special does: all is ccxt's. The others are subclasses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bestex.clock import SECOND
from services.collector.sources.ccxt.anew import Anew
from services.collector.sources.ccxt.stream import FeedBroken, Stream, Streams

BUY_SELL = {"buy": 1, "sell": -1, "Buy": 1, "Sell": -1, "BUY": 1, "SELL": -1}

Watch = Callable[[], Awaitable[Any]]


class Quirk:
    """Of one session: made anew with every connection, and so are its sequence numbers.

    `hear` raises FeedBroken where an update is missing, KeyError, ValueError or TypeError where a frame is garbled:
    each ends the session, with the books unknown until the next one has them. What is wrong with one book alone is
    said by `gap`, and where the subscription of one can be taken `off` and put `on`, that one alone begins anew.
    """

    RESUBSCRIBES = False
    SAYS_EACH = False  # its ticker tells each change of the best prices

    BOOK_LIMIT: int | None = None  # levels to subscribe to; None for ccxt's own choice
    MARKET_TYPES: ClassVar[
        Mapping[str, Sequence[str]]
    ] = {}  # what `fetch_markets` asks for; all of them where not said

    def __init__(
        self, streams: Streams, broken: Callable[[BaseException], None], now_ns: Callable[[], int]
    ) -> None:
        """`broken` is told of what fails out of `hear`."""
        self.streams, self.broken, self.now_ns = streams, broken, now_ns
        self.anew = Anew(self.off, self.on, broken)

    @classmethod
    def options(cls, market_type: str, *, inverse: bool) -> dict[str, Any]:
        """Of the ccxt exchange, for its spot or swap markets, with inverse ones among them or not."""
        types = list(cls.MARKET_TYPES.get(market_type, ()))
        if types and inverse and market_type == "swap" and "linear" in types:
            types.append("inverse")
        return {"fetchMarkets": {"types": types}} if types else {}

    def prepare(self, exchange: Any) -> None:
        """The exchange has its markets, and nothing is subscribed to."""

    def hear(self, exchange: Any, client: Any, message: Any, recv_ns: int) -> bool:  # noqa: ARG002 - ccxt's all
        """Whether the frame is dealt with, so that ccxt is not to see it."""
        return False

    def watches(self, exchange: Any) -> Iterator[Watch]:
        """What subscribes, and waits for as long as the subscription is good."""
        symbols = list(self.streams.by_symbol)
        more = (self.BOOK_LIMIT,) if self.BOOK_LIMIT else ()
        if len(symbols) > 1 and exchange.has.get("watchOrderBookForSymbols"):
            yield lambda: exchange.watch_order_book_for_symbols(symbols, *more)
        else:
            for symbol in symbols:
                yield lambda symbol=symbol: exchange.watch_order_book(symbol, *more)  # type: ignore[misc]
        if len(symbols) > 1 and exchange.has.get("watchTradesForSymbols"):
            yield lambda: exchange.watch_trades_for_symbols(symbols)
        elif exchange.has.get("watchTrades"):
            for symbol in symbols:
                yield lambda symbol=symbol: exchange.watch_trades(symbol)  # type: ignore[misc]

    def marks(self, exchange: Any) -> Iterator[Watch]:
        """What subscribes to mark prices and funding rates of perpetuals; nothing of books depends on it."""
        symbols = self.perpetuals
        has = exchange.has
        if has.get("watchMarkPrices"):
            yield lambda: exchange.watch_mark_prices(symbols)
        if has.get("watchFundingRates"):
            yield lambda: exchange.watch_funding_rates(symbols)
        for symbol in symbols:
            if has.get("watchMarkPrice") and not has.get("watchMarkPrices"):
                yield lambda symbol=symbol: exchange.watch_mark_price(symbol)  # type: ignore[misc]
            if has.get("watchFundingRate") and not has.get("watchFundingRates"):
                yield lambda symbol=symbol: exchange.watch_funding_rate(symbol)  # type: ignore[misc]

    def bests(self, exchange: Any) -> Iterator[Watch]:
        """What subscribes to the venue's own best bids and asks; nothing of books depends on it."""
        symbols = list(self.streams.by_symbol)
        if exchange.has.get("watchBidsAsks"):
            yield lambda: exchange.watch_bids_asks(symbols)

    def off(self, streams: Sequence[Stream], number: int) -> Any:
        """The frame that ends the subscription to these books; its answer may have the `number`."""
        raise NotImplementedError

    def on(self, streams: Sequence[Stream], number: int) -> Any:
        """The frame that subscribes to them again."""
        raise NotImplementedError

    def gap(self, client: Any, streams: Sequence[Stream], recv_ns: int, why: str, cause: str = "gap") -> None:
        """These books are not to be trusted any more, the others are. FeedBroken where they cannot be had alone."""
        if not self.RESUBSCRIBES or client is None:
            raise FeedBroken(f"{', '.join(stream.symbol for stream in streams)}: {why}")
        self.anew.begin(client, streams, recv_ns, why, cause)

    def disagree(self, exchange: Any, stream: Stream, recv_ns: int, why: str) -> None:  # noqa: ARG002 - of some
        """For too long now the venue's own best prices were not those of its book."""
        self.gap(self.anew.client_of(stream), [stream], recv_ns, why, "disagreement")

    @property
    def perpetuals(self) -> list[str]:
        return [name for name, one in self.streams.by_symbol.items() if one.listing.kind == "perp"]

    async def stop(self) -> None:
        """The session ends."""
        await self.anew.stop()


def rfc3339_ns(text: str) -> int:
    """0 for none."""
    if not text:
        return 0
    head, _, fraction = text.removesuffix("Z").partition(".")
    whole = datetime.fromisoformat(f"{head}+00:00")
    return int(whole.timestamp()) * SECOND + int(fraction[:9].ljust(9, "0"))
