"""One instrument's consolidated book: a column for each listing, its age, its basis, and the flags over all.

A column is LIVE while its newest good book is younger than `stale_after`, then STALE, and after `down_after`
or a refused book DOWN, without levels. Age runs from our receive time of the book, so that a book that was
late on the bus is as old as it is; a receive time ahead of our clock counts as now, and one ahead by more than
`max_clock_skew` is refused.

Basis: the mid of a `perp` listing minus the mean of the mids of the live `spot` listings, as an EWMA in time.
It is 0 where it is switched off or the instrument has no spot listing. While nothing can be observed (no spot
mid, or none of its own) the last one stands for BASIS_HOLD_NS; a perp without a basis is STALE, because its
levels cannot be compared with anybody's.

Around its EWMA the true basis trembles by more than a tight spread is wide: on Binance's BTC a perp was crossed
with spot 99 % of the time at a half life of 10 s, by a third of a basis point in the median. So the published
basis leaves the EWMA, by at most BASIS_SLACK_BPS, as far as it takes to uncross the book. What is crossed then
is worth looking at; what was hidden could not have paid two taker fees.
"""

from __future__ import annotations

from collections import Counter

from bestex.config import MarketDataConfig
from bestex.defects import Defect
from bestex.instruments import Instrument, Listing
from bestex.ladder import BPS_ONE
from bestex.messages import BookStatus, ConsolidatedBook, MarkPrice, VenueBook, VenueColumn
from services.aggregator.estimators import NEVER, Basis, Steadiness, Usual, Volume
from services.aggregator.flow import Flow
from services.aggregator.normalise import Columns, Normaliser

LIVE, STALE, DOWN = BookStatus.LIVE, BookStatus.STALE, BookStatus.DOWN
BASIS_SLACK_BPS = 2  # 99.8 % of the time the crossing was smaller on the day above

_NO_LEVELS = Columns([], [], [], [])


class Source:
    """One collector's messages of one venue symbol: which of them are news, and how many were lost."""

    __slots__ = ("_heard_ns", "_recv_ns", "_seq", "_silence_ns", "lost")

    def __init__(self, silence_ns: int) -> None:
        self._silence_ns = silence_ns
        self._seq = 0
        self._recv_ns = 0
        self._heard_ns = 0
        self.lost = 0

    def is_news(self, book: VenueBook, now_ns: int) -> bool:
        """False for a message that is not after the last one.

        A number that goes back begins a new run of the collector where the receive time went on, or where
        the old run has been silent for so long that its book is gone.
        """
        step = book.seq - self._seq
        if step <= 0:
            if book.recv_ns <= self._recv_ns and now_ns - self._heard_ns < self._silence_ns:
                return False
        elif self._seq:
            self.lost += step - 1
        self._seq, self._recv_ns, self._heard_ns = book.seq, book.recv_ns, now_ns
        return True


class Column:
    """One listing's state. `fresh` is the status by age alone, `mid_half` its own best bid plus best ask."""

    __slots__ = (
        "basis",
        "basis_units",
        "flow",
        "fresh",
        "heard_ns",
        "levels",
        "listing",
        "mark",
        "mid_half",
        "normaliser",
        "recv_ns",
        "rejected",
        "source",
        "steadiness",
        "updates",
        "usual_asks",
        "usual_bids",
        "venue_ns",
        "volume",
    )

    def __init__(
        self, instrument: Instrument, listing: Listing, source: Source, levels_max: int, basis: Basis | None
    ) -> None:
        self.listing = listing
        self.source = source
        self.normaliser = Normaliser(instrument, listing, levels_max)
        self.basis = basis
        self.basis_units = 0
        self.fresh = DOWN
        self.levels = _NO_LEVELS
        self.mid_half: int | None = None
        self.venue_ns = 0
        self.recv_ns = 0
        self.heard_ns = 0
        self.updates = 0
        self.rejected: Counter[str] = Counter()
        self.volume = Volume()
        self.steadiness = Steadiness()
        self.usual_bids, self.usual_asks = Usual(), Usual()
        self.flow = Flow()
        self.mark: MarkPrice | None = None

    def take(self, book: VenueBook, now_ns: int, max_skew_ns: int) -> None:
        self.venue_ns, self.recv_ns = book.venue_ns, book.recv_ns
        self.heard_ns = min(book.recv_ns, now_ns)
        self.updates += 1
        is_future = book.recv_ns - now_ns > max_skew_ns
        levels = Defect.FUTURE if is_future else self.normaliser.book(book)
        if isinstance(levels, Defect):
            self.rejected[levels] += 1
            self._drop()
        else:
            self.fresh, self.levels = LIVE, levels
            two_sided = levels.bid_px and levels.ask_px
            self.mid_half = levels.bid_px[0] + levels.ask_px[0] if two_sided else None
            self.flow.book(levels, self.mid_half, now_ns)

    def age(self, now_ns: int, stale_after_ns: int, down_after_ns: int) -> int:
        """Let the status follow the age; when it will change next, if nothing arrives."""
        if self.fresh is DOWN:
            return NEVER
        age_ns = now_ns - self.heard_ns
        if age_ns >= down_after_ns:
            self._drop()
            return NEVER
        if age_ns >= stale_after_ns:
            self.fresh = STALE
            return self.heard_ns + down_after_ns
        return self.heard_ns + min(stale_after_ns, down_after_ns)

    def shown(self, now_ns: int) -> tuple[BookStatus, int]:
        """Status and basis as published."""
        if self.basis is None:
            return self.fresh, 0
        status = self.fresh if self.fresh is not LIVE or now_ns < self.basis.known_until_ns else STALE
        return status, self.basis_units

    def _drop(self) -> None:
        self.fresh, self.levels, self.mid_half = DOWN, _NO_LEVELS, None
        self.flow.forget()


