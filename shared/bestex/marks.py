"""How far a process has seen each stream, kept outside the bus: a stream that has lost something cannot hide it.

nats-server with one replica does not notice damage: a flipped bit can end a stream far before its end, and nothing
is said. So each process keeps, in one small file, for every stream that it reads or writes: when the stream was
created, the last sequence that it saw, and digests of what stood at the last few. It is written after what it
speaks of was stored, so it may be behind and is never ahead. A start compares; where the stream does not hold what
was seen, the process refuses to start, and a person decides (`bestex streams accept`).
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog
from nats.aio.client import Client

from bestex import bus, codec, subjects
from bestex.clock import AffineClock, Time
from bestex.errors import BusError, StreamDamaged
from bestex.messages import StreamAccepted

MARKS = "marks"  # their folder, in the data directory
SAMPLES = (
    64  # per stream: damage at the end shows by the sequence, and this much by the content; 64 reads a start
)
DIGEST_BYTES = 8
MARK_EVERY_S = (
    5.0  # what a crash leaves unmarked is the last few seconds; a write with fsync takes milliseconds
)


class Files(Protocol):
    """The only files that a running core's shell keeps, so that they can be replaced as one."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, data: bytes) -> None: ...


class DiskFiles:
    """In a folder, replaced as a whole and on the disk when `write` returns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """None where there is none. OSError where it cannot be read."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._folder / f"{name}.new"
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Mark(msgspec.Struct, frozen=True):
    """What was seen of one stream. `samples`: (sequence, digest of subject and content)."""

    created: str
    last: int
    at: Time
    samples: list[tuple[int, str]] = []


