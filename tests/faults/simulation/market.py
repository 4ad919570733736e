"""The venues of a simulation: the platform's own matching engine with a small market of its own around it.

`journals` is the truth that every run is audited against: what the venues did, whatever anybody heard of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from bestex import sim_wire as w
from bestex.background import ASK, BID, BackgroundTrade, LevelSet
from bestex.clock import MS
from bestex.config import Config
from bestex.matching import SimExchange
from bestex.messages import MarketTrade, VenueBook
from tests.faults.simulation.world import World

TICK_NS = 900 * MS  # two are missed before a book is stale
LATENCY_NS = 2 * MS
LEVELS = 3

Listener = Callable[[w.JournalEntry], None]


class VirtualMarket:
    """Books drawn anew at every tick around a mid that walks, trades now and then, and our orders in them."""

    def __init__(self, config: Config, world: World, seed: int) -> None:
        self._world = world
        self._random = Random(seed)
        self.sim = SimExchange(config.make_instruments(), config.enabled_venues(), config.calendars())
        self.markets = self.sim.markets()
        self.journals: dict[str, list[w.JournalLine]] = {
            venue: [w.JournalHeader(at_ns=world.now_ns, venue=venue, markets=self.sim.markets(venue))]
            for venue in self.sim.venues
        }
        self._mids = {
            symbol: config.make_instruments().by_symbol[symbol].price_units(item.start_price)
            for symbol, item in config.instruments.items()
        }
        self._shown: dict[tuple[str, str, int], dict[int, int]] = {}
        self._seq = 0
        self._open = True
        self._tells: dict[str, list[Listener]] = {venue: [] for venue in self.sim.venues}
        self._hears: dict[str, Callable[[Any], None]] = {}
        self._tick()

    # -- who listens -------------------------------------------------------------------------------------------

    def listen(self, venue: str, take: Callable[[Any], None]) -> None:
        """The venue's data goes there from now on: to a collector that started anew."""
        self._hears[venue] = take

    def attend(self, venue: str, tell: Listener) -> None:
        """Who hears of every step of a venue, the moment it is done."""
        self._tells[venue].append(tell)

    def leave(self, venue: str, tell: Listener) -> None:
        self._tells[venue].remove(tell)

    # -- orders ------------------------------------------------------------------------------------------------

    def handle(self, request: w.AnyRequest) -> w.Answer:
        """A request that has arrived."""
        answer = self.sim.handle(request, self._world.now_ns)
        self._record()
        return answer

    def _record(self) -> None:
        for entry in self.sim.drain():
            self.journals[entry.venue].append(entry)
            if entry.orders:
                for tell in list(self._tells[entry.venue]):
                    tell(entry)

    # -- the market --------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_ns = self._world.now_ns
        self.sim.advance(now_ns)
        self._seq += 1
        for symbol, mid in self._mids.items():
            self._mids[symbol] = mid + self._random.choice((-1, 0, 0, 1)) * (mid // 20_000)
        for info in self.markets:
            for event in self._draw(info):
                self.sim.background(info.symbol, event)
        self._record()
        self._world.after(LATENCY_NS, self._publish, [*self._prints(), *map(self._book, self.markets)])
        if self._open:
            self._world.after(TICK_NS, self._tick)

    def close(self) -> None:
        """The market stands still from now on; our orders in it are as they are."""
        self._open = False

    def _draw(self, info: w.MarketInfo) -> Iterable[LevelSet | BackgroundTrade]:
        """A new book: levels of random size around the mid, and at times a trade at the best price."""
        rng, now_ns, tick, lot = self._random, self._world.now_ns, info.listing.tick, info.listing.lot
        mid = self._mids[info.instrument] // tick * tick
        half = max(tick, mid // 20_000 // tick * tick)
        for side in (BID, ASK):
            shown = self._shown.setdefault((info.venue, info.symbol, side), {})
            fresh = {mid - side * (half + i * half): lot * rng.randint(20, 400) for i in range(LEVELS)}
            for price in shown.keys() - fresh.keys():
                yield LevelSet(now_ns, info.venue, side, price, 0)
            for price, qty in sorted(fresh.items()):
                yield LevelSet(now_ns, info.venue, side, price, qty)
            shown.clear()
            shown.update(fresh)
        if rng.random() < 0.3:
            side = rng.choice((BID, ASK))
            price, qty = mid - side * half, lot * rng.randint(1, 200)
            yield BackgroundTrade(now_ns, info.venue, price, qty, -side, f"b{self._seq}")

    def _prints(self) -> list[MarketTrade]:
        scales = {(i.venue, i.symbol): (i.price_scale, i.qty_scale) for i in self.markets}
        return [
            MarketTrade(
                t.venue,
                t.symbol,
                t.trade_id,
                t.at_ns,
                self._world.now_ns + LATENCY_NS,
                *scales[t.venue, t.symbol],
                t.price,
                t.qty,
                t.aggressor,
            )
            for t in self.sim.drain_prints()
        ]

    def _book(self, info: w.MarketInfo) -> VenueBook:
        now_ns = self._world.now_ns
        columns = self.sim.market(info.venue, info.symbol).book(LEVELS)
        scales = info.price_scale, info.qty_scale
        return VenueBook(info.venue, info.symbol, self._seq, now_ns, now_ns + LATENCY_NS, *scales, *columns)

    def _publish(self, data: list[Any]) -> None:
        for message in data:
            if message.venue in self._hears:
                self._hears[message.venue](message)
