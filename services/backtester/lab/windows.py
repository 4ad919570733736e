"""Recordings made ready for many short sessions: converted once, and cut into windows that are kept.

A session on a whole recording reads all that came before its order. A window begins with the books as they stood and
holds what came from then on, so a session on it costs what its own length costs. Cut files are shared by all workers,
are never changed, and are found again by what they were cut from.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from bestex import config as configuration
from bestex.clock import rfc3339
from bestex.depth import MAX_LEVELS, DepthBook
from bestex.errors import RecordingError, UsageError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream, instruments_of
from bestex.ids import base36, digest
from bestex.messages import MarketTrade
from bestex.recording import Recording, RecordingWriter, open_recording
from bestex.replay_config import config_text as text_of
from bestex.replay_config import own_format

FORMAT = 1  # of cut files: another one makes them anew
WINDOWS_MAX = 20_000  # one call's; each may be a file for each venue
OPEN_MAX = 200  # windows that are written at once: files that a process may have open, for some venues each
KEPT_S = 7 * 86_400  # a window that nobody asked for in a week is cut again when somebody does
CHUNK = 1 << 20  # bytes that are read at once for a hash

Market = tuple[str, str]  # venue and its own symbol


class Span(NamedTuple):
    """From `begin_ns` to `end_ns`, both included."""

    begin_ns: int
    end_ns: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a market. `files` by venue; none where the market is the configuration's model."""

    begin_ns: int
    end_ns: int
    files: dict[str, list[str]] = {}


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A market to try orders on: recordings, or without any the configuration's market model.

    `paths` are files of our own format; `sha256` those of the files as they were named, by file name; `config_text`
    the whole configuration, without the recordings.
    """

    config_text: str
    begin_ns: int
    end_ns: int
    paths: tuple[str, ...] = ()
    sha256: dict[str, str] = {}
    cache_dir: str = ""

    @property
    def key(self) -> str:
        """The same for the same data, wherever the files are."""
        return base36(digest("dataset", FORMAT, *sorted(self.sha256.values())), 16)


def prepare(paths: Sequence[Path], cache_dir: Path, config_text: str = "") -> Dataset:
    """The venues and instruments are the recordings', or those of `config_text`. Raw frames are converted into
    `cache_dir`, once. RecordingError for a file that is none; ConfigError for a configuration that does not fit."""
    if not paths:
        raise RecordingError("no recording was named")
    own = own_format(paths, cache_dir)
    recording = open_recording(*own)
    streams = _streams(recording)
    if not streams:
        raise RecordingError("there is no market in what was recorded")
    text = config_text or text_of(instruments_of(streams), {venue: [] for venue, _ in streams_by(streams)})
    configuration.parse(text, "the recordings")
    return Dataset(
        config_text=text,
        begin_ns=recording.start_ns,
        end_ns=recording.end_ns,
        paths=tuple(str(path.resolve()) for path in own),
        sha256=hashes(paths),
        cache_dir=str(cache_dir),
    )


def modelled(config_text: str, begin_ns: int, length_ns: int) -> Dataset:
    """A synthetic day: each window is a market of its own, from the configuration's model and the scenario's seed."""
    configuration.parse(config_text, "the configuration")
    return Dataset(config_text=config_text, begin_ns=begin_ns, end_ns=begin_ns + length_ns)


def hashes(paths: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by file name; of two files of one name the second is called by its place too."""
    found: dict[str, str] = {}
    for number, path in enumerate(paths, 1):
        with path.open("rb") as file:
            sha = hashlib.sha256()
            while chunk := file.read(CHUNK):
                sha.update(chunk)
        found[path.name if path.name not in found else f"{path.name}#{number}"] = sha.hexdigest()
    return found


def windows(dataset: Dataset, spans: Sequence[Span]) -> list[Window]:
    """One for each of `spans`, in their order. What is not in the cache yet is cut in one pass over the recording,
    or in a few where there are very many. UsageError for a span outside of what was recorded."""
    if len(spans) > WINDOWS_MAX:
        raise UsageError(f"{len(spans)} windows are more than the {WINDOWS_MAX} that are cut at once")
    for span in spans:
        if not dataset.begin_ns <= span.begin_ns < span.end_ns <= dataset.end_ns:
            raise UsageError(
                f"from {rfc3339(span.begin_ns)} to {rfc3339(span.end_ns)} is not within what was recorded, "
                f"from {rfc3339(dataset.begin_ns)} to {rfc3339(dataset.end_ns)}"
            )
    if not dataset.paths:
        return [Window(begin_ns=span.begin_ns, end_ns=span.end_ns) for span in spans]
    missing = sorted({span for span in spans if not _folder(dataset, span).is_dir()})
    for first in range(0, len(missing), OPEN_MAX):
        _cut(dataset, missing[first : first + OPEN_MAX])
    for span in spans:
        os.utime(_folder(dataset, span))
    _forget(Path(dataset.cache_dir) / "windows")
    return [
        Window(begin_ns=span.begin_ns, end_ns=span.end_ns, files=_files(_folder(dataset, span)))
        for span in spans
    ]


def _forget(folder: Path) -> None:
    """Remove what was not used for long, of whatever recording."""
    for window in folder.glob("*/*"):
        if window.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(window, ignore_errors=True)


