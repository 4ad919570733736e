"""Parquet files: our own exported ones, and tables of quotes and trades with the columns of `columns`.

They need polars, which comes with `bestex[lab]`. Files are read in batches, so memory does not grow with them.

Our own hold one event a row in EVENTS' columns, and the streams as JSON in the file's metadata: nothing is lost, and
what is read is what was written. In other tables prices may be decimals, whole numbers, text or floats; a float is
taken as the shortest text that means it, which is what was written into it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from bestex import codec
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.messages import MarketTrade

if TYPE_CHECKING:
    import polars as pl

MAGIC = b"PAR1"
STREAMS = "bestex.streams"  # the metadata's key
BATCH = 50_000  # rows; some ten MB of Python objects
EVENTS = (
    *("what", "venue", "symbol", "seq", "venue_ns", "recv_ns", "price_scale", "qty_scale"),
    *("bid_px", "bid_qty", "ask_px", "ask_qty", "trade_id", "price", "qty", "aggressor"),
)
BOOK, SNAPSHOT, TRADE = "book", "snapshot", "trade"  # values of `what`


def library() -> ModuleType:
    """RecordingError where polars is not installed."""
    try:
        import polars
    except ModuleNotFoundError:
        raise RecordingError("Parquet files need polars: pip install 'bestex[lab]'") from None
    return polars


def columns_of(path: Path) -> dict[str, Any]:
    """Names and types. RecordingError where the file is damaged: its end holds what is in it."""
    polars = library()
    try:
        return dict(polars.read_parquet_schema(path))
    except (polars.exceptions.PolarsError, OSError) as error:
        raise RecordingError(f"{path.name}: no whole Parquet file: {_first_line(error)}") from None


def _batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    polars = library()
    try:
        frame = polars.scan_parquet(path, glob=False)
        if columns is not None:
            frame = frame.select(columns)
        yield from frame.collect_batches(chunk_size=BATCH, maintain_order=True)
    except polars.exceptions.PolarsError as error:
        raise RecordingError(f"{path.name}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


class ParquetRows:
    """A table of quotes and trades as text, as `table.Rows`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        self._types = columns_of(path)
        self.header: Sequence[str] = list(self._types)
        for name, kind in self._types.items():
            if (
                name in ("ts_event", "ts_recv")
                and str(kind).startswith("Datetime")
                and kind.time_zone is None
            ):
                raise RecordingError(f"{path.name}: {name} has no time zone; make it UTC")

    def __iter__(self) -> Iterator[tuple[int, Sequence[str]]]:
        number = 1
        for frame in _batches(self.path):
            columns = [self._texts(frame.get_column(name)) for name in self.header]
            for row in zip(*columns, strict=True):
                number += 1
                yield number, row

    def _texts(self, column: pl.Series) -> list[str]:
        kind = str(column.dtype)
        values: list[Any] = (column.dt.timestamp("ns") if kind.startswith("Datetime") else column).to_list()
        if kind.startswith(("Float", "Decimal")):
            return [_number_text(value) for value in values]
        return ["" if value is None else str(value) for value in values]


def _number_text(value: float | Decimal | None) -> str:
    if value is None or value != value:
        return ""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    if "e" in text.lower():
        text = f"{Decimal(text):f}"
    return text.removesuffix(".0")


class ParquetEvents:
    """One of our own exported files. RecordingError where it is damaged, or its streams are missing."""

    damage = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        polars = library()
        held = polars.read_parquet_metadata(path).get(STREAMS)
        if held is None:
            raise RecordingError(f"{path.name}: its metadata lack {STREAMS}; export it anew")
        try:
            self.streams = tuple(codec.from_json(held.encode(), list[FeedStream]))
        except msgspec.MsgspecError as error:
            raise RecordingError(f"{path.name}: {STREAMS}: {error}") from None
        bounds = polars.scan_parquet(path, glob=False).select(
            first=polars.col("recv_ns").first(), last=polars.col("recv_ns").max()
        )
        self.start_ns, self.end_ns = (value or 0 for value in bounds.collect().row(0))

    def __iter__(self) -> Iterator[FeedEvent]:
        for frame in _batches(self._path, EVENTS):
            for row in frame.iter_rows():
                yield _event(row)


def _event(row: tuple[Any, ...]) -> FeedEvent:
    what, venue, symbol, seq, venue_ns, recv_ns, price_scale, qty_scale, *rest = row
    bid_px, bid_qty, ask_px, ask_qty, trade_id, price, qty, aggressor = rest
    if what == TRADE:
        return MarketTrade(
            venue, symbol, trade_id, venue_ns, recv_ns, price_scale, qty_scale, price, qty, aggressor
        )
    return DepthUpdate(
        venue,
        symbol,
        seq,
        venue_ns,
        recv_ns,
        price_scale,
        qty_scale,
        what == SNAPSHOT,
        list(zip(bid_px, bid_qty, strict=True)),
        list(zip(ask_px, ask_qty, strict=True)),
    )
