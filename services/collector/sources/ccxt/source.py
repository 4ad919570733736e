"""A venue's market data through ccxt: its connections, subscriptions and pings, our ears (`hooks`).

A session is one exchange of ccxt, from its first connection to its first trouble: a lost or silent connection, a
missing or late update, a book that cannot be. Then all books are unknown, and the next session begins from nothing,
so that nothing of a broken one is ever built upon.

Options of the venue: `silence_s`, after so many seconds in which a connection that carries books told none, it is
taken for dead; `late_s`, an update that was longer under way than so many seconds ends the session; `marks = false`,
no mark prices of perpetuals; `bbo = true`, the venue's own best bid and ask as well, with which its books are
compared: one that does not agree for `disagree_s` seconds is made anew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from bestex import ccxt_client
from bestex.clock import MS, SECOND, AffineClock
from bestex.config import Config
from bestex.errors import ConfigError
from bestex.instruments import Instrument, Listing
from services.collector import metrics
from services.collector.sources import Deliver
from services.collector.sources.ccxt.markets import Markets, differences, terms_of, unreadable
from services.collector.sources.ccxt.quirks import quirk_of
from services.collector.sources.ccxt.session import Session
from services.collector.sources.ccxt.stream import LATE_NS, FeedBroken, Stream, Streams
from services.collector.sources.ccxt.venue_clock import VenueClock
from services.collector.sources.ccxt.witness import DISAGREE_NS, Witness

TIMEOUT_S = 10.0
SILENCE_S = 60.0
RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
LIMITED_S = (
    60.0  # who goes on asking an exchange that has said "too many" is banned, for minutes and then for days
)
LASTED_NS = 30 * SECOND  # a shorter session has not shown that it works, and each costs a snapshot
CLOSE_S = 5.0  # a connection whose other end is gone does not hold up the next one
CLOCK_SAMPLES = 3
CLOCK_EVERY_S = 300.0  # a good quartz drifts by some 10 ms in that time


class CcxtSource:
    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:  # noqa: ARG002 - the contract's
        """ConfigError for a venue that ccxt does not have, or that lists nothing."""
        self._venue, self._config = venue, config
        self._kind = ccxt_client.class_of(venue)
        self._listed = list(_listed(venue, config))
        if not self._listed:
            raise ConfigError(f"venues.{venue}: no instrument is listed there")
        options = config.venues[venue].options
        self._silence_s = float(options.get("silence_s", SILENCE_S))
        self._marks, self._bests = bool(options.get("marks", True)), bool(options.get("bbo", False))
        self._disagree_ns = int(float(options.get("disagree_s", DISAGREE_NS / SECOND)) * SECOND)
        self._late_ns = int(float(options.get("late_s", LATE_NS / SECOND)) * SECOND)
        symbols = [listing.symbol for _, listing in self._listed]
        self._markets = Markets(Path(config.data_dir), venue, symbols)
        self._clock = VenueClock()
        self._streams: Streams | None = None
        self._had: set[str] = set()  # symbols of which there once was a book
        self._log = structlog.get_logger(venue=venue)
        self._show()

    def _show(self) -> None:
        """The figures are read when somebody asks for them."""
        metrics.AHEAD.labels(self._venue).set_function(lambda: self._clock.ahead_ns / SECOND)
        metrics.LATE.labels(self._venue).set_function(lambda: self._clock.late_ns / SECOND)
        metrics.AHEAD_ERROR.labels(self._venue).set_function(
            lambda: math.nan if self._clock.error_ns is None else self._clock.error_ns / SECOND
        )
        metrics.KNOWN.labels(self._venue).set_function(
            lambda: (
                0 if self._streams is None else sum(one.is_known for one in self._streams.by_symbol.values())
            )
        )

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            began_ns, least = now_ns(), 0.0
            session = self._session(deliver, now_ns)
            metrics.SESSIONS.labels(self._venue).inc()
            text = "ended"
            try:
                await self._hold(session, now_ns)
            except Exception as error:  # noqa: BLE001 - of the venue, of ccxt, of a frame: begin anew
                text = f"{type(error).__name__}: {error}"[:500]
                metrics.BREAKS.labels(self._venue, type(error).__name__).inc()
                least = LIMITED_S if _asked_too_much(error) else 0.0
            finally:
                session.streams.end(now_ns())
                self._had |= {one.symbol for one in session.streams.by_symbol.values() if one.was_known}
                await self._close(session)
            if now_ns() - began_ns > LASTED_NS:
                pause = RECONNECT_FIRST_S
            self._log.warning("no market data", error=text, again_in_s=max(pause, least))
            await asyncio.sleep(max(pause, least))
            pause = min(2 * pause, RECONNECT_MAX_S)

    def _session(self, deliver: Deliver, now_ns: Callable[[], int]) -> Session:
        """With a clock of its own: one of ours that was set would be taken for lateness ever after."""
        self._clock = clock = VenueClock()
        self._streams = Streams(
            Stream(*terms, clock, deliver, self._late_ns, self._witness()) for terms in self._listed
        )
        levels = self._config.market_data.levels
        return Session(self._kind, self._streams, levels, now_ns, marks=self._marks, bests=self._bests)

    def _witness(self) -> Witness | None:
        says_each = quirk_of(self._kind.__name__).SAYS_EACH
        return Witness(self._disagree_ns, says_each=says_each) if self._bests else None

    async def _close(self, session: Session) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await session.close()
        except Exception as error:  # noqa: BLE001 - what is left of it is nobody's, and the next one waits
            self._log.warning("not closed", error=f"{type(error).__name__}: {error}"[:500])

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
        if exchange.has.get("fetchTime") is True:
            tasks.append(asyncio.create_task(self._ask_the_time(exchange, self._clock, now_ns)))
        try:
            await session.listen(self._silence_s, self._had)
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

    async def _ask_the_time(self, exchange: Any, clock: VenueClock, now_ns: Callable[[], int]) -> None:
        while True:
            try:
                answers = []
                for _ in range(CLOCK_SAMPLES):
                    began_ns = now_ns()
                    answers.append((began_ns, int(await exchange.fetch_time()) * MS, now_ns()))
                clock.asked(answers)
            except Exception as error:  # noqa: BLE001 - then the quickest message is all that is known of its clock
                self._log.warning(
                    "the venue's time is not known", error=f"{type(error).__name__}: {error}"[:200]
                )
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _refresh(self, now_ns: Callable[[], int]) -> None:
        """The file of markets, by an exchange of its own: those in use stay as they are until the next session."""
        exchange = self._create(self._kind)
        try:
            await self._markets.fetch(exchange, now_ns())
        except Exception as error:  # noqa: BLE001 - the old file is good for days
            self._log.warning("markets not refreshed", error=f"{type(error).__name__}: {error}"[:500])
        finally:
            await exchange.close()


def _asked_too_much(error: Exception) -> bool:
    from ccxt.base.errors import DDoSProtection, RateLimitExceeded

    return isinstance(error, DDoSProtection | RateLimitExceeded)


def _listed(venue: str, config: Config) -> Iterator[tuple[Instrument, Listing]]:
    for instrument in config.make_instruments().all:
        listing = instrument.listing(venue)
        if listing is not None:
            yield instrument, listing
