"""A market of spot venues `a` and `b` and a perpetual `p`, and a core that hears it."""

from __future__ import annotations

from typing import Any

from bestex.clock import SECOND
from bestex.config import MarketDataConfig
from bestex.core import Effect, Emit, Recovered, Wake, Wakeup
from bestex.human import Duration
from bestex.instruments import Instrument, Instruments, Listing
from bestex.messages import ConsolidatedBook, MarketTrade, Stats, VenueBook, VenueColumn
from services.aggregator.core import AggregatorCore

T0 = 1_700_000_000 * SECOND
SPOT_A = Listing(venue="a", symbol="BTC/USDT")
SPOT_B = Listing(venue="b", symbol="BTC/USDT")
PERP = Listing(venue="p", symbol="BTC/USDT:USDT", kind="perp")

CONFIG = MarketDataConfig(
    levels=5,
    stale_after=Duration(2 * SECOND),
    down_after=Duration(10 * SECOND),
    basis_half_life=Duration(10 * SECOND),
)


def instrument(*listings: Listing, symbol: str = "BTC/USDT") -> Instrument:
    return Instrument(symbol=symbol, price_scale=2, qty_scale=5, listings=listings)


class Market:
    """Feeds a core, keeps its timers, and hands back what it emitted."""

    def __init__(self, *instruments: Instrument, config: MarketDataConfig = CONFIG) -> None:
        self.core = AggregatorCore(Instruments(instruments), config)
        self.now_ns = T0
        self.wakes: dict[str, int] = {}
        self.books: list[ConsolidatedBook] = []
        self.stats: list[Stats] = []
        self._seq: dict[str, int] = {}
        self.say(Recovered())

    def say(self, message: Any) -> list[Effect]:
        effects = self.core.decide(message, self.now_ns)
        for effect in effects:
            if isinstance(effect, Wake):
                self.wakes[effect.key] = effect.at_ns
            elif isinstance(effect, Emit) and isinstance(effect.message, ConsolidatedBook):
                self.books.append(effect.message)
            elif isinstance(effect, Emit):
                self.stats.append(effect.message)
        return effects

    def book(
        self,
        venue: str,
        bids: dict[int, int],
        asks: dict[int, int],
        *,
        symbol: str = "",
        seq: int = 0,
        recv_ns: int = 0,
        scales: tuple[int, int] = (2, 5),
    ) -> list[Effect]:
        self._seq[venue] = seq or self._seq.get(venue, 0) + 1
        return self.say(
            VenueBook(
                venue,
                symbol or ("BTC/USDT:USDT" if venue == "p" else "BTC/USDT"),
                self._seq[venue],
                0,
                recv_ns or self.now_ns,
                *scales,
                list(bids),
                list(bids.values()),
                list(asks),
                list(asks.values()),
            )
        )

    def quote(self, venue: str, bid: int, ask: int) -> list[Effect]:
        return self.book(venue, {bid: 10}, {ask: 10})

    def trade(self, venue: str, price: int, qty: int, *, scales: tuple[int, int] = (2, 5)) -> None:
        symbol = "BTC/USDT:USDT" if venue == "p" else "BTC/USDT"
        self.say(MarketTrade(venue, symbol, "1", 0, self.now_ns, *scales, price, qty, 1))

    def run(self, seconds: float) -> None:
        """Let time pass, ringing every timer when it is due."""
        end_ns = self.now_ns + int(seconds * SECOND)
        while self.wakes and min(self.wakes.values()) <= end_ns:
            key = min(self.wakes, key=lambda name: self.wakes[name])
            self.now_ns = max(self.now_ns, self.wakes.pop(key))
            self.say(Wakeup(key))
        self.now_ns = end_ns

    def column(self, venue: str) -> VenueColumn:
        """The venue's column in the newest book."""
        return next(column for column in self.books[-1].venues if column.venue == venue)
