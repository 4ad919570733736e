"""Several emulated exchanges, and simulated venues beside them, in one market: a process that is the world outside.

    python -m tests.emulators.world binance bybit okx --data-dir D [--sim bestex.toml] [--seed N]

Prices of exchanges that know nothing of each other would part within a minute, and no router trades on a book that
is crossed by more than the fees. So one market model moves all listings of a pair; perpetuals stand BASIS_BPS above
spot. `--sim` serves the simulated venues of that configuration, which name no address of their own, by the API of
`services.exchange`. Each says where it is on standard output, in JSON, and then all run until they are interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web
from msgspec.structs import replace

from bestex import config as configuration
from bestex import log
from bestex.background import BackgroundTrade, LevelSet
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.instruments import Instrument, Listing
from bestex.ladder import BPS_ONE
from bestex.market import MarketModel
from bestex.sim_wire import Trade
from services.exchange.api import make_app
from services.exchange.happening import Background, Happening
from services.exchange.shell import Exchange
from tests.emulators.binance import Binance
from tests.emulators.binance_perp import BinancePerp
from tests.emulators.bybit import Bybit
from tests.emulators.okx import Okx
from tests.emulators.server import Emulator

EXCHANGES: dict[str, type[Emulator]] = {
    "binance": Binance,
    "binance_perp": BinancePerp,
    "bybit": Bybit,
    "okx": Okx,
}
START_PRICES = {"BTC/USDT": 60_000, "ETH/USDT": 3_000}
BASIS_BPS = 3
PRESET = "crypto"


class Place(NamedTuple):
    """A listing as its own engine counts, and how many of the model's units one of its units is."""

    symbol: str
    listing: Listing
    price: int
    qty: int
    above: int  # how much higher than the model it trades, in the model's units


class Pair:
    """One pair's market: a model over all its listings, and what has happened on each since it was asked."""

    def __init__(self, name: str, start_price: int, seed: int) -> None:
        self.name, self._start_price, self._seed = name, start_price, seed
        self._joined: list[tuple[str, Instrument, Listing]] = []
        self._places: dict[str, Place] = {}
        self._waiting: dict[str, deque[LevelSet | BackgroundTrade]] = {}
        self._model: MarketModel | None = None

    def join(self, instrument: Instrument, listing: Listing) -> str:
        """The name under which the listing stands in the model. All join before anything happens."""
        assert self._model is None, "a market that has begun"
        name = f"{len(self._joined)}"
        self._joined.append((name, instrument, listing))
        return name

    def _begin(self, now_ns: int) -> MarketModel:
        price_scale = max(instrument.price_scale for _, instrument, _ in self._joined)
        qty_scale = max(instrument.qty_scale for _, instrument, _ in self._joined)
        listings = []
        start = self._start_price * 10**price_scale
        for name, instrument, listing in self._joined:
            price = 10 ** (price_scale - instrument.price_scale)
            qty = 10 ** (qty_scale - instrument.qty_scale)
            listings.append(
                replace(
                    listing,
                    venue=name,
                    kind="spot",
                    tick=listing.tick * price,
                    lot=listing.lot * qty,
                    min_qty=listing.min_qty * qty,
                    max_qty=listing.max_qty * qty,
                    min_notional=listing.min_notional * price * qty,
                )
            )
            ticks = math.ceil(start * BASIS_BPS / BPS_ONE / (listing.tick * price))
            above = ticks * listing.tick * price if listing.kind == "perp" else 0
            self._places[name] = Place(listing.symbol, listing, price, qty, above)
            self._waiting[name] = deque()
        whole = Instrument(
            symbol=self.name, price_scale=price_scale, qty_scale=qty_scale, listings=tuple(listings)
        )
        return MarketModel(whole, PRESET, self._seed, start, now_ns)

    def happened(self, name: str, now_ns: int) -> Iterable[Happening]:
        """What has happened on that listing until now, as its own engine counts."""
        if self._model is None:
            self._model = self._begin(now_ns)
        for event in self._model.step_until(now_ns):
            self._waiting[event.venue].append(event)
        place, waiting = self._places[name], self._waiting[name]
        happenings = []
        while waiting:
            event = waiting.popleft()
            own = replace(
                event,
                venue=place.listing.venue,
                price=(event.price + place.above) // place.price,
                qty=event.qty // place.qty,
            )
            happenings.append(Happening(place.symbol, own))
        return happenings


