"""One process of the platform in the simulation: the real service, runtime and journal, on a loop of its own.

It starts as `bestex.process` starts it and ends as that ends it: in doubt, fenced, or killed. Whoever died is
started again after a pause, as by a supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import nats.errors
import structlog

from bestex import codec, keeper
from bestex.checkpoint import SUM_BYTES, Checkpoint
from bestex.clock import MS, SECOND, US
from bestex.config import Config
from bestex.core import Alarm
from bestex.errors import BusError, Fenced, Forbidden, StreamDamaged, StreamMismatch
from bestex.runtime import Runtime
from bestex.service import Service
from bestex.subjects import ROOT
from bestex.tape import decode_bus
from services.collector.service import Feeds
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk
from tests.faults.simulation.faults import Freeze, Kill, Line, Steps
from tests.faults.simulation.jetstream import Server
from tests.faults.simulation.link import LinkClient
from tests.faults.simulation.market import VirtualMarket
from tests.faults.simulation.venue import VenueFaults, VirtualVenue
from tests.faults.simulation.world import ProcessLoop, World

# As `bestex.process` has it: what a process ends with that lost its bus or its work. All else is a bug, and so is one
# that calls for a person: the streams here are sound.
EXCUSED = BusError, nats.errors.Error, TimeoutError
FINAL = StreamDamaged, StreamMismatch, Forbidden
RESTART_NS = SECOND  # a supervisor's pause and a process's start

EPOCHS = f"{ROOT}.epoch."

BuildService = Callable[[Config, tuple[str, ...]], Service]
Note = Callable[[str, str], None]


class ProcessClock:
    """The wall clock of one machine: the world's time, and what somebody set it off by."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.offset_ns = 0

    def now_ns(self) -> int:
        now_ns = self._world.now_ns + self.offset_ns
        return now_ns - now_ns % US

    def wall_seconds(self, duration_ns: int) -> float:
        return duration_ns / SECOND


class _Source:
    """What the collector hears of one venue."""

    def __init__(self, market: VirtualMarket, venue: str) -> None:
        self._market = market
        self._venue = venue

    async def run(self, deliver: Callable[[Any], None], now_ns: Callable[[], int]) -> None:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        self._market.listen(self._venue, partial(loop.enter, deliver))  # type: ignore[attr-defined]
        await loop.create_future()


def _take(_: str, act: Callable[[], None]) -> None:
    act()


class MemoryFiles:
    """The disk of one process: what it wrote is there for its next life. `look` is shown every checkpoint."""

    def __init__(self, look: Callable[[bytes], None]) -> None:
        self._held: dict[str, bytes] = {}
        self._look = look
        self.writes = 0

    def read(self, name: str) -> bytes | None:
        return self._held.get(name)

    def write(self, name: str, data: bytes) -> None:
        self._held[name] = data
        self.writes += 1
        if name.endswith(".checkpoint"):
            self._look(data)


class Life:
    """One process from its start to its end."""

    def __init__(self, world: World) -> None:
        self.loop = ProcessLoop(world)  # type: ignore[abstract]
        self.client: LinkClient | None = None
        self.sessions: dict[str, VirtualVenue] = {}

    def end(self) -> None:
        """Nothing of it runs any more, and its sockets are closed."""
        self.loop.kill()
        for session in self.sessions.values():
            session.close()
        if self.client is not None:
            self.client.close()


