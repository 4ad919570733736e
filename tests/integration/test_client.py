"""The client on a real bus, with a scheduler and a gateway played by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client as Connection

from bestex import TWAP, bus, codec, config, streams, subjects
from bestex import client as client_module
from bestex import messages as m
from bestex.client import Client
from bestex.clock import SECOND, Time
from bestex.errors import BusError, Code, UsageError
from bestex.messages import Side
from bestex.server import NatsServer
from bestex.status import State

AT = Time(1_750_000_000 * SECOND)
SYMBOL = "BTC/USDT"
WAIT_S = 10.0


@pytest.fixture
async def platform(nats_server: NatsServer) -> AsyncIterator[Connection]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, config.load(None, {}))
    yield connection
    await connection.close()


async def store(connection: Connection, subject: str, message: Any) -> None:
    ack = await bus.publish(connection, subject, codec.to_json(message))
    assert ack.error is None


async def tell(connection: Connection, parent_id: str, kind: Any, cum: str = "0", **more: Any) -> Any:
    qty = Decimal(cum)
    base = {"symbol": SYMBOL, "parent_id": parent_id, "at": AT, "avg_px": None}
    event = kind(**base, cum_qty=qty, leaves_qty=1 - qty, **more)
    await store(connection, subjects.parent(SYMBOL, parent_id, subjects.event_name(event)), event)
    return event


async def accept(connection: Connection, order: m.ParentOrder) -> Any:
    return await tell(connection, order.parent_id, m.ParentAccepted, order=order, order_seq=1, start_at=AT)


async def end(connection: Connection, parent_id: str, cum: str) -> Any:
    rest = {"reason": Code.FILLED, "notional": Decimal(100), "fees": Decimal(0)}
    return await tell(connection, parent_id, m.ParentDone, cum, **rest)


async def fill(connection: Connection, parent_id: str, number: int, qty: str, venue: str = "sim_a") -> m.Fill:
    made = m.Fill(
        fill_id=f"{number}-{parent_id}",
        trade_id=str(number),
        venue=venue,
        symbol=SYMBOL,
        child_id="c1",
        parent_id=parent_id,
        slice_no=1,
        side=Side.BUY,
        qty=Decimal(qty),
        price=Decimal(100),
        fee=Decimal(0),
        venue_at=AT,
        at=AT,
    )
    await store(connection, subjects.fill(venue, SYMBOL, made.fill_id), made)
    return made


async def stored_order(connection: Connection, seq: int = 1) -> m.ParentOrder:
    stored = await bus.read_next(connection, subjects.ORDERS, f"{subjects.ROOT}.order.>", seq)
    assert stored is not None
    return codec.from_json(stored.data, m.ParentOrder)


async def test_what_is_submitted_is_what_the_stream_holds(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        parent = await client.submit(SYMBOL, "buy", "1", algo="twap", limit_price="60000", duration="5m")
    order = await stored_order(platform)
    assert (order.parent_id, order.side, order.qty) == (parent.parent_id, Side.BUY, Decimal(1))
    assert (order.limit_price, order.params) == (Decimal(60000), {"duration": "5m"})


async def test_an_algorithm_brings_its_parameters_and_none_is_the_configured_one(
    platform: Connection, nats_server: NatsServer
) -> None:
    chosen = config.load(None, {"BESTEX__EXECUTION__DEFAULT_ALGO": "market"})
    async with Client(nats_server.url, chosen) as client:
        await client.submit(SYMBOL, "buy", "1", algo=TWAP(duration="5m", slices=4), catch_up="50%")
        await client.submit(SYMBOL, "buy", "1")
        await client.submit(m.ParentOrder(symbol=SYMBOL, side=Side.BUY, qty=Decimal(1)))
    orders = [await stored_order(platform, seq) for seq in (1, 2, 3)]
    assert [order.algo for order in orders] == ["twap", "market", "market"]
    assert orders[0].params == {"duration": "5m", "slices": 4, "catch_up": "50%"}


async def test_a_parent_is_followed_to_its_end_over_a_restart_of_the_bus(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        parent = await client.submit(SYMBOL, "buy", 1)
        told = [await accept(platform, await stored_order(platform))]
        told.append(await fill(platform, parent.parent_id, 1, "0.4"))
        events = aiter(parent)
        heard = [await asyncio.wait_for(anext(events), WAIT_S) for _ in told]
        nats_server.kill()
        nats_server.restart()
        gateway = await bus.connect(nats_server.url, "gateway")
        told.append(await fill(gateway, parent.parent_id, 2, "0.6", "sim_b"))
        told.append(await end(gateway, parent.parent_id, "1"))
        async with asyncio.timeout(WAIT_S):
            heard += [event async for event in events]
        await gateway.close()
    assert sorted(heard, key=repr) == sorted(told, key=repr)
    assert heard[-1] == told[-1]


async def test_a_write_that_the_stream_refused_is_not_heard(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        parent = await client.submit(SYMBOL, "buy", 1)
        accepted = await accept(platform, await stored_order(platform))
        stale = msgspec.structs.replace(accepted, reason="from a writer that lost")
        subject = subjects.parent(SYMBOL, parent.parent_id, "accepted")
        ack = await bus.publish(platform, subject, codec.to_json(stale), {bus.EXPECTED_SEQ: "0"})
        assert ack.error is not None
        done = await end(platform, parent.parent_id, "0")
        assert [event async for event in parent] == [accepted, done]


async def test_the_same_order_submitted_again_is_followed_from_its_beginning(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as first:
        await first.submit(SYMBOL, "buy", 1, parent_id="mine")
    told = [await accept(platform, await stored_order(platform))]
    told.append(await fill(platform, "mine", 1, "1"))
    told.append(await end(platform, "mine", "1"))
    async with Client(nats_server.url) as second:
        parent = await second.submit(SYMBOL, "buy", 1, parent_id="mine")
        assert sorted([e async for e in parent], key=repr) == sorted(told, key=repr)
        assert await stored_order(platform, 2) == await stored_order(platform, 1)
        assert (await second.status("mine")).state is State.DONE
        assert [one.parent_id for one in await second.parents()] == ["mine"]
        assert len(await second.history("mine")) == len(told)


async def test_another_order_under_a_used_id_is_refused_before_it_is_published(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        await client.submit(SYMBOL, "buy", 1, parent_id="mine", catch_up=0.5)
    await accept(platform, await stored_order(platform))
    async with Client(nats_server.url) as client:
        with pytest.raises(UsageError, match="mine was used for another order"):
            await client.submit(SYMBOL, "buy", 2, parent_id="mine", catch_up=0.5)
        assert await bus.read_next(platform, subjects.ORDERS, f"{subjects.ROOT}.order.>", 2) is None
        await client.submit(SYMBOL.replace("/", "-"), "buy", 1, parent_id="mine", catch_up=0.5)


async def test_an_order_mended_after_its_refusal_is_told_its_own_answer(
    platform: Connection, nats_server: NatsServer
) -> None:
    await tell(platform, "mine", m.ParentRejected, code=Code.OFF_LOT, text="no", order_seq=1)
    async with Client(nats_server.url) as client:
        parent = await client.submit(SYMBOL, "buy", 1, parent_id="mine")
        accepted = await accept(platform, await stored_order(platform))
        assert await asyncio.wait_for(anext(aiter(parent)), WAIT_S) == accepted


async def test_the_answer_to_a_command_is_found_by_its_place(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        await client.submit(SYMBOL, "buy", 1, parent_id="mine")
        await accept(platform, await stored_order(platform))
        request = await client.pause("mine")
        assert await client.answer("mine", request) is None
        paused = await tell(platform, "mine", m.ParentPaused, order_seq=request)
        assert await client.answer("mine", request) == paused


async def test_commands_go_to_the_algorithm_and_symbol_of_the_parent(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        await client.submit(
            SYMBOL, "buy", 1, algo="limit", parent_id="mine", strategy_params={"max_splits": 2}
        )
        order = await stored_order(platform)
        assert order.strategy_params == {"max_splits": 2}
        await accept(platform, order)
    async with Client(nats_server.url) as other:
        await other.pause("mine")
        await other.resume("mine")
        await other.modify("mine", qty="2", duration="1m", strategy_params={"max_splits": 1})
        await other.cancel("mine", "enough")
        with pytest.raises(UsageError, match="no parent nobody"):
            await other.cancel("nobody")
    last = await bus.read_last(platform, subjects.ORDERS, f"{subjects.ROOT}.order.cancel.>")
    changed = await bus.read_last(platform, subjects.ORDERS, f"{subjects.ROOT}.order.modify.>")
    assert last is not None
    assert changed is not None
    assert last.subject == f"{subjects.ROOT}.order.cancel.limit.BTC-USDT.mine"
    assert codec.from_json(changed.data, m.ModifyOrder) == m.ModifyOrder(
        qty=Decimal(2), params={"duration": "1m"}, strategy_params={"max_splits": 1}
    )


async def test_an_order_that_no_message_can_hold_is_refused_at_once(
    platform: Connection, nats_server: NatsServer
) -> None:
    async with Client(nats_server.url) as client:
        with pytest.raises(UsageError, match="too large"):
            await client.submit(SYMBOL, "buy", 1, note="x" * 2_000_000)
    assert await bus.read_last(platform, subjects.ORDERS, f"{subjects.ROOT}.order.>") is None


async def test_without_the_stream_that_takes_orders_the_client_does_not_try_for_ever(
    platform: Connection, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "NO_STREAM_TIMEOUT_S", 0.1)
    await bus.api(platform, f"STREAM.DELETE.{subjects.ORDERS}", {})
    async with Client(nats_server.url) as client:
        with pytest.raises(BusError, match="no stream takes orders"):
            await asyncio.wait_for(client.submit(SYMBOL, "buy", 1), WAIT_S)


async def test_without_streams_and_router_the_client_says_so(nats_server: NatsServer) -> None:
    async with Client(nats_server.url) as client:
        with pytest.raises(BusError, match="bestex streams apply"):
            await client.submit(SYMBOL, "buy", 1)
        with pytest.raises(BusError, match="no router answers"):
            await client.plan(SYMBOL, "buy", 1)
