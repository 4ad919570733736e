"""Tables of quotes and trades of several publishers, row by row, to normalised events. See `columns`.

A table is read twice, as raw frames are: first for what it holds (publishers, symbols, the finest digits, the order
of its times), then for the events. Every publisher is a venue. A row of levels is the book from then on, and becomes
what changed since the publisher's row before; without any level the book is unknown. An event is received at
`ts_recv`, or at `ts_event` where there is no other time or a later one.

Rows out of order by up to LATE_NS are put into order; a row that comes later than that is an error, since what has
been handed on cannot be taken back.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path
from typing import Protocol

from bestex.clock import SECOND, rfc3339
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.columns import Columns, aggressor, is_nothing, time_ns
from bestex.importers.options import ImportOptions
from bestex.importers.scales import MAX_UNITS, ExactUnits, Scales, plain_text, pointed
from bestex.messages import MarketTrade
from bestex.units import MAX_SCALE

LATE_NS = SECOND  # publishers' clocks and paths differ by less
MAX_HELD = 1_000_000  # rows that wait for their turn; more in one second is no market
MAX_STREAMS = 10_000  # publishers x symbols; a column of numbers that is mistaken for one has more

Row = Sequence[str]
Levels = dict[int, int]


class Rows(Protocol):
    """A table as text. Iterating again begins again; rows come with their number, the first data row's is 2.

    `damage` says after a reading how the table ended early, "" if it did not.
    """

    path: Path
    header: Sequence[str]
    damage: str

    def __iter__(self) -> Iterator[tuple[int, Row]]: ...


class _Stream:
    """One publisher's symbol. `is_known`: whether there is a book."""

    def __init__(self, stream: FeedStream, exponent: int) -> None:
        self.stream = stream
        self.prices = ExactUnits(stream.price_scale, exponent)
        self.qtys = ExactUnits(stream.qty_scale)
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.is_known = False
        self.count = 0


