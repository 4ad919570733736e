"""What a recording holds, counted: streams, events, gaps, and whether each book can be rebuilt from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bestex.clock import Time
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.recognise import format_of
from bestex.recording import Recording, RecordingFile, is_own_format

HASH_CHUNK = 1 << 20


class StreamFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One venue's symbol. Numbers are in units of `price_scale` and `qty_scale`.

    `updates` are of the book, `snapshots` of them whole, `breaks` empty: the book is unknown from there on.
    `begins_whole`: whether the first update is a snapshot, so that the book is known. `gaps`: how often nothing came
    for longer than what was asked about; `longest_gap_s` began at `longest_gap_at`. `backwards`: events that were
    received before the one before them.
    """

    venue: str
    symbol: str
    kind: str
    price_scale: int
    qty_scale: int
    tick: int
    lot: int
    clock_offset_ns: int
    updates: int
    snapshots: int
    breaks: int
    begins_whole: bool
    trades: int
    first: Time | None
    last: Time | None
    gaps: int
    longest_gap_s: float
    longest_gap_at: Time | None
    backwards: int


class RecordingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `source` and `created` are what its writer told, None and "" where it told nothing."""

    file: str
    format: str
    bytes: int
    sha256: str
    source: str
    created: Time | None
    start: Time
    end: Time
    events: int
    streams: list[StreamFigures]
    damage: str


class _Counted:
    def __init__(self, stream: FeedStream) -> None:
        self.stream = stream
        self.updates = self.snapshots = self.breaks = self.trades = self.gaps = self.backwards = 0
        self.begins_whole = False
        self.first_ns: int | None = None
        self.last_ns = self.longest_ns = self.longest_at_ns = 0

    def take(self, event: FeedEvent, gap_ns: int) -> None:
        now_ns = event.recv_ns
        if self.first_ns is None:
            self.first_ns = self.last_ns = now_ns
        passed_ns = now_ns - self.last_ns
        self.backwards += passed_ns < 0
        self.gaps += passed_ns > gap_ns
        if passed_ns > self.longest_ns:
            self.longest_ns, self.longest_at_ns = passed_ns, self.last_ns
        self.last_ns = max(self.last_ns, now_ns)
        if not isinstance(event, DepthUpdate):
            self.trades += 1
            return
        if event.snapshot:
            self.snapshots += 1
            self.breaks += not (event.bids or event.asks)
            self.begins_whole |= not self.updates
        self.updates += 1

    def figures(self) -> StreamFigures:
        stream, seen = self.stream, self.first_ns is not None
        return StreamFigures(
            venue=stream.venue,
            symbol=stream.symbol,
            kind=stream.kind,
            price_scale=stream.price_scale,
            qty_scale=stream.qty_scale,
            tick=stream.tick,
            lot=stream.lot,
            clock_offset_ns=stream.clock_offset_ns,
            updates=self.updates,
            snapshots=self.snapshots,
            breaks=self.breaks,
            begins_whole=self.begins_whole,
            trades=self.trades,
            first=Time(self.first_ns or 0) if seen else None,
            last=Time(self.last_ns) if seen else None,
            gaps=self.gaps,
            longest_gap_s=self.longest_ns / 1e9,
            longest_gap_at=Time(self.longest_at_ns) if self.longest_ns else None,
            backwards=self.backwards,
        )


def survey(path: Path, recording: Recording, events: Iterable[FeedEvent], gap_ns: int) -> RecordingFigures:
    """Count all `events` of `recording`, which is the file at `path`. RecordingError where they cannot be read."""
    counted = {(stream.venue, stream.symbol): _Counted(stream) for stream in recording.streams}
    count = 0
    for event in events:
        counted[event.venue, event.symbol].take(event, gap_ns)
        count += 1
    is_own = is_own_format(path)
    header = RecordingFile(path).header if is_own else None
    return RecordingFigures(
        file=path.name,
        format="bestex" if is_own else format_of(path),
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        source=header.source if header else "",
        created=Time(header.created_ns) if header and header.created_ns else None,
        start=Time(recording.start_ns),
        end=Time(recording.end_ns),
        events=count,
        streams=[one.figures() for one in counted.values()],
        damage=recording.damage,
    )


def sha256_of(path: Path) -> str:
    """Of the file as it is, in hex."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK):
            found.update(chunk)
    return found.hexdigest()
