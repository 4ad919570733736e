"""The adapter of the simulated exchange against the exchange itself, over real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from bestex import codec, fleet
from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import MINUTE, SECOND, AffineClock, Time
from bestex.config import Config, parse
from bestex.core import Call, Fact, Recovered
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.exchange.api import make_app
from services.exchange.shell import Exchange
from services.gateway import port as p
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk
from services.gateway.venues.sim import SimVenue
from tests.unit.gateway.bench import SYMBOL, VENUE, child_cancel, child_new

PATIENCE_S, CLOCK = 10.0, AffineClock()
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def config(url: str, folder: Path | None = None, timeout: str = "5s") -> Config:
    return parse(
        f"""
        data_dir = "{folder or "unused"}"
        [venues.sim_a]
        url = "{url}"
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 5
        [instruments."BTC/USDT".venues]
        sim_a = {{ tick = "0.1", lot = "0.0001", taker_bps = "2" }}
        [execution]
        timeout = "{timeout}"
        [exchange]
        latency = "0s"
        [limits.collar]
        enabled = false
        [limits.self_trade]
        policy = "off"
        """
    )


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def exchange_url(tmp_path: Path) -> AsyncIterator[str]:
    """A simulated exchange without a market: only our own orders meet."""
    exchange = Exchange(
        config("", tmp_path), CLOCK, structlog.stdlib.get_logger(), make_backgrounds=lambda *_: []
    )
    exchange.start()
    async with serve(make_app(exchange)) as url:
        yield url
    await exchange.stop()


async def may_send() -> bool:
    return True


class Live:
    """A gateway without a bus: what is stored is kept in `journal`; `seen` waits for it."""

    def __init__(self, url: str, journal: list[Any] | None = None, timeout: str = "5s") -> None:
        settings = config(url, timeout=timeout)
        venue = SimVenue(VENUE, settings, CLOCK)
        self.core = GatewayCore(
            {VENUE: venue.capabilities}, settings.make_instruments(), settings, fleet.build()
        )
        self.desk = Desk({VENUE: venue}, self.core.anomalies, self.core.halted)
        self.journal: list[Any] = list(journal or [])
        self.inputs: list[Any] = []
        self._changed = asyncio.Event()
        for event in self.journal:
            self.core.apply(event)

    async def __aenter__(self) -> Live:
        await self.desk.start(self.deliver, CLOCK.now_ns, may_send)
        self.deliver(Recovered())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.desk.stop()

    def deliver(self, message: Any) -> None:
        self.inputs.append(message)
        for out in self.core.decide(message, CLOCK.now_ns()):
            effects: Any = [out]
            if isinstance(out, Fact):
                effects = self.core.apply(out.event)
                self.journal.append(out.event)
            for effect in effects:
                if isinstance(effect, Call):
                    self.desk.call(effect.request)
        self._changed.set()

    async def seen(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := condition()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def ready(self) -> Live:
        await self.seen(lambda: self.core.sessions[VENUE] is p.Session.RECONCILED)
        return self

    def new(self, child_id: str, **changed: Any) -> None:
        now = CLOCK.now_ns()
        times = {"expires_at": Time(now + 4 * SECOND), "good_till": Time(now + MINUTE)}
        self.deliver(child_new(child_id, now, **{**times, **changed}))

    async def event(self, child_id: str, kind: type[Any]) -> Any:
        def find() -> Any:
            return next((e for e in self.journal if isinstance(e, kind) and e.child_id == child_id), None)

        return await self.seen(find)

    def tags(self, child_id: str) -> list[str]:
        return [type(event).__name__ for event in self.journal if event.child_id == child_id]


async def test_two_of_our_orders_meet_and_both_end_with_exact_sums(exchange_url: str) -> None:
    async with Live(exchange_url) as live:
        await live.ready()
        live.new("maker", tif=Tif.GTC)
        await live.event("maker", m.ExecAccepted)
        live.new("taker", side=Side.SELL, qty=Decimal("0.004"))
        end = await live.event("taker", m.ExecFilled)
        assert (end.cum_qty, end.notional, end.fees) == (Decimal("0.004"), Decimal("240"), Decimal("0.048"))
        await live.event("maker", m.Fill)
        live.deliver(child_cancel("maker"))
        end = await live.event("maker", m.ExecCanceled)
        assert (end.cum_qty, end.code) == (Decimal("0.004"), Code.CANCELED)
        assert live.tags("taker") == ["ExecSubmitting", "Fill", "ExecFilled"]


async def test_an_ioc_that_meets_nothing_expires_and_a_wrong_one_is_rejected(exchange_url: str) -> None:
    async with Live(exchange_url) as live:
        await live.ready()
        live.new("ioc")
        end = await live.event("ioc", m.ExecExpired)
        assert end.cum_qty == 0
        live.new("rest", tif=Tif.GTC)
        await live.event("rest", m.ExecAccepted)
        live.new("post", side=Side.SELL, tif=Tif.GTC, post_only=True)
        refused = await live.event("post", m.ExecRejected)
        assert refused.code is Code.POST_ONLY_WOULD_TAKE


async def test_what_happened_while_the_gateway_was_dead_is_found_at_its_start(exchange_url: str) -> None:
    async with Live(exchange_url) as live:
        await live.ready()
        live.new("c1", tif=Tif.GTC)
        live.new("c2", tif=Tif.GTC, price=Decimal("59000"))
        await live.event("c2", m.ExecAccepted)
    await post(exchange_url, w.Cancel(venue=VENUE, client_id="c2"))
    await post(
        exchange_url,
        w.Submit(
            venue=VENUE,
            account="other",
            symbol=SYMBOL,
            client_id="x",
            side=Side.SELL,
            qty=300,
            price=6_000_000,
        ),
    )
    async with Live(exchange_url, live.journal) as again:
        await again.ready()
        assert (await again.event("c2", m.ExecCanceled)).cum_qty == 0
        assert (await again.event("c1", m.Fill)).qty == Decimal("0.003")
        assert again.core.reserved == 700


async def test_a_replaced_order_has_its_new_terms(exchange_url: str) -> None:
    async with Live(exchange_url) as live:
        await live.ready()
        live.new("c1", tif=Tif.GTC)
        await live.event("c1", m.ExecAccepted)
        live.deliver(
            m.ChildReplace(
                child_id="c1",
                parent_id="p1",
                venue=VENUE,
                symbol=SYMBOL,
                qty=Decimal("0.02"),
                price=Decimal("59000"),
                expires_at=Time(CLOCK.now_ns() + SECOND),
            )
        )
        replaced = await live.event("c1", m.ExecReplaced)
        assert (replaced.qty, replaced.price) == (Decimal("0.02"), Decimal("59000"))


async def test_a_submission_that_died_with_the_process_is_proven_absent_by_two_endpoints(
    exchange_url: str,
) -> None:
    async with Live(exchange_url) as live:
        await live.ready()
        for endpoint in p.Endpoint:
            query = p.QueryOrder(venue=VENUE, symbol=SYMBOL, child_id="never", endpoint=endpoint)
            live.desk.call(query)
        found = await live.seen(lambda: [i for i in live.inputs if isinstance(i, p.VenueAbsent)][1:2])
        assert found
        assert {i.endpoint for i in live.inputs if isinstance(i, p.VenueAbsent)} == set(p.Endpoint)


async def test_terms_fees_and_balances_are_the_venues_own(exchange_url: str) -> None:
    venue = SimVenue(VENUE, config(exchange_url), CLOCK)
    await venue.connect(lambda _: None, CLOCK.now_ns)
    try:
        assert [listing.symbol for listing in await venue.instruments()] == [SYMBOL]
        assert await venue.fees() == {SYMBOL: (0, 20_000)}
        assert await venue.balances() == {}
    finally:
        await venue.disconnect()


# -- a venue that misbehaves ---------------------------------------------------------------------------------------


def misbehaving(
    on_submit: Callable[[web.WebSocketResponse], Awaitable[None]], *, proxy: bool = False, lists: bool = True
) -> web.Application:
    """A venue where nothing ever happened, and that treats submissions as it is told to.

    With a `proxy` before it, which has its own 404; without `lists` its open orders cannot be read.
    """

    async def trade(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for frame in socket:
            ask: Any = codec.msgpack_decoder(w.AnyRequest).decode(frame.data)
            if isinstance(ask, w.Submit):
                await on_submit(socket)
            else:
                await socket.send_bytes(codec.to_msgpack(w.Answer(id=ask.id, ok=True, at_ns=1)))
        return socket

    async def user(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async def nothing(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[]")

    async def open_orders(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[]", status=200 if lists else 500)

    async def lost(_: web.Request) -> web.StreamResponse:
        answer = codec.to_json(w.Answer(id=0, ok=False, at_ns=1, code=Code.UNKNOWN_ORDER))
        return web.Response(status=404, body=b"no route" if proxy else answer)

    app = web.Application()
    app.add_routes(
        [web.get("/v1/trade", trade), web.get("/v1/user", user), web.get("/v1/orders", open_orders)]
    )
    app.add_routes([web.get("/v1/trades", nothing), web.get("/v1/orders/{id}", lost)])
    return app


async def silent(_: web.WebSocketResponse) -> None:
    pass


async def hangs_up(socket: web.WebSocketResponse) -> None:
    await socket.close()


async def talks_nonsense(socket: web.WebSocketResponse) -> None:
    await socket.send_bytes(b"\xc1 half an answ")


@pytest.mark.parametrize("on_submit", [silent, hangs_up, talks_nonsense])
async def test_what_was_sent_and_not_answered_is_unknown(
    on_submit: Callable[[web.WebSocketResponse], Awaitable[None]],
) -> None:
    async with serve(misbehaving(on_submit)) as url, Live(url, timeout="300ms") as live:
        await live.ready()
        live.new("c1")
        await live.event("c1", m.ExecUnknown)
        assert live.tags("c1") == ["ExecSubmitting", "ExecUnknown"]


async def test_a_404_that_is_not_the_venues_word_is_no_absence() -> None:
    async with serve(misbehaving(silent, proxy=True)) as url, Live(url) as live:
        await live.ready()
        live.desk.call(p.QueryOrder(venue=VENUE, symbol=SYMBOL, child_id="c1"))
        await live.seen(lambda: [i for i in live.inputs if isinstance(i, p.VenueUnanswered)])
        assert not [i for i in live.inputs if isinstance(i, p.VenueAbsent)]


async def test_open_orders_that_cannot_be_read_are_no_absence() -> None:
    async with serve(misbehaving(silent, lists=False)) as url:
        venue = SimVenue(VENUE, config(url), CLOCK)
        await venue.connect(lambda _: None, CLOCK.now_ns)
        query = p.QueryOrder(venue=VENUE, symbol=SYMBOL, child_id="c1", endpoint=p.Endpoint.LISTS)
        said = await venue.query_order(query)
        await venue.disconnect()
    assert [type(one) for one in said] == [p.VenueUnanswered]


async def test_a_send_that_fails_midway_is_unknown_because_some_of_it_may_have_left() -> None:
    class Broken:
        closed = False

        async def send_bytes(self, _: bytes) -> None:
            raise ConnectionResetError("half of it left")

    venue = SimVenue(VENUE, config("http://127.0.0.1:9"), CLOCK)
    venue._orders = Broken()  # type: ignore[assignment]
    (said,) = await venue.submit(submit("c1"))
    assert isinstance(said, p.VenueUnknown)


async def test_a_session_with_a_question_unanswered_is_not_reconciled() -> None:
    async with serve(misbehaving(hangs_up, proxy=True)) as url, Live(url) as live:
        await live.ready()
        live.new("c1")
        await live.seen(lambda: sum(s.state is p.Session.UP for s in sessions(live)) == 3)
        live.new("c2")
        assert (await live.event("c2", m.ExecRejected)).code is Code.NOT_READY


async def test_an_order_that_meets_no_connection_was_not_sent() -> None:
    venue = SimVenue(VENUE, config("http://127.0.0.1:9"), CLOCK)
    await venue.connect(lambda _: None, CLOCK.now_ns)
    try:
        (said,) = await venue.submit(submit("c1"))
        assert isinstance(said, p.VenueNotSent)
    finally:
        await venue.disconnect()


async def test_after_a_lost_connection_the_session_is_reconciled_again() -> None:
    async with serve(misbehaving(hangs_up)) as url, Live(url) as live:
        await live.ready()
        live.new("c1")
        await live.seen(lambda: sum(s.state is p.Session.RECONCILED for s in sessions(live)) == 2)
        states = [session.state for session in sessions(live)]
        up, good, down = p.Session.UP, p.Session.RECONCILED, p.Session.DOWN
        assert states == [up, good, down, up, good]


def sessions(live: Live) -> list[p.SessionState]:
    return [said for said in live.inputs if isinstance(said, p.SessionState)]


def submit(child_id: str) -> p.Submit:
    soon_ns = CLOCK.now_ns() + SECOND
    return p.Submit(
        venue=VENUE, symbol=SYMBOL, child_id=child_id, side=Side.BUY, qty=1_000, price=6_000_000,
        tif=Tif.IOC, post_only=False, deadline_ns=soon_ns, good_till_ns=soon_ns,
    )  # fmt: skip


async def post(url: str, request: w.AnyRequest) -> None:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/v1/trade", data=codec.to_json(request)) as response,
    ):
        assert codec.from_json(await response.read(), w.Answer).ok
