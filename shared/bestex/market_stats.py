"""The statistics of a market over a day, in one pass: of a recording or of a simulated day alike.

Prices of venues are taken as they are; venues that trade at a basis to each other show as crossed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence

from bestex.background import ASK, BID, BackgroundEvent, BackgroundTrade
from bestex.clock import MINUTE, MS, SECOND
from bestex.errors import UsageError
from bestex.instruments import Instrument, Listing
from bestex.market.quotes import Quotes
from bestex.market_table import MARK_OUTS_NS, MarketTable, VenueFigures
from bestex.messages import MarketTrade, VenueBook

CORRELATION_STEP_NS = 100 * MS
DEPTH_LEVELS = slice(1, 5)  # levels 2 to 5
BUCKET = math.log(1.01)  # sizes are counted in buckets of 1 %: a day's sizes make some thousand at most
MAX_PENDING = 200_000  # mark-outs that wait for their time, per horizon; trades beyond it are not marked out


class _Sizes:
    """Weighted sizes in logarithmic buckets: quantiles to half a per cent in bounded memory."""

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}

    def add(self, size: float, weight: float) -> None:
        bucket = round(math.log(size) / BUCKET)
        self._weights[bucket] = self._weights.get(bucket, 0.0) + weight

    def quantile(self, share: float) -> float | None:
        left = share * sum(self._weights.values())
        for bucket in sorted(self._weights):
            left -= self._weights[bucket]
            if left <= 0:
                return math.exp(bucket * BUCKET)
        return None


class _Mean:
    """A weighted mean."""

    __slots__ = ("total", "weight")

    def __init__(self) -> None:
        self.total = 0.0
        self.weight = 0.0

    def add(self, value: float, weight: float = 1.0) -> None:
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float | None:
        return self.total / self.weight if self.weight else None


class _Changes:
    """Changes of a mid from step to step, in bps."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.steps = 0
        self.moved = 0
        self.squares = 0.0

    def sample(self, mid: float | None, times: int = 1) -> float:
        """The change since the last sample; `times` - 1 further samples saw the same mid."""
        before, self.last = self.last, mid
        if mid is None:
            return 0.0
        if before is None:
            self.steps += times - 1
            return 0.0
        change = (mid / before - 1) * 1e4
        self.steps += times
        self.moved += change != 0
        self.squares += change * change
        return change

    @property
    def volatility(self) -> float | None:
        return math.sqrt(self.squares / self.steps) if self.steps else None


class _Venue:
    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.bid_px: Sequence[int] = ()
        self.ask_px: Sequence[int] = ()
        self.ask_qty: Sequence[int] = ()
        self.shown_ns = 0
        self.updates = 0
        self.second = 0  # the one that `in_second` counts
        self.in_second = 0
        self.peak = 0
        self.moving_best = 0
        self.spread = _Mean()
        self.best_sizes = _Sizes()
        self.depth_sizes = _Sizes()
        self.at_best_ns = 0
        self.alone_ns = 0
        self.trades = 0
        self.trade_sizes = _Sizes()
        self.trade_size = _Mean()
        self.at_touch = 0
        self.at_mid = 0
        self.effective = _Mean()
        self.mark_outs = [_Mean() for _ in MARK_OUTS_NS]
        self.changes = _Changes()
        self.recent = (0.0, 0.0)  # the last two changes, the newest first
        self.products = [0.0, 0.0, 0.0]  # with the first venue's change: same step, one later, one earlier

    @property
    def mid(self) -> float | None:
        return (self.bid_px[0] + self.ask_px[0]) / 2 if self.bid_px and self.ask_px else None

    def count_update(self, second: int) -> None:
        self.updates += 1
        self.in_second = self.in_second + 1 if second == self.second else 1
        self.second = second
        self.peak = max(self.peak, self.in_second)

    def settle(self, now_ns: int) -> None:
        """Count what has been shown until now."""
        shown_ns, self.shown_ns = now_ns - self.shown_ns, now_ns
        mid = self.mid
        if shown_ns <= 0 or mid is None:
            return
        self.spread.add((self.ask_px[0] - self.bid_px[0]) / mid * 1e4, shown_ns)
        self.best_sizes.add(self.ask_qty[0], shown_ns)
        for qty in self.ask_qty[DEPTH_LEVELS]:
            self.depth_sizes.add(qty, shown_ns)


