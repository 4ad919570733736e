"""Recordings for other programs: every event in Parquet, exactly; the best levels as a table, in CSV or Parquet; bars
of the trades. What is written as events or as a table is read again by `bestex.importers`.

Memory does not grow with the recording. Numbers are exact: whole units beside their scales, or decimals.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from bestex import codec
from bestex.clock import SECOND, rfc3339
from bestex.depth import DepthBook
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.columns import MAX_LEVELS
from bestex.importers.parquet import BATCH, BOOK, EVENTS, SNAPSHOT, STREAMS, TRADE, library
from bestex.importers.scales import decimal_text
from bestex.messages import MarketTrade

ROW_GROUP = 4 * BATCH
_TRADE_ACTION, _BOOK_ACTION = "T", "M"
_SIDES = {1: "B", -1: "A", 0: "N"}
DECIMAL_DIGITS = 38  # the most that Parquet's decimals have

Row = tuple[Any, ...]


# -- events ------------------------------------------------------------------------------------------------


def events_to_parquet(streams: Sequence[FeedStream], events: Iterable[FeedEvent], out: Path) -> int:
    """All events, one a row; how many. What `open_recording` makes of the file is what these are."""
    polars = library()
    numbers = polars.List(polars.Int64)
    types = [polars.String] * 3 + [polars.Int64] * 3 + [polars.Int8] * 2 + [numbers] * 4
    types += [polars.String, polars.Int64, polars.Int64, polars.Int8]
    schema = dict(zip(EVENTS, types, strict=True))
    told = codec.to_json(list(streams)).decode()
    return _to_parquet(map(_event_row, events), schema, out, {STREAMS: told})


def _event_row(event: FeedEvent) -> Row:
    if isinstance(event, MarketTrade):
        return (
            *(TRADE, event.venue, event.symbol, 0, event.venue_ns, event.recv_ns),
            *(event.price_scale, event.qty_scale, None, None, None, None),
            *(event.trade_id, event.price, event.qty, event.aggressor),
        )
    sides = [[pair[place] for pair in levels] for levels in (event.bids, event.asks) for place in (0, 1)]
    return (
        *(SNAPSHOT if event.snapshot else BOOK, event.venue, event.symbol, event.seq),
        *(event.venue_ns, event.recv_ns, event.price_scale, event.qty_scale),
        *(*sides, None, None, None, None),
    )


def _to_parquet(
    rows: Iterable[Row], schema: Mapping[str, Any], out: Path, metadata: Mapping[str, str] | None = None
) -> int:
    """Batch after batch through polars's streaming engine. What goes wrong in `rows` is raised as it is."""
    polars = library()
    from polars.io.plugins import register_io_source

    count, wrong = 0, None
    iterator = iter(rows)

    def batches(*_: Any) -> Iterator[Any]:
        nonlocal count, wrong
        try:
            while rows_now := list(islice(iterator, BATCH)):
                count += len(rows_now)
                yield polars.DataFrame(rows_now, schema=dict(schema), orient="row")
        except Exception as error:
            wrong = error  # polars would make a text of it
            raise

    with out.open("xb"):
        pass
    try:
        frame = register_io_source(batches, schema=dict(schema))
        frame.sink_parquet(out, row_group_size=ROW_GROUP, metadata=dict(metadata or {}) or None)
    except BaseException as error:
        out.unlink(missing_ok=True)
        if wrong is not None:
            raise wrong from None
        if isinstance(error, polars.exceptions.PolarsError):
            raise RecordingError(f"{out}: cannot be written: {error}") from None
        raise
    return count


# -- tables ------------------------------------------------------------------------------------------------


def header(levels: int) -> list[str]:
    names = ["ts_event", "ts_recv", "publisher_id", "venue", "symbol", "sequence", "action", "side"]
    names += ["price", "size", "trade_id"]
    for level in range(levels):
        names += [f"{side}_{what}_{level:02d}" for side in ("bid", "ask") for what in ("px", "sz")]
    return names


class _Table:
    """Events to rows: the time in ns twice, the publisher's number, and numbers as units or None."""

    def __init__(self, streams: Sequence[FeedStream], levels: int) -> None:
        self._levels = levels
        venues = dict.fromkeys(stream.venue for stream in streams)
        self._publishers = {venue: number for number, venue in enumerate(venues, 1)}
        self._books: dict[tuple[str, str], DepthBook] = {}

    def row(self, event: FeedEvent) -> tuple[list[Any], list[int | None]]:
        """What stands before the levels, with price and size as units; prices and sizes of the levels in turns."""
        book = self._books.setdefault((event.venue, event.symbol), DepthBook())
        publisher = self._publishers[event.venue]
        shared = [event.venue_ns or event.recv_ns, event.recv_ns, publisher, event.venue, event.symbol]
        if isinstance(event, MarketTrade):
            told = [None, _TRADE_ACTION, _SIDES[event.aggressor], event.price, event.qty, event.trade_id]
        else:
            if event.snapshot:
                book.replace(event.bids, event.asks)
            else:
                book.apply(event.bids, event.asks)
            told = [event.seq, _BOOK_ACTION, "N", None, None, ""]
        bid_px, bid_qty, ask_px, ask_qty = book.top(self._levels)
        shown: list[int | None] = []
        for level in range(self._levels):
            for px, qty in ((bid_px, bid_qty), (ask_px, ask_qty)):
                shown += [px[level], qty[level]] if level < len(px) else [None, None]
        return shared + told, shown


