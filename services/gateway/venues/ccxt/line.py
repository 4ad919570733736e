"""One websocket for orders: opened and logged in ahead, so that a request is one frame, and its answer one.

ccxt words, signs and judges; the socket is ours, because its own would send a request whenever the connection comes
up, however late, waits for an answer without end, and falls silent over a frame that it cannot read.

A request leaves at once or not at all: `NotConnected` is raised before a byte is written, and proves that nothing
left. After that, everything but an answer is `Broken` or ccxt's RequestTimeout, and proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import ccxt
import orjson
import structlog

RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
PING_S = 15.0  # Bybit and OKX end a silent connection after 20 to 30 s
FRAME_BYTES_MAX = 1 << 20

Json = dict[str, Any]


class NotConnected(Exception):
    """Nothing was sent."""


class Broken(Exception):
    """It was sent, and the connection ended before its answer."""


class Words(Protocol):
    """How a venue words its socket for orders."""

    ping: str  # empty where the websocket's own is enough

    def url(self, exchange: Any) -> str: ...

    def login(self, exchange: Any) -> Json | None:
        """None where each request is signed by itself."""

    def is_in(self, message: Json) -> bool:
        """Whether this is the word that the login was right; raises ccxt's errors where it was wrong."""

    def number(self, message: Json) -> str:
        """Of the request that it answers; empty for anything else."""


class Line:
    def __init__(
        self, venue: str, words: Words, timeout_s: float, safe: Callable[[BaseException], str]
    ) -> None:
        self.words, self._timeout_s, self._safe = words, timeout_s, safe
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._came_up = asyncio.Event()
        self._count = 0
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._socket is not None and not self._socket.closed

    def start(self, exchange: Any) -> None:
        self._keeper = asyncio.create_task(self._keep_up(exchange))

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def wait(self, seconds: float) -> bool:
        """Whether it has come up within that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came_up.wait()
        return self.is_up

    def next_number(self) -> str:
        self._count += 1
        return f"b{self._count}"

    async def ask(self, number: str, frame: Json) -> Json:
        """The answer to one request. Raises NotConnected, Broken, or ccxt's RequestTimeout."""
        socket = self._socket
        if socket is None or socket.closed:
            raise NotConnected("there is no connection for orders")
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(self._timeout_s):
                await socket.send_str(orjson.dumps(frame).decode())
                return await answer
        except TimeoutError:
            raise ccxt.RequestTimeout(f"no answer on the socket within {self._timeout_s:g} s") from None
        except (OSError, aiohttp.ClientError) as error:  # while it was being written
            raise Broken(f"the connection for orders broke: {type(error).__name__}") from None
        finally:
            del self._waiting[number]

    async def _keep_up(self, exchange: Any) -> None:
        pause_s = RECONNECT_FIRST_S
        while True:
            text = "closed by the venue"
            try:
                async with asyncio.timeout(self._timeout_s):
                    socket = await self._connect(exchange)
                try:
                    self._socket, pause_s = socket, RECONNECT_FIRST_S
                    self._came_up.set()
                    await self._listen(socket)
                finally:
                    self._down()
                    await socket.close()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, it is down and is made anew
                text = self._safe(error)
            self._log.warning("no connection for orders", error=text, again_in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RECONNECT_MAX_S)

    def _down(self) -> None:
        self._socket = None
        self._came_up.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Broken("the connection for orders ended before the answer"))

    async def _connect(self, exchange: Any) -> aiohttp.ClientWebSocketResponse:
        exchange.open()
        url = self.words.url(exchange)
        socket: aiohttp.ClientWebSocketResponse = await exchange.session.ws_connect(
            url, heartbeat=PING_S, compress=0, max_msg_size=FRAME_BYTES_MAX
        )
        try:
            login = self.words.login(exchange)
            if login is not None:
                await socket.send_str(orjson.dumps(login).decode())
                while not self.words.is_in(await socket.receive_json(loads=orjson.loads)):
                    pass
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        pinging = asyncio.create_task(self._ping(socket)) if self.words.ping else None
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                if message.data != "pong":
                    # One that cannot be read may be anybody's answer: the connection is given up.
                    self._heard(orjson.loads(message.data))
        finally:
            if pinging is not None:
                pinging.cancel()
                await asyncio.gather(pinging, return_exceptions=True)

    def _heard(self, message: Json) -> None:
        answer = self._waiting.get(self.words.number(message))
        if answer is not None and not answer.done():  # else late, or said twice: the truth is asked for
            answer.set_result(message)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            await asyncio.sleep(PING_S)
            await socket.send_str(self.words.ping)
