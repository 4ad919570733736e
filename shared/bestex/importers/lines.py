"""Lines of a recorded text file, gzip or plain, as far as they can be read: a killed recorder leaves half a file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

CHUNK = 1 << 18
MAX_LINE = 1 << 24  # 16 MB; a full-depth snapshot is about 100 kB
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_BITS = 31  # zlib's window size for the gzip container


class LineReader:
    """Iterates the lines without their end. Afterwards `damage` says how the file ended early, "" if it did not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""

    def __iter__(self) -> Iterator[bytes]:
        self.damage = ""
        rest = b""
        for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            if len(rest) > MAX_LINE:
                self.damage = f"a line of more than {MAX_LINE} bytes"
                return
        if rest:
            yield rest

    def _chunks(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            inflate = zlib.decompressobj(_GZIP_BITS)
            while data := file.read(CHUNK):
                if not is_gzip:
                    yield data
                    continue
                try:
                    while data:
                        if inflate.eof:  # another member follows: recorders append
                            inflate = zlib.decompressobj(_GZIP_BITS)
                        yield inflate.decompress(data)
                        data = inflate.unused_data
                except zlib.error as error:
                    self.damage = f"damaged gzip data: {error}"
                    return
            if is_gzip and not inflate.eof:
                self.damage = "the gzip data ends in the middle"
