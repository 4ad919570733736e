"""What a service reads before it works: its own histories, settings, and what may have been swallowed.

The same reading at every start, after a crash as ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client

from bestex import pull, reading
from bestex.core import Publish
from bestex.errors import StreamDamaged
from bestex.journal import Journal
from bestex.marks import Marks
from bestex.service import Read, Service
from bestex.subjects import history
from bestex.tape import UNREADABLE, Tape, decode_bus
from bestex.timers import Timers

Hear = Callable[[reading.Kept], None]


async def read_journal(
    client: Client, service: Service, journal: Journal, timers: Timers, marks: Marks, tape: Tape | None
) -> list[Publish]:
    """Apply the journal; the commands of histories that have not ended."""
    commands: dict[str, list[Publish]] = {}
    ends: set[str] = set()

    ended: set[str] = set()

    def take(delivery: reading.Kept) -> None:
        of = history(delivery.subject)
        if of in ended and delivery.subject.rpartition(".")[2] not in ends:
            return
        try:
            event = decode_bus(delivery.subject, delivery.data, delivery.seq)
        except UNREADABLE as error:
            raise StreamDamaged(
                f"stream {delivery.stream} cannot be read at {delivery.seq} ({delivery.subject}): {error}. Without "
                "its own history nothing goes on. Restore the stream from a replica or a backup"
            ) from error
        marks.saw(delivery.stream, delivery.seq, delivery.subject, delivery.data)
        if tape is not None:
            tape.applied(delivery.subject, delivery.data)
        for effect in service.core.apply(event):
            if isinstance(effect, Publish):
                commands.setdefault(of, []).append(effect)
            else:
                timers.take(effect)
        if getattr(event, "ends", False):
            commands.pop(of, None)
            journal.forget(delivery.subject)
        elif not getattr(event, "aside", False):
            journal.learn(delivery.subject, delivery.seq)

    for read in service.journal:
        ended.clear()
        ends = {pattern.rpartition(".")[2] for pattern in read.ends}
        if ends:
            await reading.read_all(
                client, read.stream, read.ends, lambda one: ended.add(history(one.subject))
            )
        await reading.read_all(client, read.stream, read.subjects, take)
    return [command for of in commands.values() for command in of]


async def hear_settings(
    client: Client, service: Service, on_live: Callable[[Any], Awaitable[None]], hear: Hear
) -> None:
    """Heard first and read second: a setting that changes meanwhile arrives twice, never not at all."""
    for read in service.reads:
        if not read.durable:
            for pattern in read.subjects:
                await client.subscribe(pattern, cb=on_live)
    await read_settings(client, service, hear)


async def read_settings(client: Client, service: Service, hear: Hear) -> None:
    """The last message of each subject: at the start, and whenever the connection was down for a moment."""
    for read in service.reads:
        if not read.durable:
            await reading.read_all(client, read.stream, read.subjects, hear, deliver="last_per_subject")


async def read_missing(client: Client, service: Service, hear: Hear) -> None:
    for stream, filters in service.missing().items():
        await reading.read_each(client, stream, filters, hear)


async def read_waiting(client: Client, read: Read, hear: Hear) -> None:
    """All that this consumer's last process has not acknowledged, delivered or not, before time goes on: a pause
    that waited must not be overtaken by a slice that has come due. The server brings it too, and what it had
    delivered only after the acknowledgement's time-out; then it changes nothing."""
    first = await pull.not_acknowledged(client, read.stream, read.durable)
    await reading.read_all(client, read.stream, read.subjects, hear, start_seq=first)