class TableRecording:
    """The events of one table. RecordingError, with the row, for what cannot be read."""

    def __init__(self, rows: Rows, options: ImportOptions) -> None:
        self._rows, self._options = rows, options
        self._name = rows.path.name
        self._columns = Columns(rows.header, self._name)
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}
        self._publishers: dict[str, str] = {}  # by the venue that each is called
        self.start_ns, self.end_ns, self._is_sorted = 0, 0, True
        self._streams = self._survey()

    @property
    def streams(self) -> tuple[FeedStream, ...]:
        return tuple(self._streams.values())

    @property
    def damage(self) -> str:
        return self._rows.damage

    # -- the first reading ---------------------------------------------------------------------------------

    def _survey(self) -> dict[tuple[str, str], FeedStream]:
        scales: dict[tuple[str, str], Scales] = {}
        instruments: set[str] = set()
        columns, exponent = self._columns, self._options.price_exponent
        last_ns = -1
        for number, row in self._whole_rows():
            try:
                at_ns = self._at_ns(row)
                key = self._key(row)
                known = scales.get(key)
                if known is None:
                    known = scales[key] = Scales()
                    if len(scales) > MAX_STREAMS:
                        raise ValueError(f"more than {MAX_STREAMS} publishers and symbols")
                for price, size in self._texts(row):
                    if not (price.isdigit() or price.replace(".", "", 1).isdigit()) or exponent:
                        price = pointed(plain_text(price), exponent)
                    known.see(price, size if "e" not in size.lower() else plain_text(size))
            except ValueError as error:
                raise self._wrong(number, error) from None
            if columns.symbol < 0 and columns.instrument >= 0:
                instruments.add(row[columns.instrument])
            self.start_ns = at_ns if last_ns < 0 else min(self.start_ns, at_ns)
            self._is_sorted &= at_ns >= last_ns
            last_ns = at_ns
            self.end_ns = max(self.end_ns, at_ns)
        if not scales:
            raise RecordingError(
                f"{self._name}: there are no rows{f' ({self.damage})' if self.damage else ''}"
            )
        if len(instruments) > 1:
            raise RecordingError(
                f"{self._name}: {len(instruments)} instruments (instrument_id) and no column symbol; "
                "make a file of each"
            )
        symbols = {symbol for _, symbol in scales}
        if self._options.symbol and columns.symbol >= 0 and symbols != {self._options.symbol}:
            raise RecordingError(
                f"{self._name}: says itself what is traded: {', '.join(sorted(symbols)[:10])}; leave out the symbol"
            )
        return self._named(scales)

    def _named(self, seen: dict[tuple[str, str], Scales]) -> dict[tuple[str, str], FeedStream]:
        """The streams. A symbol's prices are as fine on all venues: a quiet one may have shown round ones only."""
        finest: dict[str, int] = {}
        for (_, symbol), scales in seen.items():
            finest[symbol] = max(finest.get(symbol, 0), scales.price)
            if max(scales.price, scales.qty) > MAX_SCALE:
                raise RecordingError(f"{self._name}: numbers with more than {MAX_SCALE} decimals")
        return {
            (venue, symbol): FeedStream(
                venue=venue, symbol=symbol, price_scale=finest[symbol], qty_scale=scales.qty
            )
            for (venue, symbol), scales in sorted(seen.items())
        }

    def _texts(self, row: Row) -> list[tuple[str, str]]:
        """Every price of the row with its size."""
        columns = self._columns
        places = [*columns.bids, *columns.asks]
        if columns.is_trade(row):
            places.append((columns.price, columns.size))
        return [(row[price], row[size]) for price, size in places if self._shows(row[price], row[size])]

    def _shows(self, price: str, size: str) -> bool:
        return not (is_nothing(price) or is_nothing(size))

    def _whole_rows(self) -> Iterator[tuple[int, Row]]:
        """The rows as far as they are whole: a last one that is cut short is damage, another is an error."""
        count, cut = self._columns.count, 0
        try:
            for number, row in self._rows:
                if cut:
                    raise self._wrong(cut, f"the row has not {count} columns as the header has")
                if len(row) != count:
                    cut = number
                    continue
                yield number, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise RecordingError(f"{self._name}: {error}") from None
        if cut:
            self._rows.damage = f"{self._name}:{cut}: ends within a row; read up to there"

    # -- the second ----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[FeedEvent]:
        exponent = self._options.price_exponent
        streams = {key: _Stream(stream, exponent) for key, stream in self._streams.items()}
        for at_ns, number, row in self._in_order():
            state = streams.get(self._key(row))
            if state is None:
                raise RecordingError(f"{self._name}: the file has changed while it was read")
            try:
                yield from self._events(state, at_ns, number, row)
            except ValueError as error:
                raise self._wrong(number, error) from None

    def _in_order(self) -> Iterator[tuple[int, int, Row]]:
        timed = ((self._at_ns(row), number, row) for number, row in self._whole_rows())
        return timed if self._is_sorted else self._sorted(timed)

    def _sorted(self, timed: Iterator[tuple[int, int, Row]]) -> Iterator[tuple[int, int, Row]]:
        held: list[tuple[int, int, Row]] = []
        newest_ns = 0
        for one in timed:
            at_ns, number, _ = one
            if at_ns < newest_ns - LATE_NS:
                raise self._wrong(
                    number,
                    f"{rfc3339(at_ns)} comes more than {LATE_NS // SECOND} s after {rfc3339(newest_ns)}; "
                    "sort the rows by time",
                )
            heappush(held, one)
            newest_ns = max(newest_ns, at_ns)
            while held[0][0] < newest_ns - LATE_NS:
                yield heappop(held)
            if len(held) > MAX_HELD:
                raise self._wrong(number, f"more than {MAX_HELD} rows within {LATE_NS // SECOND} s")
        while held:
            yield heappop(held)

    def _events(self, state: _Stream, at_ns: int, number: int, row: Row) -> Iterator[FeedEvent]:
        columns = self._columns
        state.count += 1
        seq = state.count
        if columns.sequence >= 0 and row[columns.sequence].strip().isdigit():
            seq = int(row[columns.sequence])
        venue_ns = time_ns(row[columns.event]) if columns.recv >= 0 else at_ns
        is_trade = columns.is_trade(row)
        if is_trade and self._shows(row[columns.price], row[columns.size]):
            trade = self._trade(state, seq, venue_ns, at_ns, number, row)
            if trade.price and trade.qty:
                yield trade
        if columns.has_levels:
            yield from self._book(state, seq, venue_ns, at_ns, row, is_trade=is_trade)

    def _trade(
        self, state: _Stream, seq: int, venue_ns: int, at_ns: int, number: int, row: Row
    ) -> MarketTrade:
        columns, stream = self._columns, state.stream
        own_id = row[columns.trade_id].strip() if columns.trade_id >= 0 else ""
        if not own_id:
            own_id = f"{seq}-{number}" if columns.sequence >= 0 else str(number)
        return MarketTrade(
            stream.venue,
            stream.symbol,
            own_id,
            venue_ns,
            at_ns,
            stream.price_scale,
            stream.qty_scale,
            state.prices[row[columns.price]],
            state.qtys[row[columns.size]],
            aggressor(row[columns.side]) if columns.side >= 0 else 0,
        )

    def _book(
        self, state: _Stream, seq: int, venue_ns: int, at_ns: int, row: Row, *, is_trade: bool
    ) -> Iterator[DepthUpdate]:
        stream = state.stream
        bids = self._levels(state, row, self._columns.bids)
        asks = self._levels(state, row, self._columns.asks)
        was_known, state.is_known = state.is_known, bool(bids or asks)
        whole = not (was_known and state.is_known)
        new_bids = list(bids.items()) if whole else _changes(state.bids, bids)
        new_asks = list(asks.items()) if whole else _changes(state.asks, asks)
        state.bids, state.asks = bids, asks
        if is_trade and not whole and not (new_bids or new_asks):
            return  # the row told of the trade, and the book is as it was
        yield DepthUpdate(
            stream.venue,
            stream.symbol,
            seq,
            venue_ns,
            at_ns,
            stream.price_scale,
            stream.qty_scale,
            whole,
            new_bids,
            new_asks,
        )

    def _levels(self, state: _Stream, row: Row, places: list[tuple[int, int]]) -> Levels:
        shown = {
            state.prices[row[price]]: state.qtys[row[size]]
            for price, size in places
            if self._shows(row[price], row[size])
        }
        return {price: qty for price, qty in shown.items() if qty and price}

    # -- what a row says -----------------------------------------------------------------------------------

    def _at_ns(self, row: Row) -> int:
        columns = self._columns
        at_ns = time_ns(row[columns.event])
        if columns.recv >= 0 and not is_nothing(row[columns.recv]):
            at_ns = max(at_ns, time_ns(row[columns.recv]))
        if at_ns > MAX_UNITS:
            raise ValueError(f"{at_ns} is no time in ns")
        return at_ns

    def _key(self, row: Row) -> tuple[str, str]:
        """Venue and symbol, as they are called from here on."""
        columns = self._columns
        written = (
            row[columns.venue] if columns.venue >= 0 else "",
            row[columns.symbol] if columns.symbol >= 0 else "",
        )
        key = self._keys.get(written)
        if key is None:
            publisher, symbol = (text.strip() for text in written)
            venue = self._options.venue(publisher or "venue")
            other = self._publishers.setdefault(venue, publisher)
            if other != publisher:
                raise ValueError(
                    f"the publishers {other} and {publisher} would both be the venue {venue}; name them"
                )
            key = self._keys[written] = (venue, symbol or self._options.symbol or _stem(self._rows.path))
        return key

    def _wrong(self, number: int, what: object) -> RecordingError:
        return RecordingError(f"{self._name}:{number}: {what}")


def _stem(path: Path) -> str:
    return path.name.partition(".")[0].upper()


def _changes(old: Levels, new: Levels) -> list[tuple[int, int]]:
    changed = [(price, qty) for price, qty in new.items() if old.get(price) != qty]
    return [(price, 0) for price in old if price not in new] + changed
