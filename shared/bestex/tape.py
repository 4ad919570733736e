"""A tape: the inputs of one core in the order in which it saw them, and the facts that it decided.

Retracing feeds the inputs to a fresh core and compares what it decides, byte by byte. A tape is a file of
MessagePack records; one that ends in the middle of a record is read up to there.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import IO, Any

import msgspec

from bestex import codec
from bestex.clock import Time
from bestex.config import Config
from bestex.core import Emit, Fact, RawOrder
from bestex.errors import RecordingError
from bestex.messages import Halt
from bestex.service import Service
from bestex.subjects import kind_of

FORMAT = "bestex-tape-1"
LENGTH_BYTES = 4


class Kind(IntEnum):
    HEADER = 0
    APPLY = 1  # recovery: an event of the journal
    BUS = 2  # an input from the bus: subject and bytes
    LOCAL = 3  # any other input: its type's name and MessagePack
    FACT = 4  # what was decided: subject and JSON
    EMIT = 5  # what was said on the live plane: subject and a digest, for books would double the tape


class Header(msgspec.Struct, frozen=True):
    """Enough to build the same core again: the service, its names, and the whole configuration as text."""

    service: str
    names: tuple[str, ...]
    config: str
    version: str
    format: str = FORMAT


class Record(msgspec.Struct, frozen=True, array_like=True):
    kind: Kind
    now_ns: int
    name: str
    data: bytes
    seq: int = 0


_decoder = msgspec.msgpack.Decoder(Record)


def tape_path(directory: str, service: Service, now_ns: int) -> Path:
    """One tape per process: a restarted service begins another."""
    names = "-".join(service.names) or "all"
    return Path(directory) / f"{service.name}-{names}.{now_ns}.{os.getpid()}.tape"


class Tape:
    """Writes one tape. Buffered by the system: a tape serves looking back, it is no journal."""

    def __init__(self, path: Path, header: Header) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("wb")
        self._write(Record(Kind.HEADER, 0, "header", codec.to_json(header)))

    def _write(self, record: Record) -> None:
        data = codec.to_msgpack(record)
        self._file.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)

    def applied(self, subject: str, data: bytes) -> None:
        self._write(Record(Kind.APPLY, 0, subject, data))

    def passed(self, subject: str) -> None:
        """A history that ended long ago: its end's subject is all that was read of it."""
        self._write(Record(Kind.APPLY, 0, subject, b""))

    def heard(self, subject: str, data: bytes, seq: int, now_ns: int) -> None:
        self._write(Record(Kind.BUS, now_ns, subject, data, seq))

    def local(self, message: Any, now_ns: int) -> None:
        kind = type(message)
        self._write(
            Record(Kind.LOCAL, now_ns, f"{kind.__module__}:{kind.__qualname__}", codec.to_msgpack(message))
        )

    def decided(self, fact: Fact, now_ns: int) -> None:
        self._write(Record(Kind.FACT, now_ns, fact.subject, codec.to_json(fact.event)))

    def emitted(self, emit: Emit, now_ns: int) -> None:
        self._write(Record(Kind.EMIT, now_ns, emit.subject, digest(emit)))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> tuple[Header, Iterator[Record]]:
    """The header and the records. Raises RecordingError where it is no tape."""
    records = _records(path)
    first = next(records, None)
    if first is None or first.kind is not Kind.HEADER:
        raise RecordingError(f"{path} is no tape")
    header = codec.from_json(first.data, Header)
    if header.format != FORMAT:
        raise RecordingError(f"{path} is a tape of format {header.format}, this is {FORMAT}")
    return header, records