class MarketStats:
    """Feed it books and trades in time order (ns), in the instrument's units; then ask for the `table`.

    Each call of `book` counts as one update of that venue. The first listing is the venue that the others are
    compared with. KeyError for a venue that the instrument does not list. Memory does not grow with time.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._venues = {listing.venue: _Venue(listing) for listing in instrument.listings}
        self._all = list(self._venues.values())
        self._first_ns: int | None = None
        self._now_ns = 0
        self._bid: int | None = None
        self._ask: int | None = None
        self._spread = _Mean()
        self._spread_ticks = _Mean()
        self._locked_ns = 0
        self._crossed_ns = 0
        self._pending: list[deque[tuple[int, int, float, _Venue]]] = [deque() for _ in MARK_OUTS_NS]
        self._per_second = _Changes()
        self._per_minute = _Changes()
        self._steps = 0  # of CORRELATION_STEP_NS, taken since the start

    # -- input -------------------------------------------------------------------------------------

    def message(self, message: VenueBook | MarketTrade) -> None:
        """A message of the live plane or of a recording, at its `recv_ns`. UsageError for finer scales."""
        price, qty = self._factors(message.price_scale, message.qty_scale)
        if isinstance(message, MarketTrade):
            at_ns, aggressor = message.recv_ns, message.aggressor
            self.trade(at_ns, message.venue, message.price * price, message.qty * qty, aggressor)
            return
        self.book(
            message.recv_ns,
            message.venue,
            [px * price for px in message.bid_px[:5]],
            [size * qty for size in message.bid_qty[:5]],
            [px * price for px in message.ask_px[:5]],
            [size * qty for size in message.ask_qty[:5]],
        )

    def _factors(self, price_scale: int, qty_scale: int) -> tuple[int, int]:
        of = self.instrument
        if price_scale > of.price_scale or qty_scale > of.qty_scale:
            raise UsageError(f"{of.symbol}: market data is finer than the instrument's scales")
        return 10 ** (of.price_scale - price_scale), 10 ** (of.qty_scale - qty_scale)

    def book(
        self,
        at_ns: int,
        venue: str,
        bid_px: Sequence[int],
        bid_qty: Sequence[int],  # noqa: ARG002 - the table speaks of asks only; a book is fed whole
        ask_px: Sequence[int],
        ask_qty: Sequence[int],
    ) -> None:
        """A venue's book from `at_ns` on, best level first; five levels are enough."""
        self._advance(at_ns)
        state = self._venues[venue]
        state.settle(at_ns)
        state.count_update(at_ns // SECOND)
        state.moving_best += state.bid_px[:1] != bid_px[:1] or state.ask_px[:1] != ask_px[:1]
        state.bid_px, state.ask_px, state.ask_qty = bid_px[:5], ask_px[:5], ask_qty[:5]
        self._bid = max((v.bid_px[0] for v in self._all if v.bid_px), default=None)
        self._ask = min((v.ask_px[0] for v in self._all if v.ask_px), default=None)

    def trade(self, at_ns: int, venue: str, price: int, qty: int, aggressor: int) -> None:
        """A public trade. Where the aggressor is unknown (0), its side of the mid tells (Lee and Ready 1991)."""
        self._advance(at_ns)
        state = self._venues[venue]
        state.trades += 1
        state.trade_sizes.add(qty, 1)
        state.trade_size.add(qty)
        state.at_touch += price in (*state.bid_px[:1], *state.ask_px[:1])
        mid = self._mid
        if mid is None:
            return
        if price == mid:
            state.at_mid += 1
            return
        sign = aggressor or (1 if price > mid else -1)
        state.effective.add(sign * (price - mid) / mid * 1e4)
        for horizon_ns, waiting in zip(MARK_OUTS_NS, self._pending, strict=True):
            if len(waiting) < MAX_PENDING:
                waiting.append((at_ns + horizon_ns, sign, mid, state))

    # -- time --------------------------------------------------------------------------------------

    @property
    def _mid(self) -> float | None:
        return None if self._bid is None or self._ask is None else (self._bid + self._ask) / 2

    def _advance(self, now_ns: int) -> None:
        """Count the time that passed with the books as they were."""
        if self._first_ns is None:
            self._first_ns = self._now_ns = now_ns
            for venue in self._all:
                venue.shown_ns = now_ns
        passed_ns = now_ns - self._now_ns
        if passed_ns <= 0:
            return
        self._now_ns = now_ns
        mid = self._mid
        self._mark_out(now_ns, mid)
        self._sample(now_ns - self._first_ns, mid)
        if self._ask is not None:
            at_best = [venue for venue in self._all if venue.ask_px and venue.ask_px[0] == self._ask]
            for venue in at_best:
                venue.at_best_ns += passed_ns
            if len(at_best) == 1:
                at_best[0].alone_ns += passed_ns
        if mid is not None and self._bid is not None and self._ask is not None:
            spread = self._ask - self._bid
            self._spread.add(spread / mid * 1e4, passed_ns)
            self._spread_ticks.add(spread / self.instrument.tick_at(self._bid), passed_ns)
            self._locked_ns += passed_ns if spread == 0 else 0
            self._crossed_ns += passed_ns if spread < 0 else 0

    def _mark_out(self, now_ns: int, mid: float | None) -> None:
        for horizon, waiting in enumerate(self._pending):
            while waiting and waiting[0][0] < now_ns:
                _, sign, mid_before, venue = waiting.popleft()
                if mid is not None:
                    venue.mark_outs[horizon].add(sign * (mid / mid_before - 1) * 1e4)

    def _sample(self, elapsed_ns: int, mid: float | None) -> None:
        """Take the samples that fell due since the last change: after two of them nothing moves any more."""
        steps = (elapsed_ns - 1) // CORRELATION_STEP_NS
        if steps == self._steps:
            return
        for changes, step_ns in ((self._per_second, SECOND), (self._per_minute, MINUTE)):
            per = step_ns // CORRELATION_STEP_NS
            due = steps // per - self._steps // per
            if due:
                changes.sample(mid, due)
        for _ in range(min(steps - self._steps, 3)):
            self._correlate()
        self._steps = steps

    def _correlate(self) -> None:
        for venue in self._all:
            venue.recent = (venue.changes.sample(venue.mid), venue.recent[0])
        now, before = self._all[0].recent
        for venue in self._all:
            venue.products[0] += venue.recent[0] * now
            venue.products[1] += venue.recent[1] * now
            venue.products[2] += venue.recent[0] * before

    # -- the result --------------------------------------------------------------------------------

    def table(self) -> MarketTable:
        """The figures of all that was fed; more may be fed afterwards."""
        for venue in self._all:
            venue.settle(self._now_ns)
        elapsed_ns = max(self._now_ns - (self._first_ns or 0), 1)
        seconds = elapsed_ns / SECOND
        unit = self._all[0].best_sizes.quantile(0.5) if self._all else None
        moves = self._per_second
        return MarketTable(
            symbol=self.instrument.symbol,
            seconds=seconds,
            venues=tuple(self._figures(venue, elapsed_ns, unit) for venue in self._all),
            best_size_qty=unit / 10**self.instrument.qty_scale if unit else None,
            updates_per_s=sum(venue.updates for venue in self._all) / seconds,
            trades_per_min=sum(venue.trades for venue in self._all) / seconds * 60,
            spread_bps=self._spread.value,
            spread_ticks=self._spread_ticks.value,
            locked=self._locked_ns / elapsed_ns,
            crossed=self._crossed_ns / elapsed_ns,
            volatility_bps_per_s=moves.volatility,
            volatility_bps_per_min=self._per_minute.volatility,
            seconds_with_move=moves.moved / moves.steps if moves.steps else None,
        )

    def _figures(self, venue: _Venue, elapsed_ns: int, unit: float | None) -> VenueFigures:
        def relative(size: float | None) -> float | None:
            return size / unit if size is not None and unit else None

        def share(part: float, whole: float) -> float | None:
            return part / whole if whole else None

        best, depth = venue.best_sizes.quantile(0.5), venue.depth_sizes.quantile(0.5)
        first = self._all[0].changes
        scale = math.sqrt(venue.changes.squares * first.squares)
        return VenueFigures(
            venue=venue.listing.venue,
            updates_per_s=venue.updates / elapsed_ns * SECOND,
            peak_updates_per_s=venue.peak,
            moving_best=share(venue.moving_best, venue.updates),
            spread_bps=venue.spread.value,
            best_size=relative(best),
            depth=depth / best if depth and best else None,
            at_best=venue.at_best_ns / elapsed_ns,
            alone_at_best=venue.alone_ns / elapsed_ns,
            trades_per_min=venue.trades / elapsed_ns * MINUTE,
            trade_size_p50=relative(venue.trade_sizes.quantile(0.5)),
            trade_size_mean=relative(venue.trade_size.value),
            trade_size_p90=relative(venue.trade_sizes.quantile(0.9)),
            at_touch=share(venue.at_touch, venue.trades),
            at_mid=share(venue.at_mid, venue.trades),
            effective_half_spread_bps=venue.effective.value,
            mark_outs_bps=tuple(mark_out.value for mark_out in venue.mark_outs),
            correlations=tuple(share(product, scale) for product in venue.products),
        )


def of_events(instrument: Instrument, events: Iterable[BackgroundEvent]) -> MarketStats:
    """The statistics of a stream of background events; changes of a venue at one instant are one update."""
    stats = MarketStats(instrument)
    books = {listing.venue: (Quotes(BID, listing), Quotes(ASK, listing)) for listing in instrument.listings}

    def show(at_ns: int, venue: str) -> None:
        bids, asks = books[venue]
        stats.book(at_ns, venue, bids.prices[:5], bids.sizes[:5], asks.prices[:5], asks.sizes[:5])

    changed: tuple[int, str] | None = None
    for event in events:
        if changed is not None and (
            isinstance(event, BackgroundTrade) or changed != (event.at_ns, event.venue)
        ):
            show(*changed)
            changed = None
        if isinstance(event, BackgroundTrade):
            stats.trade(event.at_ns, event.venue, event.price, event.qty, event.aggressor)
        else:
            books[event.venue][event.side == ASK].put(event.price, event.qty)
            changed = event.at_ns, event.venue
    if changed is not None:
        show(*changed)
    return stats
