"""`bestex recording info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestex.cli.common import COMMON, Common, console, print_json, table
from bestex.cli.recording_files import duration_ns, watched
from bestex.cli.recordings import existing

if TYPE_CHECKING:
    from bestex.recording import Recording

_NUMBERS = ("updates", "breaks", "trades", "gaps", "longest gap, s")


def info(*files: Path, gap: str = "10s", quick: bool = False, common: Common = COMMON) -> int:
    """What a recording holds: streams, times, events, gaps, its hash. Of any format that `convert` reads.

    bestex recording info spot.rec
    bestex recording info l1_day.csv --gap 1m --json

    Exit code: 0 all could be read, 1 something is damaged.

    Parameters
    ----------
    gap
        Count how often a stream was silent for longer.
    quick
        Without reading the events: no counts and no hash.
    """
    from bestex import codec
    from bestex.recording import open_recording
    from bestex.recording_survey import survey

    gap_ns = duration_ns(gap, "--gap")
    found: list[dict[str, Any]] = []
    for path in existing(files):
        recording = open_recording(path)
        if quick:
            found.append(_quick(path, recording))
            continue
        events = watched(recording, recording.start_ns, recording.end_ns, path.name)
        found.append(codec.to_builtins(survey(path, recording, events, gap_ns)))
    if common.json:
        print_json({"recordings": found})
    else:
        for one in found:
            _print(one, gap)
    return 1 if any(one["damage"] for one in found) else 0


def _quick(path: Path, recording: Recording) -> dict[str, Any]:
    from bestex.clock import rfc3339

    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "start": rfc3339(recording.start_ns),
        "end": rfc3339(recording.end_ns),
        "streams": [{"venue": stream.venue, "symbol": stream.symbol} for stream in recording.streams],
        "damage": recording.damage,
    }


def _print(one: dict[str, Any], gap: str) -> None:
    print(f"{one['file']}: {one['bytes']} bytes, from {one['start']} to {one['end']}")
    if one.get("source"):
        print(f"made of {one['source']}{' at ' + one['created'] if one['created'] else ''}")
    if "sha256" in one:
        print(f"{one['format']}, {one['events']} events, sha256 {one['sha256']}")
    if one["damage"]:
        print(f"damaged: {one['damage']}")
    rows = table("venue", "symbol", *_NUMBERS, "from", "known by", right=_NUMBERS)
    for stream in one["streams"]:
        if "updates" not in stream:
            rows.add_row(stream["venue"], stream["symbol"], *[""] * (len(_NUMBERS) + 2))
            continue
        begins = (
            "a snapshot" if stream["begins_whole"] else "changes only" if stream["updates"] else "no book"
        )
        rows.add_row(
            *(stream["venue"], stream["symbol"], str(stream["updates"]), str(stream["breaks"])),
            *(str(stream["trades"]), str(stream["gaps"]), f"{stream['longest_gap_s']:.3f}"),
            *(str(stream["longest_gap_at"] or ""), begins),
        )
    console().print(rows)
    if "sha256" in one:
        print(f"gaps are longer than {gap}")
