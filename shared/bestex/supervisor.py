"""`bestex up`: the bus, the streams and every service as processes of their own, kept alive until stopped.

Each service runs in a process group of its own, so that ctrl-C in a terminal reaches only the supervisor,
which then ends them in reverse order. What dies is started again with growing pauses; what says that it is
misconfigured, or finds a stream damaged, is not, because it would say so again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, bus_access, rights, streams
from bestex.bus_access import Access
from bestex.bus_address import ENV_URL
from bestex.bus_setup import Setup
from bestex.children import die_with_parent
from bestex.config import Config
from bestex.errors import BestexError
from bestex.server import NatsServer

READY_S_MAX = 30.0  # a cold start on a slow disk; a warm one takes about three seconds
STOP_S_MAX = 25.0  # a service drains its writes for up to 20 s
POLL_S = 0.05
PROBE_S_MAX = 1.0  # loopback answers in a millisecond
BACKOFF_S_MIN, BACKOFF_S_MAX = 0.1, 10.0
STABLE_S = 30.0  # a process that lived this long has earned a quick restart again
LOG_BYTES_MAX = 50_000_000  # a log beyond this is put aside at the next start, one is kept
LOG_TAIL_CHARS = 1_500

# Exit codes after which another start would end the same way, and what is then said.
STAYS_DOWN = {2: "is misconfigured", 4: "finds a stream damaged"}


class SupervisorError(BestexError):
    """The platform did not come up; `str()` says which service and why."""


@dataclass(frozen=True)
class ServiceSpec:
    """One process: `python -m services.<service> <names>`. The exchange stands outside the bus."""

    name: str
    service: str
    names: tuple[str, ...] = ()

    @property
    def on_bus(self) -> bool:
        return self.service != "exchange"


def service_specs(config: Config, algos: Sequence[str], *, split: bool = False) -> list[ServiceSpec]:
    """The processes in the order in which they start. `split`: one per venue, algorithm and symbol."""
    simulated = any(config.venues[venue].in_exchange for venue in config.enabled_venues())
    specs = [ServiceSpec("exchange", "exchange")] if simulated else []

    def each(service: str, names: Sequence[str]) -> None:
        if split:
            specs.extend(
                ServiceSpec(f"{service}-{name.replace('/', '-')}", service, (name,)) for name in names
            )
        else:
            specs.append(ServiceSpec(service, service, ("all",)))

    each("collector", config.enabled_venues())
    each("aggregator", tuple(config.instruments))
    specs.append(ServiceSpec("router", "router"))
    each("gateway", config.enabled_venues())
    each("scheduler", algos)
    specs.append(ServiceSpec("recorder", "recorder"))
    return specs


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # dead, to be started again after a pause
    DOWN = "down"  # what is wrong does not pass by itself
    STOPPED = "stopped"


@dataclass
class Restarts:
    """How long to wait before the next start: doubled each time, forgiven after a stable life."""

    count: int = 0
    pause_s: float = BACKOFF_S_MIN

    def next_pause_s(self, lived_s: float) -> float:
        if lived_s >= STABLE_S:
            self.pause_s = BACKOFF_S_MIN
        pause = self.pause_s
        self.pause_s = min(2 * pause, BACKOFF_S_MAX)
        self.count += 1
        return pause


@dataclass
class Child:
    """One supervised process. `reason` says why it last ended."""

    spec: ServiceSpec
    log_path: Path
    state: State = State.STARTING
    process: asyncio.subprocess.Process | None = None
    restarts: Restarts = field(default_factory=Restarts)
    reason: str = ""

    @property
    def pid(self) -> int:
        running = self.process is not None and self.process.returncode is None
        return self.process.pid if self.process is not None and running else 0

    def log_tail(self) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return text[-LOG_TAIL_CHARS:].strip()


class Supervisor:
    """Starts and keeps the platform. `tell` gets one sentence for every change that a person should see.

    `environment` is added to that of every service. `nats_url` names a bus that runs elsewhere; without it
    one is started in `data_dir`, with the roles of `setup`.
    """

    def __init__(
        self,
        config: Config,
        specs: Sequence[ServiceSpec],
        data_dir: Path,
        environment: dict[str, str],
        *,
        nats_url: str = "",
        nats_port: int = 0,
        setup: Setup | None = None,
        split: bool = False,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._config = config
        self._data_dir = data_dir.resolve()
        self._environment = environment
        self._nats_port = nats_port
        self._setup = setup
        self._split = split
        self._tell = tell
        logs = self._data_dir / "logs"
        self.children = [Child(spec, logs / f"{spec.name}.log") for spec in specs]
        self.url = nats_url
        self.server = None if nats_url else NatsServer(dies_with_parent=True)
        self._client: Client | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self._stopping = False
        # The kernel's "signal me when my parent dies" means the parent's thread, so the server is always
        # started from one thread that lives as long as we do.
        self._server_thread = ThreadPoolExecutor(1, "nats-server")

    def child(self, name: str) -> Child:
        return next(child for child in self.children if child.spec.name == name)

    # -- life -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when every service is ready. SupervisorError where one cannot be; then all is stopped."""
        try:
            await self._start_bus()
            await self._apply_streams()
            self._client = await bus.connect(self.access(rights.MONITOR), "bestex-up")
            for child in self.children:
                child.log_path.parent.mkdir(parents=True, exist_ok=True)
                await self._spawn(child)
                self._keepers.append(asyncio.create_task(self._keep(child)))
            if self.server is not None:
                self._keepers.append(asyncio.create_task(self._keep_bus(self.server)))
            await self._await_ready()
            self._keepers.append(asyncio.create_task(self._watch_readiness()))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything in reverse order: asked first, then, after a bounded wait, killed by its id."""
        self._stopping = True
        for keeper in self._keepers:
            keeper.cancel()
        for child in reversed(self.children):
            await self._end(child)
        if self._client is not None:
            await self._client.close()
        if self.server is not None:
            await self._in_server_thread(self.server.stop)
        self._server_thread.shutdown()

    def access(self, role: str) -> Access:
        """The way onto this platform's bus for `role`."""
        return bus_access.find(self._config, role, self.url)

    @property
    def user(self) -> Access:
        """What a client of any kind needs to know."""
        return self.access(rights.USER)

    # -- the bus --------------------------------------------------------------------------------------------

    async def _start_bus(self) -> None:
        server = self.server
        if server is not None:
            folder, host = self._data_dir / "nats", self._config.bus.host
            self.url = str(
                await self._in_server_thread(
                    lambda: server.start(folder, self._nats_port, host=host, setup=self._setup)
                )
            )

    async def _apply_streams(self) -> None:
        client = await bus.connect(self.access(rights.PROVISIONER), "bestex-up-streams")
        try:
            await streams.apply(client, self._config, split=self._split)
        finally:
            await client.close()

    async def _keep_bus(self, server: NatsServer) -> None:
        restarts, began = Restarts(), time.monotonic()
        while True:
            await asyncio.sleep(POLL_S)
            if server.is_running:
                continue
            pause = restarts.next_pause_s(time.monotonic() - began)
            self._tell(f"nats-server died; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self._in_server_thread(server.restart)
            except BestexError as error:
                self._tell(str(error))

    async def _in_server_thread(self, work: Callable[[], object]) -> object:
        return await asyncio.get_running_loop().run_in_executor(self._server_thread, work)

    # -- one process ----------------------------------------------------------------------------------------

    async def _spawn(self, child: Child) -> None:
        environment = {**os.environ, **self._environment, ENV_URL: self.url, "PYTHONUNBUFFERED": "1"}
        if child.log_path.exists() and child.log_path.stat().st_size > LOG_BYTES_MAX:
            child.log_path.replace(child.log_path.with_suffix(".log.1"))
        child.state = State.STARTING
        with child.log_path.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{child.spec.service}",
                *child.spec.names,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def _keep(self, child: Child) -> None:
        """Start the child again whenever it ends, until we stop."""
        while child.process is not None:
            began = time.monotonic()
            code = await child.process.wait()
            if self._stopping:
                return
            child.reason = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
            if code in STAYS_DOWN:
                child.state, child.reason = State.DOWN, STAYS_DOWN[code]
                self._tell(f"{child.spec.name} {child.reason} and stays down: {child.log_tail()}")
                return
            child.state = State.WAITING
            pause = child.restarts.next_pause_s(time.monotonic() - began)
            self._tell(f"{child.spec.name} {child.reason}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            await self._spawn(child)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_S_MAX)
            except TimeoutError:
                self._tell(f"{child.spec.name} did not stop within {STOP_S_MAX:g} s; killing it")
                process.kill()
                await process.wait()
        if child.state is not State.DOWN:
            child.state = State.STOPPED

    # -- readiness ------------------------------------------------------------------------------------------

    async def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_S_MAX
        while not all(child.state is State.READY for child in self.children):
            for child in self.children:
                if child.state is State.DOWN:
                    raise SupervisorError(f"{child.spec.name} {child.reason}: {child.log_tail()}")
            if time.monotonic() > deadline:
                late = next(child for child in self.children if child.state is not State.READY)
                raise SupervisorError(
                    f"{late.spec.name} was not ready within {READY_S_MAX:g} s"
                    f"{f' ({late.reason})' if late.reason else ''}: {late.log_tail()}"
                )
            await self._look()

    async def _watch_readiness(self) -> None:
        """After the start: restarted services become ready by the same signs."""
        while True:
            await asyncio.sleep(POLL_S)
            if any(child.state is State.STARTING for child in self.children):
                await self._look()

    async def _look(self) -> None:
        """Mark as ready whoever answers now."""
        assert self._client is not None, "the bus is connected before anything is looked at"
        ready = await answering_pids(self._client, POLL_S)
        for child in self.children:
            if child.state is State.STARTING and (
                child.pid in ready if child.spec.on_bus else await exchange_is_ready(self._config)
            ):
                child.state = State.READY
                if child.restarts.count:
                    self._tell(f"{child.spec.name} is ready again, process {child.pid}")


async def exchange_is_ready(config: Config) -> bool:
    """Whether the simulated exchange answers /readyz with 200 at once."""
    try:
        reader, writer = await asyncio.open_connection(config.exchange.host, config.exchange.port)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.0\r\nHost: exchange\r\n\r\n")
        status = await asyncio.wait_for(reader.readline(), PROBE_S_MAX)
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
    return b" 200 " in status


class _Ping(msgspec.Struct, frozen=True):
    metadata: dict[str, str] = {}


_ping = msgspec.json.Decoder(_Ping)


async def answering_pids(client: Client, wait_s: float) -> set[int]:
    """The process ids of all services that answer $SRV.PING within `wait_s`; a service announces itself
    when it is ready, and its id in its metadata."""
    found: set[int] = set()

    async def take(message: Msg) -> None:
        if message.data:  # an account without a service says so with an empty message
            found.add(int(_ping.decode(message.data).metadata.get("pid", "0")))

    inbox = client.new_inbox()
    try:
        subscription = await client.subscribe(inbox, cb=take)
        await client.publish("$SRV.PING", b"", reply=inbox)
        await asyncio.sleep(wait_s)
        await subscription.unsubscribe()
    except nats.errors.Error:
        await asyncio.sleep(wait_s)  # the bus is away for a moment: nobody answers
    return found
