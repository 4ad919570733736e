"""A core on the live bus.

One input at a time: decide, apply, queue. What was decided is stored in order per lane (an order's history);
the effects of a fact are released when it is stored; the input is acknowledged when all of its facts and
commands are. Any doubt about a write ends the process: recovery is the start-up path.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import codec, pull, reading, recovery, streams
from bestex.acks import Acks, Underway
from bestex.checkpoint import EVERY, Checkpoints
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.core import BusBack, BusLost, Effect, Emit, Fact, Publish, Recovered, Wakeup
from bestex.effects import Effects
from bestex.epochs import Epochs
from bestex.errors import BusError
from bestex.footing import Footing
from bestex.journal import Journal
from bestex.marks import MARKS, DiskFiles, Files, Marks
from bestex.metrics import RuntimeMetrics
from bestex.service import Service
from bestex.subjects import ROOT, stream_of
from bestex.tape import UNREADABLE, Tape, decode_bus
from bestex.timers import Timers

PUBLISH_CONCURRENCY = 64  # commands published again at once after a restart
LOOK_AGAIN_S = 60.0  # an order that hangs for a minute is a nuisance, one that hangs for good is lost
TAPE_FLUSH_S = 2.0
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
    number: int


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
        files: Files | None = None,
    ) -> None:
        self.service = service
        self._client, self._config = client, config
        self._clock, self._log, self._tape = clock, log, tape
        self._metrics = RuntimeMetrics(service.name)
        name, files = service.label, files or DiskFiles(Path(config.data_dir) / MARKS)
        writer = f"{name}.{os.getpid()}.{clock.now_ns()}"
        self._marks = Marks(client, files, name, clock, log)
        self._checkpoints = Checkpoints(client, service, config, files, log)
        self._epochs = Epochs(client, service.claims, writer, clock, self.fail)
        self._footing = Footing(
            client,
            clock,
            log,
            check=self._check,
            epoch=self._epochs.of,
            fail=self.fail,
            lost=lambda: self._tell(BusLost()),
            back=lambda: self._tell(BusBack()),
        )
        self._journal = Journal(client, writer, stream_of, self._footing, self._marks.saw)
        self._lanes: dict[str, deque[_Step]] = {}
        self._timers = Timers(clock, lambda key: self.receive(Wakeup(key)), self.fail)
        self._newest: dict[str, bytes] = {}
        self._effects = Effects(client, service.actor, self._footing, self._spawn, log, self._metrics)
        self._acks = Acks(self._footing.confirmed)
        self._underway = Underway(self._acks.add)
        self._pulls: list[pull.StandingPull] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.unkept = 0  # messages of the journal that no checkpoint holds
        self._recovered = False
        self.ready = False
        self.stopping = False
        self.stopped: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    # -- life ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Verify the streams, take the work, apply the journal, then open the inputs. Ready when it returns."""
        client, service = self._client, self.service
        asked = self._footing.asks()
        self._marks.load()
        infos = await streams.verify(client, self._config, service.streams)
        await self._marks.verify(infos, service.streams)
        await self._epochs.claim()
        self._footing.start(asked)
        floors = await recovery.read_floors(client, service)
        commands = await self._recover(infos, floors)
        self._marks.save()
        self._spawn(self._marks.keep())
        await recovery.hear_settings(client, service, self._on_live, self._hear)
        for pattern in service.hears:
            # Before the actor, which takes a while to be ready: what was said meanwhile is known when orders come.
            await client.subscribe(pattern, cb=self._on_live)
        if service.actor is not None:
            await service.actor.start(self._deliver_local, self._clock.now_ns, self._footing.may_send)
        self.receive(Recovered())
        self._recovered = True
        if not client.is_connected:
            self._tell(BusLost())
        await self._publish_again(commands)
        await recovery.read_missing(client, service, self._hear)
        for read in service.reads:
            if read.durable:
                await pull.ensure_consumer(client, read.stream, read.durable, read.subjects)
                await recovery.read_waiting(client, read, floors[read], self._hear)
        self._timers.start()
        self._spawn(self._look_again())
        if self._tape is not None:
            self._spawn(self._flush_tape(self._tape))
        for read in service.reads:
            if read.durable:
                take = partial(self._on_delivery, floors[read])
                standing = pull.StandingPull(client, read.stream, read.durable, take, self.fail)
                self._pulls.append(standing)
                await standing.start()
        self.ready = True

    async def _recover(self, infos: Mapping[str, dict[str, Any]], floors: recovery.Floors) -> list[Publish]:
        keeps = self.service.keeps is not None
        # A tape holds all that its core was given, so with one the journal is read whole.
        kept = await self._checkpoints.find(infos) if keeps and self._tape is None else None
        into = self._journal, self._timers, self._marks, self._tape
        read = recovery.Recovery(self._client, self.service, *into)
        commands = await read.read(infos, floors, kept)
        self._log.info("recovered", commands=len(commands), applied=read.applied, checkpoint=kept is not None)
        self.unkept = read.applied
        if keeps and read.applied >= EVERY:
            read.keep(self._checkpoints)
            self.unkept = 0
        return commands

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
        self._footing.stop()
        self._marks.save()
        await self._epochs.release()
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

    async def _check(self) -> None:
        """That this process is still the one at its work, on the streams that it knows."""
        await self._epochs.check()
        await self._marks.check()

    def doubt(self) -> None:
        """The connection to the bus is down, or was: who is at work is asked before anything leaves."""
        self._footing.doubt()

    def renew_pulls(self) -> None:
        self._footing.doubt()
        for standing in self._pulls:
            standing.renew()
        self._spawn(self._read_settings())

    async def _read_settings(self) -> None:
        """A halt that was said while the connection was down was not heard. Where it cannot be read now, the process
        ends, and reads it at its start."""
        await recovery.read_settings(self._client, self.service, self._hear)

    async def give_back(self) -> None:
        """Its work is another's now, and so is what it was given and had not done."""
        await self._acks.give_back()

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

    async def _look_again(self) -> None:
        """What `missing` names, now and then: no order hangs for good, whatever became of an input."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await recovery.read_missing(self._client, self.service, self._hear)
            except (BusError, nats.errors.Error) as error:
                self._log.warning("could not look again", error=repr(error))

    # -- inputs ----------------------------------------------------------------------------------------------

    def _on_delivery(self, floor: int, delivery: pull.Delivery) -> None:
        self._acks.expect(delivery)
        if self.stopped.done():
            return  # it is given back, or comes again
        if delivery.seq < floor:
            self._acks.add(delivery)  # a server has forgotten that it was acknowledged
            return
        self._marks.saw(delivery.stream, delivery.seq, delivery.subject, delivery.data)
        self.receive_bus(delivery.subject, delivery.data, delivery.seq, delivery)

    def _hear(self, kept: reading.Kept) -> None:
        """What is read at the start, or once more: it was acknowledged, or comes again for that."""
        self.receive_bus(kept.subject, kept.data, kept.seq, None)

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
        try:
            message = decode_bus(subject, data, seq)
        except UNREADABLE as error:
            # Another's words, of which nothing can follow, and nothing does: they stay unacknowledged and come
            # again, this alarm with them, until a person has seen to it. All other orders go on.
            self._metrics.unreadable.inc()
            self._log.error("unreadable", subject=subject, seq=seq, error=str(error))
            if delivery is not None:
                self._acks.leave_open(delivery)
            return
        if self._tape is not None:
            self._tape.heard(subject, data, seq, now_ns)
        self._decide(message, now_ns, delivery)

    def _tell(self, message: BusLost | BusBack) -> None:
        """Not before the journal has been applied and the actor started: until then nothing is at work here."""
        if self._recovered:
            self._deliver_local(message)

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
                later = [effect for effect in effects if not self._timers.take(effect)]
                self._queue(_Step(out, later, incoming, self._underway.begin()))
            elif not self._timers.take(out):
                if self._tape is not None and isinstance(out, Emit):
                    self._tape.emitted(out, now_ns)
                self._effects.release(out)
        if delivery is not None and not incoming.open:
            self._underway.acknowledge_after(delivery)

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
                self._underway.end(step.number)
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
        self.unkept += 1

    async def _release(self, effects: list[Effect]) -> None:
        commands = [effect for effect in effects if isinstance(effect, Publish)]
        if len(commands) == 1:
            await self._publish_one(commands[0])
        elif commands:
            await self._publish_again(commands)
        for effect in effects:
            self._effects.release(effect)

    # -- tasks -----------------------------------------------------------------------------------------------

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))

    async def _flush_tape(self, tape: Tape) -> None:
        while True:
            await asyncio.sleep(TAPE_FLUSH_S)
            tape.flush()


Build = Callable[[Config, tuple[str, ...]], Service]