PRICE, SIZE = 8, 9  # places in what stands before the levels


def table_to_csv(streams: Sequence[FeedStream], events: Iterable[FeedEvent], out: Path, levels: int) -> int:
    """Every event as a row with the best `levels` after it; how many. RecordingError where `out` exists."""
    _check_levels(levels)
    table = _Table(streams, levels)

    def rows() -> Iterator[list[str]]:
        for event in events:
            told, shown = table.row(event)
            scales = (event.price_scale, event.qty_scale)
            told[:2] = [_iso(told[0]), _iso(told[1])]
            told[PRICE], told[SIZE] = (_text(told[PRICE + i], scales[i]) for i in (0, 1))
            levels_text = [_text(units, scales[place % 2]) for place, units in enumerate(shown)]
            yield [*("" if field is None else str(field) for field in told), *levels_text]

    return write_csv(out, header(levels), rows())


def write_csv(out: Path, names: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """A new file of comma separated lines; how many rows. It is removed where it cannot be written to its end."""
    count = 0
    with _new_text(out) as file:
        writer = csv.writer(file, lineterminator="\n")
        try:
            writer.writerow(names)
            for row in rows:
                writer.writerow(row)
                count += 1
        except BaseException:
            out.unlink()
            raise
    return count


def _new_text(out: Path) -> Any:
    try:
        return out.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise RecordingError(f"{out}: cannot be written: {error.strerror}") from None


def table_to_parquet(
    streams: Sequence[FeedStream], events: Iterable[FeedEvent], out: Path, levels: int
) -> int:
    """As `table_to_csv`, with times as such and numbers as decimals at the finest scale of all streams."""
    _check_levels(levels)
    polars = library()
    table = _Table(streams, levels)
    price_scale = max(stream.price_scale for stream in streams)
    qty_scale = max(stream.qty_scale for stream in streams)
    decimals = polars.Decimal(DECIMAL_DIGITS, price_scale), polars.Decimal(DECIMAL_DIGITS, qty_scale)
    stamp = polars.Datetime("ns", "UTC")
    types = [stamp, stamp, polars.Int32, polars.String, polars.String, polars.Int64]
    types += [polars.String, polars.String, *decimals, polars.String, *decimals * (2 * levels)]
    schema = dict(zip(header(levels), types, strict=True))

    def rows() -> Iterator[Row]:
        for event in events:
            told, shown = table.row(event)
            scales = (event.price_scale, event.qty_scale)
            told[PRICE], told[SIZE] = (_decimal(told[PRICE + i], scales[i]) for i in (0, 1))
            yield (*told, *(_decimal(units, scales[place % 2]) for place, units in enumerate(shown)))

    return _to_parquet(rows(), schema, out)


def _check_levels(levels: int) -> None:
    if not 1 <= levels <= MAX_LEVELS:
        raise RecordingError(f"a table has 1 to {MAX_LEVELS} levels, not {levels}")


def _iso(ns: int) -> str:
    """To the nanosecond, as the recording has it."""
    return f"{rfc3339(ns - ns % SECOND)[:19]}.{ns % SECOND:09d}Z"


def _text(units: int | None, scale: int) -> str:
    return "" if units is None else decimal_text(units, scale)


def _decimal(units: int | None, scale: int) -> Decimal | None:
    return None if units is None else Decimal(decimal_text(units, scale))


# -- bars --------------------------------------------------------------------------------------------------

BAR_COLUMNS = ("time", "venue", "symbol", "open", "high", "low", "close", "volume", "trades")


class _Bar(msgspec.Struct):
    begin_ns: int
    opens: int
    high: int
    low: int
    close: int
    volume: int
    trades: int
    scales: tuple[int, int]


def bars(events: Iterable[FeedEvent], step_ns: int) -> Iterator[tuple[str, ...]]:
    """Rows of BAR_COLUMNS: of each venue's trades, a bar a step in which there were any, by the time that it begins.

    A step is from a whole multiple of `step_ns` until before the next one.
    """
    assert step_ns > 0, "a bar takes time"
    at_work: dict[tuple[str, str], _Bar] = {}
    begin_ns = 0
    for event in events:
        if isinstance(event, DepthUpdate):
            continue
        step = event.recv_ns - event.recv_ns % step_ns
        if step != begin_ns:
            yield from _ended(at_work)
            begin_ns = step
        key = (event.venue, event.symbol)
        bar = at_work.get(key)
        price, scales = event.price, (event.price_scale, event.qty_scale)
        if bar is None:
            at_work[key] = _Bar(step, price, price, price, price, event.qty, 1, scales)
            continue
        assert bar.scales == scales, "a recording's reader gives a stream's numbers at one scale"
        bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
        bar.volume += event.qty
        bar.trades += 1
    yield from _ended(at_work)


def _ended(at_work: dict[tuple[str, str], _Bar]) -> Iterator[tuple[str, ...]]:
    for (venue, symbol), bar in sorted(at_work.items()):
        price_scale, qty_scale = bar.scales
        prices = (decimal_text(price, price_scale) for price in (bar.opens, bar.high, bar.low, bar.close))
        volume = decimal_text(bar.volume, qty_scale)
        yield (rfc3339(bar.begin_ns), venue, symbol, *prices, volume, str(bar.trades))
    at_work.clear()
