"""What `bestex.replay` keeps of one service on virtual time, and who acts for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bestex.core import Effect, Fact
from bestex.memory_bus import Consumer
from bestex.service import Service

if TYPE_CHECKING:
    from bestex.replay import World


class VirtualActor(Protocol):
    """Performs Calls on virtual time: schedules its outcomes with `world.after`."""

    def start(self, deliver: Callable[[Any], None], world: World, ready: Callable[[], None]) -> None:
        """Call `ready` once, now or later: as live, the service's inputs open only then."""

    def call(self, request: Any) -> None: ...


@dataclass(slots=True, eq=False)
class Input:
    """An input on its way: acknowledged when nothing of it is open."""

    consumer: Consumer
    seq: int
    open: int = 0


@dataclass(slots=True, eq=False)
class Step:
    fact: Fact
    effects: list[Effect]
    input: Input | None


@dataclass(slots=True, eq=False)
class Node:
    """One service, alive or not. `known`: the last sequence of each history that it writes. `settings` are the
    stored subjects that it hears from its first moment, `stored` those that it hears once its inputs are open. A
    `parcel` is what arrives next of the live plane, at one instant; its count numbers the event that it is."""

    service: Service
    actor: VirtualActor | None
    settings: tuple[str, ...]
    stored: tuple[str, ...]
    alive: bool = True
    open: bool = False
    wakes: dict[str, int] = field(default_factory=dict)
    lanes: dict[str, deque[Step]] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    arrival_ns: dict[str, int] = field(default_factory=dict)
    parcel: list[Any] | None = None
    parcel_at_ns: int = 0
    parcel_count: int = 0