@dataclass(slots=True)
class _Seen:
    created: str
    last: int = 0
    old: list[tuple[int, str]] = field(default_factory=list)  # samples of the last process
    recent: deque[tuple[int, str, bytes]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def samples(self) -> list[tuple[int, str]]:
        made = {seq: digest(subject, data) for seq, subject, data in self.recent}
        return sorted({**dict(self.old), **made}.items())[-SAMPLES:]


class Marks:
    """The marks of one process, for the streams that it reads or writes."""

    def __init__(
        self,
        client: Client,
        files: Files,
        name: str,
        clock: AffineClock,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._client = client
        self._files = files
        self._name = f"{name}.json"
        self._clock = clock
        self._log = log
        self._marks: dict[str, Mark] = {}
        self._seen: dict[str, _Seen] = {}
        self._changed = False
        self._can_write = True

    def saw(self, stream: str, seq: int, subject: str, data: bytes) -> None:
        """The stream holds this: it was delivered, or its storing acknowledged."""
        seen = self._seen.get(stream)
        if seen is None:
            return
        seen.recent.append((seq, subject, data))
        seen.last = max(seen.last, seq)
        self._changed = True

    # -- at start --------------------------------------------------------------------------------------------

    async def verify(self, infos: Mapping[str, dict[str, Any]], mine: Iterable[str]) -> None:
        """Compare the streams `mine`, as they were after `load`, with what was seen of them. Raises StreamDamaged;
        BusError where the bus cannot say."""
        marks = self._marks
        for stream in sorted(set(mine)):
            info, mark = infos[stream], marks.get(stream)
            text = _holes(info) or (await self._lost(stream, info, mark) if mark is not None else "")
            seen = self._seen[stream] = _Seen(info["created"])
            if not text:
                if mark is not None:
                    seen.last, seen.old = mark.last, mark.samples
                continue
            accepted = await self._accepted(stream, info, mark)
            if accepted is None:
                raise StreamDamaged(
                    f"stream {stream} {text}. Nothing is sent on such ground. Restore it from a replica or a backup, "
                    f"or see with `bestex audit` what is missing and take it as it is: "
                    f"`bestex streams accept {stream} --reason ...`"
                )
            self._log.warning(
                "a damaged stream is accepted",
                stream=stream,
                found=text,
                by=accepted.by,
                reason=accepted.reason,
            )
        self._changed = True

    def load(self) -> None:
        """Before the streams are asked: another process of this name may be at work, and mark what comes later."""
        self._marks = self._read()

    def _read(self) -> dict[str, Mark]:
        try:
            data = self._files.read(self._name)
            marks = codec.from_json(data, dict[str, Mark]) if data else {}
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise StreamDamaged(
                f"the marks {self._name} cannot be read: {error}. They say what the streams must hold; look why, and "
                "remove the file if the streams are sound (`bestex audit`)"
            ) from error
        if not marks:
            self._log.warning("no marks: the streams are believed as they are", file=self._name)
        return marks

    async def _lost(self, stream: str, info: dict[str, Any], mark: Mark) -> str:
        """What is not as it was seen; empty where all is."""
        state, config = info["state"], info["config"]
        if info["created"] != mark.created:
            return f"was created at {info['created']}, and the one that was here before at {mark.created}"
        if state["last_seq"] < mark.last:
            return f"ends at {state['last_seq']}, and {mark.last} was seen"
        forgets = config.get("max_msgs_per_subject", -1) > 0
        wanted = [sample for sample in mark.samples if sample[0] >= state["first_seq"]]
        found = await asyncio.gather(*(bus.read_seq(self._client, stream, seq) for seq, _ in wanted))
        for (seq, known), stored in zip(wanted, found, strict=True):
            if stored is None:
                if not forgets:
                    return f"has nothing at {seq}, where something was seen"
            elif digest(stored.subject, stored.data) != known:
                return f"holds something else at {seq} ({stored.subject}) than was seen there"
        return ""

    async def _accepted(self, stream: str, info: dict[str, Any], mark: Mark | None) -> StreamAccepted | None:
        """An operator's word that the stream is to be taken as it is, given after the mark was made."""
        found = await bus.read_last(self._client, subjects.CONTROL, subjects.accept(stream))
        if found is None:
            return None
        with suppress(msgspec.MsgspecError, ValueError):
            word = codec.from_json(found.data, StreamAccepted)
            same = word.created == info["created"] and word.holes >= holes(info)
            if same and (mark is None or word.at > mark.at):
                return word
        return None

    # -- while running ---------------------------------------------------------------------------------------

    async def check(self) -> None:
        """After a reconnect: the streams still hold what this process saw. Raises StreamDamaged; BusError where
        the bus cannot say."""
        for stream, seen in self._seen.items():
            last = seen.last  # before it is asked: what comes meanwhile the answer cannot know
            info = await bus.api(self._client, f"STREAM.INFO.{stream}", {})
            if "error" in info:
                raise BusError(f"stream {stream}: {info['error'].get('description')}")
            text = await self._lost(stream, info, Mark(seen.created, last, Time(0)))
            if text:
                raise StreamDamaged(f"stream {stream} {text}")

    async def keep(self) -> None:
        """Write the marks now and then, for ever."""
        while True:
            await asyncio.sleep(MARK_EVERY_S)
            self.save()

    def save(self) -> None:
        if not self._changed or not self._can_write or not self._seen:
            return
        at = Time(self._clock.now_ns())
        marks = {
            stream: Mark(seen.created, seen.last, at, seen.samples()) for stream, seen in self._seen.items()
        }
        try:
            self._files.write(self._name, codec.to_json(marks))
            self._changed = False
        except OSError as error:
            self._can_write = False
            self._log.warning("no marks are kept: there is no place for them", error=str(error))


def digest(subject: str, data: bytes) -> str:
    return blake2b(subject.encode() + b"\0" + data, digest_size=DIGEST_BYTES).hexdigest()


def holes(info: dict[str, Any]) -> int:
    """Messages that are missing between the first and the last one of a stream."""
    state = info["state"]
    span = state["last_seq"] - state["first_seq"] + 1 if state["messages"] else 0
    lost = len((state.get("lost") or {}).get("msgs") or ())
    return max(int(span - state["messages"]), int(state.get("num_deleted", 0)), lost)


def _holes(info: dict[str, Any]) -> str:
    if info["config"].get("max_msgs_per_subject", -1) > 0:
        return ""  # it forgets by design
    count = holes(info)
    return f"has lost {count} of the messages between its first and its last" if count else ""
