"""What every emulated exchange has: a server on loopback, faults around its answers, and a door for tests.

    GET  /_emulator/state    {"asked": {...}, "happened": {...}, "waiting": [...], "skew_s": 0, "connections": 2}
    POST /_emulator/faults   a JSON list of `Fault`; they happen in this order
    POST /_emulator/clear    forgets the faults that have not happened
    POST /_emulator/clock    {"skew_s": 1.5}: the exchange's clock is ahead by so much
    POST /_emulator/cut      ends every websocket
    GET  /_emulator/journal?venue=NAME&kind=spot   the journal of its spot (or perp) orders as a venue of that name

An exchange is a subclass of `Emulator`: it gives its routes, answers through `rest` and `frame`, which bring the
faults in, and is told of depth, trades and user events. `tests.emulators.command` is its command line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import orjson
from aiohttp import WSCloseCode, WSMsgType, web

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.config import Config, parse
from bestex.matching import Print
from services.exchange.shell import MakeBackgrounds
from tests.emulators import truth
from tests.emulators.engine import DepthChange, Engine, Market
from tests.emulators.faults import Fault, Faults, What
from tests.emulators.unified import Fee, fee_of

SILENCE_S_MAX = 60.0  # how long a request that gets no answer is held
QUEUED_MAX = 10_000  # frames that a listener may be behind
HTML_502 = b"<html><head><title>502 Bad Gateway</title></head><body>cloud</body></html>"


class Key(NamedTuple):
    """An account's credentials. `can_withdraw` is a right that no trading key should have; a `bound` key may be used
    from this machine alone."""

    key: str = "emulator-key"
    secret: str = "emulator-secret"
    passphrase: str = "emulator-passphrase"
    account: str = "default"
    can_trade: bool = True
    can_withdraw: bool = False
    bound: bool = False


class Reply(NamedTuple):
    """An answer over HTTP. A dict or list is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed

    def bytes(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body, default=str)


class Socket:
    """One websocket. `put` never waits; `topics` is what it has subscribed to; `account` whose events it hears."""

    def __init__(self, response: web.WebSocketResponse, request: web.Request) -> None:
        self.response, self.request = response, request
        self.topics: set[str] = set()
        self.account = ""
        self.state: dict[str, Any] = {}
        self._queue: asyncio.Queue[bytes | str] = asyncio.Queue(QUEUED_MAX)

    def put(self, message: Any) -> None:
        """A dict or list as JSON text; text as it is; bytes as a binary frame."""
        frame = message if isinstance(message, str | bytes) else orjson.dumps(message, default=str).decode()
        self._queue.put_nowait(frame)

    async def send_forever(self) -> None:
        while True:
            frame = await self._queue.get()
            if isinstance(frame, bytes):
                await self.response.send_bytes(frame)
            else:
                await self.response.send_str(frame)

    def abort(self) -> None:
        """Tear the connection down without a word."""
        if self.request.transport is not None:
            self.request.transport.abort()


