"""A recording as the background: what the venue showed then is what is around our orders now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bestex.background import BackgroundTrade, LevelsSet
from bestex.clock import FOREVER_NS
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
        if self._scales != (event.price_scale, event.qty_scale):
            self._speak(event)
        if self._conversion.is_identity:
            return levels
        prices, sizes = [price for price, _ in levels], [qty for _, qty in levels]
        return list(zip(*self._converted(prices, sizes), strict=True))

    def trade(self, event: MarketTrade) -> tuple[int, int]:
        """Price and quantity. Raises ConfigError as `levels` does."""
        if self._scales != (event.price_scale, event.qty_scale):
            self._speak(event)
        if self._conversion.is_identity:
            return event.price, event.qty
        prices, sizes = self._converted([event.price], [event.qty])
        return prices[0], sizes[0]

    def _converted(self, prices: list[int], sizes: list[int]) -> tuple[list[int], list[int]]:
        own = self._conversion.prices(prices)
        if own is None:
            raise self._too_coarse("price")
        quantities = self._conversion.quantities(own, sizes)
        if quantities is None:
            raise self._too_coarse("qty")
        return own, quantities

    def _speak(self, event: FeedEvent) -> None:
        """Convert from the event's scales."""
        self._scales = (event.price_scale, event.qty_scale)
        self._conversion = Conversion(self._instrument, self._listing, *self._scales)

    def _too_coarse(self, what: str) -> ConfigError:
        return ConfigError(
            f"instruments.{self._instrument.symbol}.{what}_scale: "
            f"the recording of {self._listing.venue} has a finer one"
        )


class FeedBackground:
    """What a feed tells of a venue's markets, as what happens there.

    A snapshot removes what it does not show; an empty one, a break in the feed, removes everything. What is shown is
    kept by the engine alone.
    """

    def __init__(self, markets: dict[str, Converter]) -> None:
        """`markets` by the symbol that they have in the feed."""
        self._markets = markets

    @property
    def due_ns(self) -> int:
        return 0

    def hear(self, trades: Iterable[Trade]) -> None:
        """What was really traded does not answer."""

    def _happening(self, event: FeedEvent) -> Happening | None:
        """None where the event changes nothing."""
        if isinstance(event, DepthUpdate):
            return self._levels(event)
        price, qty = self._markets[event.symbol].trade(event)
        trade = BackgroundTrade(event.recv_ns, event.venue, price, qty, event.aggressor, event.trade_id)
        return Happening(event.symbol, trade)

    def _levels(self, event: DepthUpdate) -> Happening | None:
        market = self._markets[event.symbol]
        bids, asks = dict(market.levels(event, event.bids)), dict(market.levels(event, event.asks))
        if not bids and not asks and not event.snapshot:
            return None
        return Happening(event.symbol, LevelsSet(event.recv_ns, event.venue, bids, asks, event.snapshot))


class RecordingBackground(FeedBackground):
    """One venue's part of a recording, in the order and at the (corrected) times of its receipt."""

    def __init__(self, venue: str, events: Iterable[FeedEvent], markets: dict[str, Converter]) -> None:
        """Symbols that are not of `markets` are passed over."""
        super().__init__(markets)
        self._happenings = self._read(venue, events)
        self._next = next(self._happenings, None)
        self._due_ns = FOREVER_NS if self._next is None else self._next.event.at_ns

    def _read(self, venue: str, events: Iterable[FeedEvent]) -> Iterator[Happening]:
        markets, happening = self._markets, self._happening
        for event in events:
            if event.venue == venue and event.symbol in markets and (found := happening(event)):
                yield found

    @property
    def due_ns(self) -> int:
        return self._due_ns

    def step_until(self, now_ns: int) -> list[Happening]:
        found: list[Happening] = []
        if self._next is not None and self._due_ns <= now_ns:
            found.append(self._next)
            for happening in self._happenings:
                self._next, self._due_ns = happening, happening.event.at_ns
                if self._due_ns > now_ns:
                    break
                found.append(happening)
            else:
                self._next, self._due_ns = None, FOREVER_NS
        return found


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
