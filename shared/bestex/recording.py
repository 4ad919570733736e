"""Recordings of market data: our own format, and whatever else `bestex.importers` recognises.

A file is a magic line and frames: kind (1 byte), payload length and CRC-32 (4 bytes each, little endian),
payload. The kinds:

    H  header: format, version, when and from what it was made (MessagePack)
    S  one more stream; its place among the S frames is its number in the records (MessagePack)
    B  a block: first and last receive time (8 bytes each), then zstd-compressed MessagePack records in order
    E  end: the number of events. Without it the writer was killed, and the file is read up to its last whole
       block.

Levels travel as differences after a stream's first snapshot. Times in a block are relative to its first one.
Records keep the receive times as received; readers add the stream's `clock_offset_ns`.
"""

from __future__ import annotations

import heapq
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec
import zstandard

from bestex import codec
from bestex.clock import SECOND
from bestex.errors import RecordingError
from bestex.feed import Books, DepthUpdate, FeedEvent, FeedStream, finest, instruments_of
from bestex.importers.options import NOTHING_KNOWN, ImportOptions
from bestex.importers.recognise import Source, sources
from bestex.instruments import Instrument
from bestex.messages import MarketTrade, VenueBook

MAGIC = b"BESTEX-RECORDING\n"
VERSION = 1
BLOCK_EVENTS = 4_096  # a few hundred kB before compression
BLOCK_SPAN_NS = 5 * SECOND  # what a killed live recorder loses at most
MAX_PAYLOAD = 1 << 28  # a longer frame is damage, never a block
LEVEL = 9  # zstd: half again as small as the default, still faster than any feed

_FRAME = struct.Struct("<cII")
_SPAN = struct.Struct("<qq")
_HEADER, _STREAM, _BLOCK, _END = b"H", b"S", b"B", b"E"


class Header(msgspec.Struct, frozen=True, kw_only=True):
    format: str = "bestex-recording"
    version: int = VERSION
    created_ns: int
    source: str
    note: str = "receive times are as received; add each stream's clock_offset_ns"


class End(msgspec.Struct, frozen=True, kw_only=True):
    events: int


class _Depth(msgspec.Struct, array_like=True, tag=0):
    stream: int
    seq: int
    venue_ns: int | None
    recv_ns: int
    snapshot: bool
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class _Trade(msgspec.Struct, array_like=True, tag=1):
    stream: int
    trade_id: str
    venue_ns: int | None
    recv_ns: int
    price: int
    qty: int
    aggressor: int


class _Block(msgspec.Struct, array_like=True):
    base_ns: int
    records: list[_Depth | _Trade]


class Recording:
    """Events of one or several sources in order of their (corrected) receive times."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.streams = finest(stream for source in sources for stream in source.streams)
        self.start_ns = min(source.start_ns for source in sources)
        self.end_ns = max(source.end_ns for source in sources)

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instrument table, at scales that cover every number of the recording."""
        return instruments_of(self.streams)

    @property
    def damage(self) -> str:
        """What could not be read, "" for nothing; of raw files known after a first iteration."""
        return "; ".join(source.damage for source in self._sources if source.damage)

    def __iter__(self) -> Iterator[FeedEvent]:
        if len(self._sources) == 1:
            return iter(self._sources[0])
        return heapq.merge(*self._sources, key=lambda event: event.recv_ns)

    def books(self, levels: int) -> Iterator[VenueBook | MarketTrade]:
        """The same with every update as the whole book after it, its best `levels`."""
        books = Books(levels)
        return map(books.take, self)


def open_recording(*paths: str | Path, options: ImportOptions = NOTHING_KNOWN) -> Recording:
    """One recording of one or several files, recognised by content: our own format, raw Binance frames, tables of
    quotes and trades as CSV or Parquet, minute bars. `options`: what is known of those that are not our own.

    Raw files of one symbol continue each other. RecordingError where a file is missing or of no such kind.
    """
    if not paths:
        raise RecordingError("no file given")
    own: list[Source] = []
    foreign: list[Path] = []
    for path in paths:
        try:
            is_own = is_own_format(path)
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from None
        if is_own:
            own.append(RecordingFile(path))
        else:
            foreign.append(Path(path))
    return Recording([*own, *sources(foreign, options)])


