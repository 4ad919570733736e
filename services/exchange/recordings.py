"""A recording as the background: what the venue showed then is what is around our orders now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bestex.background import ASK, BID, BackgroundTrade, LevelSet
from bestex.contracts import Conversion
from bestex.errors import ConfigError
from bestex.feed import DepthUpdate, FeedEvent
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade
from bestex.recording import open_recording
from bestex.sim_wire import Trade
from services.exchange.happening import Happening


class Converter:
    """One market's recorded numbers in its instrument's units, whatever their scales."""

    def __init__(self, instrument: Instrument, listing: Listing) -> None:
        self._instrument, self._listing = instrument, listing
        self._scales = (instrument.price_scale, instrument.qty_scale)
        self._conversion = Conversion(instrument, listing, *self._scales)

    def levels(self, event: DepthUpdate, levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Raises ConfigError where the instrument's scales are too coarse for them."""
        prices, sizes = [price for price, _ in levels], [qty for _, qty in levels]
        return list(zip(*self._converted(event, prices, sizes), strict=True))

    def trade(self, event: MarketTrade) -> tuple[int, int]:
        """Price and quantity. Raises ConfigError as `levels` does."""
        prices, sizes = self._converted(event, [event.price], [event.qty])
        return prices[0], sizes[0]

    def _converted(
        self, event: FeedEvent, prices: list[int], sizes: list[int]
    ) -> tuple[list[int], list[int]]:
        if self._scales != (event.price_scale, event.qty_scale):
            self._scales = (event.price_scale, event.qty_scale)
            self._conversion = Conversion(self._instrument, self._listing, *self._scales)
        own = self._conversion.prices(prices)
        if own is None:
            raise self._too_coarse("price")
        quantities = self._conversion.quantities(own, sizes)
        if quantities is None:
            raise self._too_coarse("qty")
        return own, quantities

    def _too_coarse(self, what: str) -> ConfigError:
        return ConfigError(
            f"instruments.{self._instrument.symbol}.{what}_scale: "
            f"the recording of {self._listing.venue} has a finer one"
        )


class FeedBackground:
    """What a feed tells of a venue's markets, as what happens there.

    Of an update, what disappears comes first, so that a book that moves does not cross itself on the way. A
    snapshot removes what it does not show; an empty one, a break in the feed, removes everything.
    """

    def __init__(self, markets: dict[str, Converter]) -> None:
        """`markets` by the symbol that they have in the feed."""
        self._markets = markets
        self._books: dict[str, tuple[dict[int, int], dict[int, int]]] = {name: ({}, {}) for name in markets}

    def hear(self, trades: Iterable[Trade]) -> None:
        """What was really traded does not answer."""

    def _happenings(self, event: FeedEvent) -> Iterator[Happening]:
        if isinstance(event, DepthUpdate):
            yield from self._levels(event)
        else:
            yield self._trade(event)

    def _trade(self, event: MarketTrade) -> Happening:
        price, qty = self._markets[event.symbol].trade(event)
        trade = BackgroundTrade(event.recv_ns, event.venue, price, qty, event.aggressor, event.trade_id)
        return Happening(event.symbol, trade)

    def _levels(self, event: DepthUpdate) -> Iterator[Happening]:
        bids, asks = self._books[event.symbol]
        market = self._markets[event.symbol]
        changes = [
            LevelSet(event.recv_ns, event.venue, side, price, qty)
            for side, shown, levels in ((BID, bids, event.bids), (ASK, asks, event.asks))
            for price, qty in _changes(event, shown, market.levels(event, levels))
        ]
        for change in sorted(changes, key=lambda change: change.qty > 0):
            yield Happening(event.symbol, change)


class RecordingBackground(FeedBackground):
    """One venue's part of a recording, in the order and at the (corrected) times of its receipt."""

    def __init__(self, venue: str, events: Iterable[FeedEvent], markets: dict[str, Converter]) -> None:
        """Symbols that are not of `markets` are passed over."""
        super().__init__(markets)
        self._events = (event for event in events if event.venue == venue and event.symbol in markets)
        self._next = next(self._events, None)

    def step_until(self, now_ns: int) -> Iterator[Happening]:
        while self._next is not None and self._next.recv_ns <= now_ns:
            event, self._next = self._next, next(self._events, None)
            yield from self._happenings(event)


def _changes(
    event: DepthUpdate, shown: dict[int, int], levels: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The levels that differ from `shown`, which is brought up to date."""
    changes = dict(levels)
    if event.snapshot:
        changes = {price: 0 for price in shown if price not in changes} | changes
    changes = {price: qty for price, qty in changes.items() if shown.get(price, 0) != qty}
    for price, qty in changes.items():
        if qty:
            shown[price] = qty
        else:
            del shown[price]
    return list(changes.items())


def recorded(venue: str, files: Iterable[str], instruments: Iterable[Instrument]) -> RecordingBackground:
    """The background of `venue` from `files`. RecordingError where one cannot be read."""
    return RecordingBackground(venue, open_recording(*files), converters(venue, instruments))


def converters(venue: str, instruments: Iterable[Instrument]) -> dict[str, Converter]:
    """Of what is listed there, by its symbol."""
    return {
        listing.symbol: Converter(instrument, listing)
        for instrument in instruments
        if (listing := instrument.listing(venue)) is not None
    }
