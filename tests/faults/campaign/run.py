"""One campaign: start everything, let faults rain on it, wait for all ends, and judge."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import nats.errors
from nats.aio.client import Client

from bestex import bus, plugins, streams, subjects
from bestex import config as configuration
from bestex.config import Config
from bestex.errors import BusError
from bestex.ports import free_port
from bestex.supervisor import service_specs
from tests.emulators.outside import Outside
from tests.faults.campaign import verdict
from tests.faults.campaign.load import Load, caught_up
from tests.faults.campaign.orders import Orders, new_run
from tests.faults.campaign.plan import (
    Fault,
    Kind,
    Settings,
    VenuesOf,
    server_faults,
    service_faults,
    venue_troubles,
)
from tests.faults.campaign.processes import Processes
from tests.faults.campaign.servers import Servers
from tests.faults.campaign.venues import EMULATED, SIMULATED, emulated_toml, specs_of

STREAMS_S_MAX = 30.0  # three servers elect a leader first
RETRY_S = 0.1
CAUGHT_UP_S = 30.0
HEALS_S_MAX = 30.0  # from the end of a server's fault until the bus takes writes again

PROBE = "probe.x"
PROBE_S = 1.0


@dataclass
class Rig:
    """A platform at work, in a directory that goes with it: what a fault may be done to."""

    folder: Path
    config: Config
    servers: Servers
    processes: Processes
    load: Load
    client: Client
    emulated: Outside | None = None

    @property
    def journals(self) -> Path:
        return self.folder / "data" / "exchange"

    @property
    def database(self) -> Path:
        return self.folder / "data" / "bestex.db"

    async def takes_writes(self) -> None:
        """Returns when the bus acknowledges a write to a stream of the campaign's own; TimeoutError."""
        async with asyncio.timeout(HEALS_S_MAX):
            while True:
                with suppress(nats.errors.Error, TimeoutError):
                    if (await bus.publish(self.client, PROBE, b"", timeout=PROBE_S)).error is None:
                        return
                await asyncio.sleep(RETRY_S)