def is_own_format(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def convert(paths: Sequence[str | Path], out: str | Path, options: ImportOptions = NOTHING_KNOWN) -> int:
    """Files of any kind to one of our own; the number of events. RecordingError where `out` exists already."""
    recording = open_recording(*paths, options=options)
    return write_recording(out, ", ".join(Path(path).name for path in paths), recording.streams, recording)


def write_recording(
    out: str | Path,
    source: str,
    streams: Sequence[FeedStream],
    events: Iterable[FeedEvent],
    created_ns: int | None = None,
) -> int:
    """Write them all to a new file; their number. A file that could not be written to its end is removed.

    `created_ns` 0: the file is a function of its sources, the same bytes whenever it is made.
    """
    with RecordingWriter(out, source, streams, created_ns) as writer:
        try:
            for event in events:
                writer.write(event)
        except BaseException:
            Path(out).unlink()
            raise
    return writer.events


class RecordingWriter:
    """Writes a new file; never over an existing one. Use it as a context manager, or `close` it.

    A stream that was not given is added when its first event comes.
    """

    def __init__(
        self,
        path: str | Path,
        source: str,
        streams: Sequence[FeedStream] = (),
        created_ns: int | None = None,
    ) -> None:
        try:
            self._file: BinaryIO = Path(path).open("xb")  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise RecordingError(f"{path}: cannot be written: {error.strerror}") from None
        self.events = 0
        self._streams: dict[tuple[str, str, int, int], tuple[int, FeedStream]] = {}
        self._block: list[_Depth | _Trade] = []
        self._base_ns = self._first_ns = self._last_ns = 0
        self._compress = zstandard.ZstdCompressor(level=LEVEL).compress
        self._file.write(MAGIC)
        made_ns = time.time_ns() if created_ns is None else created_ns
        self._frame(_HEADER, codec.to_msgpack(Header(created_ns=made_ns, source=source)))
        for stream in streams:
            self.add_stream(stream)

    def add_stream(self, stream: FeedStream) -> None:
        key = (stream.venue, stream.symbol, stream.price_scale, stream.qty_scale)
        if key not in self._streams:
            self._streams[key] = (len(self._streams), stream)
            self._frame(_STREAM, codec.to_msgpack(stream))

    def write(self, event: FeedEvent) -> None:
        key = (event.venue, event.symbol, event.price_scale, event.qty_scale)
        if key not in self._streams:
            venue, symbol, price_scale, qty_scale = key
            self.add_stream(
                FeedStream(venue=venue, symbol=symbol, price_scale=price_scale, qty_scale=qty_scale)
            )
        number, stream = self._streams[key]
        recv_ns = event.recv_ns - stream.clock_offset_ns
        if not self._block:
            self._base_ns, self._first_ns = recv_ns, event.recv_ns
        venue_ns = event.venue_ns - self._base_ns if event.venue_ns else None
        recv_ns -= self._base_ns
        if isinstance(event, DepthUpdate):
            self._block.append(
                _Depth(number, event.seq, venue_ns, recv_ns, event.snapshot, event.bids, event.asks)
            )
        else:
            self._block.append(
                _Trade(number, event.trade_id, venue_ns, recv_ns, event.price, event.qty, event.aggressor)
            )
        self._last_ns = event.recv_ns
        self.events += 1
        if len(self._block) >= BLOCK_EVENTS or self._last_ns - self._first_ns >= BLOCK_SPAN_NS:
            self.end_block()

    def end_block(self) -> None:
        """Hand what was written so far to the operating system."""
        if self._block:
            data = codec.to_msgpack(_Block(self._base_ns, self._block))
            self._frame(_BLOCK, _SPAN.pack(self._first_ns, self._last_ns) + self._compress(data))
            self._block.clear()
        self._file.flush()

    def _frame(self, kind: bytes, payload: bytes) -> None:
        self._file.write(_FRAME.pack(kind, len(payload), zlib.crc32(payload)) + payload)

    def close(self) -> None:
        if not self._file.closed:
            self.end_block()
            self._frame(_END, codec.to_msgpack(End(events=self.events)))
            self._file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RecordingFile:
    """One file of our own format. `damage` says where and why reading ends early, "" if it does not."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.damage = ""
        self.header: Header | None = None
        self.start_ns = self.end_ns = 0
        self._numbered: list[FeedStream] = []
        ended = False
        for kind, payload in self._frames(whole=False):
            if kind == _HEADER:
                self.header = codec.from_msgpack(payload, Header)
            elif kind == _STREAM:
                self._numbered.append(codec.from_msgpack(payload, FeedStream))
            elif kind == _BLOCK:
                first_ns, last_ns = _SPAN.unpack_from(payload)
                self.start_ns = self.start_ns or first_ns
                self.end_ns = last_ns
            elif kind == _END:
                ended = True
        if self.header is None or self.header.version != VERSION:
            found = "without a header" if self.header is None else f"of version {self.header.version}"
            raise RecordingError(f"{path}: a recording {found}; this program reads version {VERSION}")
        if not ended and not self.damage:
            self.damage = f"{self.path.name}: not closed by its writer; read up to the last whole block"

    @property
    def streams(self) -> tuple[FeedStream, ...]:
        """One a venue and symbol, at the finest scales that it was recorded with."""
        return finest(self._numbered)

    def _frames(self, *, whole: bool) -> Iterator[tuple[bytes, bytes]]:
        """Kind and payload of each whole frame; of a block just the span, unless `whole`."""
        with self.path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(len(MAGIC))
            while (at := file.tell()) < size:
                head = file.read(_FRAME.size)
                if len(head) < _FRAME.size:
                    self.damage = f"{self.path.name}: ends within a frame at byte {at}"
                    return
                kind, length, checksum = _FRAME.unpack(head)
                end = file.tell() + length
                if end > size or length > MAX_PAYLOAD:
                    self.damage = f"{self.path.name}: ends within a frame at byte {at}"
                    return
                if kind == _BLOCK and not whole:
                    yield kind, file.read(_SPAN.size)
                    file.seek(end)
                    continue
                payload = file.read(length)
                if zlib.crc32(payload) != checksum:
                    self.damage = f"{self.path.name}: damaged at byte {at}; read up to there"
                    return
                yield kind, payload

    def __iter__(self) -> Iterator[FeedEvent]:
        """RecordingError where a block with a good checksum can't be decoded: another program wrote it."""
        decompress = zstandard.ZstdDecompressor().decompress
        decode = codec.msgpack_decoder(_Block).decode
        as_read = {(stream.venue, stream.symbol): stream for stream in self.streams}
        finest = [as_read[stream.venue, stream.symbol] for stream in self._numbered]
        for kind, payload in self._frames(whole=True):
            if kind != _BLOCK:
                continue
            try:
                block = decode(decompress(payload[_SPAN.size :], max_output_size=MAX_PAYLOAD))
                for record in block.records:
                    yield _event(self._numbered[record.stream], finest[record.stream], block.base_ns, record)
            except (zstandard.ZstdError, msgspec.MsgspecError, IndexError) as error:
                raise RecordingError(f"{self.path}: a block cannot be decoded: {error}") from None


def _event(stream: FeedStream, at: FeedStream, base_ns: int, record: _Depth | _Trade) -> FeedEvent:
    """`stream` as it was when recorded, `at` the scales to give the numbers in."""
    price_factor = 10 ** (at.price_scale - stream.price_scale)
    qty_factor = 10 ** (at.qty_scale - stream.qty_scale)
    venue_ns = 0 if record.venue_ns is None else record.venue_ns + base_ns
    recv_ns = record.recv_ns + base_ns + stream.clock_offset_ns
    if isinstance(record, _Trade):
        return MarketTrade(
            stream.venue,
            stream.symbol,
            record.trade_id,
            venue_ns,
            recv_ns,
            at.price_scale,
            at.qty_scale,
            record.price * price_factor,
            record.qty * qty_factor,
            record.aggressor,
        )
    bids, asks = record.bids, record.asks
    if price_factor != 1 or qty_factor != 1:
        bids = [(price * price_factor, qty * qty_factor) for price, qty in bids]
        asks = [(price * price_factor, qty * qty_factor) for price, qty in asks]
    return DepthUpdate(
        stream.venue,
        stream.symbol,
        record.seq,
        venue_ns,
        recv_ns,
        at.price_scale,
        at.qty_scale,
        record.snapshot,
        bids,
        asks,
    )
