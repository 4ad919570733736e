"""The exchange at work: time, the background and the disk around the pure `SimExchange`.

Whatever happens is in the journal before anybody hears of it. On a restart the journal is applied, the
background is set up, and the open orders go back into the books behind it.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from bestex import sim_wire as w
from bestex.clock import MINUTE, SECOND, AffineClock
from bestex.config import Config
from bestex.config_fills import VenueFills
from bestex.errors import ConfigError
from bestex.matching import SimExchange
from bestex.matching.latency import Way as Drawn
from bestex.matching.latency import Ways, ways
from bestex.sim_journal import JournalWriter, journal_path, read_journal
from services.exchange.background import backgrounds
from services.exchange.delay import DelayLine
from services.exchange.happening import Background
from services.exchange.heard import HeardBackground
from services.exchange.streams import MarketData, UserData

TICK_S = 0.01  # books are published at most this often
PRICES_INTERVAL_NS = SECOND  # how old the price may be at which the model goes on after a restart

MakeBackgrounds = Callable[[Config, list[str], dict[str, int], int], list[Background]]


class Way(NamedTuple):
    inbound: DelayLine
    outbound: DelayLine


def _way(chosen: Ways, clock: AffineClock) -> Way:
    return Way(*(DelayLine(partial(_seconds, one, clock)) for one in (chosen.there, chosen.back)))


def _seconds(way: Drawn, clock: AffineClock) -> float:
    return clock.wall_seconds(way.draw_ns())


class Exchange:
    """`start`, then `run` until canceled, then `stop`. ConfigError where a journal does not fit."""

    def __init__(
        self,
        config: Config,
        clock: AffineClock,
        logger: structlog.stdlib.BoundLogger,
        make_backgrounds: MakeBackgrounds = backgrounds,
    ) -> None:
        venues = [name for name in config.enabled_venues() if config.venues[name].in_exchange]
        if not venues:
            raise ConfigError(
                "venues: none is enabled that is simulated or on paper; there is nothing to serve"
            )
        self.sim = SimExchange(config.make_instruments(), venues, config.calendars(), config.exchange.fills)
        self.market_data = MarketData(
            (info, self.sim.market(info.venue, info.symbol)) for info in self.sim.markets()
        )
        self.user_data = UserData()
        seed, usual_ns = config.exchange.seed, int(config.exchange.latency)
        self._way = _way(ways("", VenueFills(), usual_ns, seed), clock)
        self._ways = {
            name: _way(ways(name, fills, usual_ns if latency is None else int(latency), seed), clock)
            for name in venues
            for latency, fills in [(config.venues[name].latency, config.exchange.fills.of(name))]
            if latency is not None or fills.there or fills.back
        }
        self.is_ready = False
        self._broken = False
        self._config, self._clock, self._log = config, clock, logger
        self._make_backgrounds = make_backgrounds
        self._backgrounds: list[Background] = []
        self._heard: list[HeardBackground] = []
        self._journals: dict[str, JournalWriter] = {}
        self._unsynced: set[str] = set()
        self._syncing: asyncio.Future[None] | None = None
        self._prices_path = Path(config.data_dir) / "exchange" / "prices.json"
        self._prices_ns = 0
        self._now_ns = 0

    def way(self, venue: str) -> Way:
        """Between its clients and `venue`; the usual one for a venue of which nothing special is configured."""
        return self._ways.get(venue, self._way)

    def heard(self) -> list[HeardBackground]:
        """The markets that wait to be told of."""
        return [one for one in self._backgrounds if isinstance(one, HeardBackground)]

    def now_ns(self) -> int:
        """The clock, which never goes back here."""
        self._now_ns = max(self._now_ns, self._clock.now_ns())
        return self._now_ns

    def start(self) -> None:
        """Read the journals, set up the market, reopen the books."""
        now_ns = self.now_ns()
        for venue in self.sim.venues:
            path = journal_path(self._config.data_dir, venue)
            journal = self._journals[venue] = JournalWriter(path)
            restored = self._restore(path, venue, now_ns)
            journal.append([w.JournalHeader(at_ns=now_ns, venue=venue, markets=self.sim.markets(venue))])
            if restored:
                self._log.info("restored", venue=venue, steps=restored)
        self._backgrounds = self._make_backgrounds(self._config, self.sim.venues, self._last_prices(), now_ns)
        self._heard = self.heard()
        self._feed(now_ns)
        self.sim.drain_prints()  # trades of the set-up are history: nobody listened
        self.sim.reopen(now_ns)
        self._record()
        self.is_ready = True

    def _restore(self, path: Path, venue: str, now_ns: int) -> int:
        scales = {info.symbol: (info.price_scale, info.qty_scale) for info in self.sim.markets(venue)}
        steps = 0
        for line in read_journal(path):
            if line.at_ns > now_ns + MINUTE:
                raise ConfigError(f"{path}: from the future of this clock; use another data_dir")
            if isinstance(line, w.JournalEntry):
                self.sim.restore(line)
                steps += 1
                continue
            for info in line.markets:
                if scales.get(info.symbol) != (info.price_scale, info.qty_scale):
                    raise ConfigError(
                        f"{path}: {info.symbol} was traded with scales {info.price_scale} and "
                        f"{info.qty_scale}, and is not now; configure it so, or use another data_dir"
                    )
        return steps

    # -- requests --------------------------------------------------------------------------------------------

    def handle(self, request: w.AnyRequest) -> w.Answer:
        """Do one request now, at the present state of the market. The journal has it when this returns."""
        if self._broken:
            raise RuntimeError("the exchange has failed and is about to end")
        self._broken = True  # unless all of this goes well, memory may be ahead of the journal
        now_ns = self.now_ns()
        self._feed(now_ns)
        answer = self.sim.handle(request, now_ns)
        self._record()
        self._broken = False
        return answer

    # -- time ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.tick()
            due = max(due + TICK_S, loop.time())
            await asyncio.sleep(due - loop.time())

    def tick(self) -> None:
        if self._broken:
            raise RuntimeError("a request failed midway; the journal is right, and a restart reads it")
        now_ns = self.now_ns()
        self._feed(now_ns)
        self.sim.advance(now_ns)
        self._record()
        if self._heard:
            self.market_data.heard_ns = self._heard_ns()
        self.market_data.publish(self.sim.drain_prints(), now_ns)
        self._sync()
        if now_ns - self._prices_ns >= PRICES_INTERVAL_NS:
            self._save_prices(now_ns)

    def _heard_ns(self) -> dict[tuple[str, str], int]:
        return {
            (one.venue, symbol): one.heard_ns.get(symbol, 0) for one in self._heard for symbol in one.symbols
        }

    def _feed(self, now_ns: int) -> None:
        for background in self._backgrounds:
            for symbol, event in background.step_until(now_ns):
                self.sim.background(symbol, event)

    # -- disk ------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        """Write what happened, then let it be known."""
        entries = self.sim.drain()
        by_venue: dict[str, list[w.JournalEntry]] = {}
        for entry in entries:
            by_venue.setdefault(entry.venue, []).append(entry)
            if entry.trades:
                for background in self._backgrounds:
                    background.hear(entry.trades)
        for venue, mine in by_venue.items():
            self._journals[venue].append(mine)
            self._unsynced.add(venue)
            self.way(venue).outbound.send(partial(self._tell, mine))

    def _tell(self, entries: list[w.JournalEntry]) -> None:
        for entry in entries:
            self.user_data.publish(entry)

    def _sync(self) -> None:
        """Start an fsync in a thread, if something is unsynced and none is under way."""
        if self._syncing is not None:
            if not self._syncing.done():
                return
            self._syncing.result()
            self._syncing = None
        if self._unsynced:
            journals = [self._journals[venue] for venue in self._unsynced]
            self._unsynced.clear()
            self._syncing = asyncio.get_running_loop().run_in_executor(None, _sync_all, journals)

    def _save_prices(self, now_ns: int) -> None:
        """Keep each instrument's mid, where a market model goes on after a restart."""
        self._prices_ns = now_ns
        prices: dict[str, int] = {}
        for info in self.sim.markets():
            market = self.sim.market(info.venue, info.symbol)
            bid, ask = market.best(1), market.best(-1)
            if info.instrument not in prices and bid is not None and ask is not None:
                prices[info.instrument] = (bid + ask) // 2
        new = self._prices_path.with_suffix(".new")
        new.write_text(json.dumps(prices))
        os.replace(new, self._prices_path)

    def _last_prices(self) -> dict[str, int]:
        if not self._prices_path.exists():
            return {}
        prices: dict[str, int] = json.loads(self._prices_path.read_text())
        return prices

    async def stop(self) -> None:
        self.is_ready = False
        if self._syncing is not None:
            await self._syncing
        for journal in self._journals.values():
            journal.close()


def _sync_all(journals: list[JournalWriter]) -> None:
    for journal in journals:
        journal.sync()
