"""One exchange object of ccxt, what its ears do (`hooks.Hearing`), and what tells that it does not hear any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Set
from typing import Any

import structlog

from bestex.clock import MS
from services.collector.sources.ccxt.hooks import Told, hooked
from services.collector.sources.ccxt.quirks import quirk_of
from services.collector.sources.ccxt.stream import FeedBroken, Streams

TOLD_BEFORE_MS = 5_000  # clocks differ, and trades of this long before the session are still news
ASIDE_AGAIN_S = 60.0
COMPARE_S = 0.5  # looks for a book that is not the venue's; what counts are seconds
LOOKS = 4  # for silence, while it would grow to be too long
FIRST_BOOK_S = 30.0  # connected, subscribed, a snapshot fetched: a few seconds where the venue is well


class Session:
    def __init__(
        self,
        kind: type,
        streams: Streams,
        levels: int,
        now_ns: Callable[[], int],
        *,
        marks: bool = False,
        bests: bool = False,
    ) -> None:
        """`exchange` is an object of `kind`, and set by whoever makes it. `marks`, `bests`: whether mark prices, and
        the venue's own best prices, are listened to as well."""
        self._marks, self._bests = marks, bests
        self.exchange: Any = None
        self.kind = hooked(kind, self)
        self.streams = streams
        self._now_ns = now_ns
        self._loop = asyncio.get_running_loop()
        self._books_at_s: dict[Any, float] = {}  # by connection: when it last told of a book
        self._told = Told(streams, levels, now_ns() // MS - TOLD_BEFORE_MS, bests=bests)
        self.quirk = quirk_of(kind.__name__)(streams, self.broken, now_ns)
        self._broken: asyncio.Future[None] = self._loop.create_future()
        self._log = structlog.get_logger(exchange=kind.__name__)

    def frame(self, exchange: Any, client: Any, message: Any, pass_on: Callable[[Any, Any], None]) -> None:
        if self._broken.done():
            return  # what comes after a break is nobody's
        books = self.streams.books
        try:
            if not self.quirk.hear(exchange, client, message, self._now_ns()):
                pass_on(client, message)
        except Exception as error:  # noqa: BLE001 - whatever it was, what follows is not to be relied on
            self.broken(error)
        if self.streams.books != books:
            self._books_at_s[client] = self._loop.time()

    def told(self, exchange: Any, client: Any, result: Any) -> bool:
        """Also while no frame is at work: after a snapshot that ccxt has fetched."""
        books = self.streams.books
        is_dealt_with = self._told.take(exchange, result, self._now_ns())
        if self.streams.books != books:
            self._books_at_s[client] = self._loop.time()
        return is_dealt_with

    def broken(self, error: BaseException) -> None:
        """The books are unknown from this moment, not only when the session is over."""
        self.streams.end(self._now_ns())
        if not self._broken.done():
            self._broken.set_exception(error)

    async def listen(self, silence_s: float, had: Set[str] = frozenset()) -> None:
        """Until something breaks, and raises what it was. `had`: symbols of which there must be a book."""
        self.quirk.prepare(self.exchange)
        watching = [asyncio.create_task(_forever(watch)) for watch in self.quirk.watches(self.exchange)]
        watching.append(asyncio.create_task(self._listen_for_silence(silence_s, had)))
        aside: list[asyncio.Task[None]] = []
        if self._marks and self.quirk.perpetuals:
            aside += self._each_aside("no mark prices", self.quirk.marks(self.exchange))
        if self._bests:
            aside += self._each_aside("no best prices", self.quirk.bests(self.exchange))
            watching.append(asyncio.create_task(self._compare()))
        try:
            done, _ = await asyncio.wait([self._broken, *watching], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                if one.cancelled():  # ccxt cancels what waits on a connection that it closes by itself
                    raise FeedBroken("the connection was closed")
                one.result()
        finally:
            for task in (*watching, *aside):
                task.cancel()
            await asyncio.gather(*watching, *aside, return_exceptions=True)

    def _each_aside(self, lack: str, watches: Iterable[Callable[[], Any]]) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._aside(lack, watch)) for watch in watches]

    async def _compare(self) -> None:
        """Our books with the venue's own best prices."""
        gave_up: set[str] = set()
        while True:
            await asyncio.sleep(COMPARE_S)
            now_ns = self._now_ns()
            for symbol, stream in self.streams.by_symbol.items():
                assert stream.witness is not None
                if why := stream.witness.wrong(now_ns):
                    self.quirk.disagree(self.exchange, stream, now_ns, why)
                if stream.witness.gave_up and symbol not in gave_up:
                    gave_up.add(symbol)
                    self._log.error("fresh books do not agree with the best prices either", symbol=symbol)

    async def _aside(self, lack: str, watch: Callable[[], Any]) -> None:
        """What the books do without: what fails is tried again later."""
        while True:
            try:
                await _forever(watch)
            except Exception as error:  # noqa: BLE001 - of the venue or of ccxt: said, and the books go on
                self._log.warning(lack, error=f"{type(error).__name__}: {error}"[:200])
            await asyncio.sleep(ASIDE_AGAIN_S)

    async def _listen_for_silence(self, silence_s: float, had: Set[str]) -> None:
        """Each connection that carries books by itself: others, with trades, may go on."""
        first_s: float | None = self._loop.time() + max(silence_s, FIRST_BOOK_S)
        while True:
            await asyncio.sleep(silence_s / LOOKS)
            now_s = self._loop.time()
            for client, at_s in self._books_at_s.items():
                if now_s - at_s > silence_s:
                    raise FeedBroken(f"{client.url}: no book was told of for {silence_s} s")
            if first_s is not None and now_s >= first_s:
                first_s = None
                self._miss(had)

    def _miss(self, had: Set[str]) -> None:
        """What never came was not subscribed to, or is not there. The others must not suffer for good from one that
        never was."""
        missing = [name for name, one in self.streams.by_symbol.items() if not one.was_known]
        if missing and (len(missing) == len(self.streams.by_symbol) or not had.isdisjoint(missing)):
            raise FeedBroken(f"no book of {', '.join(missing)}")
        if missing:
            self._log.error("no book", symbols=missing)

    async def close(self) -> None:
        if self._broken.done():
            self._broken.exception()  # seen, or superseded by another
        await self.quirk.stop()
        if self.exchange is not None:
            await self.exchange.close()


async def _forever(watch: Callable[[], Any]) -> None:
    while True:
        await watch()
        await asyncio.sleep(0)
