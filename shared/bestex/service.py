"""What a service is: a core, what it reads and hears, and who acts for it. The same for every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bestex.core import Core


@dataclass(frozen=True)
class Read:
    """A durable input: every message of `stream` under `subjects`, acknowledged when its facts are stored.

    `durable` names the consumer. Without a name the input is read anew at every start, the last message of
    each subject first (settings such as halts).
    """

    stream: str
    subjects: tuple[str, ...]
    durable: str = ""


class Actor(Protocol):
    """Performs a core's Calls outside the bus and returns their outcomes as inputs through `deliver`."""

    async def start(self, deliver: Callable[[Any], None], now_ns: Callable[[], int]) -> None: ...

    def call(self, request: Any) -> None:
        """Begin; must not block. At most once per request, whatever happens."""

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class Service:
    """`journal`: the service's own histories, read whole at start. `missing`: after that, other histories to
    read once (stream, subject filters), for facts that were acknowledged but led to nothing stored yet."""

    name: str
    names: tuple[str, ...]
    core: Core
    journal: tuple[Read, ...] = ()
    reads: tuple[Read, ...] = ()
    hears: tuple[str, ...] = ()
    missing: Callable[[], Mapping[str, list[str]]] = field(default=dict)
    answers: Mapping[str, Callable[[bytes, int], bytes]] = field(default_factory=dict)
    actor: Actor | None = None

    @property
    def streams(self) -> frozenset[str]:
        """Those that it writes or reads; the others are none of its business."""
        return frozenset(read.stream for read in (*self.journal, *self.reads))
