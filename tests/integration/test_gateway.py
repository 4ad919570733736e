"""The gateway as a process, on a real bus and a real exchange, killed while orders are on their way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from bestex import bus, codec, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import SECOND, AffineClock, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from bestex.server import NatsServer
from bestex.sim_journal import journal_path, read_journal
from tests.integration.exchange_process import ExchangeProcess

SYMBOL, VENUE = "BTC/USDT", "sim_a"
CHILDREN = 100
KILLED_AFTER = 60
WAIT_S = 40.0


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "exchange", BESTEX__EXCHANGE__LATENCY="30ms")
    process.start()
    yield process
    process.stop()


class GatewayProcess:
    def __init__(self, bus_url: str, exchange_url: str, data_dir: Path, **settings: str) -> None:
        self._environment = os.environ | {
            "NATS_URL": bus_url,
            "BESTEX__DATA_DIR": str(data_dir),
            "BESTEX__VENUES__SIM_A__URL": exchange_url,
            "BESTEX__EXECUTION__TIMEOUT": "500ms",
            **settings,
        }
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "services.gateway", VENUE]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(20)


class History:
    """Everything in the venue's stream, as it comes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, m.ExecEvent | m.Fill]] = []
        self._changed = asyncio.Event()

    def take(self, subject: str, data: bytes) -> None:
        self.events.append((subject, codec.from_json(data, subjects.kind_of(subject).message)))
        self._changed.set()

    def of(self, kind: type) -> list[m.ExecEvent | m.Fill]:
        return [event for _, event in self.events if isinstance(event, kind)]

    async def until(self, kind: type, count: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while len(self.of(kind)) < count:
                self._changed.clear()
                await self._changed.wait()


async def publish(client: Client, message: m.ChildNew) -> None:
    subject = subjects.child(VENUE, SYMBOL, message.child_id, "new")
    ack = await bus.publish(client, subject, codec.to_json(message), {bus.EXPECTED_SEQ: "0"})
    assert ack.error is None, ack.error


def order(child_id: str) -> m.ChildNew:
    now = AffineClock().now_ns()
    return m.ChildNew(
        child_id=child_id,
        parent_id="p1",
        slice_no=1,
        venue=VENUE,
        symbol=SYMBOL,
        side=Side.BUY if int(child_id[1:]) % 2 else Side.SELL,
        qty=Decimal("0.001"),
        price=Decimal("66000") if int(child_id[1:]) % 2 else Decimal("54000"),
        tif=Tif.IOC,
        expires_at=Time(now + 20 * SECOND),
        good_till=Time(now + 20 * SECOND),
    )


async def test_a_killed_gateway_sends_nothing_twice_and_loses_nothing(
    nats_server: NatsServer, exchange: ExchangeProcess, tmp_path: Path
) -> None:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    history = History()

    async def heard(message: object) -> None:
        history.take(message.subject, message.data)  # type: ignore[attr-defined]

    await client.subscribe(f"{subjects.ROOT}.exec.{VENUE}.>", cb=heard)
    await client.subscribe(f"{subjects.ROOT}.fill.{VENUE}.>", cb=heard)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    try:
        for i in range(CHILDREN):
            await publish(client, order(f"c{i}"))
            if i == KILLED_AFTER:
                # In the midst of it: some are written down, some sent, some answered.
                await history.until(m.Fill, KILLED_AFTER // 2)
                gateway.kill()
                gateway.start()
        await history.until(m.ExecEnded, CHILDREN)
    finally:
        assert gateway.stop() == 0
        await client.close()
    check(history, journal_of(exchange))


def journal_of(exchange: ExchangeProcess) -> list[w.JournalEntry]:
    lines = read_journal(journal_path(str(exchange.data_dir), VENUE))
    return [line for line in lines if isinstance(line, w.JournalEntry)]


def check(history: History, journal: list[w.JournalEntry]) -> None:
    """The streams and the venue's own journal tell the same story, and everything in it once."""
    assert len({subject for subject, _ in history.events}) == len(history.events)
    received = Counter(e.request.client_id for e in journal if isinstance(e.request, w.Submit))
    assert set(received.values()) == {1}, "at most one send per child"
    submitted = {event.child_id for event in history.of(m.ExecSubmitting)}
    assert set(received) <= submitted, "written down before it was sent"
    trades = {(t.client_id, str(t.trade_id)) for entry in journal for t in entry.trades}
    fills = [event for event in history.of(m.Fill) if isinstance(event, m.Fill)]
    assert len(fills) == len(trades)
    assert {(fill.child_id, fill.trade_id) for fill in fills} == trades
    assert not [fill for fill in fills if fill.flag]
    ends = [event for event in history.of(m.ExecEnded) if isinstance(event, m.ExecEnded)]
    assert len({end.child_id for end in ends}) == CHILDREN
    for end in ends:
        assert end.cum_qty == sum(fill.qty for fill in fills if fill.child_id == end.child_id)
    assert any(isinstance(end, m.ExecFilled) for end in ends)


async def test_what_rests_is_canceled_at_the_venue_while_the_bus_is_away_and_told_when_it_is_back(
    nats_server: NatsServer, exchange: ExchangeProcess, tmp_path: Path
) -> None:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    history = History()

    async def heard(message: object) -> None:
        history.take(message.subject, message.data)  # type: ignore[attr-defined]

    await client.subscribe(f"{subjects.ROOT}.exec.{VENUE}.>", cb=heard)
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
