"""The simulated exchange on virtual time: the matching engine that live simulation uses, without its sockets.

Whatever travels between a service and a venue takes the venue's latency, either way (`exchange.latency`, or as
`exchange.fills` has it). Market data leaves at
the pace of the exchange's process: what has happened is looked at every TICK_NS. A look that could find nothing, for
nothing of the background is due, no time of an order is over and no request came, is left out, and what a feed says
at once is taken at once. With `step_by_step` every look is taken and every level moves by itself: the same comes of
it, more slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.config import Config
from bestex.matching import Market, SimExchange
from bestex.matching.latency import Ways, ways
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

    def __init__(self, config: Config, world: World, *, step_by_step: bool = False) -> None:
        self.sim = SimExchange(
            config.make_instruments(),
            config.enabled_venues(),
            config.calendars(),
            config.exchange.fills,
            step_by_step=step_by_step,
        )
        self._ways = {name: _ways(name, config) for name in config.enabled_venues()}
        self.journals: dict[str, list[w.JournalLine]] = {
            venue: [w.JournalHeader(at_ns=world.now_ns, venue=venue, markets=self.sim.markets(venue))]
            for venue in self.sim.venues
        }
        self._world = world
        self._step_by_step = step_by_step
        self._origin_ns = world.now_ns  # of the looks' grid
        self._look_ns = 0  # when the next one is due
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
        world.after(0, self._look)

    def listen(self, on_data: Callable[[VenueBook | MarketTrade], None]) -> None:
        """Where market data goes from now on."""
        self._on_data = on_data

    def attend(self, on_entry: Callable[[w.JournalEntry], None]) -> None:
        """Who is told of every step that concerns orders, from now on."""
        self._on_entry = on_entry

    def ask(self, request: w.AnyRequest, on_answer: Callable[[w.Answer], None]) -> None:
        """Send a request; its answer comes back after the way there and the way back."""
        self.there(request.venue, partial(self._arrived, request, on_answer))

    def there(self, venue: str, act: Callable[[], None]) -> None:
        """Do `act` at the venue, when the way there is done."""
        self._world.at(self._ways[venue].there.arrival_ns(self._world.now_ns), act)

    def back(self, venue: str, act: Callable[[], None]) -> None:
        """Do `act` with the venue's client, when the way back is done."""
        self._world.at(self._ways[venue].back.arrival_ns(self._world.now_ns), act)

    def _arrived(self, request: w.AnyRequest, on_answer: Callable[[w.Answer], None]) -> None:
        self._feed()
        answer = self.sim.handle(request, self._world.now_ns)
        self._record()
        self._look_by(self._world.now_ns)
        self.back(request.venue, partial(on_answer, answer))

    def _look_by(self, at_ns: int) -> None:
        """Look at the first time of the grid after now that is not before `at_ns`."""
        now_ns = self._world.now_ns
        beats = max(-(-(at_ns - self._origin_ns) // TICK_NS), (now_ns - self._origin_ns) // TICK_NS + 1)
        look_ns = self._origin_ns + beats * TICK_NS
        if not now_ns < self._look_ns <= look_ns:
            self._look_ns = look_ns
            self._world.first_at(look_ns, self._look_if_due)

    def _look_if_due(self) -> None:
        """Unless there was a reason to look earlier."""
        if self._look_ns == self._world.now_ns:
            self._look()

    def _look(self) -> None:
        now_ns = self._world.now_ns
        self._feed()
        due_ns = self.sim.due_ns(now_ns)
        if self._step_by_step or due_ns <= now_ns:
            self.sim.advance(now_ns)
            due_ns = self.sim.due_ns(now_ns)
        self._record()
        arrivals: dict[str, int] = {}
        data: list[VenueBook | MarketTrade] = []
        for trade in self.sim.drain_prints():
            info = self._channels[trade.venue, trade.symbol].info
            recv_ns = arrivals.get(trade.venue)
            if recv_ns is None:
                recv_ns = arrivals[trade.venue] = self._ways[trade.venue].data.arrival_ns(now_ns)
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
        for channel in self._channels.values():
            book = self._refresh(channel, now_ns, arrivals)
            if book is not None:
                data.append(book)
        due = dict.fromkeys(arrivals.values())
        for at_ns in due:
            arriving = data if len(due) == 1 else [one for one in data if one.recv_ns == at_ns]
            self._world.at(at_ns, partial(self._publish, arriving))
        self._look_by(now_ns if self._step_by_step else self._due_ns(due_ns))

    def _due_ns(self, due_ns: int) -> int:
        """When there may be something to see, if no request comes. `due_ns`: of what our orders wait for."""
        for background in self._backgrounds:
            if (at_ns := background.due_ns) < due_ns:
                due_ns = at_ns
        for channel in self._channels.values():
            if (at_ns := channel.sent_ns + HEARTBEAT_NS) < due_ns:
                due_ns = at_ns
        return due_ns

    def _refresh(self, channel: _Channel, now_ns: int, arrivals: dict[str, int]) -> VenueBook | None:
        """The book, if what is shown of it changed, or if nothing was sent for long. `arrivals`: of what each venue
        tells now."""
        silent = now_ns - channel.sent_ns >= HEARTBEAT_NS
        if channel.market.version == channel.version and not silent:
            return None
        channel.version = channel.market.version
        columns = channel.market.book(self._levels)
        if columns == channel.columns and not silent:
            return None
        channel.columns, channel.sent_ns = columns, now_ns
        channel.seq += 1
        info = channel.info
        recv_ns = arrivals.get(info.venue)
        if recv_ns is None:
            recv_ns = arrivals[info.venue] = self._ways[info.venue].data.arrival_ns(now_ns)
        return VenueBook(
            info.venue,
            info.symbol,
            channel.seq,
            now_ns,
            recv_ns,
            info.price_scale,
            info.qty_scale,
            *columns,
        )

    def _publish(self, data: list[VenueBook | MarketTrade]) -> None:
        for message in data:
            self._on_data(message)

    def _feed(self) -> None:
        now_ns, take = self._world.now_ns, self.sim.background
        for background in self._backgrounds:
            if background.due_ns <= now_ns:
                for symbol, event in background.step_until(now_ns):
                    take(symbol, event)

    def _record(self) -> None:
        """Note what happened; those whom it concerns hear of it before any answer."""
        for entry in self.sim.drain():
            self.journals[entry.venue].append(entry)
            if entry.trades:
                for background in self._backgrounds:
                    background.hear(entry.trades)
            if entry.orders:
                self.back(entry.venue, partial(self._tell, entry))

    def _tell(self, entry: w.JournalEntry) -> None:
        self._on_entry(entry)


def _ways(venue: str, config: Config) -> Ways:
    own = config.venues[venue].latency
    usual_ns = int(config.exchange.latency if own is None else own)
    return ways(venue, config.exchange.fills.of(venue), usual_ns, config.exchange.seed)


def _nobody(_: Any) -> None:
    """Nobody listens."""
