"""A TCP proxy on loopback whose connections can be cut, held back and let go again.

Tests put it between two processes to be the network that fails: no rights and no tools of the system needed.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

CHUNK_BYTES = 65_536


class Proxy:
    """Forwards every connection to `port` of the loopback. `self.port` is where it listens.

    `cut`: connections break and none is accepted. `hold`: bytes go nowhere, as when a cable is out and nobody
    has noticed; those that arrived meanwhile are forwarded after `heal`. `to_client=False` or
    `to_server=False` limit a hold to the other direction.
    """

    def __init__(self, port: int = 0) -> None:
        self.target = port
        self.port = 0
        self._server: asyncio.Server | None = None
        self._pairs: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = {"to_client": asyncio.Event(), "to_server": asyncio.Event()}
        self._is_cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self.heal()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection, and refuse new ones until `heal`."""
        self._is_cut = True
        for one, other in list(self._pairs.items()):
            for writer in (one, other):
                writer.transport.abort()

    def hold(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Forward nothing until `heal`; nobody is told."""
        if to_client:
            self._flows["to_client"].clear()
        if to_server:
            self._flows["to_server"].clear()

    def heal(self) -> None:
        self._is_cut = False
        for flow in self._flows.values():
            flow.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        if self._is_cut:  # cut while it connected
            writer.transport.abort()
            target_writer.transport.abort()
            return
        self._pairs[writer] = target_writer
        for flow, source, sink in (
            ("to_server", reader, target_writer),
            ("to_client", target_reader, writer),
        ):
            task = asyncio.create_task(self._forward(self._flows[flow], source, sink, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(
        self,
        flow: asyncio.Event,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        key: asyncio.StreamWriter,
    ) -> None:
        try:
            while data := await source.read(CHUNK_BYTES):
                await flow.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # one side is gone, and so the other goes
        finally:
            other = self._pairs.pop(key, None)
            for writer in (key, other):
                if writer is not None:
                    writer.close()
