"""The runtime contract on virtual time: every service in one thread, on an in-memory bus, seeded.

The same cores as live, and the same rules, in the same order: facts are applied when decided, stored one after
another in their lane under compare-and-set, their effects released when stored, and the input acknowledged
after that. A service starts by applying its journal, and one that crashed is started again from what was
stored. Time passes only from one due event to the next, so the same inputs and seed give the same run, always.

What differs from live: a message is handed over as the object it is (recovery decodes what was stored), a
decision takes no time, the bus never fails, and two hearers of a subject never hear it twice.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any

from bestex.clock import SECOND, US
from bestex.core import Alarm, Call, Effect, Emit, Fact, Publish, RawOrder, Recovered, Wake, Wakeup
from bestex.errors import BestexError
from bestex.memory_bus import Consumer, MemoryBus, StoredMessage, matches_any
from bestex.replay_node import Input, Node, Step, VirtualActor
from bestex.service import Service
from bestex.subjects import history, matches
from bestex.tape import decode_bus

STORE_NS = 300 * US  # a write acknowledged with `sync_interval: always`, as measured on NATS 2.15
HOP_NS = 200 * US  # a message from the bus to a service
JITTER = 0.2  # of a latency, uniform to either side
ACK_WAIT_NS = 30 * SECOND  # after which an unacknowledged message comes again, as `bestex.bus` configures it
INSTANT_EVENTS_MAX = 100_000  # at one instant; beyond it a core asks for the present over and over again
FIRST = 1 << 62  # more than there will ever be events
LIVE_HEADS = frozenset({"md", "book", "stats"})


# Told of every input of a service, and of what it decided of it, before that is applied.
Watcher = Callable[[Service, Any, Sequence[Fact | Effect]], None]


class World:
    """A virtual clock, a bus, and the services on it."""

    def __init__(self, start_ns: int, seed: int = 0, store_ns: int = STORE_NS, hop_ns: int = HOP_NS) -> None:
        self.now_ns = start_ns - start_ns % US
        self.step_by_step = False  # every message an event of its own
        self._random = random.Random(seed).random
        self._store_ns = store_ns
        self._hop_ns = hop_ns
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._nodes: list[Node] = []
        self._bus = MemoryBus()
        self._readers: dict[Consumer, Node] = {}
        self._hearers: dict[str, list[Node]] = {}
        self.events = 0
        self.stored = self._bus.stored
        self.listeners: list[Callable[[str, Any], None]] = []
        self.watchers: list[Watcher] = []

    # -- composition -----------------------------------------------------------------------------------------

    def add(self, service: Service, actor: VirtualActor | None = None) -> None:
        """Start a service: its journal is applied, its settings read, its actor started, its inputs opened."""
        node = Node(
            service,
            actor,
            settings=tuple(p for read in service.reads if not read.durable for p in read.subjects),
            stored=tuple(p for p in service.hears if p.split(".", 3)[2] not in LIVE_HEADS),
        )
        self._nodes.append(node)
        self._hearers.clear()
        commands = self._recover(node)
        for read in service.reads:
            if not read.durable:
                newest = {stored.subject: stored for stored in self._bus.held(read.stream, read.subjects)}
                for stored in newest.values():
                    self._receive(node, stored.message)
        ready = partial(self._ready, node, commands)
        if actor is None:
            self.after(0, ready)
        else:
            actor.start(partial(self._receive, node), self, ready)

    def crash(self, service: Service) -> None:
        """`kill -9`: what is in memory is lost. Of the writes on their way, chance says which are stored."""
        for node in self._nodes:
            if node.service is service:
                node.alive = node.open = False
        self._readers = {consumer: node for consumer, node in self._readers.items() if node.alive}
        self._nodes = [node for node in self._nodes if node.alive]
        self._hearers.clear()

    def after(self, delay_ns: int, act: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, act)

    def at(self, at_ns: int, act: Callable[[], None]) -> None:
        """On the next whole microsecond. What is due at one instant happens in the order it was asked for."""
        self._count += 1
        if at_ns < self.now_ns:
            at_ns = self.now_ns
        heapq.heappush(self._due, (at_ns + -at_ns % US, self._count, act))

    def first_at(self, at_ns: int, act: Callable[[], None]) -> None:
        """Before everything else that is due at that later instant, whenever it was asked for: what beats at a rate
        of its own does the same whether it was asked for beat by beat or only when there was something to do."""
        assert at_ns > self.now_ns, "an instant that has begun has had its first"
        self._count += 1
        heapq.heappush(self._due, (at_ns + -at_ns % US, self._count - FIRST, act))

    def order(self, subject: str, body: bytes) -> None:
        """What a user publishes."""
        self.publish(subject, RawOrder(subject, body, self._bus.next_seq("ORDERS")))

    def hand(self, service: Service, message: Any, at_ns: int) -> None:
        """Give a service an input that is on no bus, such as one of a tape, at its time."""
        [node] = [node for node in self._nodes if node.service is service]
        self.at(at_ns, partial(self._receive, node, message))

    def publish(self, subject: str, message: Any) -> None:
        """What an operator publishes on the durable plane."""
        self._deliver(self._bus.store(subject, message, self.now_ns))

    def emit(self, subject: str, message: Any) -> None:
        """A message of the live plane."""
        for listener in self.listeners:
            listener(subject, message)
        hearers = self._hearers.get(subject)
        if hearers is None:
            # Live subjects are few and come again: who hears them is remembered.
            hearers = self._hearers[subject] = [
                node for node in self._nodes if matches_any(node.service.hears, subject)
            ]
        for node in hearers:
            if node.open:
                self._pass(node, message)

    def run(self, until_ns: int, stop: Callable[[], bool] | None = None) -> None:
        """Let time pass until `until_ns`, or until `stop()` says so after an event."""
        at_this_instant = 0
        due, pop = self._due, heapq.heappop
        while due and due[0][0] <= until_ns:
            if stop is not None and stop():
                break
            at_ns, _, act = pop(due)
            if at_ns != self.now_ns:
                at_this_instant = 0
                self.now_ns = at_ns
            else:
                at_this_instant += 1
                if at_this_instant > INSTANT_EVENTS_MAX:
                    raise BestexError(
                        f"time stands still at {at_ns}: something asks for the present for ever"
                    )
            self.events += 1
            act()
        if not due or due[0][0] > until_ns:
            self.now_ns = max(self.now_ns, until_ns - until_ns % US)

    def messages(self, pattern: str) -> Iterator[StoredMessage]:
        """What was stored under a subject pattern, in order."""
        return (stored for stored in self.stored if matches(pattern, stored.subject))

    # -- the start of a service --------------------------------------------------------------------------------

    def _recover(self, node: Node) -> list[Publish]:
        """Apply the journal; the commands of histories that have not ended."""
        commands: dict[str, list[Publish]] = {}
        for read in node.service.journal:
            for stored in self._bus.held(read.stream, read.subjects):
                event = decode_bus(stored.subject, stored.data, stored.seq)
                of = history(stored.subject)
                for effect in node.service.core.apply(event):
                    if isinstance(effect, Publish):
                        commands.setdefault(of, []).append(effect)
                    else:
                        self._is_wake(node, effect)
                if getattr(event, "ends", False):
                    commands.pop(of, None)
                    node.known.pop(of, None)
                elif not getattr(event, "aside", False):
                    node.known[of] = stored.seq
        return [command for of in commands.values() for command in of]

    def _ready(self, node: Node, commands: list[Publish]) -> None:
        if node.alive:
            self._receive(node, Recovered())
            self._write_all(
                node,
                [partial(self._create, c.subject, c.message) for c in commands],
                partial(self._open, node),
            )

    def _open(self, node: Node) -> None:
        for stream, filters in node.service.missing().items():
            for stored in self._bus.held(stream, filters):
                self._receive(node, stored.message)
        node.open = True
        for key, at_ns in node.wakes.items():
            self.at(at_ns, partial(self._wake, node, key, at_ns))
        for read in node.service.reads:
            if read.durable:
                self._attach(node, self._bus.consumer(read.stream, read.durable, read.subjects))

    def _attach(self, node: Node, consumer: Consumer) -> None:
        """What the last reader had not acknowledged is read at once, and comes again when its time is over."""
        self._readers[consumer] = node
        if consumer.given:
            first = min(consumer.given)
            for stored in self._bus.held(consumer.stream, consumer.subjects):
                if first <= stored.seq <= consumer.last:
                    self._receive(node, stored.message)
        while consumer.due:
            self._give(node, consumer, consumer.due.popleft())
        for given_ns, stored in list(consumer.given.values()):
            self.at(given_ns + ACK_WAIT_NS, partial(self._give_again, node, consumer, stored))

    # -- inputs ------------------------------------------------------------------------------------------------

    def _receive(self, node: Node, message: Any, of: Input | None = None) -> None:
        if not node.alive:
            return
        core = node.service.core
        outs = core.decide(message, self.now_ns)
        for watcher in self.watchers:
            watcher(node.service, message, outs)
        for out in outs:
            if type(out) is Emit:  # most of what there is
                self.emit(out.subject, out.message)
            elif isinstance(out, Fact):
                effects = [effect for effect in core.apply(out.event) if not self._is_wake(node, effect)]
                self._queue(node, Step(out, effects, of))
            elif not self._is_wake(node, out):
                self._act(node, out)
        if of is not None and not of.open:
            of.consumer.acknowledge(of.seq)

    def _give(self, node: Node, consumer: Consumer, stored: StoredMessage) -> None:
        consumer.give(stored, self.now_ns)
        of = Input(consumer, stored.seq)
        self._arrive(node, consumer.stream, partial(self._receive, node, stored.message, of))

    def _give_again(self, node: Node, consumer: Consumer, stored: StoredMessage) -> None:
        if self._readers.get(consumer) is node and stored.seq in consumer.given:
            self._give(node, consumer, stored)

    def _pass(self, node: Node, message: Any) -> None:
        """A message of the live plane, on its way. One that arrives at the instant of the message before it, with
        nothing else to happen in between, goes with that: together they are one event."""
        at_ns, count, parcel = self._arrival_ns(node, "live"), self._count, node.parcel
        if parcel is not None and node.parcel_count == count and node.parcel_at_ns == at_ns:
            parcel.append(message)
            return
        self._count = count = count + 1
        parcel = [message]
        if not self.step_by_step:
            node.parcel, node.parcel_at_ns, node.parcel_count = parcel, at_ns, count
        unpack: Callable[[], None] = partial(self._unpack, node, parcel)
        heapq.heappush(self._due, (at_ns, count, unpack))

    def _unpack(self, node: Node, parcel: list[Any]) -> None:
        if node.parcel is parcel:
            node.parcel = None  # nothing more goes with it
        for message in parcel:
            self._receive(node, message)

    def _arrive(self, node: Node, source: str, act: Callable[[], None]) -> None:
        self.at(self._arrival_ns(node, source), act)

    def _arrival_ns(self, node: Node, source: str) -> int:
        """After a hop, on a whole microsecond; messages of one source arrive in their order, however late each of
        them is."""
        at_ns = self.now_ns + int(self._hop_ns * (1 + JITTER * (2 * self._random() - 1)))
        at_ns += -at_ns % US
        last_ns = node.arrival_ns.get(source, 0)
        if at_ns < last_ns:
            return last_ns
        node.arrival_ns[source] = at_ns
        return at_ns

    def _is_wake(self, node: Node, effect: Effect) -> bool:
        if not isinstance(effect, Wake):
            return False
        if effect.at_ns == 0:
            node.wakes.pop(effect.key, None)
        else:
            node.wakes[effect.key] = effect.at_ns
            if node.open:
                self.at(effect.at_ns, partial(self._wake, node, effect.key, effect.at_ns))
        return True

    def _wake(self, node: Node, key: str, at_ns: int) -> None:
        if node.wakes.get(key) == at_ns:
            del node.wakes[key]
            self._receive(node, Wakeup(key))

    # -- storing and releasing -----------------------------------------------------------------------------------

    def _queue(self, node: Node, step: Step) -> None:
        if step.input is not None:
            step.input.open += 1
        name = step.fact.lane
        lane = node.lanes.get(name)
        if lane is None:
            lane = node.lanes[name] = deque()
            self.after(0, partial(self._work, node, name))
        lane.append(step)

    def _work(self, node: Node, name: str) -> None:
        """Store the lane's next fact, or all the next ones that need no order among themselves."""
        if not node.alive:
            return
        lane = node.lanes[name]
        batch = [lane[0]]
        if batch[0].fact.once:
            batch += takewhile(lambda step: step.fact.once, islice(lane, 1, None))
        writes = [partial(self._append, node, step.fact) for step in batch]
        self._write_all(node, writes, partial(self._release, node, name, batch, 0))

    def _release(self, node: Node, name: str, batch: list[Step], number: int) -> None:
        commands = [e for e in batch[number].effects if isinstance(e, Publish)]
        then = partial(self._released, node, name, batch, number)
        self._write_all(node, [partial(self._create, c.subject, c.message) for c in commands], then)

    def _released(self, node: Node, name: str, batch: list[Step], number: int) -> None:
        step, lane = batch[number], node.lanes[name]
        for effect in step.effects:
            self._act(node, effect)
        lane.popleft()
        if step.input is not None:
            step.input.open -= 1
            if not step.input.open:
                step.input.consumer.acknowledge(step.input.seq)
        if number + 1 < len(batch):
            self._release(node, name, batch, number + 1)
        elif lane:
            self._work(node, name)
        else:
            del node.lanes[name]

    def _act(self, node: Node, effect: Effect) -> None:
        if isinstance(effect, Call):
            assert node.actor is not None, "a core that calls has an actor"
            node.actor.call(effect.request)
        elif isinstance(effect, Emit):
            self.emit(effect.subject, effect.message)
        elif isinstance(effect, Alarm):
            raise effect.error  # here nobody else's orders are at stake, and whoever looks wants the traceback

    def _write_all(self, node: Node, writes: Sequence[Callable[[], None]], then: Callable[[], None]) -> None:
        """Each after its own latency, then `then`. A node that died meanwhile had sent it in time, or not."""
        if not writes:
            then()
            return
        left = len(writes)

        def one(write: Callable[[], None]) -> None:
            nonlocal left
            if not node.alive and self._random() < 0.5:
                return
            write()
            left -= 1
            if not left and node.alive:
                then()

        for write in writes:
            self.after(self._latency(self._store_ns), partial(one, write))

    def _append(self, node: Node, fact: Fact) -> None:
        if fact.once:
            self._create(fact.subject, fact.event)
        else:
            self._deliver(self._bus.append(fact.subject, fact.event, node.known, self.now_ns))

    def _create(self, subject: str, message: Any) -> None:
        stored = self._bus.create(subject, message, self.now_ns)
        if stored is not None:
            self._deliver(stored)

    def _deliver(self, stored: StoredMessage) -> None:
        """To the consumers that read it and the services that hear it."""
        subject, message = stored.subject, stored.message
        for listener in self.listeners:
            listener(subject, message)
        for consumer in self._bus.consumers.values():
            if consumer.stream == stored.stream and matches_any(consumer.subjects, subject):
                reader = self._readers.get(consumer)
                if reader is not None:
                    self._give(reader, consumer, stored)
                else:
                    consumer.due.append(stored)
        for node in self._nodes:
            if matches_any((*node.settings, *node.stored) if node.open else node.settings, subject):
                self._arrive(node, stored.stream, partial(self._receive, node, message))

    def _latency(self, mean_ns: int) -> int:
        return int(mean_ns * (1 + JITTER * (2 * self._random() - 1)))
