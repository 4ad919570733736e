"""Market data of Korea Investment & Securities: books and trades of KRX, NXT and the United States.

One websocket for each key carries all of a process's venues. Every frame of a book is the whole of it (ten levels;
the best one of the United States), so nothing can be missed but the newest, and a frame after a reconnect makes the
book known again. Outside the venue's sessions its book is unknown, whatever is sent then: those are orders that wait
for an auction. Trades have no ids; the day's volume after each of them is one.

A websocket takes 40 registrations. Books come first, for all venues of the same key in the configuration's order,
then trades; what has no place is said at the start, and the book of it stays unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.depth import LevelReader
from bestex.errors import ConfigError
from bestex.feed import DepthUpdate
from bestex.instruments import Instrument, Listing
from bestex.keys import read_keys
from bestex.kis import frames
from bestex.kis.client import KisClient
from bestex.kis.hosts import CALENDARS, Host, host_of
from bestex.kis.socket import REGISTERED_MAX, Topic, socket_of
from bestex.messages import MarketTrade
from bestex.sessions import calendar
from bestex.units import UnitError
from services.collector.sources import Deliver

LEVELS = 10
LOOK_S = 0.5  # how often it is looked whether the session has ended
BOOK_IDS = {"KRX": "H0STASP0", "NXT": "H0NXASP0", "US": "HDFSASP0"}
TRADE_IDS = {"KRX": "H0STCNT0", "NXT": "H0NXCNT0", "US": "HDFSCNT0"}
US_PREFIXES = {"": "DNAS", "NASD": "DNAS", "NYSE": "DNYS", "AMEX": "DAMS"}
DOMESTIC_AGGRESSORS = {"1": 1, "5": -1}  # what else there is, is an auction's
US_FIRST_LEVEL, US_LEVEL_FIELDS = 11, 6  # bid, ask, their sizes, and the changes of these

Levels = list[tuple[int, int]]


class Registration(NamedTuple):
    venue: str
    instrument: Instrument
    listing: Listing
    exchange: str
    is_book: bool

    @property
    def tr_id(self) -> str:
        return (BOOK_IDS if self.is_book else TRADE_IDS)[self.exchange]

    @property
    def key(self) -> str:
        """By which KIS knows the share: its code, in the United States with the exchange in front."""
        place, _, code = self.listing.symbol.rpartition(":")
        if self.exchange != "US":
            return code
        if place not in US_PREFIXES:
            raise ConfigError(f"{self.listing.symbol}: there is no exchange {place}")
        return US_PREFIXES[place] + code


def registrations(venue: str, config: Config) -> Iterator[tuple[Registration, bool]]:
    """Those of the venue, and whether there is a place for each on the websocket of its key."""
    keys = config.venues[venue].keys
    sharing = [
        name
        for name in config.enabled_venues()
        if config.venues[name].adapter == config.venues[venue].adapter and config.venues[name].keys == keys
    ]
    wanted = [
        Registration(name, instrument, listing, host_of(name, config).exchange, is_book)
        for is_book in (True, False)
        for name in sharing
        for instrument in config.make_instruments().all
        if (listing := instrument.listing(name)) is not None
    ]
    for place, one in enumerate(wanted):
        if one.venue == venue:
            yield one, place < REGISTERED_MAX


class Reader:
    """One share's frames as what the collector publishes. Pure."""

    def __init__(self, of: Registration) -> None:
        self._of = of
        self._scales = of.instrument.price_scale, of.instrument.qty_scale
        self._levels = LevelReader(*self._scales)
        self._seq = 0

    def is_mine(self, fields: list[str]) -> bool:
        return bool(fields) and fields[0] == self._of.key

    def book(self, fields: list[str], recv_ns: int) -> DepthUpdate:
        """UnitError or IndexError where it is none."""
        us = self._of.exchange == "US"
        bids, asks = self._us_levels(fields) if us else self._domestic_levels(fields)
        hour = fields[6] if us else fields[1]
        return self._update(bids, asks, frames.near(hour, recv_ns), recv_ns)

    def unknown(self, recv_ns: int) -> DepthUpdate:
        return self._update([], [], 0, recv_ns)

    def trade(self, fields: list[str], recv_ns: int) -> MarketTrade:
        """UnitError, ValueError or IndexError where it is none."""
        if self._of.exchange == "US":
            day, hour, price, qty, volume, aggressor = fields[4], fields[7], fields[11], *fields[19:21], 0
        else:
            day, hour, price, qty, volume = fields[33], fields[1], fields[2], *fields[12:14]
            aggressor = DOMESTIC_AGGRESSORS.get(fields[21], 0)
        if not (day.isdigit() and volume.isdigit()):
            raise ValueError(f"a trade of {day!r} after which {volume!r} were traded")
        return MarketTrade(
            self._of.venue,
            self._of.listing.symbol,
            f"{day}-{volume}",
            min(frames.near(hour, recv_ns), recv_ns),
            recv_ns,
            *self._scales,
            self._levels.prices[price],
            self._levels.qtys[qty],
            aggressor,
        )

    def _domestic_levels(self, fields: list[str]) -> tuple[Levels, Levels]:
        ask_px, bid_px, ask_qty, bid_qty = (fields[start : start + LEVELS] for start in (3, 13, 23, 33))
        return self._some(zip(bid_px, bid_qty, strict=True)), self._some(zip(ask_px, ask_qty, strict=True))

    def _us_levels(self, fields: list[str]) -> tuple[Levels, Levels]:
        rows = [fields[at : at + 4] for at in range(US_FIRST_LEVEL, len(fields) - 3, US_LEVEL_FIELDS)][
            :LEVELS
        ]
        if not rows:
            raise IndexError("a book without a level")
        return self._some((row[0], row[2]) for row in rows), self._some((row[1], row[3]) for row in rows)

    def _some(self, pairs: Iterator[tuple[str, str]]) -> Levels:
        """Levels that are there: KIS fills up with zeros."""
        return [(price, qty) for price, qty in self._levels.read(pairs) if price and qty]

    def _update(self, bids: Levels, asks: Levels, venue_ns: int, recv_ns: int) -> DepthUpdate:
        self._seq += 1
        return DepthUpdate(
            self._of.venue,
            self._of.listing.symbol,
            self._seq,
            min(venue_ns, recv_ns),
            recv_ns,
            *self._scales,
            snapshot=True,
            bids=bids,
            asks=asks,
        )


