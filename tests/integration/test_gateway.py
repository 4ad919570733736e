"""The gateway as a process, on a real bus and a real exchange, killed while orders are on their way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from bestex import bus, codec, streams
from bestex import config as configuration
from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import SECOND, AffineClock, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from bestex.server import NatsServer
from tests.integration.exchange_process import ExchangeProcess
from tests.integration.gateway_process import (
    SYMBOL,
    VENUE,
    WAIT_S,
    GatewayProcess,
    History,
    journal_of,
    order,
    publish,
)

CHILDREN = 100
KILLED_AFTER = 60


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "exchange", BESTEX__EXCHANGE__LATENCY="30ms")
    process.start()
    yield process
    process.stop()


async def test_a_killed_gateway_sends_nothing_twice_and_loses_nothing(
    nats_server: NatsServer, exchange: ExchangeProcess, tmp_path: Path
) -> None:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    history = await History().follow(client)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    try:
        for i in range(CHILDREN):
            await publish(client, order(f"c{i}"))
            if i == KILLED_AFTER:
                # In the midst of it: some are written down, some sent, some answered.
                await history.until(m.Fill, KILLED_AFTER // 2)
                assert gateway.make_checkpoint() == 0
                gateway.kill()
                gateway.start()
        await history.until(m.ExecEnded, CHILDREN)
    finally:
        assert gateway.stop() == 0
        await client.close()
    check(history, journal_of(exchange))


def check(history: History, journal: list[w.JournalEntry]) -> None:
    """The streams and the venue's own journal tell the same story, and everything in it once."""
    assert len({subject for subject, _ in history.events}) == len(history.events)
    received = Counter(e.request.client_id for e in journal if isinstance(e.request, w.Submit))
    assert set(received.values()) == {1}, "at most one send per child"
    submitted = {event.child_id for event in history.of(m.ExecSubmitting)}
    assert set(received) <= submitted, "written down before it was sent"
    trades = {(t.client_id, str(t.trade_id)) for entry in journal for t in entry.trades}
    fills = history.of(m.Fill)
    assert len(fills) == len(trades)
    assert {(fill.child_id, fill.trade_id) for fill in fills} == trades
    assert not [fill for fill in fills if fill.flag]
    ends = history.of(m.ExecEnded)
    assert len({end.child_id for end in ends}) == CHILDREN
    for end in ends:
        assert end.cum_qty == sum(fill.qty for fill in fills if fill.child_id == end.child_id)
    assert any(isinstance(end, m.ExecFilled) for end in ends)


async def test_the_venue_shows_an_iceberg_in_parts_and_all_of_them_are_counted(
    nats_server: NatsServer, exchange: ExchangeProcess, tmp_path: Path
) -> None:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    history = await History().follow(client)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    # Beyond all that the market shows, so that nobody else stands or trades there.
    price, qty, shown = Decimal(66_000), Decimal("0.01"), Decimal("0.004")
    later = Time(AffineClock().now_ns() + 600 * SECOND)
    async with ClientSession(exchange.url) as session:
        try:
            iceberg = order("c2", qty=qty, price=price, tif=Tif.GTC, display_qty=shown)
            whole = {"expires_at": later, "good_till": later, "parent_qty": qty}
            await publish(client, msgspec.structs.replace(iceberg, **whole))
            await history.until(m.ExecAccepted, 1)
            async with session.ws_connect(f"/v1/md?venue={VENUE}&symbol={SYMBOL}&levels=1000") as market:
                book = codec.from_msgpack(await market.receive_bytes(), w.BookFrame)
            assert (book.ask_px[-1], book.ask_qty[-1]) == (66_000_00, 400)
            taker = w.Submit(
                venue=VENUE, account="other", symbol=SYMBOL, client_id="t1", side=Side.BUY,
                qty=10**9, price=66_000_00, tif=Tif.IOC,
            )  # fmt: skip
            async with session.post("/v1/trade", data=codec.to_json(taker)) as response:
                assert response.status == 200
            await history.until(m.ExecFilled, 1)
        finally:
            assert gateway.stop() == 0
            await client.close()
    [submitting] = history.of(m.ExecSubmitting)
    assert submitting.display_qty == shown
    assert [fill.qty for fill in history.of(m.Fill)] == [shown, shown, Decimal("0.002")]
    [end] = history.of(m.ExecFilled)
    assert end.cum_qty == qty


async def test_what_rests_is_canceled_at_the_venue_while_the_bus_is_away_and_told_when_it_is_back(
    nats_server: NatsServer, exchange: ExchangeProcess, tmp_path: Path
) -> None:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    history = await History().follow(client)
    gateway = GatewayProcess(
        nats_server.url, exchange.url, tmp_path / "data", BESTEX__EXECUTION__BUS_LOSS_GRACE="1s"
    )
    try:
        later = Time(AffineClock().now_ns() + 600 * SECOND)
        resting = msgspec.structs.replace(
            order("c1"), tif=Tif.GTC, price=Decimal("30000"), side=Side.BUY, expires_at=later, good_till=later
        )
        await publish(client, resting)
        await history.until(m.ExecAccepted, 1)
        nats_server.kill()
        async with asyncio.timeout(WAIT_S):
            while not any(isinstance(line.request, w.Cancel) for line in journal_of(exchange)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.to_thread(nats_server.restart)
        await history.until(m.ExecCanceled, 1)
    finally:
        assert gateway.stop() == 0
        await client.close()
    assert [type(event) for _, event in history.events] == [
        m.ExecSubmitting,
        m.ExecAccepted,
        m.ExecCanceling,
        m.ExecCanceled,
    ]
    [end] = history.of(m.ExecCanceled)
    assert isinstance(end, m.ExecCanceled)
    assert end.code is Code.BUS_LOST
