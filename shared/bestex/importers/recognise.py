"""Which importer reads a file that is none of our own recordings: told by what is in it, never by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bestex.errors import RecordingError
from bestex.feed import FeedEvent, FeedStream
from bestex.importers import parquet
from bestex.importers.binance import BinanceRecording
from bestex.importers.csv_rows import CsvRows, head_line
from bestex.importers.minute_bars import MinuteBars
from bestex.importers.options import ImportOptions
from bestex.importers.table import TableRecording

_ZIP = b"PK\x03\x04"
_FRAME = re.compile(r"\d+ *[{\[]")
_TABLE = re.compile(r"[^{}]+[,;\t|][^{}]*")


class Source(Protocol):
    """Anything that holds recorded events; iterating again begins again."""

    @property
    def streams(self) -> tuple[FeedStream, ...]: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def damage(self) -> str: ...
    def __iter__(self) -> Iterator[FeedEvent]: ...


def format_of(path: Path) -> str:
    """`minute bars`, `parquet`, `csv` or `binance`; the last for whatever is nothing else."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == _ZIP:
        return "minute bars"
    if magic == parquet.MAGIC:
        return "parquet"
    line = head_line(path)
    is_text = line.replace("\t", " ").strip().isprintable()
    is_table = is_text and _TABLE.fullmatch(line) is not None and not _FRAME.match(line)
    return "csv" if is_table else "binance"


def sources(paths: Sequence[Path], options: ImportOptions) -> list[Source]:
    """A source a file, but one for all raw Binance frames, which continue each other. RecordingError for a file that
    is empty or of no known kind."""
    made: list[Source] = []
    frames: list[str | Path] = []
    for path in paths:
        if not path.stat().st_size:
            raise RecordingError(f"{path}: the file is empty")
        kind = format_of(path)
        if kind == "minute bars":
            made.append(MinuteBars(path, options))
        elif kind == "csv":
            made.append(TableRecording(CsvRows(path), options))
        elif kind == "parquet":
            made.append(_parquet(path, options))
        else:
            frames.append(path)
    return [*made, BinanceRecording(frames, compares=False)] if frames else made


def _parquet(path: Path, options: ImportOptions) -> Source:
    columns = parquet.columns_of(path)
    if set(parquet.EVENTS) <= set(columns):
        return parquet.ParquetEvents(path)
    return TableRecording(parquet.ParquetRows(path), options)
