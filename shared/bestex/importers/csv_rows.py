"""A table in a text file: plain, gzip or zstd; commas, semicolons or tabs; any line ends; with or without a mark of
its byte order."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from bestex.errors import RecordingError

HEAD = 1 << 16  # bytes in which a header must end
MAX_FIELD = 1 << 16  # characters; a longer field is a quote that was never closed
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_DELIMITERS = ",;\t|"


def open_plain(path: Path) -> BinaryIO:
    """The file's bytes, decompressed."""
    file = path.open("rb")
    magic = file.read(4)
    file.seek(0)
    if magic.startswith(_GZIP):
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if magic == _ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=True)
        return cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader)))
    return cast("BinaryIO", file)


def head_line(path: Path) -> str:
    """The first line, as far as HEAD bytes show it; "" of an empty file or of one that is no text."""
    try:
        with open_plain(path) as file:
            text = file.read(HEAD).decode("utf-8-sig", errors="ignore")
    except (EOFError, OSError, zlib.error, zstandard.ZstdError):
        return ""
    return next((line for line in text.splitlines() if line.strip()), "")


class CsvRows:
    """The rows of one file, as `table.Rows`. RecordingError where it has no header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        line = head_line(path)
        if not line:
            raise RecordingError(f"{path.name}: the file is empty")
        self._delimiter = max(_DELIMITERS, key=line.count)
        self.header: Sequence[str] = next(csv.reader([line], delimiter=self._delimiter))

    def __iter__(self) -> Iterator[tuple[int, Sequence[str]]]:
        self.damage = ""
        csv.field_size_limit(MAX_FIELD)
        with open_plain(self.path) as file, io.TextIOWrapper(file, "utf-8-sig", newline=None) as lines:
            rows = csv.reader(lines, delimiter=self._delimiter)
            is_header = True
            try:
                for row in rows:
                    if not row or (len(row) == 1 and not row[0].strip()):
                        continue
                    if is_header:
                        is_header = False
                        continue
                    yield rows.line_num, row
            except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
                self.damage = f"{self.path.name}: the compressed data ends early or is damaged: {error}"
