"""A venue's market data through ccxt: its connections, subscriptions and pings, our ears (`hooks`).

A session is one exchange of ccxt, from its first connection to its first trouble: a lost or silent connection, a
missing update, a book that cannot be. Then all books are unknown, and the next session begins from nothing, so that
nothing of a broken one is ever built upon.

Options of the venue: `silence_s`, after so many seconds without any frame the connection is taken for dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from bestex import ccxt_client
from bestex.clock import MS, SECOND, AffineClock
from bestex.config import Config
from bestex.errors import ConfigError
from bestex.instruments import Instrument, Listing
from services.collector.sources import Deliver
from services.collector.sources.ccxt.hooks import FeedBroken, Told, hooked
from services.collector.sources.ccxt.markets import Markets, differences, terms_of, unreadable
from services.collector.sources.ccxt.quirks import quirk_of
from services.collector.sources.ccxt.stream import Stream, Streams, VenueClock

TIMEOUT_S = 10.0
SILENCE_S = 60.0
RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
LASTED_NS = 30 * SECOND  # a shorter session has not shown that it works, and each costs a snapshot
TOLD_BEFORE_MS = 5_000  # clocks differ, and trades of this long before the session are still news


class CcxtSource:
    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:  # noqa: ARG002 - the contract's
        """ConfigError for a venue that ccxt does not have, or that lists nothing."""
        self._venue, self._config = venue, config
        self._kind = ccxt_client.class_of(venue)
        self._listed = list(_listed(venue, config))
        if not self._listed:
            raise ConfigError(f"venues.{venue}: no instrument is listed there")
        self._silence_s = float(config.venues[venue].options.get("silence_s", SILENCE_S))
        symbols = [listing.symbol for _, listing in self._listed]
        self._markets = Markets(Path(config.data_dir), venue, symbols)
        self._clock = VenueClock()
        self._log = structlog.get_logger(venue=venue)

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            began_ns = now_ns()
            session = Session(self._kind, self._streams(deliver), self._config.market_data.levels, now_ns)
            text = "ended"
            try:
                await self._hold(session, now_ns)
            except Exception as error:  # noqa: BLE001 - of the venue, of ccxt, of a frame: begin anew
                text = f"{type(error).__name__}: {error}"[:500]
            finally:
                session.streams.end(now_ns())
                await session.close()
            if now_ns() - began_ns > LASTED_NS:
                pause = RECONNECT_FIRST_S
            self._log.warning("no market data", error=text, again_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RECONNECT_MAX_S)

    def _streams(self, deliver: Deliver) -> Streams:
        return Streams(Stream(*terms, self._clock, deliver) for terms in self._listed)

    def _create(self, kind: type) -> Any:
        exchange = ccxt_client.create(self._venue, self._config, TIMEOUT_S, kind=kind)
        name, market_type = ccxt_client.exchange_of(self._venue)
        inverse = any(listing.inverse for _, listing in self._listed)
        exchange.options["adjustForTimeDifference"] = False  # nothing is signed
        exchange.options |= quirk_of(name).options(market_type, inverse=inverse)
        return exchange

    async def _hold(self, session: Session, now_ns: Callable[[], int]) -> None:
        session.exchange = exchange = self._create(session.kind)
        old = await self._markets.load(exchange, now_ns())
        self._check(session)
        tasks = [asyncio.create_task(self._refresh(now_ns))] if old else []
        try:
            await session.listen(self._silence_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check(self, session: Session) -> None:
        """Leave out what cannot be read, loudly; say what differs."""
        exchange, by_symbol = session.exchange, session.streams.by_symbol
        for symbol, stream in list(by_symbol.items()):
            market = exchange.markets.get(symbol)
            if market is None:
                self._log.error("not listed at the venue", symbol=symbol)
                del by_symbol[symbol]
                continue
            terms = terms_of(market, exchange.precisionMode)
            if why := unreadable(terms, stream.instrument, stream.listing):
                self._log.error("its numbers do not fit, so it is left out", symbol=symbol, write=why)
                del by_symbol[symbol]
                continue
            for difference in differences(terms, stream.instrument, stream.listing):
                self._log.warning("the venue's terms are others", symbol=symbol, write=difference)
        if not by_symbol:
            raise FeedBroken("no symbol is left")
        session.streams.name(exchange.markets)

    async def _refresh(self, now_ns: Callable[[], int]) -> None:
        """The file of markets, by an exchange of its own: those in use stay as they are until the next session."""
        exchange = self._create(self._kind)
        try:
            await self._markets.fetch(exchange, now_ns())
        except Exception as error:  # noqa: BLE001 - the old file is good for days
            self._log.warning("markets not refreshed", error=f"{type(error).__name__}: {error}"[:500])
        finally:
            await exchange.close()


def _listed(venue: str, config: Config) -> Iterator[tuple[Instrument, Listing]]:
    for instrument in config.make_instruments().all:
        listing = instrument.listing(venue)
        if listing is not None:
            yield instrument, listing


class Session:
    """One exchange object, and what its ears do (`hooks.Hearing`)."""

    def __init__(self, kind: type, streams: Streams, levels: int, now_ns: Callable[[], int]) -> None:
        self.exchange: Any = None
        self.kind = hooked(kind, self)
        self.streams = streams
        self._now_ns = now_ns
        self._frames = 0
        self._told = Told(streams, levels, now_ns() // MS - TOLD_BEFORE_MS)
        self.quirk = quirk_of(kind.__name__)(streams, self.broken, now_ns)
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hear(self, exchange: Any, client: Any, message: Any) -> bool:
        if self._broken.done():
            return True  # what comes after a break is nobody's
        self._frames += 1
        return self.quirk.hear(exchange, client, message, self._now_ns())

    def told(self, exchange: Any, result: Any) -> bool:
        return self._told.take(exchange, result, self._now_ns())

    def broken(self, error: BaseException) -> None:
        """The books are unknown from this moment, not only when the session is over."""
        self.streams.end(self._now_ns())
        if not self._broken.done():
            self._broken.set_exception(error)

    async def listen(self, silence_s: float) -> None:
        """Until something breaks, and raises what it was."""
        self.quirk.prepare(self.exchange)
        watching = [asyncio.create_task(_forever(watch)) for watch in self.quirk.watches(self.exchange)]
        watching.append(asyncio.create_task(self._listen_for_silence(silence_s)))
        try:
            done, _ = await asyncio.wait([self._broken, *watching], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                if one.cancelled():  # ccxt cancels what waits on a connection that it closes by itself
                    raise FeedBroken("the connection was closed")
                one.result()
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    async def _listen_for_silence(self, silence_s: float) -> None:
        frames = -1
        while frames != self._frames:
            frames = self._frames
            await asyncio.sleep(silence_s)
        raise FeedBroken(f"nothing was heard for {silence_s} s")

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
