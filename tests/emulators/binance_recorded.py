"""Recorded frames of Binance, served as they were: the snapshot over REST, the frames over the stream.

A listener is sent the frames from the first, as fast as it takes them, as soon as it has subscribed. The snapshot is
the recording's first one whenever it is asked for; the first frames precede it, and the client sorts that out.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from bestex.importers.lines import LineReader


class Line(msgspec.Struct):
    """What tells a snapshot from a frame."""

    lastUpdateId: int = 0
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(Line).decode


class Recorded:
    """Serves `path` (lines `<recv_ns> <json>`) with `info` as what the markets are."""

    def __init__(self, path: Path, info: Any, limit: int | None = None) -> None:
        """`limit`: lines of the recording; None for all."""
        self._path, self._info, self._limit = path, info, limit
        self._snapshot = next(
            text for text, line in self._lines() if line.lastUpdateId
        )  # StopIteration: a recording without a snapshot has no book

    def _lines(self) -> Iterator[tuple[bytes, Line]]:
        for line in itertools.islice(LineReader(self._path), self._limit):
            _, _, text = line.partition(b" ")
            yield text, _decode(text)

    async def _depth(self, _: web.Request) -> web.Response:
        return web.Response(body=self._snapshot, content_type="application/json")

    async def _markets(self, _: web.Request) -> web.Response:
        return web.json_response(self._info)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            asked = message.json()
            if asked.get("method") != "SUBSCRIBE":
                continue
            await socket.send_json({"result": None, "id": asked["id"]})
            wanted = {name.partition("@")[2].partition("@")[0] for name in asked["params"]}
            for text, line in self._lines():
                if line.stream and line.stream.partition("@")[2].partition("@")[0] in wanted:
                    bare = not request.path.startswith("/stream")
                    await socket.send_str((bytes(line.data) if bare else text).decode())
        return socket

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Gives the address."""
        app = web.Application()
        for family in ("api/v3", "fapi/v1"):
            app.router.add_get(f"/{family}/depth", self._depth)
            app.router.add_get(f"/{family}/exchangeInfo", self._markets)
        for path in ("/ws{n:.*}", "/stream{n:.*}", "/public/ws{n:.*}"):
            app.router.add_get(path, self._stream)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
