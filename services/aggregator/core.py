"""Venues' books in, one consolidated book per instrument out: a live core, whose state is what it hears.

It has no facts: after a restart it hears the next books. Every update of a venue publishes the instrument's
book again, and so does a column that goes stale or down with nothing arriving. Once a second, on the whole
second, it publishes `stats`, and the book of an instrument that was quiet, for whoever joined late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bestex import subjects
from bestex.clock import SECOND
from bestex.config import MarketDataConfig
from bestex.core import BusBack, BusLost, Effect, Emit, Recovered, Wake, Wakeup
from bestex.defects import Defect
from bestex.instruments import Instruments
from bestex.messages import MarketTrade, MarkPrice, VenueBook
from services.aggregator.consolidation import Consolidation, Source
from services.aggregator.estimators import NEVER
from services.aggregator.statistics import Statistics

STATS_INTERVAL_NS = SECOND
STATS_KEY = "stats"
AGE_KEY = "age."


class _Instrument:
    """What the core keeps of one instrument. `wake_at_ns` is when its age timer is set to ring."""

    __slots__ = ("book_subject", "consolidation", "statistics", "stats_subject", "wake_at_ns")

    def __init__(self, consolidation: Consolidation) -> None:
        symbol = consolidation.instrument.symbol
        self.consolidation = consolidation
        self.statistics: Statistics | None = None
        self.book_subject = subjects.book(symbol)
        self.stats_subject = subjects.stats(symbol)
        self.wake_at_ns = NEVER


class AggregatorCore:
    """Hears `VenueBook` and `MarketTrade` under the venues' own symbols; one of them may stand in several
    instruments. Messages of a venue symbol that no instrument lists are ignored."""

    def __init__(self, instruments: Instruments, config: MarketDataConfig) -> None:
        self.instruments = instruments
        keys = {(item.venue, item.symbol) for instrument in instruments.all for item in instrument.listings}
        self._sources = {key: Source(config.down_after) for key in sorted(keys)}
        self._all = {
            instrument.symbol: _Instrument(Consolidation(instrument, config, self._sources))
            for instrument in instruments.all
        }
        self._targets: dict[tuple[str, str], list[tuple[_Instrument, int]]] = {
            key: [] for key in self._sources
        }
        for instrument in instruments.all:
            for index, item in enumerate(instrument.listings):
                self._targets[item.venue, item.symbol].append((self._all[instrument.symbol], index))
        self._stats_at_ns = 0

    def decide(self, message: Any, now_ns: int) -> list[Effect]:
        effects = [] if self._stats_at_ns else self._start(now_ns)
        if isinstance(message, VenueBook):
            self._on_book(message, now_ns, effects)
        elif isinstance(message, MarketTrade):
            self._on_trade(message, now_ns)
        elif isinstance(message, MarkPrice):
            for item, index in self._targets.get((message.venue, message.symbol), ()):
                item.consolidation.columns[index].mark = message
        elif isinstance(message, Wakeup):
            if message.key == STATS_KEY:
                self._on_second(now_ns, effects)
            elif message.key.startswith(AGE_KEY):
                self._on_age(self._all[message.key.removeprefix(AGE_KEY)], now_ns, effects)
        else:
            known = isinstance(message, Recovered | BusLost | BusBack)
            assert known, f"{type(message).__name__} is not for the aggregator"
        return effects

    def apply(self, event: Any) -> Sequence[Effect]:
        raise AssertionError(f"the aggregator has no journal to take {type(event).__name__} from")

    def _start(self, now_ns: int) -> list[Effect]:
        for item in self._all.values():
            item.statistics = Statistics(item.consolidation, now_ns)
        return [self._next_second(now_ns)]

    def _next_second(self, now_ns: int) -> Wake:
        self._stats_at_ns = now_ns - now_ns % STATS_INTERVAL_NS + STATS_INTERVAL_NS
        return Wake(STATS_KEY, self._stats_at_ns)

    def _on_book(self, book: VenueBook, now_ns: int, effects: list[Effect]) -> None:
        key = (book.venue, book.symbol)
        source = self._sources.get(key)
        if source is None or not source.is_news(book, now_ns):
            return
        for item, index in self._targets[key]:
            effects.append(Emit(item.book_subject, item.consolidation.take(index, book, now_ns)))
            self._arm(item, effects)

    def _on_trade(self, trade: MarketTrade, now_ns: int) -> None:
        for item, index in self._targets.get((trade.venue, trade.symbol), ()):
            column = item.consolidation.columns[index]
            found = column.normaliser.trade(trade)
            if isinstance(found, Defect):
                column.rejected[f"trade_{found}"] += 1
            else:
                price, qty = found
                column.volume.add(qty, now_ns)
                column.flow.trade(price, qty, trade.aggressor, now_ns)

    def _on_second(self, now_ns: int, effects: list[Effect]) -> None:
        if now_ns < self._stats_at_ns:
            effects.append(Wake(STATS_KEY, self._stats_at_ns))
            return
        for item in self._all.values():
            consolidation = item.consolidation
            quiet = now_ns - consolidation.published_ns >= STATS_INTERVAL_NS
            if consolidation.refresh(now_ns) or quiet:
                effects.append(Emit(item.book_subject, consolidation.publish(now_ns)))
            assert item.statistics is not None, "the core has started"
            effects.append(Emit(item.stats_subject, item.statistics.take(now_ns)))
            self._arm(item, effects)
        effects.append(self._next_second(now_ns))

    def _on_age(self, item: _Instrument, now_ns: int, effects: list[Effect]) -> None:
        item.wake_at_ns = NEVER
        if item.consolidation.refresh(now_ns):
            effects.append(Emit(item.book_subject, item.consolidation.publish(now_ns)))
        self._arm(item, effects)

    def _arm(self, item: _Instrument, effects: list[Effect]) -> None:
        """The timer only ever moves earlier: while books keep coming it rings once per `stale_after`."""
        due_ns = item.consolidation.check_at_ns
        if due_ns < item.wake_at_ns:
            item.wake_at_ns = due_ns
            effects.append(Wake(AGE_KEY + item.consolidation.instrument.symbol, due_ns))
