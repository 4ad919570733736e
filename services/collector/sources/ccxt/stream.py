"""One symbol of one venue: its numbers to units, and what is heard of it to events. Pure but for what it delivers to.

Sizes are as the venue counts them, contracts where it trades contracts: whoever reads the books knows the listing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

import msgspec

from bestex.clock import MS, SECOND
from bestex.depth import MAX_TEXTS, units_of_text
from bestex.feed import DepthUpdate, FeedEvent
from bestex.instruments import Instrument, Listing
from bestex.messages import Bbo, MarketTrade, MarkPrice, VenueBook
from bestex.units import UnitError, to_units
from services.collector.sources.ccxt.venue_clock import VenueClock
from services.collector.sources.ccxt.witness import Witness

TRADES_REMEMBERED = (
    4_096  # ids; an exchange that tells the last ones again at a reconnect tells at most 1,000
)
MARK_SCALE = 8  # mark prices are averages, and finer than any tick
MARK_EVERY_NS = SECOND  # some venues say each change of it, ten times a second
LATE_NS = (
    5 * SECOND
)  # what was so long under way says nothing of now: the line, the venue or we do not keep up
TEXTS_TOTAL = (
    1 << 20
)  # remembered of all symbols together, some 150 MB; of one or a few as many as anybody needs
TEXTS_MIN = 2_048  # of each

Levels = list[tuple[int, int]]
Deliver = Callable[[FeedEvent | VenueBook | MarkPrice | Bbo], None]


class FeedBroken(Exception):
    """A feed cannot be trusted any more: an update is missing or late, or its book cannot be."""


class Numbers(dict[Any, int]):
    """`numbers[said]` is the units of what a venue or ccxt says: text, or a float that was text. Remembered.

    Exact, or with `floor` rounded down: sizes finer than the lot rest at real venues, from before a coarser one, and
    a little less than there is can be shown without harm.
    """

    __slots__ = ("floor", "most", "scale")

    def __init__(self, scale: int, *, floor: bool = False, most: int = MAX_TEXTS) -> None:
        self.scale, self.floor, self.most = scale, floor, most

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
        if len(self) >= self.most:
            self.clear()
        self[said] = units
        return units

    def _units(self, number: Decimal) -> int:
        if self.floor and number.is_finite():
            number = number.quantize(Decimal(1).scaleb(-self.scale), ROUND_FLOOR)
        return to_units(number, self.scale)


class Stream:
    """`is_known`: whether those who hear of the book hold one. `was_known`: whether they ever did. `witness`: what
    compares the book with the venue's own best prices, where those are listened to."""

    def __init__(
        self,
        instrument: Instrument,
        listing: Listing,
        clock: VenueClock,
        deliver: Deliver,
        late_ns: int = LATE_NS,
        witness: Witness | None = None,
    ) -> None:
        self.instrument, self.listing = instrument, listing
        self.symbol = listing.symbol
        self.market_id = ""
        self.prices = Numbers(instrument.price_scale)
        self.qtys = Numbers(instrument.qty_scale, floor=True)
        self.is_known = self.was_known = False
        self.group, self.witness = Nobody(), witness
        self._head = listing.venue, listing.symbol
        self._scales = instrument.price_scale, instrument.qty_scale
        self._clock, self._deliver, self._late_ns = clock, deliver, late_ns
        self._told: OrderedDict[str, None] = OrderedDict()
        self._mark_scale = max(MARK_SCALE, instrument.price_scale)
        self._mark = MarkPrice(*self._head, 0, 0, self._mark_scale, 0)

    def pairs(self, pairs: Iterable[Any]) -> Levels:
        """Of each the price and the size. ValueError where there is more to one."""
        prices, qtys = self.prices, self.qtys
        return [(prices[price], qtys[qty]) for price, qty in pairs]

    def read(self, pairs: Iterable[Any]) -> Levels:
        """The same, where more may follow."""
        prices, qtys = self.prices, self.qtys
        return [(prices[pair[0]], qtys[pair[1]]) for pair in pairs]

    def whole(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        """Its time may be long ago: that of the last change."""
        self.is_known = self.was_known = True
        self.group.books += 1
        if self.witness is not None:
            self.witness.whole(bids, asks, recv_ns)
        self._update(seq, venue_ns, recv_ns, True, bids, asks)

    def change(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        """FeedBroken where it comes so late that nobody may take the book for what it is now."""
        at_ns = self._clock.ours(venue_ns, recv_ns)
        if self._clock.late_ns > self._late_ns:
            raise FeedBroken(f"{self.symbol}: an update was {self._clock.late_ns / SECOND:.1f} s under way")
        self.group.books += 1
        if self.witness is not None:
            self.witness.change(bids, asks, recv_ns)
        self._deliver(DepthUpdate(*self._head, seq, at_ns, recv_ns, *self._scales, False, bids, asks))

    def unknown(self, recv_ns: int) -> None:
        """Said once: nobody must trade on a book that may miss a change."""
        if self.is_known:
            self.is_known = False
            if self.witness is not None:
                self.witness.unknown()
            self._update(0, 0, recv_ns, True, [], [])

    def end(self, recv_ns: int) -> None:
        self.unknown(recv_ns)
        self._deliver = _to_nobody

    def _update(self, seq: int, venue_ns: int, recv_ns: int, whole: bool, bids: Levels, asks: Levels) -> None:
        at_ns = self._clock.ours(venue_ns, recv_ns)
        self._deliver(DepthUpdate(*self._head, seq, at_ns, recv_ns, *self._scales, whole, bids, asks))

    def best(self, seq: int, venue_ns: int, recv_ns: int, bids: Levels, asks: Levels) -> None:
        """The best levels of a book that ccxt keeps, best first."""
        self.is_known = self.was_known = True
        self.group.books += 1
        at_ns = self._clock.ours(venue_ns, recv_ns)
        if self.witness is not None:
            self.witness.whole(bids[:1], asks[:1], recv_ns)
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

    def bbo(self, seq: int, venue_ns: int, recv_ns: int, bid: tuple[Any, Any], ask: tuple[Any, Any]) -> None:
        """The best bid and ask, each a price and a size, as the venue says them; a price of nothing: none."""
        (bid_px, bid_qty), (ask_px, ask_qty) = (
            (self.prices[price], self.qtys[qty or 0]) if price else (0, 0) for price, qty in (bid, ask)
        )
        if self.witness is not None:
            self.witness.said(bid_px, ask_px, recv_ns)
        at_ns = self._clock.ours(venue_ns, recv_ns)
        self._deliver(Bbo(*self._head, seq, at_ns, recv_ns, *self._scales, bid_px, bid_qty, ask_px, ask_qty))

    def mark(self, venue_ns: int, recv_ns: int, mark: Any, index: Any, rate: Any, next_ms: Any) -> None:
        """Each as the venue says it, None or empty where it does not: then it is what it was. Told once a second."""
        numbers, last = Numbers(self._mark_scale, floor=True, most=1), self._mark
        made = MarkPrice(
            *self._head,
            self._clock.ours(venue_ns, recv_ns),
            recv_ns,
            self._mark_scale,
            numbers[mark] if mark else last.mark,
            numbers[index] if index else last.index,
            float(rate) if rate not in (None, "") else last.funding_rate,
            int(next_ms) * MS if next_ms else last.next_funding_ns,
        )
        if not made.mark or recv_ns - last.recv_ns < MARK_EVERY_NS:
            made = msgspec.structs.replace(made, recv_ns=last.recv_ns)  # when it was told
        else:
            self._deliver(made)
        self._mark = made


def _to_nobody(_: Any) -> None:
    """Where a stream that has ended delivers to."""


class Nobody:
    """The group of a stream that is in none. `books`: how many changes of books were heard."""

    books = 0


class Streams(Nobody):
    """A venue's symbols, by ccxt's name and, as soon as the markets are known, by the venue's own."""

    def __init__(self, streams: Iterable[Stream]) -> None:
        self.by_symbol = {stream.symbol: stream for stream in streams}
        self.by_id: dict[str, Stream] = {}
        most = min(MAX_TEXTS, max(TEXTS_MIN, TEXTS_TOTAL // (2 * max(1, len(self.by_symbol)))))
        for stream in self.by_symbol.values():
            stream.group = self
            stream.prices.most = stream.qtys.most = most

    def name(self, markets: dict[str, Any]) -> None:
        """KeyError for a symbol that has no market."""
        for symbol, stream in self.by_symbol.items():
            stream.market_id = str(markets[symbol]["id"])
            self.by_id[stream.market_id] = stream

    def end(self, recv_ns: int) -> None:
        """All books are unknown, and nothing more is told: of what breaks, nothing that comes later is right."""
        for stream in self.by_symbol.values():
            stream.end(recv_ns)
