"""What all emulated exchanges share, shown on the smallest of them: one that says what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bestex import sim_wire as w
from bestex.messages import Side
from tests.emulators.engine import DepthChange, Engine, given_id
from tests.emulators.faults import Fault
from tests.emulators.server import Emulator, Reply, Socket, serve

BTC = "BTC/USDT"
TOML = """
[venues.small]
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 4
[instruments."BTC/USDT".venues]
small = { tick = "0.01", lot = "0.0001" }
[exchange]
latency = "0s"
"""


class Small(Emulator):
    NAME, TOML = "small", TOML

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.post("/order", self._order), web.get("/ws", self._ws)]

    async def _order(self, request: web.Request) -> web.StreamResponse:
        return await self.rest(request, "new", lambda: Reply({"id": self._buy()}))

    async def _ws(self, request: web.Request) -> web.StreamResponse:
        return await self.listen(request, self._heard)

    def _heard(self, socket: Socket, data: Any) -> None:
        if data == "depth":
            socket.topics.add("depth")
        else:
            socket.account = "default"
            self.frame(socket, "new", lambda: {"id": self._buy()}, lambda fault: {"error": fault.how})

    def _buy(self) -> str:
        answer = self.engine.submit("default", BTC, Side.BUY, Decimal("0.5"), Decimal(100), client_id="one")
        assert answer.order is not None
        return answer.order.client_id

    def on_depth(self, change: DepthChange) -> None:
        self.tell("depth", {"first": change.first_id, "previous": change.previous_id, "bids": change.bids})

    def on_user(self, entry: w.JournalEntry) -> None:
        for order in entry.orders:
            self.tell_account(order.account, {"event": order.state, "id": given_id(order)})

    def refusal(self, fault: Fault) -> Reply:
        return Reply({"error": fault.how}, status=429)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return Small(tmp_path, market="none")


def orders(engine: Engine) -> list[str]:
    return [order.client_id for order in engine.orders("default")]


async def test_an_order_is_in_the_engine_and_in_its_journal(small: Small) -> None:
    async with serve(small), aiohttp.ClientSession() as http:
        async with http.post(small.url + "/order") as response:
            assert await response.json() == {"id": "one"}
        async with http.post(small.url + "/order") as response:
            assert await response.json() == {"id": "one~2"}, "sent twice: the journal has both"
        assert [given_id(order) for order in small.engine.open_orders("default")] == ["one", "one"]


@pytest.mark.parametrize(("when", "there"), [("before", []), ("after", ["one"])])
@pytest.mark.parametrize("how", ["timeout", "reset", "truncated"])
async def test_what_got_no_answer_is_there_or_not(
    small: Small, when: Any, how: Any, there: list[str]
) -> None:
    async with serve(small), aiohttp.ClientSession() as http:
        small.faults.add(Fault(how=how, what="new", when=when, seconds=0.5))
        timeout = aiohttp.ClientTimeout(total=0.3)
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with http.post(small.url + "/order", timeout=timeout) as response:
                await response.json()
        assert orders(small.engine) == there


async def test_faults_come_over_the_door_and_are_used_up(small: Small) -> None:
    async with serve(small), aiohttp.ClientSession() as http:
        faults = [{"how": "rate_limited", "what": "new", "times": 2}]
        async with http.post(small.url + "/_emulator/faults", json=faults) as response:
            assert response.status == 200
        for status in (429, 429, 200):
            async with http.post(small.url + "/order") as response:
                assert response.status == status
        async with http.get(small.url + "/_emulator/state") as response:
            state = await response.json()
        assert (state["asked"], state["happened"], state["waiting"]) == ({"new": 3}, {"rate_limited": 2}, [])


async def test_streams_tell_depth_with_ids_that_join_and_the_own_orders(small: Small) -> None:
    async with serve(small), aiohttp.ClientSession() as http, http.ws_connect(small.url + "/ws") as socket:
        await socket.send_str("depth")
        await socket.send_json({})
        heard = [await socket.receive_json(timeout=5) for _ in range(3)]
        assert {"id": "one"} in heard
        assert {"event": "open", "id": "one"} in heard
        depth = next(one for one in heard if "first" in one)
        assert (depth["previous"] + 1, depth["bids"]) == (depth["first"], [["100", "0.5"]])


async def test_a_lost_user_event_is_lost_though_the_stream_stays(small: Small) -> None:
    async with serve(small), aiohttp.ClientSession() as http, http.ws_connect(small.url + "/ws") as socket:
        small.faults.add(Fault(how="mute_user", seconds=60))
        await socket.send_json({})
        assert await socket.receive_json(timeout=5) == {"id": "one"}
        with pytest.raises(TimeoutError):
            await socket.receive_json(timeout=0.2)
        assert small.faults.happened == {"mute_user": 1}
        await asyncio.sleep(0)
