"""A core on the live bus.

One input at a time: decide, apply, queue. What was decided is stored in order per lane (an order's history);
the effects of a fact are released when it is stored; the input is acknowledged when all of its facts and
commands are. Any doubt about a write ends the process: recovery is the start-up path.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import codec, pull, reading, streams
from bestex.acks import Acks
from bestex.asking import ask
from bestex.bus_access import api_subject
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.core import Call, Effect, Emit, Fact, Publish, Recovered, Wakeup
from bestex.errors import BusError
from bestex.journal import Journal, stream_of
from bestex.metrics import RuntimeMetrics
from bestex.service import Read, Service
from bestex.subjects import ROOT, history
from bestex.tape import Tape, decode_bus, encode_live
from bestex.timers import Timers

MISSING_BATCH = 64  # histories asked for at once; each is a filter of its own
PUBLISH_CONCURRENCY = 64  # commands published again at once after a restart
LOOK_AGAIN_S = 60.0  # an order that hangs for a minute is a nuisance, one that hangs for good is lost
WATCHDOG_INTERVAL_S = 2.0
WATCHDOG_FAILURES_MAX = 5  # connected, but no answer five times: the connection is dead and does not know
DRAIN_S = 20.0  # how long writes in flight may take at a clean stop
BOOKS = f"{ROOT}.book."  # where only the newest counts


@dataclass(slots=True)
class _Input:
    """An input on its way: acknowledged when nothing of it is open."""

    delivery: pull.Delivery | None
    open: int = 0


@dataclass(slots=True)
class _Step:
    fact: Fact
    effects: list[Effect]
    input: _Input


class Runtime:
    """Runs one service. `stopped` is set with the reason when it must end."""

    def __init__(
        self,
        service: Service,
        client: Client,
        config: Config,
        clock: AffineClock,
        log: structlog.stdlib.BoundLogger,
        tape: Tape | None = None,
    ) -> None:
        self.service = service
        self._client = client
        self._config = config
        self._clock = clock
        self._log = log
        self._tape = tape
        self._metrics = RuntimeMetrics(service.name)
        writer = f"{service.name}-{'-'.join(service.names) or 'all'}.{os.getpid()}.{clock.now_ns()}"
        self._journal = Journal(client, writer, stream_of)
        self._lanes: dict[str, deque[_Step]] = {}
        self._timers = Timers(clock, lambda key: self.receive(Wakeup(key)), self.fail)
        self._newest: dict[str, bytes] = {}
        self._outbox: deque[Emit] = deque()
        self._acks = Acks()
        self._pulls: list[pull.StandingPull] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = False
        self.stopping = False
        self.stopped: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    # -- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Verify the streams, apply the journal, then open the inputs. Ready when it returns."""
        await streams.verify(self._client, self._config, self.service.streams)
        commands = await self._recover()
        await self._read_settings()
        if self.service.actor is not None:
            await self.service.actor.start(self._deliver_local, self._clock.now_ns)
        self.receive(Recovered())
        await self._publish_again(commands)
        await self._read_missing()
        self._timers.start()
        self._spawn(self._watchdog())
        self._spawn(self._look_again())
        for pattern in self.service.hears:
            await self._client.subscribe(pattern, cb=self._on_live)
        for read in self.service.reads:
            if read.durable:
                await pull.ensure_consumer(self._client, read.stream, read.durable, read.subjects)
                await self._read_unacknowledged(read)
                standing = pull.StandingPull(
                    self._client, read.stream, read.durable, self._on_delivery, self.fail
                )
                self._pulls.append(standing)
                await standing.start()
        self.ready = True

    async def stop(self) -> None:
        """Take nothing more in, store and release what was decided, then let go."""
        self.ready, self.stopping = False, True
        for standing in self._pulls:
            await standing.stop()
        self._timers.stop()
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        while self._lanes and not self.stopped.done() and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait(list(self._tasks), timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
        if self.service.actor is not None:
            await self.service.actor.stop()
        await self._acks.flush()
        for task in list(self._tasks):
            task.cancel()
        if self._tape is not None:
            self._tape.close()

    @property
    def is_ready(self) -> bool:
        """Whether orders may be entrusted to this process now."""
        return self.ready and self._client.is_connected and not self.stopped.done()

    def fail(self, error: Exception) -> None:
        """End the process: whatever is in doubt is looked up again at the next start."""
        if not self.stopped.done():
            self.stopped.set_result(error)

    def renew_pulls(self) -> None:
        for standing in self._pulls:
            standing.renew()

    # -- recovery --------------------------------------------------------------------------------------------

    async def _recover(self) -> list[Publish]:
        """Apply the journal; the commands of histories that have not ended."""
        commands: dict[str, list[Publish]] = {}
        core = self.service.core

        def take(delivery: reading.Kept) -> None:
            event = decode_bus(delivery.subject, delivery.data, delivery.seq)
            if self._tape is not None:
                self._tape.applied(delivery.subject, delivery.data)
            effects = core.apply(event)
            of = history(delivery.subject)
            for effect in effects:
                if isinstance(effect, Publish):
                    commands.setdefault(of, []).append(effect)
                else:
                    self._timers.take(effect)
            if getattr(event, "ends", False):
                commands.pop(of, None)
                self._journal.forget(delivery.subject)
            elif not getattr(event, "aside", False):
                self._journal.learn(delivery.subject, delivery.seq)

        count = 0
        for read in self.service.journal:
            count += await reading.read_all(self._client, read.stream, read.subjects, take)
        again = [command for of in commands.values() for command in of]
        self._log.info("recovered", events=count, commands=len(again))
        return again

    async def _publish_again(self, commands: Sequence[Publish]) -> None:
        """Commands that follow from stored decisions; those that were published before are there already."""
        limit = asyncio.Semaphore(PUBLISH_CONCURRENCY)

        async def one(command: Publish) -> None:
            async with limit:
                await self._publish_one(command)

        await asyncio.gather(*(one(command) for command in commands))

    async def _publish_one(self, command: Publish) -> None:
        if not await self._journal.create(command.subject, codec.to_json(command.message)):
            # What was sent first holds. The same decision said in other words is a change of the code, or a bug.
            self._log.error("a command stands there in other words", subject=command.subject)

    async def _read_settings(self) -> None:
        for read in self.service.reads:
            if not read.durable:
                # Heard first and read second: a setting that changes meanwhile arrives twice, never not at all.
                for pattern in read.subjects:
                    await self._client.subscribe(pattern, cb=self._on_live)
                await reading.read_all(
                    self._client, read.stream, read.subjects, self._on_kept, deliver="last_per_subject"
                )

    async def _read_missing(self) -> None:
        for stream, filters in self.service.missing().items():
            for start in range(0, len(filters), MISSING_BATCH):
                await reading.read_all(
                    self._client,
                    stream,
                    filters[start : start + MISSING_BATCH],
                    self._on_kept,
                    deliver="last_per_subject",
                )

    async def _read_unacknowledged(self, read: Read) -> None:
        """What was delivered to this consumer's last process and not acknowledged. The server would bring it
        again only after the acknowledgement's time-out; it does that too, and then it changes nothing."""
        first, last = await pull.in_flight(self._client, read.stream, read.durable)

        def take(delivery: reading.Kept) -> None:
            if delivery.seq <= last:
                self.receive_bus(delivery.subject, delivery.data, delivery.seq, None)

        if first <= last:
            await reading.read_all(self._client, read.stream, read.subjects, take, start_seq=first)

    async def _look_again(self) -> None:
        """What `missing` names, now and then: a process at the same work that was frozen, woke and died may have
        acknowledged it in our place and told nobody."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await self._read_missing()
            except (BusError, nats.errors.Error) as error:
                self._log.warning("could not look again", error=repr(error))

    # -- inputs ----------------------------------------------------------------------------------------------

    def _on_kept(self, kept: reading.Kept) -> None:
        self.receive_bus(kept.subject, kept.data, kept.seq, None)

    def _on_delivery(self, delivery: pull.Delivery) -> None:
        self.receive_bus(delivery.subject, delivery.data, delivery.seq, delivery)

    async def _on_live(self, message: Msg) -> None:
        try:
            if message.subject.startswith(BOOKS):
                # A burst is worked off with its newest book only.
                if not self._newest:
                    asyncio.get_running_loop().call_soon(self._take_newest)
                self._newest[message.subject] = message.data
            else:
                self.receive_bus(message.subject, message.data, 0, None)
        except Exception as error:  # noqa: BLE001 - nats-py would only log it; the process must end
            self.fail(error)

    def _take_newest(self) -> None:
        newest, self._newest = self._newest, {}
        for subject, data in newest.items():
            self.receive_bus(subject, data, 0, None)

    def receive_bus(self, subject: str, data: bytes, seq: int, delivery: pull.Delivery | None) -> None:
        now_ns = self._clock.now_ns()
        if self._tape is not None:
            self._tape.heard(subject, data, seq, now_ns)
        self._decide(decode_bus(subject, data, seq), now_ns, delivery)

    def _deliver_local(self, message: Any) -> None:
        try:
            self.receive(message)
        except Exception as error:  # noqa: BLE001 - raised into an adapter's task it would be lost
            self.fail(error)

    def receive(self, message: Any) -> None:
        now_ns = self._clock.now_ns()
        if self._tape is not None:
            self._tape.local(message, now_ns)
        self._decide(message, now_ns, None)

    def _decide(self, message: Any, now_ns: int, delivery: pull.Delivery | None) -> None:
        incoming = _Input(delivery)
        core = self.service.core
        self._metrics.inputs.inc()
        for out in core.decide(message, now_ns):
            if isinstance(out, Fact):
                effects = list(core.apply(out.event))
                if self._tape is not None:
                    self._tape.decided(out, now_ns)
                self._queue(_Step(out, [e for e in effects if not self._timers.take(e)], incoming))
            elif not self._timers.take(out):
                if self._tape is not None and isinstance(out, Emit):
                    self._tape.emitted(out, now_ns)
                self._release_now(out)
        if delivery is not None and not incoming.open:
            self._acks.add(delivery)

    # -- storing and releasing -------------------------------------------------------------------------------

    def _queue(self, step: _Step) -> None:
        step.input.open += 1
        lane = self._lanes.get(step.fact.lane)
        if lane is None:
            lane = self._lanes[step.fact.lane] = deque()
            self._spawn(self._work(step.fact.lane, lane))
        lane.append(step)

    async def _work(self, name: str, lane: deque[_Step]) -> None:
        while lane:
            steps = [lane[0]]
            if steps[0].fact.once:
                # Facts with a subject of their own need no order among themselves.
                for step in list(lane)[1:]:
                    if not step.fact.once:
                        break
                    steps.append(step)
                await asyncio.gather(*(self._store(step.fact) for step in steps))
            else:
                await self._store(steps[0].fact)
            for step in steps:
                await self._release(step.effects)
                lane.popleft()
                step.input.open -= 1
                if not step.input.open and step.input.delivery is not None:
                    self._acks.add(step.input.delivery)
        del self._lanes[name]

    async def _store(self, fact: Fact) -> None:
        payload = codec.to_json(fact.event)
        if fact.once:
            await self._journal.create(fact.subject, payload)
        else:
            await self._journal.append(fact.subject, payload, aside=getattr(fact.event, "aside", False))
            if getattr(fact.event, "ends", False):
                self._journal.forget(fact.subject)
        self._metrics.facts.inc()

    async def _release(self, effects: list[Effect]) -> None:
        commands = [effect for effect in effects if isinstance(effect, Publish)]
        if len(commands) == 1:
            await self._publish_one(commands[0])
        elif commands:
            await self._publish_again(commands)
        for effect in effects:
            self._release_now(effect)

    def _release_now(self, effect: Effect) -> None:
        if isinstance(effect, Call):
            assert self.service.actor is not None, "a core that calls has an actor"
            self.service.actor.call(effect.request)
        elif isinstance(effect, Emit):
            if not self._outbox:
                self._spawn(self._send_outbox())
            self._outbox.append(effect)

    async def _send_outbox(self) -> None:
        """One task sends what a burst of inputs emitted, in order."""
        while self._outbox:
            effect = self._outbox[0]
            with suppress(nats.errors.Error):  # live plane: what cannot go now is worth nothing later
                await self._client.publish(effect.subject, encode_live(effect))
            self._outbox.popleft()

    # -- tasks -----------------------------------------------------------------------------------------------

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _watchdog(self) -> None:
        """nats-py can look connected while every request hangs; then only a new process helps."""
        failures = 0
        while True:
            await asyncio.sleep(WATCHDOG_INTERVAL_S)
            if self._tape is not None:
                self._tape.flush()
            if not self._client.is_connected:
                failures = 0
                continue
            try:
                await ask(self._client, api_subject(self._client, "INFO"), b"", WATCHDOG_INTERVAL_S)
                failures = 0
            except (nats.errors.Error, TimeoutError):
                failures += 1
                self._log.warning("the bus does not answer", failures=failures)
                if failures >= WATCHDOG_FAILURES_MAX:
                    self.fail(TimeoutError("the bus does not answer though it looks connected"))


Build = Callable[[Config, tuple[str, ...]], Service]
