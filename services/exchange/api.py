"""The HTTP and websocket API of the simulated exchange.

Base address: `http://{exchange.host}:{exchange.port}`; every venue of the process is served here and named in
each request. The structs stand in `bestex.sim_wire`. JSON over HTTP; over websockets a text frame is JSON, a
binary frame MessagePack (encode with `bestex.codec`: decimals travel as text in both).

Order entry
    WS   /v1/trade
        One `AnyRequest` a frame; one `Answer` for each, in the order of the requests to one venue, in the encoding
        of the request, with the request's `id`. The answer to a submit already carries the order's state and its
        immediate fills.
    POST /v1/trade
        The same with JSON: a request in, its `Answer` out (always 200).
    A request that cannot be read is answered with ok=false and code "malformed".

User events
    WS   /v1/user?venue=V[&account=A][&format=json]
        `UserEvent`s of one account from now on, the fills of answered requests included. What happened
        before, or while disconnected, is read by the queries below.

Market data
    WS   /v1/md?venue=V[&symbol=S][&levels=20][&format=json]
        `BookFrame` and `TradeFrame`. On connecting, one book of each market; then every public trade, and a
        book whenever it changed, at most one per tick (10 ms), and again after 500 ms without a change, so that
        quiet is not taken for lost. `seq` counts a market's frames; the first book carries the number of the
        last frame. A listener that falls too far behind is disconnected with close code 1013 and should
        connect again.

Queries (GET, JSON)
    /v1/ping
        `Pong`: the exchange's clock, and its venues.
    /v1/instruments[?venue=V]
        List of `MarketInfo`.
    /v1/fees[?venue=V]
        List of `Fees`.
    /v1/orders/{client_id}?venue=V[&account=A]
        `OrderState`; 404 with an `Answer` of code "unknown_order" where there is none.
    /v1/orders?venue=V[&account=A][&symbol=S]
        List of the open `OrderState`, oldest first.
    /v1/trades?venue=V[&account=A][&after=TRADE_ID][&since_ns=T][&client_id=C][&limit=1000]
        List of `Trade` with trade_id > after and at_ns >= since_ns, oldest first; at most `limit`, and one
        more where the two sides of one trade would be parted. A page shorter than `limit` is the last. Ask
        again from a little earlier than the last one seen, and count each trade id once.
    /v1/balances?venue=V[&account=A]
        `Balances`.
    /healthz, /readyz
        200 once orders are taken.

An order exists for ever once it has an `order_id`, also when it was rejected; "unknown_symbol",
"unknown_venue" and "malformed" leave the client id unused. `account` is "default" where it is left out. A
query that is wrong in itself is a 400 with an `Answer` that says why. Requests, answers and user events each
travel `exchange.latency` long, or the venue's own `latency`; queries travel with the requests and never overtake
one. A request's effect is in the journal on disk before its answer leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from bestex import codec
from bestex import sim_wire as w
from bestex.errors import Code
from bestex.matching.venue import MAX_TRADES_PAGE
from services.exchange.shell import Exchange, Way
from services.exchange.streams import MAX_LEVELS, Outbox, encode

MAX_REQUEST_BYTES = 64 * 1024  # a hundred times the longest request
HEARTBEAT_S = 10.0  # websocket pings, so that a client that vanished is noticed
DEFAULT_LEVELS = 20
DEFAULT_PAGE = 1_000

EXCHANGE: web.AppKey[Exchange] = web.AppKey("exchange", Exchange)
SOCKETS: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("sockets", set)

T = TypeVar("T")


def make_app(exchange: Exchange) -> web.Application:
    app = web.Application(client_max_size=MAX_REQUEST_BYTES, middlewares=[_say_why])
    app[EXCHANGE] = exchange
    app[SOCKETS] = set()
    app.on_shutdown.append(_close_sockets)
    app.add_routes(
        [
            web.get("/v1/trade", _trade_socket),
            web.post("/v1/trade", _trade_post),
            web.get("/v1/user", _user_socket),
            web.get("/v1/md", _market_data_socket),
            web.get("/v1/ping", _ping),
            web.get("/v1/instruments", _instruments),
            web.get("/v1/fees", _fees),
            web.get("/v1/orders", _open_orders),
            web.get("/v1/orders/{client_id}", _order),
            web.get("/v1/trades", _trades),
            web.get("/v1/balances", _balances),
            web.get("/healthz", _health),
            web.get("/readyz", _health),
        ]
    )
    return app


async def _close_sockets(app: web.Application) -> None:
    sockets = app[SOCKETS]
    for socket in list(sockets):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the exchange is stopping")


class _Wrong(Exception):
    """A query that is wrong in itself; becomes a 400."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code


