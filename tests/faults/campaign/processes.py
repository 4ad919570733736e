"""The platform's processes under faults: started, killed, frozen and started again at once.

Unlike `bestex up` this does not wait longer and longer between restarts: here processes die on purpose.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec
from nats.aio.client import Client

from bestex import bus
from bestex.bus_address import ENV_URL
from bestex.children import die_with_parent
from bestex.config import Config
from bestex.process import EXIT_DAMAGED, EXIT_FAILED, EXIT_FENCED, EXIT_MISCONFIGURED
from bestex.supervisor import ServiceSpec, answering_pids, exchange_is_ready

READY_S_MAX = 60.0  # all of them at once, on a machine that others use too
STOP_S_MAX = 25.0  # a service drains its writes for up to 20 s
LOOK_S = 0.1
PAUSE_S = 0.2  # before a process that ended by itself is started again
ENDS_S = 10.0  # how long one that was replaced may take to find out
DOWN_MAX = 3  # of some fourteen: with more of them down there is little left to be broken
PACE_S_MAX = 15.0  # on a slow machine a process takes several seconds to come back
LOG_TAIL = 20_000  # a line with a traceback is long
STAYS_DOWN = (EXIT_MISCONFIGURED, EXIT_DAMAGED)  # a person must look, as with a supervisor
EXITS_KEPT = 1_000
EXCHANGE = "exchange"
NEWLINE = "\n"
DEAF = "the bus does not answer though it looks connected"  # the watchdog's words


@dataclass
class Slot:
    """The place of one process. `down_at`: when it last ended, 0 while it is ready."""

    spec: ServiceSpec
    log: Path
    process: asyncio.subprocess.Process | None = None
    keeper: asyncio.Task[None] | None = None
    down_at: float = 0.0
    killed: bool = False
    frozen: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None and self.process.returncode is None else 0

    def log_tail(self) -> str:
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""

    def last_words(self) -> str:
        """Why it ended, as its log says: the last event that is an error."""
        for line in reversed(self.log_tail().splitlines()):
            with suppress(msgspec.MsgspecError):
                said = msgspec.json.decode(line, type=_Said)
                if said.level == "error":
                    return f"{said.event}: {said.error or said.exception.strip().rpartition(NEWLINE)[2]}"
        return ""


class _Said(msgspec.Struct):
    """A line of a service's log."""

    level: str = ""
    event: str = ""
    error: str = ""
    exception: str = ""


class Exit(NamedTuple):
    """A process that ended by itself."""

    name: str
    code: int
    why: str

    @property
    def is_excused(self) -> bool:
        """Asked to end, fenced, or without a bus: what a process has to do when something was done to it."""
        return self.code in (0, EXIT_FENCED) or (
            self.code == EXIT_FAILED and (self.why.startswith("the bus failed") or DEAF in self.why)
        )

    def __str__(self) -> str:
        return f"{self.name} ended with code {self.code}: {self.why}"


