"""The simulated exchange as a venue: orders over one websocket, the user stream over another, queries over HTTP.

The protocol is described in `services/exchange/api.py`. Everything that was sent and not answered is unknown,
whatever the reason; only an order that met no connection was not sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import Code
from bestex.instruments import Listing
from bestex.messages import Tif
from bestex.units import total
from services.gateway import port as p
from services.gateway.venues import sim_inputs

RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.1, 5.0
HEARTBEAT_S = 5.0  # a connection that died without a word is noticed after this
PAGE = 1_000
PAGES_MAX = 1_000  # a million trades; a pull that needs more has a wrong beginning
QUERIES_AT_ONCE = 16

T = TypeVar("T")


class Failure(NamedTuple):
    sent: bool
    code: Code
    text: str


LIT = p.Capabilities(
    tifs=frozenset(Tif),
    post_only=True,
    client_id_length=64,
    native_replace=True,
    native_iceberg=True,
    dead_man=True,
    in_flight_max=256,
)
DARK = msgspec.structs.replace(
    LIT,
    tifs=frozenset(Tif) - {Tif.FOK},
    post_only=False,
    native_iceberg=False,
    min_qty=True,
    conditional=True,
)


class SimVenue:
    capabilities = LIT

    def __init__(self, name: str, config: Config, clock: AffineClock) -> None:
        self._name = name
        self._url = config.sim_url(name)
        self._account = str(config.venues[name].options.get("account", "default"))
        self._timeout_s = clock.wall_seconds(config.execution.timeout)
        instruments = config.make_instruments().all
        self._listings = {i.symbol: listing for i in instruments if (listing := i.listing(name)) is not None}
        deposits = dict(config.venues[name].options.get("deposits", {}))
        self._deposits = {currency: Decimal(str(amount)) for currency, amount in deposits.items()}
        if any(listing.kind == "dark" for listing in self._listings.values()):
            self.capabilities = DARK
        if self._deposits:  # without, its accounts begin with nothing and may owe anything
            self.capabilities = msgspec.structs.replace(self.capabilities, holdings=True)
        self._symbols = {listing.symbol: symbol for symbol, listing in self._listings.items()}
        self._http: aiohttp.ClientSession | None = None
        self._orders: aiohttp.ClientWebSocketResponse | None = None
        self._waiting: dict[int, asyncio.Future[w.Answer | Failure]] = {}
        self._last_id = 0
        self._keeper: asyncio.Task[None] | None = None

    # -- session -----------------------------------------------------------------------------------------------

    async def connect(self, say: p.Say, now_ns: Callable[[], int]) -> None:
        self._say, self._now_ns = say, now_ns
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        self._keeper = asyncio.create_task(self._keep_up(self._http))

    async def disconnect(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._http is not None:
            await self._http.close()

    async def _keep_up(self, http: aiohttp.ClientSession) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            text = "closed by the venue"
            was_up = False
            try:
                user_url = f"{self._url}/v1/user"
                query = {"venue": self._name, "account": self._account}
                async with (
                    http.ws_connect(f"{self._url}/v1/trade", heartbeat=HEARTBEAT_S, max_msg_size=0) as orders,
                    http.ws_connect(user_url, params=query, heartbeat=HEARTBEAT_S, max_msg_size=0) as user,
                ):
                    self._orders = orders
                    self._say(p.SessionState(self._name, p.Session.UP))
                    was_up, pause = True, RECONNECT_FIRST_S
                    await self._listen(orders, user)
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                text = repr(error)
            finally:
                self._orders = None
                self._abandon(Failure(True, Code.VENUE_DOWN, f"the connection was lost: {text}"))
            if was_up:
                self._say(p.SessionState(self._name, p.Session.DOWN, text))
            await asyncio.sleep(pause)
            pause = min(2 * pause, RECONNECT_MAX_S)

    async def _listen(
        self, orders: aiohttp.ClientWebSocketResponse, user: aiohttp.ClientWebSocketResponse
    ) -> None:
        """Until either connection ends: one without the other is no session."""
        tasks = [asyncio.create_task(self._read_answers(orders)), asyncio.create_task(self._read_user(user))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_answers(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for answer in _frames(socket, w.Answer):
            waiting = self._waiting.pop(answer.id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    async def _read_user(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for event in _frames(socket, w.UserEvent):
            for said in sim_inputs.happened(event.orders, event.trades):
                self._say(said)

    def _abandon(self, failure: Failure) -> None:
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_result(failure)

    # -- orders ------------------------------------------------------------------------------------------------

    async def submit(self, order: p.Submit) -> Sequence[p.Said]:
        symbol = self._listings[order.symbol].symbol
        answer = await self._ask(sim_inputs.submit(order, self._account, symbol))
        if isinstance(answer, w.Answer):
            return sim_inputs.submitted(order.child_id, answer)
        if not answer.sent:
            return [p.VenueNotSent(child_id=order.child_id, code=answer.code, text=answer.text)]
        return [p.VenueUnknown(child_id=order.child_id, code=answer.code, text=answer.text)]

    async def cancel(self, order: p.Cancel) -> Sequence[p.Said]:
        answer = await self._ask(sim_inputs.cancel(order, self._account))
        if isinstance(answer, w.Answer):
            return sim_inputs.canceled(order.child_id, answer)
        return [_unanswered(order.child_id, answer)]

    async def modify(self, order: p.Replace) -> Sequence[p.Said]:
        answer = await self._ask(sim_inputs.replace(order, self._account))
        if isinstance(answer, w.Answer):
            return sim_inputs.replaced(order.child_id, answer)
        return [_unanswered(order.child_id, answer)]

    async def firm(self, order: p.Firm) -> Sequence[p.Said]:
        answer = await self._ask(sim_inputs.firm(order, self._account))
        if isinstance(answer, w.Answer):
            return sim_inputs.firmed(order.child_id, answer)
        return [_unanswered(order.child_id, answer)]

    async def arm(self, timeout_ns: int) -> bool:
        request = w.CancelAllAfter(venue=self._name, account=self._account, timeout_ns=timeout_ns)
        answer = await self._ask(request)
        return isinstance(answer, w.Answer) and answer.ok

    async def _ask(self, request: w.AnyRequest) -> w.Answer | Failure:
        """Send once; nothing is awaited before the send."""
        socket = self._orders
        if socket is None or socket.closed:
            return Failure(False, Code.VENUE_DOWN, f"no connection to {self._name}")
        self._last_id += 1
        number = self._last_id
        waiting: asyncio.Future[w.Answer | Failure] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        payload = codec.to_msgpack(msgspec.structs.replace(request, id=number))
        try:
            async with asyncio.timeout(self._timeout_s):
                await socket.send_bytes(payload)
                return await waiting
        except TimeoutError:
            return Failure(True, Code.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            # Some of it may have left.
            return Failure(True, Code.VENUE_DOWN, f"the send failed: {error!r}")
        finally:
            self._waiting.pop(number, None)

    # -- queries -----------------------------------------------------------------------------------------------

    async def query_order(self, query: p.QueryOrder) -> Sequence[p.Said]:
        asked_ns = self._now_ns()
        absent = p.VenueAbsent(child_id=query.child_id, endpoint=query.endpoint, asked_ns=asked_ns)
        if query.endpoint is p.Endpoint.ORDER:
            state = await self._get(f"/v1/orders/{query.child_id}", w.OrderState)
            if isinstance(state, Failure):
                return [absent if state.code is Code.UNKNOWN_ORDER else _unanswered(query.child_id, state)]
            return sim_inputs.standing(state)
        # The open orders first: what fills in between is then among the trades.
        opened = await self._opened()
        fills = await self._trades(query.since_ns, query.child_id)
        if opened is None or isinstance(fills, Failure):
            text = "the lists could not be read"
            return [p.VenueUnanswered(child_id=query.child_id, code=Code.TIMEOUT, text=text)]
        at_work = [said for said in opened if said.child_id == query.child_id]
        return [*fills, *at_work] if at_work else [*fills, absent]

    async def open_orders(self) -> Sequence[p.VenueAccepted] | None:
        said = await self._opened()
        return None if said is None else [one for one in said if isinstance(one, p.VenueAccepted)]

    async def _opened(self) -> list[p.VenueAccepted | p.VenueInvited] | None:
        """The open orders, and which of them are invited."""
        states = await self._get("/v1/orders", list[w.OrderState])
        if isinstance(states, Failure):
            return None
        said = chain.from_iterable(map(sim_inputs.standing, states))
        return [one for one in said if isinstance(one, p.VenueAccepted | p.VenueInvited)]

    async def fills_since(self, since_ns: int) -> Sequence[p.VenueFill] | None:
        fills = await self._trades(since_ns)
        return None if isinstance(fills, Failure) else fills

    async def mass_status(self, ask: p.MassStatus) -> Sequence[p.Said] | None:
        opened = await self._opened()
        fills = await self.fills_since(ask.since_ns)
        if opened is None or fills is None:
            return None
        at_work = {said.child_id for said in opened}
        limit = asyncio.Semaphore(QUERIES_AT_ONCE)

        async def one(query: p.QueryOrder) -> Sequence[p.Said]:
            async with limit:
                return await self.query_order(query)

        answers = await asyncio.gather(*(one(query) for query in ask.orders if query.child_id not in at_work))
        found = [said for answer in answers for said in answer]
        if any(isinstance(said, p.VenueUnanswered) for said in found):
            return None
        return [*fills, *opened, *found]

    async def instruments(self) -> Sequence[Listing]:
        found = await self._get("/v1/instruments", list[w.MarketInfo])
        return [] if isinstance(found, Failure) else [info.listing for info in found]

    async def balances(self) -> dict[str, Decimal] | None:
        found = await self._get("/v1/balances", w.Balances)
        if isinstance(found, Failure):
            return None
        held = dict(self._deposits)
        for currency, moved in found.balances.items():
            held[currency] = total(held.get(currency, Decimal(0)), moved)
        return held

    async def positions(self) -> dict[str, int] | None:
        return {}  # accounts hold balances only

    async def fees(self) -> dict[str, tuple[int, int]] | None:
        found = await self._get("/v1/fees", list[w.Fees])
        if isinstance(found, Failure):
            return None
        return {
            self._symbols[fees.symbol]: (fees.maker_fee_e8, fees.taker_fee_e8)
            for fees in found
            if fees.symbol in self._symbols
        }

    async def _trades(self, since_ns: int, child_id: str = "") -> list[p.VenueFill] | Failure:
        fills: list[p.VenueFill] = []
        after = 0
        for _ in range(PAGES_MAX):
            more: dict[str, Any] = {"since_ns": max(0, since_ns), "after": after, "limit": PAGE}
            if child_id:
                more["client_id"] = child_id
            page = await self._get("/v1/trades", list[w.Trade], more)
            if isinstance(page, Failure):
                return page
            fills += [sim_inputs.fill(trade) for trade in page]
            if len(page) < PAGE:
                return fills
            after = page[-1].trade_id
        return Failure(True, Code.LIMIT_EXCEEDED, f"more than {PAGES_MAX * PAGE} trades in one pull")

    async def _get(self, path: str, kind: type[T], more: dict[str, Any] | None = None) -> T | Failure:
        """One query. UNKNOWN_ORDER only where the venue itself says so: a proxy's 404 is no absence."""
        assert self._http is not None, "connect comes first"
        params = {"venue": self._name, "account": self._account, **(more or {})}
        try:
            async with self._http.get(self._url + path, params=params) as response:
                body = await response.read()
                if response.status == 200:
                    return codec.from_json(body, kind)
                code = codec.from_json(body, w.Answer).code if response.status == 404 else None
                return Failure(True, code or Code.VENUE_REJECTED, f"status {response.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            return Failure(True, Code.TIMEOUT, repr(error))


async def _frames(socket: aiohttp.ClientWebSocketResponse, kind: type[T]) -> AsyncIterator[T]:
    async for frame in socket:
        if frame.type is not aiohttp.WSMsgType.BINARY:
            raise aiohttp.ClientPayloadError(f"a frame of type {frame.type.name}: {frame.data!r}")
        yield codec.from_msgpack(frame.data, kind)


def _unanswered(child_id: str, failure: Failure) -> p.VenueUnanswered:
    return p.VenueUnanswered(child_id=child_id, code=failure.code, text=failure.text)
