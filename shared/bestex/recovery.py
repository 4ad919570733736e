"""What a service reads before it works: its own histories, settings, and what may have been swallowed.

The same reading at every start, after a crash as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.aio.client import Client

from bestex import pull, reading
from bestex.clock import SECOND
from bestex.core import Publish
from bestex.errors import StreamDamaged
from bestex.journal import Journal
from bestex.marks import Marks
from bestex.service import Read, Service
from bestex.subjects import history, matcher
from bestex.tape import UNREADABLE, Tape, decode_bus
from bestex.timers import Timers

# Servers of a cluster stamp messages by their own clocks, and those of its streams need not be on one of them.
CLOCKS_APART_S = 5.0
SAMPLED = 64  # of the newest messages, which the marks are made of

Hear = Callable[[reading.Kept], None]


Floors = Mapping[Read, int]  # of each durable input the first sequence that may not have been acknowledged


async def read_floors(client: Client, service: Service) -> dict[Read, int]:
    """What stands before a floor was acknowledged, so all that follows from it is stored: should a server that has
    lost its acknowledgements bring it once more, it is done with."""
    return {
        read: await pull.not_acknowledged(client, read.stream, read.durable)
        for read in service.reads
        if read.durable
    }


async def read_journal(
    client: Client,
    service: Service,
    floors: Floors,
    journal: Journal,
    timers: Timers,
    marks: Marks,
    tape: Tape | None,
) -> list[Publish]:
    """Apply the journal; the commands of histories that have not ended."""
    commands: dict[str, list[Publish]] = {}

    def take(delivery: reading.Kept) -> None:
        of = history(delivery.subject)
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
        if not read.ends:
            await reading.read_all(client, read.stream, read.subjects, take)
            continue
        past, kept = await _present(client, read, await _oldest_input_ns(client, floors))
        for subject in past:
            service.past(subject)
            if tape is not None:
                tape.passed(subject)
        for one in kept:
            take(one)
    return [command for of in commands.values() for command in of]


async def _present(client: Client, read: Read, since_ns: int) -> tuple[list[str], list[reading.Kept]]:
    """The ends of the histories that ended before `since_ns`; the messages of all others, in the stream's order.

    So a start costs what is at work, and not what was ever done: of the rest only the subjects are asked for.
    """
    begins, ends = matcher(read.begins), matcher(read.ends)
    names = await reading.subject_names(client, read.stream, read.subjects)
    begun = {history(name) for name in names if begins(name)}
    ended = {history(name): name for name in names if ends(name)}
    kept: dict[int, reading.Kept] = {}
    recent: set[str] = set()

    def hear(one: reading.Kept) -> None:
        kept[one.seq] = one
        recent.add(history(one.subject))

    start = await reading.seq_at(client, read.stream, since_ns, SAMPLED)
    await reading.read_all(client, read.stream, read.subjects, hear, start_seq=start)
    past = {of: name for of, name in ended.items() if of not in recent}
    have = Counter(one.subject for one in kept.values())
    rest = {
        name: count
        for name, count in names.items()
        if (of := history(name)) in begun and of not in past and have[name] < count
    }
    for one in await reading.read_named(client, read.stream, read.subjects, rest):
        kept[one.seq] = one
    return sorted(past.values()), [kept[seq] for seq in sorted(kept)]


async def _oldest_input_ns(client: Client, floors: Floors) -> int:
    """When the oldest input was stored that is not done with, and some time before that. What was answered since
    then must be remembered."""
    oldest_ns = reading.NEVER_NS
    for read, first in floors.items():
        oldest_ns = min(oldest_ns, await reading.stored_ns(client, read.stream, first))
    return oldest_ns if oldest_ns == reading.NEVER_NS else oldest_ns - round(CLOCKS_APART_S * SECOND)


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


async def read_waiting(client: Client, read: Read, first: int, hear: Hear) -> None:
    """All that this consumer's last process has not acknowledged, delivered or not, before time goes on: a pause
    that waited must not be overtaken by a slice that has come due. The server brings it too, and what it had
    delivered only after the acknowledgement's time-out; then it changes nothing."""
    await reading.read_all(client, read.stream, read.subjects, hear, start_seq=first)