class Consolidation:
    """`check_at_ns` is when `refresh` must be called although nothing arrived; NEVER where nothing is due."""

    def __init__(
        self, instrument: Instrument, config: MarketDataConfig, sources: dict[tuple[str, str], Source]
    ) -> None:
        self.instrument = instrument
        self._config = config
        has_spot = any(listing.kind == "spot" for listing in instrument.listings)
        self.columns = [
            Column(
                instrument,
                listing,
                sources[listing.venue, listing.symbol],
                config.levels,
                Basis(config.basis_half_life)
                if config.basis and has_spot and listing.kind == "perp"
                else None,
            )
            for listing in instrument.listings
        ]
        self._spots = [column for column in self.columns if column.listing.kind == "spot"]
        self._perps = [
            (index, column, column.basis)
            for index, column in enumerate(self.columns)
            if column.basis is not None
        ]
        self._shown = [_show(column, 0) for column in self.columns]
        self._seq = 0
        self.published_ns = 0
        self.check_at_ns = NEVER

    def take(self, index: int, book: VenueBook, now_ns: int) -> ConsolidatedBook:
        """The listing's new book, and the consolidated one that follows from it."""
        column = self.columns[index]
        column.take(book, now_ns, self._config.max_clock_skew)
        due_ns = column.age(now_ns, self._config.stale_after, self._config.down_after)
        if due_ns < self.check_at_ns:
            self.check_at_ns = due_ns
        if now_ns >= self.check_at_ns:
            self.refresh(now_ns)
        elif self._perps:
            self._estimate(now_ns)
            for other, perp, _ in self._perps:
                if other != index:
                    self._show_if_changed(other, perp, now_ns)
        self._shown[index] = _show(column, now_ns)
        return self.publish(now_ns)

    def refresh(self, now_ns: int) -> bool:
        """Let time pass. True where a column's status or basis changed."""
        before = self._shown.copy()
        stale_after, down_after = self._config.stale_after, self._config.down_after
        self.check_at_ns = min(
            (column.age(now_ns, stale_after, down_after) for column in self.columns), default=NEVER
        )
        self._estimate(now_ns)
        for index, column in enumerate(self.columns):
            self._show_if_changed(index, column, now_ns)
        return self._shown != before

    def publish(self, now_ns: int) -> ConsolidatedBook:
        """The book as it stands, as the next in sequence."""
        self._seq += 1
        self.published_ns = now_ns
        return self.view(now_ns)

    def view(self, now_ns: int) -> ConsolidatedBook:
        """The book as it stands, under the last sequence number."""
        best_bid, best_ask = 0, NEVER
        for column in self._shown:
            if column.status is LIVE:
                basis = column.basis
                if column.bid_px and column.bid_px[0] - basis > best_bid:
                    best_bid = column.bid_px[0] - basis
                if column.ask_px and column.ask_px[0] - basis < best_ask:
                    best_ask = column.ask_px[0] - basis
        return ConsolidatedBook(
            self.instrument.symbol,
            self._seq,
            now_ns,
            self.instrument.price_scale,
            self.instrument.qty_scale,
            best_bid == best_ask,
            best_bid > best_ask,
            self._shown.copy(),
        )

    def _estimate(self, now_ns: int) -> None:
        count, total, best_bid, best_ask = 0, 0, 0, NEVER
        for spot in self._spots:
            if spot.fresh is LIVE and spot.mid_half is not None:
                count += 1
                total += spot.mid_half
                bid, ask = spot.levels.bid_px[0], spot.levels.ask_px[0]
                if bid > best_bid:
                    best_bid = bid
                if ask < best_ask:
                    best_ask = ask
        for _, perp, basis in self._perps:
            mid_half = perp.mid_half
            if count and perp.fresh is LIVE and mid_half is not None:
                basis.observe((mid_half - total / count) / 2, now_ns)
                perp.basis_units = _uncrossing(
                    round(basis.value),
                    perp.levels.bid_px[0] - best_ask,
                    perp.levels.ask_px[0] - best_bid,
                    mid_half * BASIS_SLACK_BPS // (2 * BPS_ONE),
                )
            else:
                basis.suspend(now_ns)
                perp.basis_units = round(basis.value)
                if now_ns < basis.known_until_ns < self.check_at_ns:
                    self.check_at_ns = basis.known_until_ns

    def _show_if_changed(self, index: int, column: Column, now_ns: int) -> None:
        shown = self._shown[index]
        if (shown.status, shown.basis) != column.shown(now_ns):
            self._shown[index] = _show(column, now_ns)


def _uncrossing(basis: int, locked_below: int, locked_above: int, slack: int) -> int:
    """The basis nearest to `basis`, and within `slack` of it, at which a perp neither locks nor crosses spot.

    The book is locked where the basis is `locked_below` (its bid at the spot ask) or `locked_above`.
    """
    if locked_below < basis < locked_above:
        return basis
    inside = min(max(basis, locked_below + 1), max(locked_above - 1, locked_below + 1))
    return min(max(inside, basis - slack), basis + slack)


def _show(column: Column, now_ns: int) -> VenueColumn:
    status, basis = column.shown(now_ns)
    return VenueColumn(column.listing.venue, status, basis, column.venue_ns, column.recv_ns, *column.levels)
