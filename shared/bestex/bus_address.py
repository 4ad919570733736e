"""Where the bus is: NATS_URL, else the note of a running `bestex up` in its data directory, else [bus] url.

The note carries the process id of its writer, so that one left behind by a kill is not believed.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bestex.clock import ENV_CLOCK, AffineClock
from bestex.config import Config

ENV_URL = "NATS_URL"


class BusNote(msgspec.Struct, frozen=True, kw_only=True):
    """`<data_dir>/bus.json`. `config` is that session's configuration file, empty for the default; `clock` its
    `AffineClock`, empty for the wall's; `credentials` the path of the user's key file, empty on a bus without
    roles, with the other roles' beside it; `ca` the path of what the bus's certificate is checked with."""

    url: str
    pid: int
    config: str = ""
    clock: str = ""
    credentials: str = ""
    ca: str = ""


def note_path(data_dir: str | Path) -> Path:
    return Path(data_dir) / "bus.json"


def write_note(data_dir: str | Path, note: BusNote) -> None:
    """Replaces the note as a whole, so that nobody reads half of one."""
    path = note_path(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{note.pid}")
    draft.write_bytes(msgspec.json.encode(note))
    draft.replace(path)


def read_note(data_dir: str | Path) -> BusNote | None:
    """The note of a running session; None where there is none, or where its writer is gone."""
    try:
        note = msgspec.json.decode(note_path(data_dir).read_bytes(), type=BusNote)
        os.kill(note.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    except PermissionError:  # another user's process: it is there
        pass
    return note


def remove_note(data_dir: str | Path) -> None:
    note_path(data_dir).unlink(missing_ok=True)


def find_url(config: Config) -> str:
    """The address to connect to."""
    named = os.environ.get(ENV_URL)
    if named:
        return named
    note = read_note(config.data_dir)
    return note.url if note else config.bus.url


def find_clock(config: Config) -> AffineClock:
    """The clock that the platform runs on: a replayed session has its own."""
    note = read_note(config.data_dir)
    if os.environ.get(ENV_CLOCK) or note is None:
        return AffineClock.from_environment()
    return AffineClock.parse(note.clock)
