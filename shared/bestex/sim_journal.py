"""A simulated venue's journal: JSON lines, only ever appended to, one step of the venue a line.

A line that the writer was killed in has no line feed. It was never answered, so it is not part of the journal.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from bestex import codec
from bestex.errors import ConfigError, RecordingError
from bestex.sim_wire import JournalLine


def journal_path(data_dir: str | Path, venue: str) -> Path:
    return Path(data_dir) / "exchange" / f"{venue}.jsonl"


def read_journal(path: Path) -> Iterator[JournalLine]:
    """The whole lines of a journal, oldest first. RecordingError names a line that cannot be read."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield codec.json_decoder(JournalLine).decode(line)
            except msgspec.DecodeError as error:
                raise RecordingError(f"{path}, line {number}: {error}") from None


class JournalWriter:
    """Appends to one journal, which nobody else writes meanwhile: ConfigError if another process has it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise ConfigError(f"{path}: another exchange process writes this journal") from None
        self._cut_torn_line(path)

    def _cut_torn_line(self, path: Path) -> None:
        whole = 0
        with path.open("rb") as file:
            for line in file:
                whole += len(line) if line.endswith(b"\n") else 0
        os.ftruncate(self._fd, whole)

    def append(self, lines: Iterable[JournalLine]) -> None:
        """Hand the lines to the operating system; from there they survive the end of this process."""
        data = memoryview(b"".join(codec.to_json(line) + b"\n" for line in lines))
        while data:
            data = data[os.write(self._fd, data) :]

    def sync(self) -> None:
        """Bring what was appended to the disk; from there it survives a power cut. Blocks."""
        os.fsync(self._fd)

    def close(self) -> None:
        self.sync()
        os.close(self._fd)

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
