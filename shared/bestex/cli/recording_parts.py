"""`bestex recording cut`, `merge` and `resample`: recordings from recordings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, known, texts
from bestex.cli.recording_files import duration_ns, moment_ns, new_file, watched, written
from bestex.cli.recordings import existing
from bestex.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from bestex.feed import FeedEvent, FeedStream
    from bestex.importers.recognise import Source


def cut(
    *files: Path,
    out: Path,
    begin: Annotated[str, Parameter(name="--from")] = "",
    end: Annotated[str, Parameter(name="--to")] = "",
    symbol: str = "",
    venues: str = "",
    common: Common = COMMON,
) -> None:
    """A part of a recording: from a time, before another, of one symbol, of some venues.

    bestex recording cut day.rec --from 2026-11-27T14:30:00Z --to 2026-11-27T15:00:00Z --out half_hour.rec
    bestex recording cut day.rec --from 90s --to 10m --symbol BTC/USDT --out part.rec

    It begins with the books as they stood, so that it stands by itself.

    Parameters
    ----------
    out
        Where to write.
    begin
        A time, or how long after the beginning; the beginning where it is left out.
    end
        The first moment that is not in it any more; all there is where it is left out.
    symbol
        This symbol only.
    venues
        Only these, comma separated.
    """
    from bestex.clock import rfc3339
    from bestex.recording import open_recording
    from bestex.recording_tools import cut as cut_events

    new_file(out)
    recording = open_recording(*existing(files))
    start_ns, last_ns = recording.start_ns, recording.end_ns
    from_ns = moment_ns(begin, start_ns, "--from") if begin else start_ns
    to_ns = moment_ns(end, start_ns, "--to") if end else last_ns + 1
    if begin and end and from_ns >= to_ns:
        raise UsageError(f"--from {rfc3339(from_ns)} is not before --to {rfc3339(to_ns)}")
    if from_ns > last_ns or to_ns <= start_ns:
        raise UsageError(
            f"nothing lies from {rfc3339(from_ns)} to {rfc3339(to_ns)}: the recording is from "
            f"{rfc3339(start_ns)} to {rfc3339(last_ns)}"
        )
    streams = _chosen(recording.streams, symbol, venues)
    keys = {(stream.venue, stream.symbol) for stream in streams}
    read = watched(recording, start_ns, min(to_ns, last_ns), "cutting")
    source = f"{_names(files)} from {rfc3339(from_ns)} before {rfc3339(to_ns)}"
    count = _write(out, source, streams, cut_events(read, from_ns, to_ns, keys))
    written(out, count, common, files, recording.damage)


def merge(*files: Path, out: Path, offset: list[str] | None = None, common: Common = COMMON) -> None:
    """Several recordings as one, by time.

    bestex recording merge spot.rec perp.rec --out both.rec
    bestex recording merge monday.rec tuesday.rec --out days.rec
    bestex recording merge a.rec b.rec --offset b.rec=-1.27s --out both.rec

    Parts that `cut` made give the whole again: a snapshot that says nothing new is left out.

    Parameters
    ----------
    out
        Where to write.
    offset
        Add this to a file's receive times, FILE=1.27s or FILE=-30ms, where its clock went wrong; as often as needed.
    """
    from bestex.feed import finest
    from bestex.recording import open_recording
    from bestex.recording_tools import Shifted
    from bestex.recording_tools import merge as merge_events

    new_file(out)
    if len(existing(files)) < 2:
        raise UsageError("name at least two recordings")
    offsets = _offsets(offset or [], files)
    sources: list[Source] = [open_recording(path) for path in files]
    sources = [
        Shifted(source, offsets[path]) if path in offsets else source
        for path, source in zip(files, sources, strict=True)
    ]
    sources.sort(key=lambda source: source.start_ns)
    start_ns, end_ns = sources[0].start_ns, max(source.end_ns for source in sources)
    streams = finest(stream for source in sources for stream in source.streams)
    events = watched(merge_events(sources), start_ns, end_ns, "merging")
    count = _write(out, f"{_names(files)} by time", streams, events)
    damage = "; ".join(source.damage for source in sources if source.damage)
    written(out, count, common, files, damage)


def resample(*files: Path, out: Path, books: str = "", trades: str = "", common: Common = COMMON) -> None:
    """Books at a fixed step, or trades as bars.

    bestex recording resample day.rec --books 1s --out small.rec
    bestex recording resample day.rec --trades 1m --out bars.csv

    Parameters
    ----------
    out
        Where to write: a recording of books and all trades; of bars, a CSV.
    books
        Tell a book at the end of each such step in which it changed.
    trades
        Open, high, low, close and volume of the trades of each such step.
    """
    from bestex.recording import open_recording
    from bestex.recording_export import BAR_COLUMNS, bars, write_csv
    from bestex.recording_tools import at_steps

    new_file(out)
    if bool(books) == bool(trades):
        raise UsageError("name a step: --books or --trades")
    step_ns = duration_ns(books or trades, "--books" if books else "--trades")
    recording = open_recording(*existing(files))
    read = watched(recording, recording.start_ns, recording.end_ns, "resampling")
    if trades:
        count = write_csv(out, BAR_COLUMNS, bars(read, step_ns))
        if not count:
            out.unlink()
            raise RecordingError(f"{_names(files)}: holds no trades")
    else:
        source = f"{_names(files)} with books every {step_ns / 1e9:g} s"
        count = _write(out, source, recording.streams, at_steps(read, step_ns))
    written(out, count, common, files, recording.damage)


def _write(out: Path, source: str, streams: Iterable[FeedStream], events: Iterator[FeedEvent]) -> int:
    """RecordingError where there is nothing to write."""
    from bestex.recording import write_recording

    first = next(events, None)
    if first is None:
        raise RecordingError(f"{source}: nothing happened, so there is nothing to write")
    return write_recording(out, source, tuple(streams), itertools.chain((first,), events), created_ns=0)


def _names(files: Iterable[Path]) -> str:
    return ", ".join(path.name for path in files)


def _chosen(streams: Iterable[FeedStream], symbol: str, venues: str) -> list[FeedStream]:
    from bestex.cli.common import venue_names

    chosen = list(streams)
    if symbol:
        known("symbol", symbol, {stream.symbol for stream in chosen})
        chosen = [stream for stream in chosen if stream.symbol == symbol]
    for name in venue_names(venues) or []:
        known("venue", name, {stream.venue for stream in chosen})
    wanted = set(venue_names(venues) or [stream.venue for stream in chosen])
    return [stream for stream in chosen if stream.venue in wanted]


def _offsets(given: list[str], files: Iterable[Path]) -> dict[Path, int]:
    by_name = {name: path for path in files for name in (str(path), path.name)}
    found = {}
    for name, text in texts(given, "--offset").items():
        sign = -1 if text.startswith("-") else 1
        known("recording", name, by_name)
        found[by_name[name]] = sign * duration_ns(text.lstrip("+-"), "--offset")
    return found