@web.middleware
async def _say_why(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except _Wrong as wrong:
        return _json(_refusal(request.app[EXCHANGE], wrong.code, str(wrong)), status=400)


# -- order entry ---------------------------------------------------------------------------------------------


def _read(data: bytes, is_text: bool) -> w.AnyRequest | str:
    """The request, or what is wrong with it."""
    decoder = codec.json_decoder(w.AnyRequest) if is_text else codec.msgpack_decoder(w.AnyRequest)
    try:
        request: w.AnyRequest = decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return str(error)
    return request


def _answer(exchange: Exchange, request: w.AnyRequest | str, is_text: bool) -> bytes:
    if isinstance(request, str):
        return encode(_refusal(exchange, Code.MALFORMED, request), is_text)
    return encode(exchange.handle(request), is_text)


def _refusal(exchange: Exchange, code: Code, text: str) -> w.Answer:
    return w.Answer(id=0, ok=False, at_ns=exchange.now_ns(), code=code, text=text)


async def _trade_socket(request: web.Request) -> web.StreamResponse:
    exchange = request.app[EXCHANGE]

    def arrive(way: Way, outbox: Outbox, request: w.AnyRequest | str, is_text: bool) -> None:
        answer = _answer(exchange, request, is_text)
        way.outbound.send(lambda: outbox.put(answer, is_text))

    async with _connection(request) as (socket, outbox):
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            is_text = message.type is WSMsgType.TEXT
            data = message.data.encode() if is_text else message.data
            asked = _read(data, is_text)
            way = exchange.way("" if isinstance(asked, str) else asked.venue)
            way.inbound.send(partial(arrive, way, outbox, asked, is_text))
        return socket


async def _trade_post(request: web.Request) -> web.Response:
    exchange = request.app[EXCHANGE]
    asked = _read(await request.read(), True)
    way = exchange.way("" if isinstance(asked, str) else asked.venue)
    await way.inbound.travel()
    answer = _answer(exchange, asked, True)
    await way.outbound.travel()
    return web.Response(body=answer, content_type="application/json")


# -- streams -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _connection(request: web.Request) -> AsyncIterator[tuple[web.WebSocketResponse, Outbox]]:
    """A websocket, and its outbox at work for as long as it is served."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MAX_REQUEST_BYTES, compress=False)
    await socket.prepare(request)
    outbox = Outbox(socket)
    sending = asyncio.create_task(outbox.run())
    request.app[SOCKETS].add(socket)
    try:
        yield socket, outbox
    finally:
        request.app[SOCKETS].discard(socket)
        sending.cancel()
        await asyncio.wait({sending})


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass  # these streams only speak


async def _user_socket(request: web.Request) -> web.StreamResponse:
    exchange = request.app[EXCHANGE]
    venue, account, is_text = _venue(request), _account(request), _is_text(request)
    async with _connection(request) as (socket, outbox):
        exchange.user_data.join(outbox, venue, account, is_text)
        try:
            await _until_closed(socket)
        finally:
            exchange.user_data.leave(outbox, venue, account)
        return socket


async def _market_data_socket(request: web.Request) -> web.StreamResponse:
    exchange = request.app[EXCHANGE]
    venue, symbol = _venue(request), request.query.get("symbol", "")
    if symbol and not any(info.symbol == symbol for info in exchange.sim.markets(venue)):
        raise _Wrong(Code.UNKNOWN_SYMBOL, f"{venue} does not trade {symbol}")
    levels, is_text = _number(request, "levels", DEFAULT_LEVELS, 1, MAX_LEVELS), _is_text(request)
    async with _connection(request) as (socket, outbox):
        channels = exchange.market_data.join(outbox, venue, symbol, levels, is_text, exchange.now_ns())
        try:
            await _until_closed(socket)
        finally:
            for channel in channels:
                channel.listeners.discard(outbox)
        return socket


# -- queries -------------------------------------------------------------------------------------------------


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=codec.to_json(body), status=status, content_type="application/json")


async def _asked(request: web.Request, ask: Callable[[Exchange], T]) -> T:
    """What `ask` finds when the query has arrived behind the requests that were sent before it."""
    exchange = request.app[EXCHANGE]
    way = exchange.way(request.query.get("venue", ""))
    await way.inbound.travel()
    found = ask(exchange)
    await way.outbound.travel()
    return found


async def _ping(request: web.Request) -> web.Response:
    exchange = request.app[EXCHANGE]
    return _json(w.Pong(now_ns=exchange.now_ns(), venues=exchange.sim.venues))


async def _instruments(request: web.Request) -> web.Response:
    return _json(request.app[EXCHANGE].sim.markets(_venue(request, optional=True)))


async def _fees(request: web.Request) -> web.Response:
    return _json(
        [
            w.Fees(
                venue=info.venue,
                symbol=info.symbol,
                taker_fee_e8=info.listing.taker_fee_e8,
                maker_fee_e8=info.listing.maker_fee_e8,
            )
            for info in request.app[EXCHANGE].sim.markets(_venue(request, optional=True))
        ]
    )


async def _order(request: web.Request) -> web.Response:
    venue, account, client_id = _venue(request), _account(request), request.match_info["client_id"]
    order = await _asked(request, lambda exchange: exchange.sim.query(venue, client_id, account))
    if order is None:
        text = f"{venue} has no order {client_id} of account {account}"
        return _json(_refusal(request.app[EXCHANGE], Code.UNKNOWN_ORDER, text), status=404)
    return _json(order)


async def _open_orders(request: web.Request) -> web.Response:
    venue, account, symbol = _venue(request), _account(request), request.query.get("symbol", "")
    return _json(await _asked(request, lambda exchange: exchange.sim.open_orders(venue, account, symbol)))


async def _trades(request: web.Request) -> web.Response:
    venue, account = _venue(request), _account(request)
    after, since_ns = _number(request, "after", 0), _number(request, "since_ns", 0)
    limit = _number(request, "limit", DEFAULT_PAGE, 1, MAX_TRADES_PAGE)
    client_id = request.query.get("client_id", "")
    return _json(
        await _asked(
            request,
            lambda exchange: exchange.sim.trades_since(
                venue, account, after=after, since_ns=since_ns, client_id=client_id, limit=limit
            ),
        )
    )


async def _balances(request: web.Request) -> web.Response:
    venue, account = _venue(request), _account(request)
    return _json(await _asked(request, lambda exchange: exchange.sim.balances(venue, account)))


async def _health(request: web.Request) -> web.Response:
    if not request.app[EXCHANGE].is_ready:
        raise web.HTTPServiceUnavailable(text="starting or stopping")
    return web.Response(text="ok")


# -- parameters ----------------------------------------------------------------------------------------------


def _venue(request: web.Request, *, optional: bool = False) -> str:
    venue = request.query.get("venue", "")
    venues = request.app[EXCHANGE].sim.venues
    if venue not in venues and not (optional and not venue):
        raise _Wrong(Code.UNKNOWN_VENUE, f"venue must be one of {', '.join(venues)}")
    return venue


def _account(request: web.Request) -> str:
    return request.query.get("account", "default")


def _is_text(request: web.Request) -> bool:
    chosen = request.query.get("format", "msgpack")
    if chosen not in ("msgpack", "json"):
        raise _Wrong(Code.INVALID_PARAMETER, "format must be msgpack or json")
    return chosen == "json"


def _number(request: web.Request, name: str, default: int, least: int = 0, most: int = w.MAX_UNITS) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise _Wrong(Code.INVALID_PARAMETER, f"{name} must be a whole number from {least} to {most}")
    return int(text)