def _folder(dataset: Dataset, span: Span) -> Path:
    return Path(dataset.cache_dir) / "windows" / dataset.key / f"{span.begin_ns}-{span.end_ns}"


def _files(folder: Path) -> dict[str, list[str]]:
    return {path.stem: [str(path)] for path in sorted(folder.glob("*.rec"))}


def streams_by(streams: Sequence[FeedStream]) -> dict[Market, FeedStream]:
    return {(stream.venue, stream.symbol): stream for stream in streams}


def _streams(recording: Recording) -> tuple[FeedStream, ...]:
    """One a market, at the finest scales of all files; receive times as corrected, because files may differ in it."""
    finest: dict[Market, FeedStream] = {}
    for stream in recording.streams:
        key = (stream.venue, stream.symbol)
        known = finest.get(key, stream)
        finest[key] = msgspec.structs.replace(
            known,
            price_scale=max(known.price_scale, stream.price_scale),
            qty_scale=max(known.qty_scale, stream.qty_scale),
            clock_offset_ns=0,
        )
    return tuple(finest.values())


class _Part:
    """One window while it is written: a file for each venue."""

    def __init__(self, span: Span, folder: Path, source: str, streams: Sequence[FeedStream]) -> None:
        self.span = span
        self._draft = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        self._folder = folder
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(parents=True)
        self._writers = {
            venue: RecordingWriter(
                self._draft / f"{venue}.rec", source, [one for one in streams if one.venue == venue]
            )
            for venue in dict.fromkeys(stream.venue for stream in streams)
        }

    def write(self, event: FeedEvent) -> None:
        self._writers[event.venue].write(event)

    def close(self) -> None:
        """Whole files under their final name, or the same ones that another process has put there meanwhile."""
        for writer in self._writers.values():
            writer.close()
        try:
            self._draft.rename(self._folder)
        except OSError:
            if not self._folder.is_dir():
                raise
            shutil.rmtree(self._draft)

    def discard(self) -> None:
        for writer in self._writers.values():
            writer.close()
        shutil.rmtree(self._draft, ignore_errors=True)


def _cut(dataset: Dataset, spans: Sequence[Span]) -> None:
    """`spans` in the order of their begin."""
    recording = open_recording(*dataset.paths)
    streams = streams_by(_streams(recording))
    source = ", ".join(dataset.sha256)
    books: dict[Market, DepthBook] = {market: DepthBook() for market in streams}
    newest: dict[Market, DepthUpdate] = {}
    waiting, parts = list(reversed(spans)), list[_Part]()
    with ExitStack() as undo:

        def begin_until(at_ns: int) -> None:
            """The windows that begin before then."""
            while waiting and waiting[-1].begin_ns < at_ns:
                span = waiting.pop()
                part = _Part(span, _folder(dataset, span), source, tuple(streams.values()))
                parts.append(part)
                undo.callback(part.discard)
                for event in _standing(books, newest, span.begin_ns):
                    part.write(event)

        def end_until(at_ns: int) -> None:
            for part in [part for part in parts if part.span.end_ns < at_ns]:
                part.close()
                parts.remove(part)

        for event in recording:
            if waiting or parts:
                begin_until(event.recv_ns)
                end_until(event.recv_ns)
            if not waiting and not parts:
                break
            market = (event.venue, event.symbol)
            scaled = _at(event, streams[market])
            for part in parts:
                part.write(scaled)
            if isinstance(scaled, DepthUpdate):
                newest[market] = scaled
                if scaled.snapshot:
                    books[market].replace(scaled.bids, scaled.asks)
                else:
                    books[market].apply(scaled.bids, scaled.asks)
        last_ns = max(span.end_ns for span in spans) + 1
        begin_until(last_ns)
        end_until(last_ns)
        undo.pop_all()


def _standing(
    books: dict[Market, DepthBook], newest: dict[Market, DepthUpdate], at_ns: int
) -> Iterator[DepthUpdate]:
    """Each book that is known, as a snapshot."""
    for market, update in newest.items():
        bid_px, bid_qty, ask_px, ask_qty = books[market].top(MAX_LEVELS)
        if bid_px or ask_px:
            yield msgspec.structs.replace(
                update,
                recv_ns=at_ns,
                snapshot=True,
                bids=list(zip(bid_px, bid_qty, strict=True)),
                asks=list(zip(ask_px, ask_qty, strict=True)),
            )


def _at(event: FeedEvent, stream: FeedStream) -> FeedEvent:
    """The same in the stream's scales, which are the finest of all files."""
    price_by = 10 ** (stream.price_scale - event.price_scale)
    qty_by = 10 ** (stream.qty_scale - event.qty_scale)
    if price_by == qty_by == 1:
        return event
    scales = {"price_scale": stream.price_scale, "qty_scale": stream.qty_scale}
    if isinstance(event, MarketTrade):
        return msgspec.structs.replace(event, price=event.price * price_by, qty=event.qty * qty_by, **scales)
    sides = {
        name: [(price * price_by, qty * qty_by) for price, qty in levels]
        for name, levels in (("bids", event.bids), ("asks", event.asks))
    }
    return msgspec.structs.replace(event, **sides, **scales)
