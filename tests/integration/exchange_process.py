"""The exchange as a process of its own, for tests: on a free port of the loopback, with a directory to live in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from aiohttp import ClientSession, ClientWebSocketResponse

from bestex import codec
from bestex import sim_wire as w

T = TypeVar("T")

READY_LINES_MAX = 50  # log lines before it must have said that it is ready


class ExchangeProcess:
    """`start` waits until orders are taken. The same `data_dir` again is a restart."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.url = ""
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"BESTEX__DATA_DIR": str(self.data_dir)} | self._settings
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.exchange", "--host", "127.0.0.1", "--port", "0"],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self._process.stdout is not None
        for _ in range(READY_LINES_MAX):
            line = json.loads(self._process.stdout.readline() or '{"event": "ended"}')
            if line["event"] == "ready":
                self.url = f"http://127.0.0.1:{line['port']}"
                return
            assert line["event"] != "ended", "the exchange ended before it was ready"
        raise AssertionError("the exchange never said that it was ready")

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=20)
        return self._process.returncode


async def send(socket: ClientWebSocketResponse, request: w.AnyRequest) -> w.Answer:
    await socket.send_bytes(codec.to_msgpack(request))
    return codec.from_msgpack(await socket.receive_bytes(), w.Answer)


async def get(session: ClientSession, path: str, kind: type[T]) -> T:
    async with session.get(path) as response:
        return codec.from_json(await response.read(), kind)