class Process:
    """A named place in the platform, taken by one life after another. Faults speak of the place."""

    def __init__(
        self,
        name: str,
        build: BuildService,
        config: Config,
        world: World,
        server: Server,
        market: VirtualMarket,
        venues: dict[str, VenueFaults],
        faults: Sequence[Kill | Freeze],
        line: Line,
        note: Note,
    ) -> None:
        self.name = name
        self.clock = ProcessClock(world)
        self.steps = Steps(list(faults), self._killed, self._frozen)
        self.lives = 0
        self.bugs: list[str] = []
        self.life = Life(world)
        self._living: list[Life] = []  # the newest, and whoever was thought dead and is not
        self._build = build
        self._config = config
        self._world = world
        self._server = server
        self._market = market
        self._venues = venues
        self.line = line
        self._note = note
        self._broken: set[str] = set()
        self.files = MemoryFiles(self._check)

    # -- life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A new life. The one before is over, or frozen and thought dead."""
        self.lives += 1
        life = self.life = Life(self._world)
        self._living = [one for one in self._living if one.loop.alive] + [life]
        life.loop.enter(lambda: life.loop.create_task(self._main(life)))

    def end(self) -> None:
        """The run is over, for whoever was thought dead as well."""
        for life in self._living:
            life.end()

    def _killed(self, life: Life, kill: Kill) -> None:
        self._note(self.name, f"killed {'after' if kill.after else 'before'} its step {kill.step}")
        self._over(life, kill.down_ms * MS)

    def _over(self, life: Life, down_ns: int = RESTART_NS) -> None:
        """The process is gone now, and another started after a while, unless its place was taken meanwhile."""
        life.end()
        if life is self.life:
            self._world.after(down_ns, self.start)

    async def _main(self, life: Life) -> None:
        """As `bestex.process` has it."""
        error: Exception | None = BusError("there is no bus")
        if self._server.up:
            name = f"{self.name}{self.lives}"
            client = LinkClient(
                self._server, self._world, life.loop, name, partial(self.steps.take, life), self.line
            )
            life.client = client
            try:
                service = self._on_virtual_time(self._build(self._config, ()), life)
                log = structlog.get_logger()
                runtime = Runtime(service, client, self._config, self.clock, log, None, self.files)  # type: ignore[arg-type]
                # What is contained is a bug all the same.
                runtime._effects.alarm = self._alarm  # type: ignore[method-assign]
                client.on_lost, client.on_back = runtime.doubt, runtime.renew_pulls
                starting = life.loop.create_task(runtime.start())
                await asyncio.wait([starting, runtime.stopped], return_when=asyncio.FIRST_COMPLETED)
                if starting.done():
                    await starting
                    self._note(self.name, "ready")
                    await asyncio.wait([runtime.stopped])
                error = runtime.stopped.result()
                if isinstance(error, Fenced):
                    with suppress(nats.errors.Error):
                        await runtime.give_back()
            except Exception as raised:  # noqa: BLE001 - as a process ends: with its last words
                error = raised
        if not life.loop.alive:
            return
        if isinstance(error, FINAL) or not isinstance(error, EXCUSED):
            self.bugs.append(f"ended: {error!r}")
        self._note(self.name, f"ended: {error!r}")
        self._over(life)

    def _alarm(self, alarm: Alarm) -> None:
        self.bugs.append(f"contained: {alarm.error!r}")

    def _on_virtual_time(self, service: Service, life: Life) -> Service:
        """The same service with its outside in the simulation."""
        if service.name == "collector":
            venues = self._config.enabled_venues()
            return replace(service, actor=Feeds({v: _Source(self._market, v) for v in venues}))
        if service.name == "gateway":
            life.sessions = {venue: self._session(venue, life) for venue in self._venues}
            core = service.core
            assert isinstance(core, GatewayCore), "a gateway's core"
            return replace(
                service, actor=Desk(life.sessions, core.anomalies, core.halted, core.holdings.by_venue)
            )
        return service

    def _session(self, venue: str, life: Life) -> VirtualVenue:
        session = VirtualVenue(
            venue,
            self._config,
            self.clock,
            self._world,
            self._market,
            life.loop,
            partial(self.steps.take, life),
            self._venues[venue],
        )
        if venue in self._broken:
            session.block()
        return session

    def keep(self) -> None:
        """Have a checkpoint made, by a process of its own that no fault strikes."""
        life = Life(self._world)
        line = Line([], self.line.seed)
        client = life.client = LinkClient(
            self._server, self._world, life.loop, f"{self.name}-keeper", _take, line
        )
        life.loop.enter(lambda: life.loop.create_task(self._keep(client, life)))

    async def _keep(self, client: LinkClient, life: Life) -> None:
        service = self._build(self._config, ())
        with suppress(*EXCUSED):
            await keeper.make(client, service, self._config, self.files, structlog.get_logger())  # type: ignore[arg-type]
        life.end()

    def _check(self, data: bytes) -> None:
        """What a checkpoint says is what its journal says, read whole."""
        made = codec.from_msgpack(data[SUM_BYTES:], Checkpoint)
        kept, whole = self._build(self._config, ()).core, self._build(self._config, ()).core
        assert isinstance(kept, GatewayCore), "nobody else keeps any"
        assert isinstance(whole, GatewayCore), "nobody else keeps any"
        kept.load(made.state)
        for stream, place in made.places.items():
            for stored in self._server.streams[stream].messages[: place.seq]:
                if stored is not None and not stored.subject.startswith(EPOCHS):
                    whole.apply(decode_bus(stored.subject, stored.data, stored.seq))
        if durable(kept) != durable(whole):
            self.bugs.append(f"a checkpoint at {made.places} is not what its journal says")

    # -- faults ------------------------------------------------------------------------------------------------

    def freeze(self, fault: Freeze) -> None:
        self._frozen(self.life, fault)

    def _replace(self, life: Life) -> None:
        if life is self.life and life.loop.alive:
            self.start()

    def _frozen(self, life: Life, fault: Freeze) -> None:
        """From the next turn of its loop on nothing of it runs, until it is thawed."""
        if not life.loop.alive or life.loop.frozen:
            return
        self._note(self.name, repr(fault))
        life.loop.freeze()
        if fault.successor and life is self.life:
            self._world.after(fault.for_ms * MS // 2, self._replace, life)
        self._world.after(fault.for_ms * MS, life.loop.thaw)

    def cut_line(self) -> None:
        for client in self._clients():
            client.lose()

    def mend_line(self) -> None:
        for client in self._clients():
            client.come_back()

    def cut_venue(self, venue: str) -> None:
        self._broken.add(venue)
        for session in self._sessions(venue):
            session.cut()

    def mend_venue(self, venue: str) -> None:
        self._broken.discard(venue)
        for session in self._sessions(venue):
            session.mend()

    def _clients(self) -> list[LinkClient]:
        return [life.client for life in self._living if life.loop.alive and life.client is not None]

    def _sessions(self, venue: str) -> list[VirtualVenue]:
        return [life.sessions[venue] for life in self._living if life.loop.alive and venue in life.sessions]


def durable(core: GatewayCore) -> tuple[Any, ...]:
    """All that comes from the journal, without the order in which things came: each venue has its own."""
    memory = core.memory
    ledger, drained_ns, seen, resting = core.controls.durable()
    queues = {queue: children for queue, children in resting.items() if children}
    of_orders = (
        memory.open,
        memory.last_fill_ns,
        memory.children,
        set(memory.ended),
        memory.known,
        memory.orphans,
    )
    holdings = [(one.wallet, one.perps, one.reserved) for one in core.holdings.accounts.values()]
    of_sums = dict(ledger.parents), ledger.places, drained_ns, dict(seen.records), seen.open, queues
    return *of_orders, *of_sums, holdings
