"""One symbol of one venue: its numbers to units, and what is heard of it to events. Pure but for what it delivers to.

Sizes are as the venue counts them, contracts where it trades contracts: whoever reads the books knows the listing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from bestex.depth import MAX_TEXTS, units_of_text
from bestex.feed import DepthUpdate, FeedEvent
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade, VenueBook
from bestex.units import UnitError, to_units

TRADES_REMEMBERED = (
    4_096  # ids; an exchange that tells the last ones again at a reconnect tells at most 1,000
)
CLOCK_BLOCK = 256  # messages that a maximum is taken over
CLOCK_BLOCKS = 32  # maxima that count: a clock that is set is followed within 8,192 messages

Levels = list[tuple[int, int]]
Deliver = Callable[[FeedEvent | VenueBook], None]


class Numbers(dict[Any, int]):
    """`numbers[said]` is the units of what a venue or ccxt says: text, or a float that was text. Remembered.

    Exact, or with `floor` rounded down: sizes finer than the lot rest at real venues, from before a coarser one, and
    a little less than there is can be shown without harm.
    """

    __slots__ = ("floor", "scale")

    def __init__(self, scale: int, *, floor: bool = False) -> None:
        self.scale, self.floor = scale, floor

    def __missing__(self, said: Any) -> int:
        """UnitError for what is no number, or, without `floor`, finer than the scale."""
        text = said if isinstance(said, str) else repr(said)
        try:
            units = units_of_text(text, self.scale)
        except UnitError:
            try:
                units = self._units(Decimal(text))  # "1e-07" and the like, and what is finer
            except InvalidOperation:
                raise UnitError(f"{text[:40]!r} is no number") from None
            if units < 0:
                raise UnitError(f"{text} is below zero") from None
        if len(self) >= MAX_TEXTS:
            self.clear()
        self[said] = units
        return units

    def _units(self, number: Decimal) -> int:
        if self.floor and number.is_finite():
            number = number.quantize(Decimal(1).scaleb(-self.scale), ROUND_FLOOR)
        return to_units(number, self.scale)


class VenueClock:
    """The venue's clock against ours: the fastest message cannot have arrived before it was sent.

    Where it seems to have, the venue's clock is ahead by at least as much, and as much is taken off its times. Then
    latencies are true up to a constant, as in a recording; the receive times are those of our own clock, as they are
    compared with it.
    """

    def __init__(self) -> None:
        self._maxima: deque[int] = deque(maxlen=CLOCK_BLOCKS)
        self._block, self._left = 0, CLOCK_BLOCK
        self.ahead_ns = 0

    def ours(self, venue_ns: int, recv_ns: int) -> int:
        """0 stays 0: the venue sends no time."""
        if not venue_ns:
            return 0
        ahead = venue_ns - recv_ns
        self._block = max(self._block, ahead)
        self._left -= 1
        if ahead > self.ahead_ns:
            self.ahead_ns = ahead
        if not self._left:
            self._maxima.append(self._block)
            self._block, self._left = 0, CLOCK_BLOCK
            self.ahead_ns = max(self._maxima)
        return venue_ns - self.ahead_ns


class Stream:
    """`is_known`: whether those who hear of the book hold one."""

    def __init__(self, instrument: Instrument, listing: Listing, clock: VenueClock, deliver: Deliver) -> None:
        self.instrument, self.listing = instrument, listing
        self.symbol = listing.symbol
        self.market_id = ""
        self.prices = Numbers(instrument.price_scale)
        self.qtys = Numbers(instrument.qty_scale, floor=True)
        self.is_known = False
        self._head = listing.venue, listing.symbol
        self._scales = instrument.price_scale, instrument.qty_scale
        self._clock, self._deliver = clock, deliver
        self._told: OrderedDict[str, None] = OrderedDict()

    def read(self, pairs: Iterable[Any]) -> Levels:
        """Of each the price and the size; more may follow."""
        prices, qtys = self.prices, self.qtys
        return [(prices[pair[0]], qtys[pair[1]]) for pair in pairs]

    def whole(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        self.is_known = True
        self._update(seq, venue_ns, recv_ns, True, bids, asks)

    def change(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        self._update(seq, venue_ns, recv_ns, False, bids, asks)

    def unknown(self, recv_ns: int) -> None:
        """Said once: nobody must trade on a book that may miss a change."""
        if self.is_known:
            self.is_known = False
            self._update(0, 0, recv_ns, True, [], [])

    def end(self, recv_ns: int) -> None:
        self.unknown(recv_ns)
        self._deliver = _to_nobody

    def _update(self, seq: int, venue_ns: int, recv_ns: int, whole: bool, bids: Levels, asks: Levels) -> None:
        at_ns = self._clock.ours(venue_ns, recv_ns)
        self._deliver(DepthUpdate(*self._head, seq, at_ns, recv_ns, *self._scales, whole, bids, asks))

    def best(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        """The best levels of a book that ccxt keeps, best first."""
        self.is_known = True
        at_ns = self._clock.ours(venue_ns, recv_ns)
        bid_px, bid_qty = [price for price, _ in bids], [qty for _, qty in bids]
        ask_px, ask_qty = [price for price, _ in asks], [qty for _, qty in asks]
        self._deliver(
            VenueBook(*self._head, seq, at_ns, recv_ns, *self._scales, bid_px, bid_qty, ask_px, ask_qty)
        )

    def trade(self, trade_id: str, venue_ns: int, recv_ns: int, price: Any, qty: Any, aggressor: int) -> None:
        """Each trade id once; one without an id always. Price and size as the venue says them."""
        if trade_id:
            if trade_id in self._told:
                return
            self._told[trade_id] = None
            if len(self._told) > TRADES_REMEMBERED:
                self._told.popitem(last=False)
        units = self.prices[price], self.qtys[qty]
        if not all(units):
            return  # an index or a settlement, told as a trade of nothing
        at_ns = self._clock.ours(venue_ns, recv_ns)
        self._deliver(MarketTrade(*self._head, trade_id, at_ns, recv_ns, *self._scales, *units, aggressor))


def _to_nobody(_: Any) -> None:
    """Where a stream that has ended delivers to."""


class Streams:
    """A venue's symbols, by ccxt's name and, as soon as the markets are known, by the venue's own."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self.by_symbol = {stream.symbol: stream for stream in streams}
        self.by_id: dict[str, Stream] = {}

    def name(self, markets: dict[str, Any]) -> None:
        """KeyError for a symbol that has no market."""
        for symbol, stream in self.by_symbol.items():
            stream.market_id = str(markets[symbol]["id"])
            self.by_id[stream.market_id] = stream

    def end(self, recv_ns: int) -> None:
        """All books are unknown, and nothing more is told: of what breaks, nothing that comes later is right."""
        for stream in self.by_symbol.values():
            stream.end(recv_ns)
