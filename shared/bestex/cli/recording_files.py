"""What the commands on recordings share: what was written is told, with where it came from; long reading is shown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestex.cli.common import Common, print_json
from bestex.errors import UsageError

if TYPE_CHECKING:
    from bestex.feed import FeedEvent

REDRAW_EVENTS = 4_096  # some ten times a second


def written(
    out: Path, count: int, common: Common, sources: Sequence[Path] = (), damage: str = "", **more: Any
) -> None:
    """Say what is in the new file, and of which files and code it is. Damage in a source is told on stderr too."""
    from bestex.fleet import build
    from bestex.recording_survey import sha256_of

    size = out.stat().st_size
    if damage:
        print(f"bestex: {damage}", file=sys.stderr)
    if not common.json:
        print(f"{out}: {count} events, {size} bytes")
        return
    print_json(
        {
            "file": str(out),
            "events": count,
            "bytes": size,
            "sha256": sha256_of(out),
            "sources": [{"file": str(path), "sha256": sha256_of(path)} for path in sources],
            "damage": damage,
            "build": build(),
            **more,
        }
    )


def watched(events: Iterable[FeedEvent], start_ns: int, end_ns: int, what: str) -> Iterator[FeedEvent]:
    """The same events; on a terminal, a bar on stderr shows how much of the time between is through."""
    if not sys.stderr.isatty():
        yield from events
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=max(end_ns - start_ns, 1))
        for number, event in enumerate(events):
            if number % REDRAW_EVENTS == 0:
                progress.update(task, completed=event.recv_ns - start_ns)
            yield event


def duration_ns(text: str, option: str) -> int:
    """A time span above zero. UsageError, with the option, where it is none."""
    from bestex.human import Duration

    try:
        found = int(Duration.parse(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if found <= 0:
        raise UsageError(f"{option}: must be longer than nothing")
    return found


def moment_ns(text: str, start_ns: int, option: str) -> int:
    """A time such as 2026-11-27T14:30:00Z, or how long after `start_ns`. UsageError where it is neither."""
    from bestex.human import Duration
    from bestex.importers.columns import time_ns

    if "T" in text or "-" in text:
        try:
            return time_ns(text)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
    try:
        return start_ns + int(Duration.parse(text))
    except ValueError:
        raise UsageError(
            f"{option} {text}: write 2026-11-27T14:30:00Z, or 90s for as long after the beginning"
        ) from None


def new_file(out: Path) -> Path:
    """`out`, if nothing stands there; else UsageError."""
    if out.exists():
        raise UsageError(f"{out}: exists already; nothing is written over")
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no such directory")
    return out