class Processes:
    """All services as processes of their own, and the exchange."""

    def __init__(
        self,
        config: Config,
        folder: Path,
        environment: dict[str, str],
        url: str,
        specs: Iterable[ServiceSpec],
    ) -> None:
        self._config = config
        self._environment = {**os.environ, **environment, ENV_URL: url, "PYTHONUNBUFFERED": "1"}
        self._url = url
        self._client: Client | None = None
        self._watch: asyncio.Task[None] | None = None
        self._strays: set[asyncio.Task[None]] = set()
        self._stopping = False
        logs = folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.slots = {spec.name: Slot(spec, logs / f"{spec.name}.log") for spec in specs}
        self.kills: Counter[str] = Counter()
        self.freezes = 0
        self.restarts = 0
        self.recoveries_s: list[float] = []
        self.exits: list[Exit] = []  # of those that ended by themselves

    @property
    def services(self) -> list[str]:
        """Those that a campaign may kill: the exchange is outside, as a real one is, and keeps the truth."""
        return [name for name in self.slots if name != EXCHANGE]

    @property
    def refused(self) -> list[str]:
        """Those that said that they cannot run, and stay down."""
        return [
            name
            for name, slot in self.slots.items()
            if slot.process is not None and slot.process.returncode in STAYS_DOWN
        ]

    # -- life ------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            self._client = await bus.connect(self._url, "campaign-watch")
            for slot in self.slots.values():
                await self.start(slot)
                if not slot.spec.on_bus:
                    async with asyncio.timeout(READY_S_MAX):
                        while not await exchange_is_ready(self._config):  # noqa: ASYNC110 - another process
                            await asyncio.sleep(LOOK_S)
                    slot.down_at = 0.0
            self._watch = asyncio.create_task(self._look())
            await self.all_ready()
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        self.recoveries_s.clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
        for stray in list(self._strays):
            stray.cancel()
        await asyncio.gather(*self._strays, return_exceptions=True)
        for slot in reversed(self.slots.values()):
            if slot.keeper is not None:
                slot.keeper.cancel()
            await self._end(slot, gently=error is None)
        if self._client is not None:
            await self._client.close()

    async def all_ready(self) -> None:
        """Returns when every process answers, or one has refused to run; TimeoutError names those that do not."""
        try:
            async with asyncio.timeout(READY_S_MAX):
                while any(slot.down_at for slot in self.slots.values()) and not self.refused:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            late = {name: slot.log_tail() for name, slot in self.slots.items() if slot.down_at}
            raise TimeoutError(f"not ready within {READY_S_MAX:g} s: {late}") from None

    async def mostly_ready(self) -> None:
        """Returns when most of them answer, so that orders go on; after a bounded while in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PACE_S_MAX):
                while sum(bool(slot.down_at) for slot in self.slots.values()) > DOWN_MAX:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)

    async def pause(self) -> None:
        """End every service in order and start none of them again, until `resume`."""
        for name in reversed(self.services):
            slot = self.slots[name]
            if slot.keeper is not None:
                slot.keeper.cancel()
            await self._end(slot, gently=True)

    async def resume(self) -> None:
        for name in self.services:
            slot = self.slots[name]
            slot.down_at = time.monotonic()
            await self.start(slot)

    async def settled(self) -> None:
        """Returns when every process answers or has said, since it was last started, why it cannot run."""
        known = len(self.exits)
        async with asyncio.timeout(READY_S_MAX):
            while True:
                spoken = {one.name for one in self.exits[known:]}
                if all(not slot.down_at or name in spoken for name, slot in self.slots.items()):
                    return
                await asyncio.sleep(LOOK_S)

    async def start(self, slot: Slot) -> None:
        """Start, and start again whenever it ends, but for one that says that it is misconfigured."""
        await self._spawn(slot)
        slot.keeper = asyncio.create_task(self._keep(slot))

    async def _spawn(self, slot: Slot) -> None:
        slot.down_at = slot.down_at or time.monotonic()
        with slot.log.open("ab") as log:
            slot.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                f"services.{slot.spec.service}",
                *slot.spec.names,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )

    async def _keep(self, slot: Slot) -> None:
        while slot.process is not None:
            code = await slot.process.wait()
            if self._stopping:
                return
            slot.down_at, slot.frozen = time.monotonic(), False
            if not slot.killed:
                if len(self.exits) < EXITS_KEPT:
                    self.exits.append(Exit(slot.spec.name, code, slot.last_words()))
                if code in STAYS_DOWN:
                    return
                await asyncio.sleep(PAUSE_S)
            slot.killed = False
            self.restarts += 1
            await self._spawn(slot)

    async def _look(self) -> None:
        """Note who is ready."""
        assert self._client is not None, "connected before anything is looked at"
        while True:
            await asyncio.sleep(LOOK_S)
            starting = [slot for slot in self.slots.values() if slot.down_at and slot.pid]
            if not starting:
                continue
            ready = await answering_pids(self._client, LOOK_S)
            for slot in starting:
                if slot.down_at and slot.pid in ready:
                    self.recoveries_s.append(time.monotonic() - slot.down_at)
                    slot.down_at = 0.0

    async def _end(self, slot: Slot, *, gently: bool) -> None:
        process = slot.process
        if process is None or process.returncode is not None:
            return
        self._send(process, signal.SIGCONT)
        self._send(process, signal.SIGTERM if gently else signal.SIGKILL)
        try:
            await asyncio.wait_for(process.wait(), STOP_S_MAX)
        except TimeoutError:
            self._send(process, signal.SIGKILL)
            await process.wait()

    # -- faults ----------------------------------------------------------------------------------------------

    def kill(self, name: str) -> bool:
        """`kill -9`; False where it is just being started. Nothing happens to one that refuses to run."""
        slot = self.slots[name]
        if not slot.pid:
            return name in self.refused
        assert slot.process is not None, "it has a process id"
        slot.killed = True
        self.kills[slot.spec.service] += 1
        self._send(slot.process, signal.SIGKILL)
        return True

    def ask_to_stop(self, name: str) -> None:
        """SIGTERM, as at a deployment."""
        slot = self.slots[name]
        if slot.pid and not slot.frozen and slot.process is not None:
            slot.killed = True
            self._send(slot.process, signal.SIGTERM)

    async def freeze(self, name: str, seconds: float) -> None:
        slot = self.slots[name]
        process = slot.process
        if process is None or not slot.pid:
            return
        self.freezes += 1
        slot.frozen = True
        self._send(process, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._send(process, signal.SIGCONT)
        if slot.process is process:
            slot.frozen = False

    async def replace(self, name: str, seconds: float) -> None:
        """Freeze it, start another for the same work, wake it up beside that one."""
        slot = self.slots[name]
        process = slot.process
        if process is None or not slot.pid or slot.keeper is None:
            return
        self.freezes += 1
        slot.keeper.cancel()
        self._send(process, signal.SIGSTOP)
        stray = asyncio.create_task(self._wake(process, seconds))
        self._strays.add(stray)
        stray.add_done_callback(self._strays.discard)
        slot.down_at = time.monotonic()
        await self.start(slot)

    async def _wake(self, process: asyncio.subprocess.Process, seconds: float) -> None:
        """After a while; it should find out that it was replaced, and has no business here afterwards."""
        try:
            await asyncio.sleep(seconds)
            self._send(process, signal.SIGCONT)
            await asyncio.wait_for(process.wait(), ENDS_S)
        except TimeoutError:
            pass  # it has had nothing to write since it woke, so nobody told it
        finally:
            self._send(process, signal.SIGKILL)
            await process.wait()

    @staticmethod
    def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
        if process.returncode is None:
            try:
                process.send_signal(number)
            except ProcessLookupError:
                return  # it ended in this very moment

    def bad_exits(self) -> list[str]:
        """Processes that ended by themselves in a way that no fault excuses."""
        return [str(one) for one in self.exits if not one.is_excused]
