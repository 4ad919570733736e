"""The runtime contract on virtual time: every service in one thread, on an in-memory bus, seeded.

The same cores as live, and the same rules: facts are applied when decided, stored in order, and their effects
released when stored; histories are compared and set. Time passes only from one due event to the next, so the
same inputs and seed give the same run, every time.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from bestex import codec
from bestex.clock import US
from bestex.core import Call, Effect, Emit, Fact, Publish, RawOrder, Recovered, Wake, Wakeup
from bestex.errors import Fenced
from bestex.journal import stream_of
from bestex.service import Service
from bestex.subjects import history, matches

STORE_NS = 300 * US  # a write acknowledged with `sync_interval: always`, as measured on NATS 2.15
HOP_NS = 200 * US  # a message from the bus to a service
JITTER = 0.2  # of a latency, uniform to either side


@dataclass(frozen=True, slots=True)
class StoredMessage:
    stream: str
    seq: int
    subject: str
    at_ns: int
    message: Any

    @property
    def data(self) -> bytes:
        return self.message.data if isinstance(self.message, RawOrder) else codec.to_json(self.message)


class VirtualActor(Protocol):
    """Performs Calls on virtual time: schedules its outcomes with `world.after`."""

    def start(self, deliver: Callable[[Any], None], world: World) -> None: ...

    def call(self, request: Any) -> None: ...


@dataclass(slots=True)
class _Step:
    fact: Fact
    effects: list[Effect]


@dataclass(slots=True)
class _Node:
    """One service: what it waits for, and when each of its lanes was last written."""

    service: Service
    actor: VirtualActor | None
    wakes: dict[str, int] = field(default_factory=dict)
    lane_free_ns: dict[str, int] = field(default_factory=dict)


class World:
    """A virtual clock, a bus, and the services on it."""

    def __init__(self, start_ns: int, seed: int = 0, store_ns: int = STORE_NS, hop_ns: int = HOP_NS) -> None:
        self.now_ns = start_ns - start_ns % US
        self._random = random.Random(seed)
        self._store_ns = store_ns
        self._hop_ns = hop_ns
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._nodes: list[_Node] = []
        self._created: set[str] = set()
        self._sequences: dict[str, int] = {}
        self._delivered_ns: dict[tuple[int, str], int] = {}
        self._hearers: dict[str, tuple[int, ...]] = {}
        self.stored: list[StoredMessage] = []
        self.listeners: list[Callable[[str, Any], None]] = []

    # -- composition -----------------------------------------------------------------------------------------

    def add(self, service: Service, actor: VirtualActor | None = None) -> None:
        """A service joins; its first input is Recovered, as live."""
        node = _Node(service, actor)
        self._nodes.append(node)
        self._hearers.clear()
        if actor is not None:
            actor.start(lambda message: self._receive(node, message), self)
        self.after(0, lambda: self._receive(node, Recovered()))

    def after(self, delay_ns: int, act: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, act)

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Things due at one instant happen in the order in which they were asked for."""
        self._count += 1
        heapq.heappush(self._due, (max(at_ns, self.now_ns), self._count, act))

    def order(self, subject: str, body: bytes) -> None:
        """What a user publishes."""
        seq = self._next("ORDERS")
        self._store("ORDERS", seq, subject, RawOrder(subject, body, seq))

    def emit(self, subject: str, message: Any) -> None:
        """A message of the live plane."""
        for listener in self.listeners:
            listener(subject, message)
        self._deliver(subject, message, live=True)

    def run(self, until_ns: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until `until_ns`, or until `stop()` says so after an event."""
        while self._due and self._due[0][0] <= until_ns and not stop():
            at_ns, _, act = heapq.heappop(self._due)
            self.now_ns = at_ns - at_ns % US
            act()
        if not stop():
            self.now_ns = max(self.now_ns, until_ns)

    def messages(self, pattern: str) -> Iterator[StoredMessage]:
        """What was stored under a subject pattern, in order."""
        return (stored for stored in self.stored if matches(pattern, stored.subject))

    # -- the contract ----------------------------------------------------------------------------------------

    def _receive(self, node: _Node, message: Any) -> None:
        core = node.service.core
        for out in core.decide(message, self.now_ns):
            if isinstance(out, Fact):
                effects = [e for e in core.apply(out.event) if not self._is_wake(node, e)]
                self._queue(node, _Step(out, effects))
            elif not self._is_wake(node, out):
                self._release(node, out)

    def _queue(self, node: _Node, step: _Step) -> None:
        free_ns = node.lane_free_ns.get(step.fact.lane, 0)
        at_ns = max(self.now_ns, free_ns) + self._latency(self._store_ns)
        node.lane_free_ns[step.fact.lane] = at_ns
        self.at(at_ns, lambda: self._stored(node, step))

    def _stored(self, node: _Node, step: _Step) -> None:
        if node.lane_free_ns.get(step.fact.lane) == self.now_ns:
            del node.lane_free_ns[step.fact.lane]
        subject = step.fact.subject
        if not (step.fact.once and subject in self._created):
            self._append(subject, step.fact.event)
            if step.fact.once:
                self._created.add(subject)
        for effect in step.effects:
            if isinstance(effect, Publish):
                self.after(self._latency(self._store_ns), lambda e=effect: self._create(e))  # type: ignore[misc]
            else:
                self._release(node, effect)

    def _create(self, command: Publish) -> None:
        if command.subject not in self._created:
            self._created.add(command.subject)
            self._append(command.subject, command.message)

    def _release(self, node: _Node, effect: Effect) -> None:
        if isinstance(effect, Call):
            assert node.actor is not None, "a core that calls has an actor"
            node.actor.call(effect.request)
        elif isinstance(effect, Emit):
            self.emit(effect.subject, effect.message)

    def _is_wake(self, node: _Node, effect: Effect) -> bool:
        if not isinstance(effect, Wake):
            return False
        if effect.at_ns == 0:
            node.wakes.pop(effect.key, None)
        else:
            node.wakes[effect.key] = effect.at_ns
            self.at(effect.at_ns, lambda: self._wake(node, effect))
        return True

    def _wake(self, node: _Node, wake: Wake) -> None:
        if node.wakes.get(wake.key) == wake.at_ns:
            del node.wakes[wake.key]
            self._receive(node, Wakeup(wake.key))

    # -- the bus ---------------------------------------------------------------------------------------------

    def _append(self, subject: str, event: Any) -> None:
        stream = stream_of(subject)
        if subject in self._created and history(subject) == subject:
            raise Fenced(f"{subject} was created before")
        self._store(stream, self._next(stream), subject, event)

    def _store(self, stream: str, seq: int, subject: str, message: Any) -> None:
        self.stored.append(StoredMessage(stream, seq, subject, self.now_ns, message))
        for listener in self.listeners:
            listener(subject, message)
        self._deliver(subject, message, live=False)

    def _next(self, stream: str) -> int:
        self._sequences[stream] = self._sequences.get(stream, 0) + 1
        return self._sequences[stream]

    def _deliver(self, subject: str, message: Any, *, live: bool) -> None:
        kind = "live" if live else stream_of(subject)
        for number in self._listening(subject, live):
            # One consumer sees its messages in their order, however late each of them is.
            at_ns = max(self.now_ns + self._latency(self._hop_ns), self._delivered_ns.get((number, kind), 0))
            self._delivered_ns[number, kind] = at_ns
            self.at(at_ns, lambda n=self._nodes[number]: self._receive(n, message))  # type: ignore[misc]

    def _listening(self, subject: str, live: bool) -> tuple[int, ...]:
        """The services that read or hear a subject. Live subjects are few and come again: remembered."""
        if subject in self._hearers:
            return self._hearers[subject]
        found = tuple(
            number
            for number, node in enumerate(self._nodes)
            if any(matches(pattern, subject) for pattern in node.service.hears)
            or (not live and any(matches(p, subject) for read in node.service.reads for p in read.subjects))
        )
        if live:
            self._hearers[subject] = found
        return found

    def _latency(self, mean_ns: int) -> int:
        return int(mean_ns * (1 + JITTER * (2 * self._random.random() - 1)))