@asynccontextmanager
async def rig(
    *,
    replicas: int = 1,
    seed: int = 1,
    in_flight: int = 60,
    store: Path | None = None,
    split: bool = True,
    venues: VenuesOf = "sim",
) -> AsyncIterator[Rig]:
    """Everything started and orders on their way; everything ended afterwards, whatever happened.

    `store`: where the bus keeps its streams, a file system of its own for example.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bestex-campaign-")))
        emulated = None
        if venues != "sim":
            emulated = await stack.enter_async_context(Outside(folder / "world", EMULATED[venues], seed))
        (folder / "bestex.toml").write_text(emulated_toml(emulated) if emulated else SIMULATED)
        environment = {
            "BESTEX_CONFIG": str(folder / "bestex.toml"),
            "BESTEX__DATA_DIR": str(folder / "data"),
            "BESTEX__RECORDER__DATABASE": str(folder / "data" / "bestex.db"),
            "BESTEX__EXCHANGE__PORT": str(free_port()),
            "BESTEX__BUS__REPLICAS": str(replicas),
            "BESTEX_LOG_LEVEL": "WARNING",
        }
        (folder / "data").mkdir()
        config = configuration.load(environment["BESTEX_CONFIG"], environment)
        specs = specs_of(config) if emulated else service_specs(config, tuple(plugins.ALGOS), split=split)
        names = [spec.name for spec in streams.specs(config) if spec.name != subjects.METRICS]

        async def renew() -> None:
            load.renew()

        servers = await stack.enter_async_context(Servers(store or folder / "bus", replicas))
        client = await bus.connect(servers.url, "campaign", on_reconnected=renew)
        stack.push_async_callback(client.close)
        load = Load(client, Orders(seed, new_run()), in_flight, names)
        await _apply(client, config)
        async with Processes(config, folder, environment, servers.url, specs) as processes:
            await load.start()
            yield Rig(folder, config, servers, processes, load, client, emulated)
            await load.close()


async def _apply(client: Client, config: Config) -> None:
    deadline = time.monotonic() + STREAMS_S_MAX
    while True:
        try:
            await streams.apply(client, config)
            probe = {"name": "PROBE", "subjects": [PROBE], "num_replicas": config.bus.replicas}
            await bus.api(client, "STREAM.CREATE.PROBE", probe)
        except BusError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(RETRY_S)
        else:
            return


async def finish(work: Rig) -> list[str]:
    """Nothing more is broken: wait for all ends; what is wrong with that."""
    problems: list[str] = []
    if work.emulated is not None:
        await work.emulated.clear()
    try:
        await work.processes.all_ready()
    except TimeoutError as error:
        problems.append(str(error))
    problems += await work.load.stop()
    behind = await caught_up(work.client, list(work.load.notes.seen), CAUGHT_UP_S)
    return [*problems, *(f"the recorder has not caught up with {stream}" for stream in behind)]


async def campaign(
    settings: Settings, tell: Callable[[str], None], keep: Path | None = None
) -> verdict.Result:
    """The whole of it; everything stored goes to `keep` where something was wrong. What it raises is a fault of the
    campaign, not of the platform."""
    began = time.monotonic()
    async with rig(
        replicas=settings.replicas,
        seed=settings.seed,
        in_flight=settings.in_flight,
        split=settings.split,
        venues=settings.venues,
    ) as work:
        tell(f"{len(work.processes.slots)} processes are ready after {time.monotonic() - began:.1f} s")
        counts = verdict.Counts()
        telling = asyncio.create_task(_tell(work, tell))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_hit_services(work, settings))
                group.create_task(_hit_servers(work, settings, counts))
                if work.emulated is not None:
                    group.create_task(_hit_venues(work.emulated, settings))
        finally:
            telling.cancel()
        tell(f"{time.monotonic() - began:5.0f} s: the last fault is over; waiting for all ends")
        problems = await finish(work)
        tell(f"{time.monotonic() - began:5.0f} s: all has ended; judging")
        result = await verdict.judge(work, settings, counts, problems)
        tell(f"{time.monotonic() - began:5.0f} s: judged; stopping")
        if keep is not None and not result.ok:
            shutil.copytree(work.folder, keep, dirs_exist_ok=True)
    result.duration_s = round(time.monotonic() - began, 1)
    return result


async def _tell(work: Rig, tell: Callable[[str], None]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(10)
        tell(
            f"{time.monotonic() - began:5.0f} s: {sum(work.processes.kills.values())} kills, "
            f"{work.load.children} children, {sum(work.load.ended.values())} parents ended"
        )


async def _hit_services(work: Rig, settings: Settings) -> None:
    began = time.monotonic()
    lasting: list[asyncio.Task[None]] = []
    for fault in service_faults(settings, work.processes.services):
        await asyncio.sleep(max(began + fault.at_s - time.monotonic(), 0))
        match fault.kind:
            case Kind.KILL:
                await work.processes.mostly_ready()
                while not work.processes.kill(fault.target):  # noqa: ASYNC110 - it is just being started
                    await asyncio.sleep(RETRY_S)
            case Kind.STOP:
                work.processes.ask_to_stop(fault.target)
            case Kind.FREEZE:
                lasting.append(asyncio.create_task(work.processes.freeze(fault.target, fault.for_s)))
            case Kind.REPLACE:
                lasting.append(asyncio.create_task(work.processes.replace(fault.target, fault.for_s)))
    await asyncio.gather(*lasting)


async def _hit_venues(emulated: Outside, settings: Settings) -> None:
    began = time.monotonic()
    for trouble in venue_troubles(settings, list(emulated.urls)):
        await asyncio.sleep(max(began + trouble.at_s - time.monotonic(), 0))
        if trouble.faults:
            await emulated.fail(trouble.exchange, trouble.faults)
        else:
            await emulated.cut(trouble.exchange)


async def _hit_servers(work: Rig, settings: Settings, counts: verdict.Counts) -> None:
    """One after the other: two servers of three at once would be more than a cluster promises to survive."""
    began = time.monotonic()
    for fault in server_faults(settings):
        await asyncio.sleep(max(began + fault.at_s - time.monotonic(), 0))
        hit_at = time.monotonic()
        await _hit_server(work.servers, fault)
        counts.servers[fault.kind] += 1
        await work.takes_writes()
        if fault.kind is Kind.KILL:
            counts.bus_recoveries_s.append(time.monotonic() - hit_at)


async def _hit_server(servers: Servers, fault: Fault) -> None:
    number = int(fault.target)
    match fault.kind:
        case Kind.KILL:
            await servers.kill(number)
            await asyncio.sleep(fault.for_s)
            await servers.restart(number)
        case Kind.STOP:
            await servers.stop(number)
            await asyncio.sleep(fault.for_s)
            await servers.restart(number)
        case Kind.FREEZE:
            servers.freeze(number)
            await asyncio.sleep(fault.for_s)
            servers.thaw(number)
        case Kind.PARTITION:
            servers.part(number)
            await asyncio.sleep(fault.for_s)
            servers.join(number)