class Corner:
    """One engine's part of the world."""

    def __init__(self, places: list[tuple[Pair, str]]) -> None:
        self._places = places

    @property
    def due_ns(self) -> int:
        return 0

    def step_until(self, now_ns: int) -> Iterable[Happening]:
        return [one for pair, name in self._places for one in pair.happened(name, now_ns)]

    def hear(self, trades: Iterable[Trade]) -> None:
        """The market does not answer to our orders."""


class World:
    """`join` every engine's configuration, give each `backgrounds` of it, and start them then."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._pairs: dict[str, Pair] = {}
        self._corners: dict[str, Corner] = {}

    def join(self, venue: str, config: Config) -> None:
        places = []
        for instrument in config.make_instruments().all:
            listing = instrument.listing(venue)
            if listing is None:
                continue
            name = listing.symbol.partition(":")[0]
            if name not in self._pairs:
                self._pairs[name] = Pair(name, START_PRICES[name], self._seed)
            places.append((self._pairs[name], self._pairs[name].join(instrument, listing)))
        self._corners[venue] = Corner(places)

    def backgrounds(
        self, _config: Config, venues: Iterable[str], _prices: dict[str, int], _now_ns: int
    ) -> list[Background]:
        return [self._corners[venue] for venue in venues]


class Simulated:
    """The simulated venues of `config` that name no address, served together."""

    def __init__(self, config: Config, data_dir: Path, world: World) -> None:
        mine = {name: one for name, one in config.venues.items() if one.adapter == "sim" and not one.url}
        instruments = {
            symbol: replace(
                one, venues={venue: terms for venue, terms in one.venues.items() if venue in mine}
            )
            for symbol, one in config.instruments.items()
        }
        self.config = replace(config, data_dir=str(data_dir), venues=mine, instruments=instruments)
        for venue in mine:
            world.join(venue, self.config)
        logger = structlog.stdlib.get_logger(venue="sim")
        self._exchange = Exchange(self.config, AffineClock(), logger, world.backgrounds)
        self._running: asyncio.Task[None] | None = None
        self._runner = web.AppRunner(make_app(self._exchange), access_log=None, shutdown_timeout=0.1)

    async def start(self) -> str:
        """Where."""
        self._exchange.start()
        self._running = asyncio.create_task(self._exchange.run())
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        await self._runner.cleanup()
        await self._exchange.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators.world", description=__doc__)
    parser.add_argument("exchanges", nargs="+", choices=sorted(EXCHANGES))
    parser.add_argument("--data-dir", type=Path, required=True, help="where the journals are kept")
    parser.add_argument("--sim", type=Path, help="a configuration with simulated venues")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    log.configure("world")
    world = World(given.seed)
    emulators = []
    for name in given.exchanges:
        emulator = EXCHANGES[name](given.data_dir, market=world.backgrounds)
        world.join(emulator.NAME, emulator.config)
        emulators.append(emulator)
    asyncio.run(_run(emulators, given.sim, given.data_dir, world))


async def _run(emulators: list[Emulator], sim: Path | None, data_dir: Path, world: World) -> None:
    simulated = Simulated(configuration.load(sim, {}), data_dir, world) if sim is not None else None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if simulated is not None:
        _say("sim", await simulated.start())
    for emulator in emulators:
        await emulator.start()
        _say(emulator.NAME, emulator.url)
    await stop.wait()
    with suppress(ConnectionError):
        for emulator in emulators:
            await emulator.stop()
        if simulated is not None:
            await simulated.stop()


def _say(venue: str, url: str) -> None:
    print(json.dumps({"event": "ready", "venue": venue, "url": url}), flush=True)


if __name__ == "__main__":
    main()