class Emulator:
    """Subclasses set `NAME` and `TOML` (venue and instruments), and override what is marked so.

    `await start(port)` serves; `url` is where. `engine` holds the orders.
    """

    NAME = "emulated"
    TOML = ""

    def __init__(
        self,
        data_dir: Path,
        *,
        market: Literal["model", "none"] | MakeBackgrounds = "model",
        keys: Iterable[Key] = (Key(),),
        deposits: dict[str, Decimal] | None = None,
        config: Config | None = None,
    ) -> None:
        self.config = config or parse(f'data_dir = "{data_dir}"\n{self.TOML}')
        self.engine = Engine(self.NAME, self.config, market, deposits)
        self.keys = {key.key: key for key in keys}
        self.faults = Faults()
        self.skew_ns = 0
        self.sockets: list[Socket] = []
        self.url = ""
        self._muted_until_ns = 0
        self._runner: web.AppRunner | None = None
        self.engine.on_depth = self._depth
        self.engine.on_trade = self.on_trade
        self.engine.on_user = self._user

    # -- to be overridden --------------------------------------------------------------------------------------

    def routes(self) -> Iterable[web.RouteDef]:
        return ()

    def on_depth(self, change: DepthChange) -> None:
        """A book has changed: tell those who listen."""

    def on_lost_depth(self, change: DepthChange) -> None:
        """A book has changed, and nobody is to hear of it: count it where updates are counted."""

    def on_wrong_depth(self, change: DepthChange) -> None:
        """A book has changed: tell so, without what has changed. What else is told of its best prices is right."""
        self.on_depth(change._replace(bids=[], asks=[]))

    def on_trade(self, trade: Print, market: Market) -> None:
        """Somebody traded in public."""

    def on_user(self, entry: w.JournalEntry) -> None:
        """Something happened to orders of ours: tell the account's own stream."""

    def refusal(self, fault: Fault) -> Reply:
        """The exchange's own words for busy, rate_limited, banned, maintenance and skewed."""
        raise NotImplementedError(fault.how)

    def trade_id(self, trade: w.Trade) -> str:
        """What the exchange calls a trade."""
        return str(trade.trade_id)

    def fee_of(self, trade: w.Trade) -> Fee:
        """What the exchange takes for it."""
        return fee_of(trade, self.engine.markets[trade.symbol])

    def tells(self, account: str) -> bool:  # noqa: ARG002 - of most exchanges nobody has asked yet
        """Whether somebody hears of all that happens to the account: a login and its subscriptions take a while."""
        return True

    def is_user_socket(self, socket: Socket) -> bool:
        return bool(socket.account)

    # -- time --------------------------------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The exchange's clock, which may be off."""
        return self.engine.now_ns() + self.skew_ns

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    def now_s(self) -> float:
        return self.now_ns() / SECOND

    # -- faults around answers ---------------------------------------------------------------------------------

    async def rest(self, request: web.Request, what: What, act: Callable[[], Reply]) -> web.StreamResponse:
        """Answer one request over HTTP: `act` does it, unless a fault is before it, and a fault may follow."""
        fault = self.faults.of_request(what)
        if fault is None:
            return self._response(act())
        if fault.when == "before" and fault.how not in ("delay", "double"):
            return await self._spoil(request, fault, None)
        return await self._spoil(request, fault, act())

    async def _spoil(self, request: web.Request, fault: Fault, reply: Reply | None) -> web.StreamResponse:
        match fault.how:
            case "timeout":
                await asyncio.sleep(fault.seconds or SILENCE_S_MAX)
                return web.Response(status=504)
            case "reset":
                assert request.transport is not None
                request.transport.abort()
                return web.Response(status=500)
            case "truncated":
                return await self._half(request, reply or Reply({"half": "an answer that never ends"}))
            case "garbled":
                return web.Response(body=b"{'neither': json", content_type="application/json")
            case "server_error":
                return web.Response(status=502, body=HTML_502, content_type="text/html")
            case "delay" | "double":
                assert reply is not None
                await asyncio.sleep(fault.seconds)
                return self._response(reply)
            case _:
                return self._response(self.refusal(fault))

    async def _half(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        body = reply.bytes()
        response = web.StreamResponse(status=reply.status, headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: max(1, len(body) // 2)])
        assert request.transport is not None
        request.transport.close()
        return response

    def _response(self, reply: Reply) -> web.Response:
        kind = "application/json"
        return web.Response(body=reply.bytes(), status=reply.status, headers=reply.headers, content_type=kind)

    def frame(
        self, socket: Socket, what: What, act: Callable[[], Any], refuse: Callable[[Fault], Any]
    ) -> None:
        """Answer one request over a socket: `act` does it and gives the answer, `refuse` words a refusal."""
        fault = self.faults.of_request(what)
        if fault is None:
            socket.put(act())
            return
        answer = act() if fault.when == "after" or fault.how in ("delay", "double") else None
        match fault.how:
            case "timeout":
                return
            case "reset" | "truncated" | "server_error":
                socket.abort()
            case "garbled":
                socket.put("{'neither': json")
            case "delay":
                asyncio.get_running_loop().call_later(fault.seconds, socket.put, answer)
            case "double":
                socket.put(answer)
                socket.put(answer)
            case _:
                socket.put(refuse(fault))

    # -- streams -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def socket(self, request: web.Request, heartbeat_s: float | None = None) -> AsyncIterator[Socket]:
        """A websocket that is served for as long as the block lasts."""
        response = web.WebSocketResponse(heartbeat=heartbeat_s, compress=False)
        await response.prepare(request)
        socket = Socket(response, request)
        sending = asyncio.create_task(socket.send_forever())
        self.sockets.append(socket)
        try:
            yield socket
        finally:
            self.sockets.remove(socket)
            sending.cancel()
            await asyncio.wait({sending})

    async def listen(
        self, request: web.Request, heard: Callable[[Socket, Any], Awaitable[None] | None]
    ) -> web.WebSocketResponse:
        """Serve a websocket: `heard` gets each JSON frame; other text comes as it is (`ping`)."""
        async with self.socket(request) as socket:
            async for message in socket.response:
                if message.type is not WSMsgType.TEXT:
                    break
                try:
                    data: Any = orjson.loads(message.data)
                except orjson.JSONDecodeError:
                    data = message.data
                done = heard(socket, data)
                if done is not None:
                    await done
            return socket.response

    def tell(self, topic: str, message: Any) -> None:
        """To every socket that has subscribed to `topic`."""
        for socket in self.sockets:
            if topic in socket.topics:
                socket.put(message)

    def tell_account(self, account: str, message: Any) -> None:
        for socket in self.sockets:
            if socket.account == account and self.is_user_socket(socket):
                socket.put(message)

    def cut(self, user: bool) -> None:
        """Tear down the user's sockets, or the others."""
        for socket in list(self.sockets):
            if self.is_user_socket(socket) == user:
                socket.abort()

    def _depth(self, change: DepthChange) -> None:
        if self.faults.of_stream("cut_market"):
            self.cut(user=False)
        if self.faults.of_stream("gap"):
            self.on_lost_depth(change)
        elif self.faults.of_stream("wrong_depth"):
            self.on_wrong_depth(change)
        else:
            self.on_depth(change)

    def _user(self, entry: w.JournalEntry) -> None:
        if not entry.orders and not entry.trades:
            return
        now_ns = self.engine.now_ns()
        if self.faults.of_stream("cut_user"):
            self.cut(user=True)
        if mute := self.faults.of_stream("mute_user"):
            self._muted_until_ns = now_ns + int(mute.seconds * SECOND)
        if now_ns < self._muted_until_ns:
            return
        if late := self.faults.of_stream("late_user"):
            asyncio.get_running_loop().call_later(late.seconds, self.on_user, entry)
            return
        self.on_user(entry)
        if self.faults.of_stream("double_user"):
            self.on_user(entry)

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self, port: int = 0) -> None:
        self.engine.start()
        app = web.Application()
        app.add_routes([*self.routes(), *self._door()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        for socket in list(self.sockets):
            await socket.response.close(code=WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()
        await self.engine.stop()

    def _door(self) -> Iterable[web.RouteDef]:
        async def state(_: web.Request) -> web.Response:
            return self._response(
                Reply(
                    {
                        "asked": dict(self.faults.asked),
                        "happened": dict(self.faults.happened),
                        "waiting": msgspec.to_builtins(self.faults.waiting),
                        "skew_s": self.skew_ns / SECOND,
                        "connections": len(self.sockets),
                    }
                )
            )

        async def add(request: web.Request) -> web.Response:
            self.faults.add(*codec.from_json(await request.read(), list[Fault]))
            return self._response(Reply({}))

        async def clear(_: web.Request) -> web.Response:
            self.faults.clear()
            return self._response(Reply({}))

        async def clock(request: web.Request) -> web.Response:
            self.skew_ns = int(float((await request.json())["skew_s"]) * SECOND)
            return self._response(Reply({}))

        async def cut(_: web.Request) -> web.Response:
            self.cut(user=True)
            self.cut(user=False)
            return self._response(Reply({}))

        async def journal(request: web.Request) -> web.Response:
            lines = truth.told(self, request.query["venue"], request.query["kind"])
            return web.Response(body=b"".join(lines), content_type="application/jsonl")

        return [
            web.get("/_emulator/state", state),
            web.get("/_emulator/journal", journal),
            web.post("/_emulator/faults", add),
            web.post("/_emulator/clear", clear),
            web.post("/_emulator/clock", clock),
            web.post("/_emulator/cut", cut),
        ]


@asynccontextmanager
async def serve(emulator: Emulator, port: int = 0) -> AsyncIterator[Emulator]:
    await emulator.start(port)
    try:
        yield emulator
    finally:
        await emulator.stop()
