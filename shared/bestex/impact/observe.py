"""What calibration looks at: a market on a grid of steps, from books and trades in time order.

Of a step a series keeps the mid at its end, how much stands near the touch on either side, how much within some
distances of the mid, and what was bought and sold by takers in it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import neg
from statistics import median

from bestex.background import ASK, BID, BackgroundEvent, BackgroundTrade
from bestex.clock import MS, SECOND
from bestex.errors import UsageError
from bestex.instruments import Instrument
from bestex.market.quotes import Quotes
from bestex.messages import MarketTrade, VenueBook

STEP_NS = 100 * MS  # the pace of the slowest common depth feed: what is quicker cannot be seen in it
STEPS_MAX = 1_000_000  # more than a day: some 100 MB a venue; what comes later is not looked at
SILENCE_NS = 10 * SECOND  # a book without any change for this long is a feed that is away
DEPTHS_BPS = (1.0, 2.0, 5.0, 10.0)
WARM_UP_STEPS = 100  # of which the median spread says what is near
NEAR_MIN_BPS = 0.5  # where the spread is next to nothing, a touch alone is too little to look at
NEAR_SPREADS = 2.0
BPS = 10_000
NAN = float("nan")

Levels = tuple[Sequence[int], Sequence[int]]  # prices, best first, and sizes
_EMPTY: Levels = ((), ())


class Series:
    """One row a step; NaN where something is not known. Quantities in quantity units, the mid in price units."""

    def __init__(self) -> None:
        self.mid = array("d")
        self.spread_bps = array("d")
        self.near_bid, self.near_ask = array("d"), array("d")
        self.bought, self.sold, self.volume = array("d"), array("d"), array("d")
        self.depths = [array("d") for _ in DEPTHS_BPS]  # mean of both sides

    def __len__(self) -> int:
        return len(self.mid)


class _Watched:
    """A venue, or all of them together: its book now, and its flow since the last step."""

    def __init__(self) -> None:
        self.series = Series()
        self.bids, self.asks = _EMPTY, _EMPTY
        self.heard_ns = 0
        self.bought = self.sold = self.volume = 0
        self._spreads: list[float] = []
        self._near_bps = NAN

    def trade(self, qty: int, aggressor: int) -> None:
        self.volume += qty
        self.bought += qty if aggressor > 0 else 0
        self.sold += qty if aggressor < 0 else 0

    def step(self, now_ns: int) -> None:
        series, (bid_px, _), (ask_px, _) = self.series, self.bids, self.asks
        known = bool(bid_px and ask_px) and now_ns - self.heard_ns <= SILENCE_NS
        mid = (bid_px[0] + ask_px[0]) / 2 if known else NAN
        spread = (ask_px[0] - bid_px[0]) / mid * BPS if known else NAN
        series.mid.append(mid)
        series.spread_bps.append(spread)
        near = self._near(spread) if known else NAN
        # From the other side's best price: where that moves, what is near moves with it.
        series.near_ask.append(_asks_up_to(self.asks, bid_px[0] * (1 + near / BPS)) if known else NAN)
        series.near_bid.append(_bids_down_to(self.bids, ask_px[0] * (1 - near / BPS)) if known else NAN)
        for bps, depths in zip(DEPTHS_BPS, series.depths, strict=True):
            depths.append(self._depth(mid, bps) if known else NAN)
        series.bought.append(self.bought)
        series.sold.append(self.sold)
        series.volume.append(self.volume)
        self.bought = self.sold = self.volume = 0

    def _near(self, spread: float) -> float:
        if len(self._spreads) < WARM_UP_STEPS:
            self._spreads.append(spread)
            if len(self._spreads) == WARM_UP_STEPS:
                self._near_bps = max(NEAR_MIN_BPS, NEAR_SPREADS * median(self._spreads))
        return self._near_bps

    def _depth(self, mid: float, bps: float) -> float:
        """NaN where the levels that are shown do not reach so far."""
        low, high = mid * (1 - bps / BPS), mid * (1 + bps / BPS)
        if self.bids[0][-1] > low or self.asks[0][-1] < high:
            return NAN
        return (_bids_down_to(self.bids, low) + _asks_up_to(self.asks, high)) / 2


def _asks_up_to(levels: Levels, bound: float) -> float:
    """Size at that price or better; NaN of a bound that is none."""
    return float(sum(levels[1][: bisect_right(levels[0], bound)])) if bound == bound else NAN


def _bids_down_to(levels: Levels, bound: float) -> float:
    return float(sum(levels[1][: bisect_right(levels[0], -bound, key=neg)])) if bound == bound else NAN


class Observer:
    """Feed it books and trades in time order (ns) in the instrument's units, then read `series` and `together`.

    KeyError for a venue that the instrument does not list. The longer the books, the farther the depths reach.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._venues = {listing.venue: _Watched() for listing in instrument.listings}
        self._all = _Watched()
        self._next_ns: int | None = None

    @property
    def series(self) -> dict[str, Series]:
        return {venue: watched.series for venue, watched in self._venues.items()}

    @property
    def together(self) -> Series:
        """Flow of all venues, and the mid of the best prices of all."""
        return self._all.series

    def message(self, message: VenueBook | MarketTrade) -> None:
        """A message of a recording, at its `recv_ns`. UsageError where its scales are finer than the instrument's."""
        of = self.instrument
        if message.price_scale > of.price_scale or message.qty_scale > of.qty_scale:
            raise UsageError(f"{of.symbol}: market data is finer than the instrument's scales")
        price, qty = 10 ** (of.price_scale - message.price_scale), 10 ** (of.qty_scale - message.qty_scale)
        if isinstance(message, MarketTrade):
            self.trade(message.recv_ns, message.venue, message.qty * qty, message.aggressor)
            return
        bids = [px * price for px in message.bid_px], [size * qty for size in message.bid_qty]
        asks = [px * price for px in message.ask_px], [size * qty for size in message.ask_qty]
        self.book(message.recv_ns, message.venue, bids, asks)

    def book(self, at_ns: int, venue: str, bids: Levels, asks: Levels) -> None:
        self._advance(at_ns)
        watched = self._venues[venue]
        watched.bids, watched.asks = bids, asks
        watched.heard_ns = self._all.heard_ns = at_ns

    def trade(self, at_ns: int, venue: str, qty: int, aggressor: int) -> None:
        self._advance(at_ns)
        self._venues[venue].trade(qty, aggressor)
        self._all.trade(qty, aggressor)

    def _advance(self, now_ns: int) -> None:
        if self._next_ns is None:
            self._next_ns = now_ns + STEP_NS
        while self._next_ns <= now_ns and len(self.together) < STEPS_MAX:
            venues = self._venues.values()
            shown = [watched for watched in venues if watched.bids[0] and watched.asks[0]]
            if shown:
                self._all.bids = [max(watched.bids[0][0] for watched in shown)], [0]
                self._all.asks = [min(watched.asks[0][0] for watched in shown)], [0]
            for watched in (*venues, self._all):
                watched.step(self._next_ns)
            self._next_ns += STEP_NS


def of_messages(
    instruments: Iterable[Instrument], messages: Iterable[VenueBook | MarketTrade]
) -> list[Observer]:
    """An observer an instrument, fed with the messages of its listings."""
    observers = [Observer(instrument) for instrument in instruments]
    by_market = {
        (listing.venue, listing.symbol): observer
        for observer in observers
        for listing in observer.instrument.listings
    }
    for message in messages:
        by_market[message.venue, message.symbol].message(message)
    return observers


def of_events(instrument: Instrument, events: Iterable[BackgroundEvent]) -> Observer:
    """A stream of background events; books are looked at as they stand, and never in the midst of a change."""
    observer = Observer(instrument)
    books = {listing.venue: (Quotes(BID, listing), Quotes(ASK, listing)) for listing in instrument.listings}
    for event in events:
        if isinstance(event, BackgroundTrade):
            observer.trade(event.at_ns, event.venue, event.qty, event.aggressor)
            continue
        bids, asks = books[event.venue]
        # The lists are those of the book itself, which later changes reach: steps that are due come first.
        observer.book(event.at_ns, event.venue, (bids.prices, bids.sizes), (asks.prices, asks.sizes))
        (asks if event.side == ASK else bids).put(event.price, event.qty)
    return observer
