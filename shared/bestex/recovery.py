"""What a service reads before it works: its own histories, settings, and what may have been swallowed.

The same reading at every start, after a crash as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nats.aio.client import Client

from bestex import pull, reading
from bestex.checkpoint import Checkpoint, Checkpoints, Place
from bestex.clock import SECOND
from bestex.core import Publish
from bestex.errors import StreamDamaged
from bestex.journal import Journal
from bestex.marks import Marks, digest, holes
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


class Recovery:
    """Applies its journal to a service's core. `read` counts in `applied` what it applied besides a checkpoint."""

    def __init__(
        self,
        client: Client,
        service: Service,
        journal: Journal,
        timers: Timers,
        marks: Marks,
        tape: Tape | None = None,
    ) -> None:
        self.applied = 0
        self._client, self._service = client, service
        self._journal, self._timers, self._marks, self._tape = journal, timers, marks, tape
        self._commands: dict[str, list[Publish]] = {}
        self._places: dict[str, Place] = {}
        self._last: dict[str, reading.Kept] = {}

    async def read(
        self, infos: Mapping[str, dict[str, Any]], floors: Floors, kept: Checkpoint | None = None
    ) -> list[Publish]:
        """The commands of histories that have not ended. `kept`: in place of what stands before its places."""
        if kept is not None:
            assert self._service.keeps is not None, "it was made by a core of this service"
            self._service.keeps.load(kept.state)
            self._journal.learn_all(kept.histories)
            self._places = dict(kept.places)
        for read in self._service.journal:
            if read.ends:
                await self._read_present(read, floors)
            else:
                await self._read_rest(read, int(infos[read.stream]["state"]["last_seq"]))
        for stream, last in self._last.items():
            info = infos[stream]
            self._places[stream] = Place(
                info["created"], holes(info), last.seq, digest(last.subject, last.data)
            )
        return [command for of in self._commands.values() for command in of]

    def keep(self, checkpoints: Checkpoints) -> None:
        """Directly after `read`: what the core knows is what the journal says, up to these places."""
        assert self._service.keeps is not None, "nothing of another service is kept"
        checkpoints.write(self._places, self._journal.histories(), self._service.keeps)

    async def _read_rest(self, read: Read, end: int) -> None:
        known = self._places[read.stream].seq if read.stream in self._places else 0

        def take(one: reading.Kept) -> None:
            if one.seq > known:
                self._take(one)
                self._last[read.stream] = one
            else:
                self._marks.saw(one.stream, one.seq, one.subject, one.data)

        start = min(known + 1, max(end - SAMPLED + 1, 1))
        await reading.read_all(self._client, read.stream, read.subjects, take, start_seq=start)

    async def _read_present(self, read: Read, floors: Floors) -> None:
        past, present = await _present(self._client, read, await _oldest_input_ns(self._client, floors))
        for subject in past:
            self._service.past(subject)
            if self._tape is not None:
                self._tape.passed(subject)
        for one in present:
            self._take(one)

    def _take(self, one: reading.Kept) -> None:
        of = history(one.subject)
        try:
            event = decode_bus(one.subject, one.data, one.seq)
        except UNREADABLE as error:
            raise StreamDamaged(
                f"stream {one.stream} cannot be read at {one.seq} ({one.subject}): {error}. Without its own "
                "history nothing goes on. Restore the stream from a replica or a backup"
            ) from error
        self.applied += 1
        self._marks.saw(one.stream, one.seq, one.subject, one.data)
        if self._tape is not None:
            self._tape.applied(one.subject, one.data)
        for effect in self._service.core.apply(event):
            if isinstance(effect, Publish):
                self._commands.setdefault(of, []).append(effect)
            else:
                self._timers.take(effect)
        if getattr(event, "ends", False):
            self._commands.pop(of, None)
            self._journal.forget(one.subject)
        elif not getattr(event, "aside", False):
            self._journal.learn(one.subject, one.seq)


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
