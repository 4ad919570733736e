"""What a service is: a core, what it reads and hears, and who acts for it. The same for every runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bestex.core import Core
from bestex.subjects import history, stream_of


@dataclass(frozen=True)
class Read:
    """A durable input: every message of `stream` under `subjects`, acknowledged when its facts are stored.

    `durable` names the consumer. Without a name the input is read anew at every start, the last message of
    each subject first (settings such as halts). `begins`, `ends`: the events that begin and end a history, where the
    core needs nothing of one that ended long ago but that it was there (`Service.past`).
    """

    stream: str
    subjects: tuple[str, ...]
    durable: str = ""
    begins: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """Work that one process alone does. `subject` is where it is claimed, in the stream that the work writes."""

    subject: str
    works: tuple[str, ...]

    @property
    def service(self) -> str:
        return self.subject.split(".")[3]

    @property
    def pattern(self) -> str:
        """All claims of the service in that stream."""
        return history(self.subject)


class Keeps(Protocol):
    """A core whose durable state can be had as bytes. See `bestex.checkpoint`."""

    def dump(self) -> bytes: ...
    def load(self, data: bytes) -> None: ...


class Actor(Protocol):
    """Performs a core's Calls outside the bus and returns their outcomes as inputs through `deliver`.

    `may_send` is asked last before anything that makes a new risk leaves: False where the bus is lost, and it
    waits where it is not known yet whether another process has taken over. It does not wait where all is well.
    """

    async def start(
        self,
        deliver: Callable[[Any], None],
        now_ns: Callable[[], int],
        may_send: Callable[[], Awaitable[bool]],
    ) -> None: ...

    def call(self, request: Any) -> None:
        """Begin; must not block. At most once per request, whatever happens."""

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """`journal`: the service's own histories, read at start. `missing`: after that, other histories to
    read once (stream, subject filters), for facts that were acknowledged but led to nothing stored yet.
    `past` is told the subject of the end of each history that ended long ago, in place of its events.
    `claims`: what this process alone may do; nothing where it writes no history. `answers`: requests that one process
    of the service answers for all. `reports`: requests that every process answers for itself, from before its first
    input on. `keeps`: a core that starts from a checkpoint."""

    name: str
    names: tuple[str, ...]
    core: Core
    journal: tuple[Read, ...] = ()
    reads: tuple[Read, ...] = ()
    hears: tuple[str, ...] = ()
    missing: Callable[[], Mapping[str, list[str]]] = field(default=dict)
    past: Callable[[str], None] = lambda _: None
    answers: Mapping[str, Callable[[bytes, int], bytes]] = field(default_factory=dict)
    reports: Mapping[str, Callable[[bytes, int], bytes]] = field(default_factory=dict)
    actor: Actor | None = None
    keeps: Keeps | None = None
    claims: tuple[Claim, ...] = ()

    @property
    def label(self) -> str:
        """What a process of it is called in files and claims."""
        return f"{self.name}-{'-'.join(self.names) or 'all'}"

    @property
    def streams(self) -> frozenset[str]:
        """Those that it reads or writes."""
        read = {read.stream for read in (*self.journal, *self.reads)}
        return frozenset(read | {stream_of(claim.subject) for claim in self.claims})
