"""What a venue's feed says, normalised: the events that importers and recordings yield and collectors publish."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

import msgspec

from bestex.depth import DepthBook
from bestex.instruments import Instrument, Listing
from bestex.messages import MarketTrade, VenueBook


class FeedStream(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's symbol in a recording, and how to read its numbers.

    `clock_offset_ns` is what was added to the receive times because the receiving clock ran behind the
    venue's; the recording keeps the times as received. `contract_size` and `inverse` as in `Listing`. `tick` and
    `lot` are the venue's, in units of these scales; 1 where nobody knows them.
    """

    venue: str
    symbol: str
    price_scale: int
    qty_scale: int
    kind: Literal["spot", "perp", "dark"] = "spot"
    contract_size: int = 1
    inverse: bool = False
    clock_offset_ns: int = 0
    tick: int = 1
    lot: int = 1

    def at(self, price_scale: int, qty_scale: int) -> FeedStream:
        """The same at scales that are as fine or finer."""
        return msgspec.structs.replace(
            self,
            price_scale=price_scale,
            qty_scale=qty_scale,
            tick=self.tick * 10 ** (price_scale - self.price_scale),
            lot=self.lot * 10 ** (qty_scale - self.qty_scale),
        )


class DepthUpdate(msgspec.Struct, frozen=True):
    """Levels as (price, quantity) in units; quantity 0 removes one.

    A `snapshot` replaces the book; an empty one says that the book is unknown from here on (a sequence break).
    `seq` is the venue's own update id. `venue_ns` is the venue's clock (0 where it sends none), `recv_ns` the
    receiver's, corrected so that it never precedes the venue's.
    """

    venue: str
    symbol: str
    seq: int
    venue_ns: int
    recv_ns: int
    price_scale: int
    qty_scale: int
    snapshot: bool
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


FeedEvent = DepthUpdate | MarketTrade


def instruments_of(streams: Iterable[FeedStream]) -> tuple[Instrument, ...]:
    """The instrument table of a recording: one instrument a symbol, at scales that cover all of its venues.

    Tick and lot are the stream's: one unit of the venue's own scale, the finest that its numbers showed, where the
    recording knows no better. Fees are unknown, 0.
    """
    by_symbol: dict[str, list[FeedStream]] = {}
    for stream in streams:
        by_symbol.setdefault(stream.symbol, []).append(stream)
    made = []
    for symbol, members in by_symbol.items():
        price_scale = max(stream.price_scale for stream in members)
        qty_scale = max(stream.qty_scale for stream in members)
        listings = tuple(
            Listing(
                venue=stream.venue,
                symbol=symbol,
                kind=stream.kind,
                tick=stream.tick * 10 ** (price_scale - stream.price_scale),
                lot=(lot := stream.lot * 10 ** (qty_scale - stream.qty_scale)),
                min_qty=lot,
                contract_size=stream.contract_size,
                inverse=stream.inverse,
            )
            for stream in members
        )
        made.append(
            Instrument(symbol=symbol, price_scale=price_scale, qty_scale=qty_scale, listings=listings)
        )
    return tuple(made)


def finest(streams: Iterable[FeedStream]) -> tuple[FeedStream, ...]:
    """One a venue and symbol, at the finest scales, tick and lot of its streams, otherwise as the last of them."""
    found: dict[tuple[str, str], FeedStream] = {}
    for stream in streams:
        key = (stream.venue, stream.symbol)
        known = found.get(key, stream)
        scales = max(known.price_scale, stream.price_scale), max(known.qty_scale, stream.qty_scale)
        one, other = stream.at(*scales), known.at(*scales)
        found[key] = msgspec.structs.replace(one, tick=min(one.tick, other.tick), lot=min(one.lot, other.lot))
    return tuple(found.values())


class Books:
    """Keeps the book of every stream and turns updates into the messages of the live plane."""

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self._books: dict[tuple[str, str], DepthBook] = {}
        self._seqs: dict[tuple[str, str], int] = {}

    @overload
    def take(self, event: DepthUpdate | VenueBook) -> VenueBook: ...

    @overload
    def take(self, event: FeedEvent | VenueBook) -> VenueBook | MarketTrade: ...

    def take(self, event: FeedEvent | VenueBook) -> VenueBook | MarketTrade:
        """The book as it stands after an update, its best levels; a trade as it is, a whole book renumbered.

        `VenueBook.seq` counts the books made of a stream. A book that has become unknown has no levels.
        """
        if isinstance(event, MarketTrade):
            return event
        key = (event.venue, event.symbol)
        self._seqs[key] = seq = self._seqs.get(key, 0) + 1
        if isinstance(event, VenueBook):
            return event if event.seq == seq else msgspec.structs.replace(event, seq=seq)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = DepthBook()
        if event.snapshot:
            book.replace(event.bids, event.asks)
        else:
            book.apply(event.bids, event.asks)
        return VenueBook(
            event.venue,
            event.symbol,
            seq,
            event.venue_ns,
            event.recv_ns,
            event.price_scale,
            event.qty_scale,
            *book.top(self._levels),
        )
