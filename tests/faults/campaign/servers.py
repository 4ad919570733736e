"""The bus under faults: one server as `bestex up` starts it, or three that keep every stream three times."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from bestex.children import die_with_parent
from bestex.errors import BusError
from bestex.ports import claim_port
from bestex.server import NatsServer, find_binary
from tests.faults.proxy import Proxy

START_S_MAX = 30.0
STOP_S_MAX = 10.0
POLL_S = 0.01
CLUSTER = 3

_MEMBER = """\
server_name: s{number}
listen: "127.0.0.1:{port}"
max_payload: 1MB
log_file: {log_file}
jetstream {{ store_dir: {data_dir}, sync_interval: always }}
cluster {{ name: bestex, listen: "127.0.0.1:{cluster_port}", advertise: "127.0.0.1:{closed_port}",
           no_advertise: true, routes: [{routes}] }}
"""

T = TypeVar("T")


class Server(Protocol):
    """One server process of our own."""

    url: str

    @property
    def pid(self) -> int: ...
    @property
    def is_running(self) -> bool: ...
    def restart(self) -> str: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class Member:
    """A server of a cluster: `routes` are the addresses under which it finds the others."""

    def __init__(self, folder: Path, number: int, port: int, cluster_port: int) -> None:
        self.url = f"nats://127.0.0.1:{port}"
        self._folder, self._number = folder / f"s{number}", number
        self._port, self._cluster_port = port, cluster_port
        self._preexec = die_with_parent()
        self._process: subprocess.Popen[bytes] | None = None
        self.routes: list[str] = []
        self.closed_port = 0

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None and self.is_running else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def restart(self) -> str:
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "nats.conf"
        config.write_text(
            _MEMBER.format(
                number=self._number,
                port=self._port,
                cluster_port=self._cluster_port,
                closed_port=self.closed_port,
                data_dir=json.dumps(str(self._folder)),
                log_file=json.dumps(str(self._folder / "nats.log")),
                routes=", ".join(json.dumps(route) for route in self.routes),
            )
        )
        self._process = subprocess.Popen(
            [str(find_binary()), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=self._preexec,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BusError(f"server {self._number} ended with code {self._process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(POLL_S)
            else:
                return self.url
        raise BusError(f"server {self._number} did not listen within {START_S_MAX:g} s")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Servers:
    """All servers of one bus; `url` names every one of them. Starting and waiting happen in a thread that lives
    as long as this, because the kernel ends a server with the thread that started it."""

    def __init__(self, folder: Path, replicas: int) -> None:
        self._folder, self._replicas = folder, replicas
        self._thread = ThreadPoolExecutor(1, "servers")
        self._links: dict[tuple[int, int], Proxy] = {}
        self._stack = AsyncExitStack()
        self.servers: list[Server] = []

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers)

    async def __aenter__(self) -> Self:
        if self._replicas == 1:
            single = await self.in_thread(lambda: NatsServer(dies_with_parent=True))
            await self.in_thread(lambda: single.start(self._folder / "nats"))
            self.servers = [single]
            return self
        ports = [self._claimed_port() for _ in range(2 * CLUSTER + 1)]
        closed = ports.pop()
        members = [
            Member(self._folder, number, ports[2 * number], ports[2 * number + 1])
            for number in range(CLUSTER)
        ]
        for number, member in enumerate(members):
            member.closed_port = closed  # no server finds another but through the links
            for other in range(CLUSTER):
                if other != number:
                    link = await self._stack.enter_async_context(Proxy(ports[2 * other + 1]))
                    self._links[number, other] = link
                    member.routes.append(link.url)
        for member in members:
            await self.in_thread(member.restart)
        self.servers = list(members)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, server in enumerate(self.servers):
            self.thaw(number)
            await self.in_thread(server.kill if error is not None else server.stop)
        await self._stack.aclose()
        self._thread.shutdown()

    def _claimed_port(self) -> int:
        """Until the end: a server that is down for a while finds its port free again."""
        claim = claim_port()
        self._stack.callback(claim.release)
        return claim.port

    async def in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def kill(self, number: int) -> None:
        await self.in_thread(self.servers[number].kill)

    async def stop(self, number: int) -> None:
        await self.in_thread(self.servers[number].stop)

    async def restart(self, number: int) -> None:
        await self.in_thread(self.servers[number].restart)

    def freeze(self, number: int) -> None:
        _signal(self.servers[number].pid, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        _signal(self.servers[number].pid, signal.SIGCONT)

    def part(self, number: int) -> None:
        """Cut one server off from the others; its clients stay with it."""
        for pair, link in self._links.items():
            if number in pair:
                link.cut()

    def join(self, number: int) -> None:
        for pair, link in self._links.items():
            if number in pair:
                link.heal()


def _signal(pid: int, number: signal.Signals) -> None:
    if pid:
        os.kill(pid, number)
