"""Recorded frames of Binance, told again on one line of time: the snapshot over REST, the frames over the streams.

The recording goes on as fast as its listeners take it, from when somebody has subscribed to depth, and waits while
nobody has. All connections are at the same place of it, as at the venue. The first snapshot that is asked for is the
recording's own, with the frames around it still to come; each later one is the book as it stands then.

What goes wrong is planned by the number of the depth frame, counted from 1, that it happens to.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiohttp import web

from bestex.importers.binance_book import BookBuilder, Diff, Snapshot
from bestex.importers.lines import LineReader

SCALE = 8  # of prices and sizes in the recordings
LEVELS_MAX = 1_000  # of a snapshot, whatever is asked for
LOST = 40  # depth frames of which nobody hears while a connection is down

Happening = Literal[
    "gap",  # the frame is sent to nobody
    "cut",  # the connections that carry depth are torn down, and LOST frames go by
    "silence",  # nothing more is sent over the connections that there are, and they stay up; LOST frames go by
    "garbled",  # half of the frame is sent
]


class Body(msgspec.Struct):
    E: int
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    pu: int | None = None


class Line(msgspec.Struct):
    """What tells a snapshot from a frame."""

    lastUpdateId: int = 0
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()

    @property
    def kind(self) -> str:
        return self.stream.partition("@")[2].partition("@")[0]


_decode = msgspec.json.Decoder(Line).decode
_body = msgspec.json.Decoder(Body).decode


class Listener:
    def __init__(self, response: web.WebSocketResponse, request: web.Request) -> None:
        self.response, self.request = response, request
        self.kinds: set[str] = set()
        self.is_deaf = False


class Recorded:
    """Plays `path` (lines `<recv_ns> <json>`) with `info` as what the markets are. `old_snapshots`: so many of the
    answers after the first are the recording's own snapshot once more, long ago by then; after a gap the recording
    waits, some frames later, for the end of them, because it would be over before who asks again more slowly each
    time."""

    def __init__(
        self,
        path: Path,
        info: Any,
        limit: int | None = None,
        *,
        plan: Mapping[int, Happening] | None = None,
        old_snapshots: int = 0,
    ) -> None:
        """`limit`: lines of the recording; None for all."""
        self._path, self._info, self._limit = path, info, limit
        self._plan, self._old_snapshots = dict(plan or {}), old_snapshots
        # StopIteration: a recording without a snapshot has no book
        self._snapshot = next(text for text, line in self._lines() if line.lastUpdateId)
        self._listeners: list[Listener] = []
        self._come = asyncio.Event()
        self._good = asyncio.Event()  # a snapshot of now has been given
        self._venue = BookBuilder(SCALE, SCALE)
        self.happened: Counter[str] = Counter()
        self.unheard: set[int] = set()  # the last ids of depth frames that were sent to nobody

    def _lines(self) -> Iterator[tuple[bytes, Line]]:
        for line in itertools.islice(LineReader(self._path), self._limit):
            _, _, text = line.partition(b" ")
            yield text, _decode(text)

    # -- the venue's own book ----------------------------------------------------------------------------------

    def _take(self, line: Line) -> int:
        """The id of the update; 0 for a snapshot."""
        read = self._venue.reader.read
        if line.lastUpdateId:
            self._venue.on_snapshot(Snapshot(line.lastUpdateId, read(line.bids), read(line.asks)))
            return 0
        body = _body(line.data)
        self._venue.on_diff(Diff(body.U, body.u, body.pu, body.E, read(body.b), read(body.a)))
        return body.u

    async def _depth(self, _: web.Request) -> web.Response:
        self.happened["snapshot"] += 1
        again = self.happened["snapshot"] > 1
        if again and self._old_snapshots:
            self._old_snapshots -= 1
            self.happened["old snapshot"] += 1
            again = False
        if not again:
            return web.Response(body=self._snapshot, content_type="application/json")
        self._good.set()
        bid_px, bid_qty, ask_px, ask_qty = self._venue.book.top(LEVELS_MAX)
        sides = [
            [(_text(price), _text(size)) for price, size in zip(prices, sizes, strict=True)]
            for prices, sizes in ((bid_px, bid_qty), (ask_px, ask_qty))
        ]
        return web.json_response({"lastUpdateId": self._venue.last_id, "bids": sides[0], "asks": sides[1]})

    # -- who is told -------------------------------------------------------------------------------------------

    async def _markets(self, _: web.Request) -> web.Response:
        return web.json_response(self._info)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        listener = Listener(socket, request)
        self._listeners.append(listener)
        try:
            async for message in socket:
                asked = message.json()
                if asked.get("method") == "SUBSCRIBE":
                    await socket.send_json({"result": None, "id": asked["id"]})
                    listener.kinds |= {name.partition("@")[2].partition("@")[0] for name in asked["params"]}
                    self._come.set()
        finally:
            self._listeners.remove(listener)
        return socket

    def _hearing(self, kind: str) -> list[Listener]:
        return [one for one in self._listeners if kind in one.kinds and not one.is_deaf]

    async def _play(self) -> None:
        frames, unheard, holds_at = 0, 0, 0
        for text, line in self._lines():
            if line.stream and not unheard:
                while not self._hearing("depth"):
                    self._come.clear()
                    await self._come.wait()
            if line.lastUpdateId or line.kind == "depth":
                last_id = self._take(line)
            if not line.stream:
                continue
            happening: str | None = None
            if line.kind == "depth":
                frames += 1
                happening = self._plan.get(frames)
                if happening is not None:
                    self.happened[happening] += 1
                if happening in ("cut", "silence"):
                    self._end_of_hearing(happening)
                    unheard = LOST
                if happening == "gap" and self._old_snapshots:
                    holds_at = frames + LOST
                if frames == holds_at:
                    await self._good.wait()
                if unheard or happening == "gap":
                    unheard -= bool(unheard)
                    self.unheard.add(last_id)
                    continue
            for listener in self._hearing(line.kind):
                bare = not listener.request.path.startswith("/stream")
                frame = bytes(line.data) if bare else text
                if happening == "garbled":
                    frame = frame[: len(frame) // 2]
                try:
                    await listener.response.send_str(frame.decode())
                except ConnectionError:
                    continue  # it has left
            await asyncio.sleep(0)

    def _end_of_hearing(self, happening: str) -> None:
        for listener in self._hearing("depth"):
            listener.is_deaf = True
            if happening == "cut" and listener.request.transport is not None:
                listener.request.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Gives the address."""
        app = web.Application()
        for family in ("api/v3", "fapi/v1"):
            app.router.add_get(f"/{family}/depth", self._depth)
            app.router.add_get(f"/{family}/exchangeInfo", self._markets)
        for path in ("/ws{n:.*}", "/stream{n:.*}", "/public/ws{n:.*}", "/market/ws{n:.*}"):
            app.router.add_get(path, self._stream)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        playing = asyncio.create_task(self._play())
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            playing.cancel()
            await asyncio.wait({playing})
            await runner.cleanup()
            if not playing.cancelled():
                playing.result()


def _text(units: int) -> str:
    return f"{units // 10**SCALE}.{units % 10**SCALE:0{SCALE}d}"
