"""What an algorithm sees of its market. Everything is worked out when it is asked for, and once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from bestex.impact.settings import ImpactSettings
from bestex.instruments import Instrument
from bestex.ladder import Ladder, Level
from bestex.messages import ConsolidatedBook, Side, Stats, Traded
from bestex.sessions import Calendar, calendar
from services.scheduler.volume_profile import VolumeHistory

if TYPE_CHECKING:
    from services.scheduler.algos.base import Working

STATS_DEPTH_BPS = 10  # how far from the mid the depths of the statistics reach


class Market:
    """One instrument's consolidated book and statistics, as they were heard last; each may be missing.

    Prices and quantities are in the instrument's units, prices basis-adjusted, live venues only. `impact`: what the
    configuration says of it. `volumes`: what it traded on the days before, `hours` when it trades.
    """

    def __init__(
        self,
        instrument: Instrument,
        book: ConsolidatedBook | None = None,
        stats: Stats | None = None,
        impact: ImpactSettings | None = None,
        volumes: VolumeHistory | None = None,
    ) -> None:
        self.instrument = instrument
        self.book = book
        self.stats = stats
        self.impact = impact
        self.volumes = VolumeHistory() if volumes is None else volumes
        self.hours: Calendar = calendar(instrument.calendar)

    def with_book(self, book: ConsolidatedBook) -> Market:
        """The same statistics; what was worked out of them stays."""
        other = Market(self.instrument, book, self.stats, self.impact, self.volumes)
        if "traded" in self.__dict__:
            other.__dict__["traded"] = self.traded
        return other

    def with_stats(self, stats: Stats) -> Market:
        """The same book; what was worked out of it stays."""
        other = Market(self.instrument, self.book, stats, self.impact, self.volumes)
        if "ladder" in self.__dict__:
            other.__dict__["ladder"] = self.ladder
        return other

    @cached_property
    def traded(self) -> int:
        """All base that the statistics have counted, in units."""
        return 0 if self.stats is None else self.instrument.qty_units(self.stats.traded)

    @cached_property
    def ladder(self) -> Ladder | None:
        return None if self.book is None else Ladder(self.book)

    @property
    def mid_half(self) -> int | None:
        """Best bid plus best ask: twice the mid, exactly. None where a side is empty."""
        return None if self.ladder is None else self.ladder.mid_half_units

    def best(self, side: Side) -> int | None:
        """The best price of the bids (`BUY`) or of the asks (`SELL`)."""
        if self.ladder is None:
            return None
        return self.ladder.best_bid if side is Side.BUY else self.ladder.best_ask

    def best_of_others(self, side: Side, own: Sequence[Working]) -> int | None:
        """The best price of that side without the orders of `own`; None where there is no other.

        A book does not say whose an order is. At the price where ours rests, as much as is shown of it may be ours:
        only what is shown beyond that is surely another's. So a smaller order of somebody else at that very price is
        taken for ours, and orders of other parents are others'.
        """
        if self.ladder is None or not own:
            return self.best(side)
        instrument, columns, buy = self.instrument, self.ladder.book.venues, side is Side.BUY
        for price, group in groupby(self.ladder.levels(side.opposite), key=attrgetter("price")):
            levels = list(group)
            ticks = [(level, instrument.listing(columns[level.venue].venue)) for level in levels]
            ours = sum(
                one.shown
                for one in own
                if any(
                    listing is not None and listing.passive(one.limit, buy=buy) == level.own_price
                    for level, listing in ticks
                )
            )
            if sum(level.qty for level in levels) > ours:
                return int(price)
        return None

    def touch(self, taker: Side) -> int | None:
        """The best price that a taker of that side would get."""
        return self.best(taker.opposite)

    def is_beyond(self, taker: Side, price: int) -> bool:
        """Whether there is nothing to be taken at `price` or better; also where there is no book."""
        touch = self.touch(taker)
        return touch is None or (touch - price) * taker.sign > 0

    def levels(self, taker: Side, venues: Collection[str] | None = None) -> list[Level]:
        """Every level that `taker` could take, best first; of these venues, or of all."""
        if self.ladder is None:
            return []
        levels = self.ladder.levels(taker)
        if venues is None:
            return levels
        names = [column.venue for column in self.ladder.book.venues]
        return [level for level in levels if names[level.venue] in venues]

    def available(self, taker: Side, price: int, venues: Collection[str] | None = None) -> int:
        """What could be taken at `price` or better; of these venues, or of all."""
        return sum(
            level.qty for level in self.levels(taker, venues) if (level.price - price) * taker.sign <= 0
        )

    def depth(self, taker: Side, bps: int, venues: Collection[str] | None = None) -> int:
        """What could be taken within `bps` of the mid; of these venues, or of all."""
        if self.ladder is None:
            return 0
        depths = self.ladder.depth_by_venue(taker, bps)
        return sum(qty for venue, qty in depths.items() if venues is None or venue in venues)

    @property
    def spread_bps(self) -> float | None:
        return None if self.ladder is None else self.ladder.spread_bps

    @property
    def volatility_bps(self) -> float | None:
        """Of the mid, per square root of a second."""
        return None if self.stats is None else self.stats.volatility_bps

    @property
    def recent(self) -> int:
        """Base traded in the last five seconds, in units."""
        return 0 if self.stats is None else self.instrument.qty_units(self.stats.recent_volume)

    @property
    def volume_per_s(self) -> float:
        """Base traded a second, in units, over the last minute."""
        return 0.0 if self.stats is None else float(self.stats.volume) * 10**self.instrument.qty_scale / 60


class Tally:
    """What a market has traded since a parent began, while that was at work.

    The aggregator's count is cumulative, so a message that is missed costs nothing; where the aggregator began to
    count anew, what was traded before it did is not known and not counted. `stored` is what the journal holds.
    """

    __slots__ = ("_qty", "_since", "_total", "counts")

    def __init__(self) -> None:
        self._qty = self._total = self._since = 0
        self.counts = False

    @property
    def known(self) -> tuple[int, int]:
        """What the journal holds of it: the quantity, and since when the count by which it is known runs."""
        return self._qty, self._since

    def goes_on(self, market: Market) -> bool:
        """Whether the market is still counted by the count that the journal holds."""
        stats = market.stats
        return self.counts and stats is not None and int(stats.counting_since or 0) == self._since

    def now(self, market: Market) -> int:
        """Quantity units."""
        stats = market.stats
        if not self.counts or stats is None or stats.counting_since is None:
            return self._qty
        before = self._total if int(stats.counting_since) == self._since else 0
        return self._qty + max(market.traded - before, 0)

    def mark(self, market: Market) -> Traded | None:
        """To be stored with an event; None where nothing is counted yet."""
        stats = market.stats
        if stats is None or stats.counting_since is None:
            return None
        return Traded(market.instrument.qty(self.now(market)), stats.traded, stats.counting_since)

    def stored(self, mark: Traded | None, instrument: Instrument, *, counts: bool = True) -> None:
        """From this event on it is counted, or not, from there."""
        if mark is not None:
            self._qty = instrument.qty_units(mark.qty)
            self._total = instrument.qty_units(mark.total)
            self._since = int(mark.since)
        self.counts = counts and (self.counts or mark is not None)
