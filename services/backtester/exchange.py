"""The simulated exchange on virtual time: the matching engine that live simulation uses, without its sockets.

Whatever travels between a service and the exchange takes `exchange.latency`, either way. Market data leaves at
the pace of the exchange's process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.config import Config
from bestex.matching import Market, SimExchange
from bestex.messages import MarketTrade, VenueBook
from bestex.replay import World
from services.exchange.background import backgrounds

TICK_NS = 10 * MS  # books are published at most this often, as by the exchange's process
HEARTBEAT_NS = 500 * MS  # a book is repeated after this silence, as by the exchange's process

Columns = tuple[list[int], list[int], list[int], list[int]]


@dataclass(slots=True)
class _Channel:
    """One market's data: what was published last."""

    info: w.MarketInfo
    market: Market
    version: int = -1
    sent_ns: int = 0
    seq: int = 0
    columns: Columns = field(default_factory=lambda: ([], [], [], []))


class VirtualExchange:
    """`journals` are what every venue would have written to its disk, for the audit."""

    def __init__(self, config: Config, world: World) -> None:
        self.sim = SimExchange(config.make_instruments(), config.enabled_venues(), config.calendars())
        self.latency_ns = int(config.exchange.latency)
        self.journals: dict[str, list[w.JournalLine]] = {
            venue: [w.JournalHeader(at_ns=world.now_ns, venue=venue, markets=self.sim.markets(venue))]
            for venue in self.sim.venues
        }
        self._world = world
        self._levels = config.market_data.levels
        self._backgrounds = backgrounds(config, self.sim.venues, {}, world.now_ns)
        self._channels = {
            (info.venue, info.symbol): _Channel(info, self.sim.market(info.venue, info.symbol))
            for info in self.sim.markets()
        }
        self._on_data: Callable[[VenueBook | MarketTrade], None] = _nobody
        self._on_entry: Callable[[w.JournalEntry], None] = _nobody
        self._feed()
        self.sim.drain_prints()  # trades of the set-up are history: nobody listened
        world.after(0, self._tick)

    def listen(self, on_data: Callable[[VenueBook | MarketTrade], None]) -> None:
        """Where market data goes from now on."""
        self._on_data = on_data

    def attend(self, on_entry: Callable[[w.JournalEntry], None]) -> None:
        """Who is told of every step that concerns orders, from now on."""
        self._on_entry = on_entry

    def ask(self, request: w.AnyRequest, on_answer: Callable[[w.Answer], None]) -> None:
        """Send a request; its answer comes back after the way there and the way back."""
        self.travel(partial(self._arrived, request, on_answer))

    def travel(self, act: Callable[[], None]) -> None:
        """Do `act` at the other end of the line."""
        self._world.after(self.latency_ns, act)

    def _arrived(self, request: w.AnyRequest, on_answer: Callable[[w.Answer], None]) -> None:
        self._feed()
        answer = self.sim.handle(request, self._world.now_ns)
        self._record()
        self.travel(partial(on_answer, answer))

    def _tick(self) -> None:
        now_ns = self._world.now_ns
        self._feed()
        self.sim.advance(now_ns)
        self._record()
        data: list[VenueBook | MarketTrade] = []
        recv_ns = now_ns + self.latency_ns
        for trade in self.sim.drain_prints():
            info = self._channels[trade.venue, trade.symbol].info
            data.append(
                MarketTrade(
                    trade.venue,
                    trade.symbol,
                    trade.trade_id,
                    trade.at_ns,
                    recv_ns,
                    info.price_scale,
                    info.qty_scale,
                    trade.price,
                    trade.qty,
                    trade.aggressor,
                )
            )
        data += [book for channel in self._channels.values() for book in self._refresh(channel, now_ns)]
        if data:
            self.travel(partial(self._publish, data))
        self._world.after(TICK_NS, self._tick)

    def _refresh(self, channel: _Channel, now_ns: int) -> Sequence[VenueBook]:
        """The book if what is shown of it changed, or if nothing was sent for long."""
        silent = now_ns - channel.sent_ns >= HEARTBEAT_NS
        if channel.market.version == channel.version and not silent:
            return ()
        channel.version = channel.market.version
        columns = channel.market.book(self._levels)
        if columns == channel.columns and not silent:
            return ()
        channel.columns, channel.sent_ns = columns, now_ns
        channel.seq += 1
        info = channel.info
        recv_ns = now_ns + self.latency_ns
        return (
            VenueBook(
                info.venue,
                info.symbol,
                channel.seq,
                now_ns,
                recv_ns,
                info.price_scale,
                info.qty_scale,
                *columns,
            ),
        )

    def _publish(self, data: list[VenueBook | MarketTrade]) -> None:
        for message in data:
            self._on_data(message)

    def _feed(self) -> None:
        for background in self._backgrounds:
            for symbol, event in background.step_until(self._world.now_ns):
                self.sim.background(symbol, event)

    def _record(self) -> None:
        """Note what happened; those whom it concerns hear of it before any answer."""
        for entry in self.sim.drain():
            self.journals[entry.venue].append(entry)
            if entry.trades:
                for background in self._backgrounds:
                    background.hear(entry.trades)
            if entry.orders:
                self.travel(partial(self._tell, entry))

    def _tell(self, entry: w.JournalEntry) -> None:
        self._on_entry(entry)


def _nobody(_: Any) -> None:
    """Nobody listens."""
