"""A real market as the background of a venue on paper: its books and trades, as its collector tells them on the bus.

What our orders take of the displayed size is gone until the venue shows another size there, as with a recording. What
the market is with our orders in it, the collector hears from here, as of any simulated venue.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, bus_access, codec, rights, subjects
from bestex.bus_address import ENV_URL
from bestex.config import Config
from bestex.config_venue import REAL
from bestex.errors import BusError, ConfigError, Forbidden
from bestex.feed import DepthUpdate, FeedEvent
from bestex.instruments import Instrument
from bestex.messages import MarketTrade, VenueBook
from services.exchange.happening import Happening
from services.exchange.recordings import Converter, FeedBackground, converters

QUEUED_MAX = 50_000  # messages between two steps, which are 10 ms apart: more is a process that stood still
RETRY_S = 1.0  # how soon a bus that is not there yet is tried again


class HeardBackground(FeedBackground):
    """One venue's market, as `take` is told of it.

    A market of which nothing was heard for `silence_ns` shows nothing any more: what its collector said last is
    not what it is. The first word after that shows the whole book again. `heard_ns` is when each was heard last.
    """

    def __init__(self, venue: str, markets: dict[str, Converter], silence_ns: int) -> None:
        super().__init__(markets)
        self.venue = venue
        self.symbols = tuple(markets)
        self._silence_ns = silence_ns
        self._waiting: deque[FeedEvent] = deque()
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self.heard_ns: dict[str, int] = {}

    def take(self, message: VenueBook | MarketTrade, now_ns: int) -> None:
        """What is not listed is passed over. So that time never goes back here, it happens when it is heard."""
        if message.symbol not in self._markets:
            return
        if len(self._waiting) >= QUEUED_MAX:
            self._waiting.clear()
            self._waiting.extend(_unknown(self.venue, symbol, now_ns) for symbol in self.symbols)
        if isinstance(message, MarketTrade):
            self._waiting.append(msgspec.structs.replace(message, venue=self.venue, recv_ns=now_ns))
            return
        self.heard_ns[message.symbol] = now_ns
        self._waiting.append(
            DepthUpdate(
                self.venue,
                message.symbol,
                message.seq,
                message.venue_ns,
                now_ns,
                message.price_scale,
                message.qty_scale,
                True,
                list(zip(message.bid_px, message.bid_qty, strict=True)),
                list(zip(message.ask_px, message.ask_qty, strict=True)),
            )
        )

    def step_until(self, now_ns: int) -> Iterator[Happening]:
        while self._waiting:
            event = self._waiting.popleft()
            try:
                happening = self._happening(event)
            except ConfigError as error:
                self._log.error("what does not fit the units, so the book is unknown", error=str(error))
                self._waiting.appendleft(_unknown(self.venue, event.symbol, now_ns))
                continue
            if happening:
                yield happening
        for symbol, heard_ns in list(self.heard_ns.items()):
            if now_ns - heard_ns > self._silence_ns:
                del self.heard_ns[symbol]
                if happening := self._happening(_unknown(self.venue, symbol, now_ns)):
                    yield happening


def _unknown(venue: str, symbol: str, now_ns: int) -> DepthUpdate:
    """An empty book: neither scale matters."""
    return DepthUpdate(venue, symbol, 0, 0, now_ns, 0, 0, True, [], [])


def heard(venue: str, config: Config, instruments: Iterable[Instrument]) -> HeardBackground:
    silence_ns = int(config.market_data.down_after)
    return HeardBackground(venue, converters(venue, instruments), silence_ns)


class Ears:
    """The bus, for the backgrounds that are heard. It may come and go: meanwhile their markets fall silent."""

    def __init__(
        self, config: Config, backgrounds: Iterable[HeardBackground], now_ns: Callable[[], int]
    ) -> None:
        self._config, self._now_ns = config, now_ns
        self._backgrounds = tuple(backgrounds)
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(service="exchange")

    async def run(self) -> None:
        """Until cancelled. Forbidden, where the bus lets this role hear nothing."""
        client = await self._connected()
        try:
            for background in self._backgrounds:
                for symbol in background.symbols:
                    await self._listen(client, background, symbol)
            self._log.info("hears", venues=[background.venue for background in self._backgrounds])
            await asyncio.Event().wait()
        finally:
            await client.close()

    async def _connected(self) -> Client:
        url = os.environ.get(ENV_URL, self._config.bus.url)
        said = False
        while True:
            try:
                return await bus.connect(
                    bus_access.find(self._config, rights.EXCHANGE, url), "bestex-exchange"
                )
            except Forbidden:
                raise
            except BusError as error:
                if not said:
                    self._log.warning("no bus, and so no market on paper", error=str(error))
                said = True
            await asyncio.sleep(RETRY_S)

    async def _listen(self, client: Client, background: HeardBackground, symbol: str) -> None:
        kinds: tuple[tuple[str, type[VenueBook] | type[MarketTrade]], ...] = (
            (subjects.md_book(f"{background.venue}{REAL}", symbol), VenueBook),
            (subjects.md_trade(f"{background.venue}{REAL}", symbol), MarketTrade),
        )
        for subject, kind in kinds:

            async def heard(message: Msg, kind=kind) -> None:  # type: ignore[no-untyped-def]
                try:
                    told = codec.from_msgpack(message.data, kind)
                except (msgspec.MsgspecError, ValueError) as error:
                    self._log.error("what is no market data", subject=message.subject, error=str(error))
                    return
                background.take(told, self._now_ns())

            await client.subscribe(subject, cb=heard)
