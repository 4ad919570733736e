"""Live equals lab: the tape of a live service, given to the runtime of the lab, and what is decided there compared.

`bestex.tape` retraces a tape with the core alone. Here the core runs where every backtest runs it: on virtual time,
behind the queue of due events, its facts stored on the bus in memory under compare-and-set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bestex import codec, tape
from bestex.config import Config
from bestex.core import Effect, Emit, Fact
from bestex.errors import UsageError
from bestex.replay import World
from bestex.service import Service
from bestex.tape import Kind, Record
from services.backtester.session import BUILDERS

Decided = tuple[int, str, bytes]  # when, subject, and the fact or the live message's digest


class Relived(msgspec.Struct, frozen=True, omit_defaults=True):
    """`events`: facts and live messages, each the same as on the tape and at the same time, up to a `difference`."""

    tape: str
    service: str
    inputs: int
    events: int
    stored: int
    difference: str = ""

    @property
    def identical(self) -> bool:
        return not self.difference


class _Silent:
    """Stands for whoever acted for the live service: what came back from outside stands on the tape."""

    def start(self, deliver: Callable[[Any], None], world: World, ready: Callable[[], None]) -> None:
        """Never ready: this service hears its tape and nothing else, and sets no timer."""

    def call(self, request: Any) -> None:
        """Was done then, once."""


class TapeWriter:
    """A watcher of a World that writes the tape of one of its services, as a live one would."""

    def __init__(self, path: Path, service: Service, config: Config, world: World) -> None:
        header = tape.Header(service.name, service.names, codec.to_json(config).decode(), "backtest")
        self._tape = tape.Tape(path, header)
        self._service, self._world = service, world
        world.watchers.append(self._watch)

    def _watch(self, service: Service, message: Any, outs: Sequence[Fact | Effect]) -> None:
        if service is not self._service:
            return
        now_ns = self._world.now_ns
        self._tape.local(message, now_ns)
        for out in outs:
            if isinstance(out, Fact):
                self._tape.decided(out, now_ns)
            elif isinstance(out, Emit):
                self._tape.emitted(out, now_ns)

    def close(self) -> None:
        self._world.watchers.remove(self._watch)
        self._tape.close()


def relive(path: Path) -> Relived:
    """RecordingError where it is no tape; UsageError for the tape of a service that no backtest runs."""
    header, records = tape.read(path)
    if header.service not in BUILDERS:
        raise UsageError(f"{path.name}: a {header.service} is no part of a backtest")
    service = BUILDERS[header.service](codec.from_json(header.config.encode(), Config), header.names)
    taped: list[Decided] = []
    inputs: list[Record] = []
    applied: list[Record] = []
    for record in records:
        if record.kind in (Kind.FACT, Kind.EMIT):
            taped.append((record.now_ns, record.name, record.data))
        else:
            (applied if record.kind is Kind.APPLY else inputs).append(record)
    world = World(inputs[0].now_ns if inputs else 0)
    world.add(service, _Silent())
    for record in applied:
        if record.data:
            service.core.apply(tape.decode_bus(record.name, record.data, 0))
        else:
            service.past(record.name)
    decided: list[Decided] = []

    def watch(_: Service, message: Any, outs: Sequence[Fact | Effect]) -> None:
        del message
        for out in outs:
            if isinstance(out, Fact):
                decided.append((world.now_ns, out.subject, codec.to_json(out.event)))
            elif isinstance(out, Emit):
                decided.append((world.now_ns, out.subject, tape.digest(out)))

    world.watchers.append(watch)
    for record in inputs:
        world.hand(service, tape.input_of(record), record.now_ns)
    world.run(inputs[-1].now_ns if inputs else 0)
    return Relived(
        tape=path.name,
        service=header.service,
        inputs=len(inputs),
        events=len(decided),
        stored=len(world.stored),
        difference=_difference(taped, decided),
    )


def _difference(taped: list[Decided], decided: list[Decided]) -> str:
    """The first one. A process that was killed may have decided more at its last input than its tape has."""
    for number, (then, now) in enumerate(zip(taped, decided, strict=False), 1):
        if then != now:
            return f"event {number}: the tape has {_told(then)}, the lab decides {_told(now)}"
    if len(decided) < len(taped):
        return f"event {len(decided) + 1}: the tape has {_told(taped[len(decided)])}, the lab decides nothing"
    if taped and len(decided) > len(taped) and decided[len(taped)][0] != decided[-1][0]:
        return f"event {len(taped) + 1}: the lab also decides {_told(decided[len(taped)])}"
    return ""


def _told(event: Decided) -> str:
    at_ns, subject, data = event
    return f"{subject} {data.decode()} at {at_ns}"