@dataclass
class Ear:
    """Who hears one registration."""

    of: Registration
    reader: Reader
    topic: Topic | None = None


class KisSource:
    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:
        """ConfigError where its settings or its keys cannot be used."""
        self._venue, self._config = venue, config
        settings = config.venues[venue]
        if not settings.keys:
            raise ConfigError(f"venues.{venue}: market data needs a file of keys too")
        self._host: Host = host_of(venue, config)
        self._hours = calendar(settings.calendar or CALENDARS[self._host.exchange])
        self._log = structlog.get_logger(venue=venue)
        self._ears: list[Ear] = []
        readers = {one.listing.symbol: Reader(one) for one, _ in registrations(venue, config)}
        for one, has_place in registrations(venue, config):
            if has_place:
                self._ears.append(Ear(one, readers[one.listing.symbol]))
            else:
                what = "book" if one.is_book else "trades"
                self._log.error(f"no place for its {what}", symbol=one.listing.symbol, most=REGISTERED_MAX)
        self._timeout_ns = int(config.execution.timeout)
        self._wall_s = clock.wall_seconds(config.execution.timeout)
        self._keys = read_keys(settings.keys)
        self._is_open = False

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        client = KisClient(
            self._host,
            self._keys,
            Path(self._config.data_dir),
            self._timeout_ns,
            now_ns,
            share=float(self._config.venues[self._venue].rate_share),
            wall_s=self._wall_s,
        )
        await client.start()
        socket = socket_of(client)
        try:
            for ear in self._ears:
                ear.topic = self._topic(client, ear, deliver, now_ns)
                await socket.join(ear.topic)
            await self._keep_hours(deliver, now_ns)
        finally:
            for ear in self._ears:
                if ear.topic is not None:
                    await socket.leave(ear.topic)
                    ear.topic = None
            await client.close()

    async def _keep_hours(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        while True:
            is_open = self._hours.at(now_ns()) is not None
            if self._is_open and not is_open:
                self._forget(deliver, now_ns)
            self._is_open = is_open
            await asyncio.sleep(LOOK_S)

    def _forget(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        for ear in self._ears:
            if ear.of.is_book:
                deliver(ear.reader.unknown(now_ns()))

    def _topic(self, client: KisClient, ear: Ear, deliver: Deliver, now_ns: Callable[[], int]) -> Topic:
        def hear(_tr_id: str, records: list[list[str]]) -> None:
            recv_ns = now_ns()
            if self._hours.at(recv_ns) is None:
                return
            for fields in filter(ear.reader.is_mine, records):
                try:
                    said = (
                        ear.reader.book(fields, recv_ns)
                        if ear.of.is_book
                        else ear.reader.trade(fields, recv_ns)
                    )
                except (UnitError, ValueError, IndexError) as error:
                    self._log.error(
                        "a record cannot be read", symbol=ear.of.listing.symbol, error=repr(error)
                    )
                    if ear.of.is_book:
                        deliver(ear.reader.unknown(recv_ns))
                    continue
                deliver(said)

        def told(is_on: bool, text: str) -> None:
            if is_on:
                return
            self._log.warning("no market data", symbol=ear.of.listing.symbol, error=text)
            if ear.of.is_book:
                deliver(ear.reader.unknown(now_ns()))

        return Topic(client, ear.of.tr_id, ear.of.key, hear, told)
