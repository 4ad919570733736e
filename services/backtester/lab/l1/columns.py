"""A text file of columns, read exactly: decimals become integers of one scale, times nanoseconds.

Polars splits the lines and finds what differs; every different number is then read once, as a decimal. Whatever is
wrong is one sentence with the file's line.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import zstandard
from numpy.typing import NDArray

from bestex.errors import RecordingError

if TYPE_CHECKING:
    import polars as pl

Ints = NDArray[np.int64]

BYTES_MAX = (
    2 << 30
)  # of one file, unpacked: some ten million rows, and what a laptop holds beside its columns
SCALE_MAX = 12  # digits after the point: finer than any price or size that is quoted
UNITS_MAX = 1 << 53  # of one number: what JSON's readers and floats still tell apart
YEAR_MIN_NS, YEAR_MAX_NS = 0, 1 << 62  # 1970 and 2116: nanoseconds that are none are seen
_SEPARATORS = (",", ";", "\t", "|")
_GZIP, _ZSTD, _BOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"
_TIME = r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s?(Z|UTC|[+-]\d\d:?\d\d)?$"
_INTEGER = r"^-?\d+$"


class Columns:
    """The columns of a file that are asked for, as text. RecordingError for what is no such file."""

    def __init__(self, path: Path, required: Iterable[str], optional: Iterable[str]) -> None:
        self.path = path
        data = self._load()
        names, separator, self._first_line, body = self._header(data)
        missing = [name for name in required if name not in names]
        if missing:
            self.fail_at(
                self._first_line - 1, f"no column {' and no '.join(missing)}; there are {', '.join(names)}"
            )
        wanted = {name: names.index(name) for name in (*required, *optional) if name in names}
        self.frame = self._frame(body, names, wanted, separator)
        if not self.frame.height:
            raise RecordingError(f"{path}: no row below the header")

    def __contains__(self, name: str) -> bool:
        return name in self.frame.columns

    def __getitem__(self, name: str) -> pl.Series:
        return self.frame[name]

    def fail(self, row: int, text: str) -> NoReturn:
        """RecordingError that names the line of this row of the frame."""
        self.fail_at(self.line(row), text)

    def fail_at(self, line: int, text: str) -> NoReturn:
        raise RecordingError(f"{self.path}, line {line}: {text}")

    def line(self, row: int) -> int:
        return self._first_line + int(self.frame["row"][row])

    def _load(self) -> bytes:
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise RecordingError(f"{self.path}: cannot be read: {error.strerror}") from None
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            if data.startswith(_GZIP):
                with gzip.open(io.BytesIO(data)) as file:
                    data = file.read(BYTES_MAX + 1)
            elif data.startswith(_ZSTD):
                with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                    data = reader.read(BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            raise RecordingError(f"{self.path}: cannot be unpacked: {error}") from None
        if len(data) > BYTES_MAX:
            raise RecordingError(f"{self.path}: more than {BYTES_MAX >> 20} MiB; cut it into days")
        if not data.strip():
            raise RecordingError(f"{self.path}: the file is empty")
        return data

    def _header(self, data: bytes) -> tuple[list[str], str, int, bytes]:
        """The names, what separates them, the line of the first row, and what stands from there on."""
        data = data.removeprefix(_BOM)
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")
        line, body = 1, data
        while True:
            head, _, body = body.partition(b"\n")
            line += 1
            if head.strip():
                break
        try:
            text = head.decode().strip("\r\n")
        except UnicodeDecodeError:
            raise RecordingError(f"{self.path}: no text file of columns") from None
        if not text.isprintable() and "\t" not in text:
            raise RecordingError(f"{self.path}: no text file of columns")
        separator = max(_SEPARATORS, key=text.count)
        names = [name.strip() for name in next(csv.reader([text], delimiter=separator))]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            self.fail_at(line - 1, f"there is more than one column {twice[0]}")
        return names, separator, line, body

    def _frame(self, body: bytes, names: list[str], wanted: dict[str, int], separator: str) -> pl.DataFrame:
        import polars as pl

        places = sorted(wanted.values())
        head = separator.join(f"c{number}" for number in range(len(names))).encode()
        try:
            frame = pl.read_csv(
                io.BytesIO(head + b"\n" + body),
                separator=separator,
                columns=places,
                infer_schema=False,
                truncate_ragged_lines=True,
            )
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise RecordingError(f"{self.path}: cannot be read as columns: {reason}") from None
        frame = frame.rename({f"c{place}": names[place] for place in places})
        frame = frame.with_columns(pl.all().str.strip_chars()).with_row_index("row")
        empty = pl.all_horizontal(pl.col(name).fill_null("") == "" for name in wanted)
        return frame.filter(~empty)

    # -- what stands in a column -------------------------------------------------------------------------

    def texts(self, name: str) -> pl.Series:
        """The column, nothing of it empty."""
        series = self.frame[name].fill_null("")
        empty = (series == "").arg_max()
        if empty is not None and series[empty] == "":
            self.fail(empty, f"{name} is empty")
        return series

    def decimals(self, name: str, *, empty: str | None = None) -> tuple[Ints, int]:
        """The column in units of 10^-scale, and the scale: the finest that it shows. `empty` stands for what is
        empty, which is an error otherwise."""
        import polars as pl

        series = self.texts(name) if empty is None else self._filled(name, empty)
        different = series.unique()
        read: list[Decimal] = []
        for text in different:
            value = number(text)
            if value is None:
                self.fail(_first(series, text), f'{name} is "{text}", which is no number')
            read.append(value)
        scale = max([0, *(-int(value.as_tuple().exponent) for value in read)])
        if scale > SCALE_MAX:
            text = next(
                t
                for t, value in zip(different, read, strict=True)
                if -int(value.as_tuple().exponent) == scale
            )
            self.fail(_first(series, text), f"{name} is {text}: more than {SCALE_MAX} decimals")
        units = [int(value.scaleb(scale)) for value in read]
        for text, count in zip(different, units, strict=True):
            if abs(count) >= UNITS_MAX:
                self.fail(_first(series, text), f"{name} is {text}: too large")
        column = series.replace_strict(different, pl.Series(units, dtype=pl.Int64), return_dtype=pl.Int64)
        return column.to_numpy().astype(np.int64), scale

    def _filled(self, name: str, empty: str) -> pl.Series:
        series = self.frame[name].fill_null("")
        return series.replace({"": empty})

    def times(self, name: str) -> tuple[Ints, bool]:
        """The column in ns since 1970, and whether some named no time zone: those are taken for UTC."""
        import polars as pl

        series = self.texts(name)
        if bool(series.str.contains(_INTEGER).all()):
            parsed = series.cast(pl.Int64, strict=False)
            zoneless = False
        else:
            parts = series.to_frame("t").select(pl.col("t").str.extract_groups(_TIME)).unnest("t")
            date, clock, fraction, zone = (parts[name] for name in "1234")
            moment = (date + " " + clock).str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="ns")
            ns = fraction.fill_null("0").str.pad_end(9, "0").cast(pl.Int64)
            zones = zone.unique()
            shift = zone.replace_strict(
                zones, pl.Series([_zone_ns(text) for text in zones], dtype=pl.Int64), return_dtype=pl.Int64
            )
            written = moment.dt.epoch("ns") + ns - shift
            zoneless = bool((zone.is_null() & written.is_not_null()).any())
            whole = series.str.contains(_INTEGER)
            parsed = written.zip_with(~whole, series.cast(pl.Int64, strict=False))
        bad = (parsed.is_null() | (parsed < YEAR_MIN_NS) | (parsed > YEAR_MAX_NS)).arg_max()
        if bad is not None and (parsed[bad] is None or not YEAR_MIN_NS <= parsed[bad] <= YEAR_MAX_NS):
            self.fail(bad, f'{name} is "{series[bad]}", which is neither ISO 8601 nor nanoseconds')
        return parsed.to_numpy().astype(np.int64), zoneless


def number(text: str) -> Decimal | None:
    """A finite decimal without needless zeros, or None."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value.normalize() if value.is_finite() and "_" not in text else None


def _first(series: pl.Series, text: str) -> int:
    found = (series == text).arg_max()
    assert found is not None, "the text was found in the series"
    return found


def _zone_ns(text: str | None) -> int:
    if text is None or text in ("Z", "UTC"):
        return 0
    hours, minutes = int(text[1:3]), int(text[-2:])
    return (-1 if text[0] == "-" else 1) * (hours * 60 + minutes) * 60 * 1_000_000_000
