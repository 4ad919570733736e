"""What the benchmarks share: a bus of their own, processes of their own, quantiles, results as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import uvloop
from nats.aio.client import Client

from bestex import bus, streams
from bestex import config as configuration
from bestex.children import die_with_parent
from bestex.config import Config
from bestex.ports import free_port
from bestex.server import NatsServer
from bestex.supervisor import answering_pids, exchange_is_ready

BENCHMARK_S_MAX = 60.0  # what hangs must end, and end its processes
READY_S = 20.0  # a warm start takes about two seconds
STOP_S = 25.0  # a service drains its writes for up to 20 s
POLL_S = 0.05
LOG_TAIL = 2_000  # characters of the log that say why a process ended
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Rig:
    """A nats-server on loopback and processes around it, in a directory that goes with them.

    `text` is the configuration of all of them; the exchange's port and the directories are chosen here.
    """

    def __init__(self, text: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bestex-bench-")
        self.folder = Path(self._folder.name)
        self._log = self.folder / "log"
        path = self.folder / "bestex.toml"
        path.write_text(text)
        self._environment = {
            "BESTEX_CONFIG": str(path),
            "BESTEX__DATA_DIR": str(self.folder / "data"),
            "BESTEX__RECORDER__DATABASE": str(self.folder / "data" / "bestex.db"),
            "BESTEX__EXCHANGE__PORT": str(free_port()),
            "BESTEX_LOG_LEVEL": "WARNING",
        }
        self.config: Config = configuration.load(path, self._environment)
        self._server = NatsServer(dies_with_parent=True)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self.url = self._server.start(self.folder / "nats")
        self.client: Client = await bus.connect(self.url, "bench")
        await streams.apply(self.client, self.config)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        for process in reversed(self._processes):
            end(process)
        self._server.stop()
        self._folder.cleanup()

    @property
    def bus_pid(self) -> int:
        return self._server.pid

    def spawn(self, module: str, *arguments: str, answers: bool = False) -> subprocess.Popen[bytes]:
        """`python -m module`, with a pipe to its stdin; it ends with this process. Its stdout goes to a log, or,
        where it `answers`, to a pipe from here."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if answers else log,
                env={**os.environ, **self._environment, "NATS_URL": self.url},
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._processes.append(process)
        return process

    async def service(self, name: str, *names: str) -> subprocess.Popen[bytes]:
        return await self.started(self.spawn(f"services.{name}", *names))

    async def started(
        self, process: subprocess.Popen[bytes], seconds: float = READY_S, pause_s: float = POLL_S
    ) -> subprocess.Popen[bytes]:
        """Returns when the service announces itself on the bus; looked for every `pause_s`."""

        async def announced() -> bool:
            if process.poll() is not None:
                raise RuntimeError(
                    f"ended with code {process.returncode}: {self._log.read_text()[-LOG_TAIL:]}"
                )
            return process.pid in await answering_pids(self.client, pause_s)

        await until(announced, seconds, pause_s)
        return process

    async def exchange(self) -> subprocess.Popen[bytes]:
        process = self.spawn("services.exchange")
        await until(lambda: exchange_is_ready(self.config), READY_S)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> None:
        end(process)
        self._processes.remove(process)


def end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


async def until(
    condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float, pause_s: float = POLL_S
) -> None:
    """Asks again and again until it holds; TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - other processes set no event here
            await asyncio.sleep(pause_s)


def tell(process: subprocess.Popen[bytes], line: str) -> None:
    """One line to the process's stdin."""
    stdin = process.stdin
    assert stdin is not None, "spawned with a pipe"
    stdin.write(f"{line}\n".encode())
    stdin.flush()


async def answer(process: subprocess.Popen[bytes]) -> Any:
    """One JSON line from the process's stdout."""
    stdout: IO[bytes] | None = process.stdout
    assert stdout is not None, "spawned with a pipe"
    return json.loads(await asyncio.to_thread(stdout.readline))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def quantiles_us(latencies_ns: Sequence[int], prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}p50_us": round(quantile(latencies_ns, 0.50) / 1e3, 1),
        f"{prefix}p99_us": round(quantile(latencies_ns, 0.99) / 1e3, 1),
    }


def resident_bytes(pid: int | str = "self") -> int:
    """The process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def cpu_seconds(pid: int) -> float:
    """Processor time that the process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def main(run: Callable[[], dict[str, Any]]) -> None:
    """`--json` prints one object and nothing else."""
    result = run()
    if "--json" in sys.argv[1:]:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:28}{value:,}" if isinstance(value, int | float) else f"{name:28}{value}")


def run_async(work: Coroutine[Any, Any, dict[str, Any]], seconds: float = BENCHMARK_S_MAX) -> dict[str, Any]:
    """TimeoutError where it takes longer than it may."""
    return uvloop.run(asyncio.wait_for(work, seconds))
