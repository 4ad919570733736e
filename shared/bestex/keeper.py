"""Checkpoints of a running service, made by a process of their own: the service itself never stops for one.

That process reads as a start does, from the last checkpoint on, and ends. It writes nothing on the bus.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import nats.errors
import structlog
from nats.aio.client import Client

from bestex import bus, bus_access, recovery, streams
from bestex.checkpoint import EVERY, LOOK_S, Checkpoints
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import BestexError
from bestex.journal import Journal
from bestex.marks import MARKS, DiskFiles, Files, Marks
from bestex.runtime import Runtime
from bestex.service import Service
from bestex.subjects import stream_of
from bestex.timers import Timers

NICENESS = 10  # orders come first
MADE_S_MAX = 300.0  # a history that nobody has read for long


class Keeper:
    """Has `command` make a checkpoint whenever the journal has grown by enough since the last one."""

    def __init__(
        self, runtime: Runtime, command: Sequence[str], logger: structlog.stdlib.BoundLogger
    ) -> None:
        self._runtime = runtime
        self._command = command
        self._log = logger
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._runtime.unkept >= EVERY:
                before = self._runtime.unkept
                code = await self._make()
                if code != 0:
                    self._log.warning("no checkpoint was made; the next start reads more", exit_code=code)
                self._runtime.unkept -= before

    async def _make(self) -> int | None:
        """The exit code; None where it took too long."""
        made = await asyncio.create_subprocess_exec(*self._command)
        try:
            async with asyncio.timeout(MADE_S_MAX):
                return await made.wait()
        except TimeoutError:
            return None
        finally:
            if made.returncode is None:
                made.kill()


async def make_once(service: Service, config: Config, logger: structlog.stdlib.BoundLogger) -> int:
    """Read the journal as a start does and keep what it says; the exit code."""
    os.nice(NICENESS)
    if service.keeps is None:
        logger.error("this service starts without a checkpoint")
        return 2
    try:
        where = bus_access.of_service(config, service.name, service.names)
        client = await bus.connect(where, f"bestex-{service.name}-checkpoint")
        await make(client, service, config, DiskFiles(Path(config.data_dir) / MARKS), logger)
        await client.close()
    except (BestexError, nats.errors.Error, TimeoutError) as error:
        logger.warning("no checkpoint", error=str(error) or repr(error))
        return 1
    return 0


async def make(
    client: Client, service: Service, config: Config, files: Files, logger: structlog.stdlib.BoundLogger
) -> None:
    """Raises what reading a journal raises."""
    clock = AffineClock()
    infos = await streams.verify(client, config, service.streams)
    checkpoints = Checkpoints(client, service, config, files, logger)
    timers = Timers(clock, lambda _: None, lambda _: None)  # never started
    marks = Marks(client, files, service.label, clock, logger)  # never loaded and never saved
    read = recovery.Recovery(client, service, Journal(client, "nobody", stream_of), timers, marks)
    await read.read(infos, await recovery.read_floors(client, service), await checkpoints.find(infos))
    read.keep(checkpoints)
    logger.info("checkpoint", applied=read.applied)