def _records(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        while len(prefix := file.read(LENGTH_BYTES)) == LENGTH_BYTES:
            length = int.from_bytes(prefix, "big")
            data = file.read(length)
            if len(data) < length:
                return
            try:
                yield _decoder.decode(data)
            except msgspec.MsgspecError as error:
                raise RecordingError(f"{path} is damaged: {error}") from None


UNREADABLE = (
    msgspec.MsgspecError,
    ValueError,
    KeyError,
    IndexError,
    RecursionError,
)  # what decode_bus raises


def decode_bus(subject: str, data: bytes, seq: int) -> Any:
    """The input that a core sees for a message of the bus."""
    if subject.split(".", 3)[2] == "order":
        return RawOrder(subject, data, seq)
    kind = kind_of(subject)
    if kind.message is Halt:
        return _halt(subject, data)
    return codec.from_msgpack(data, kind.message) if kind.is_msgpack else codec.from_json(data, kind.message)


def _halt(subject: str, data: bytes) -> Halt:
    """Operators write these by hand. One that cannot be read halts its scope: whoever wrote it meant something,
    and it must not take down those who read it. Its time is 0, which says so."""
    try:
        return codec.from_json(data, Halt)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        scope = subject.rpartition(".")[2]
        return Halt(scope=scope, halted=True, reason=f"unreadable: {error}", by="unknown", at=Time(0))


def encode_live(emit: Emit) -> bytes:
    """A live message as it travels."""
    if kind_of(emit.subject).is_msgpack:
        return codec.to_msgpack(emit.message)
    return codec.to_json(emit.message)


def digest(emit: Emit) -> bytes:
    """What stands on a tape for a live message."""
    return hashlib.blake2b(encode_live(emit), digest_size=8).hexdigest().encode()


class Retraced(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome for one tape. `digest` is over all that was decided; `difference` is the first one."""

    tape: str
    service: str
    inputs: int
    facts: int
    emitted: int
    identical: bool
    digest: str
    difference: str = ""

    def __str__(self) -> str:
        outcome = "identical" if self.identical else f"DIFFERS: {self.difference}"
        return f"{self.tape}: {self.inputs} inputs, {self.facts} facts, {self.emitted} emitted, {outcome}"


def retrace(directory: Path) -> list[Retraced]:
    """Every tape of a directory, run again. Raises RecordingError for a file that is no tape."""
    return [retrace_tape(path) for path in sorted(directory.glob("*.tape"))]


def retrace_tape(path: Path) -> Retraced:
    """Run the tape's inputs through a new core and compare what it decides with what stands on the tape."""
    header, records = read(path)
    build = importlib.import_module(f"services.{header.service}.service").build
    service: Service = build(codec.from_json(header.config.encode(), Config), header.names)
    core = service.core
    decided: list[tuple[str, bytes]] = []
    found = hashlib.blake2b(digest_size=16)
    inputs = facts = emitted = 0
    difference = ""
    for record in records:
        if record.kind in (Kind.FACT, Kind.EMIT):
            facts += record.kind is Kind.FACT
            emitted += record.kind is Kind.EMIT
            given = (record.name, record.data)
            wanted = decided.pop(0) if decided else ("nothing", b"")
            found.update(record.data)
            if given != wanted and not difference:
                what = f"fact {facts}" if record.kind is Kind.FACT else f"live message {emitted}"
                difference = (
                    f"{what} after input {inputs}: the tape has {given[0]} {given[1].decode()}, "
                    f"retracing gives {wanted[0]} {wanted[1].decode()}"
                )
            continue
        if decided and not difference:
            difference = f"input {inputs}: retracing also gives {decided[0][0]} {decided[0][1].decode()}"
        decided.clear()
        if record.kind is Kind.APPLY and not record.data:
            service.past(record.name)
            continue
        if record.kind is Kind.APPLY:
            core.apply(decode_bus(record.name, record.data, 0))
            continue
        inputs += 1
        for out in core.decide(input_of(record), record.now_ns):
            if isinstance(out, Fact):
                core.apply(out.event)
                decided.append((out.subject, codec.to_json(out.event)))
            elif isinstance(out, Emit):
                decided.append((out.subject, digest(out)))
    # What a process decided last may not have reached its tape before it was killed.
    return Retraced(
        tape=path.name,
        service=header.service,
        inputs=inputs,
        facts=facts,
        emitted=emitted,
        identical=not difference,
        digest=found.hexdigest(),
        difference=difference,
    )


def input_of(record: Record) -> Any:
    """What the core saw."""
    if record.kind is not Kind.LOCAL:
        return decode_bus(record.name, record.data, record.seq)
    module, _, name = record.name.partition(":")
    return codec.from_msgpack(record.data, getattr(importlib.import_module(module), name))
