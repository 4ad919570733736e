"""What a block order found in the dark on a real bus: the next scheduler knows it, though no order carries it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog
from nats.aio.client import Client

from bestex import bus, codec, reading, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import MS, AffineClock, Time
from bestex.errors import Code
from bestex.server import NatsServer
from bestex.supervisor import answering_pids
from bestex.tail import Tail
from services.recorder.service import Recorder
from services.recorder.store import Store

WAIT_S = 30.0
LOOK_S = 0.05
BTC = "BTC/USDT"
DARK = {f"BESTEX__VENUES__{name}__ENABLED": "true" for name in ("DARK_A", "DARK_B")}


@pytest.fixture
async def client(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Client]:
    """Beside it, a recorder that works."""
    connection = await bus.connect(nats_server.url, "test")
    config = msgspec.structs.replace(
        configuration.load(None, DARK),
        recorder=configuration.RecorderConfig(database=str(tmp_path / "bestex.db")),
        data_dir=str(tmp_path / "recorder"),
    )
    await streams.apply(connection, config)
    store = Store(config.recorder.database)
    recorder = Recorder(connection, config, store, AffineClock(), structlog.get_logger())
    await recorder.start()
    yield connection
    await recorder.stop()
    await connection.close()


@contextmanager
def scheduler(url: str, data_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own; it ends by `kill -9`."""
    environment = os.environ | DARK | {"NATS_URL": url, "BESTEX__DATA_DIR": str(data_dir)}
    command = [sys.executable, "-m", "services.scheduler", "block"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def ready(client: Client, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(WAIT_S):
        while process.pid not in await answering_pids(client, LOOK_S):
            assert process.poll() is None, f"ended with code {process.returncode}"


class Around:
    """A market with a book, and a router of ours: `dark_b` fills all, `dark_a` nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.events: list[m.ParentEvent] = []
        self._sliced: asyncio.Queue[m.ParentSliced] = asyncio.Queue()

    async def start(self) -> Around:
        pattern = f"{subjects.ROOT}.parent.>"
        await Tail(self._client, subjects.SCHED, [pattern], self._hear, self._fail).start()
        self._tasks = [asyncio.create_task(work) for work in (self._books(), self._route())]
        return self

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hear(self, kept: reading.Kept) -> None:
        event = codec.from_json(kept.data, subjects.kind_of(kept.subject).message)
        self.events.append(event)
        if isinstance(event, m.ParentSliced):
            self._sliced.put_nowait(event)

    def _fail(self, error: Exception) -> None:
        raise error

    async def _books(self) -> None:
        while True:
            at_ns = AffineClock().now_ns()
            levels = ([59_999_00], [10**8], [60_001_00], [10**8])
            column = m.VenueColumn("sim_a", m.BookStatus.LIVE, 0, at_ns, at_ns, *levels)
            book = m.ConsolidatedBook(BTC, 1, at_ns, 2, 5, False, False, [column])
            await self._client.publish(subjects.book(BTC), codec.to_msgpack(book))
            await asyncio.sleep(LOOK_S)

    async def _route(self) -> None:
        while True:
            await self._answer(await self._sliced.get())

    async def _answer(self, sliced: m.ParentSliced) -> None:
        filled = sliced.qty if sliced.venues == ["dark_b"] else Decimal(0)
        answer = m.RouteDone(
            symbol=BTC, parent_id=sliced.parent_id, slice_no=sliced.slice_no, qty=sliced.qty,
            at=Time(AffineClock().now_ns() // MS * MS), filled_qty=filled, notional=filled * 60_000,
            fees=Decimal(0), reason=Code.FILLED if filled else Code.EXPIRED,
        )  # fmt: skip
        subject = subjects.route(BTC, sliced.parent_id, sliced.slice_no, "done")
        ack = await bus.publish(self._client, subject, codec.to_json(answer))
        assert ack.error is None, ack.error

    async def until(self, kind: type, parent_id: str) -> m.ParentEvent:
        async with asyncio.timeout(WAIT_S):
            while True:
                found = [one for one in self.events if isinstance(one, kind) and one.parent_id == parent_id]
                if found:
                    return found[0]
                await asyncio.sleep(LOOK_S)


async def order(client: Client, parent_id: str) -> None:
    params = {"duration": "5s", "rest": "1s", "randomize": 0}
    body = {
        "parent_id": parent_id,
        "side": "buy",
        "qty": "4",
        "venues": ["dark_a", "dark_b"],
        "params": params,
    }
    ack = await bus.publish(client, subjects.order("new", "block", BTC), json.dumps(body).encode())
    assert ack.error is None, ack.error


async def stored(client: Client) -> m.PoolFindings:
    """What the recorder has kept, once it has."""
    found: list[m.PoolFindings] = []
    async with asyncio.timeout(WAIT_S):
        while not found:
            await reading.read_all(
                client,
                subjects.METRICS,
                [subjects.metrics("pools", BTC)],
                lambda kept: found.append(codec.from_json(kept.data, m.PoolFindings)),
                deliver="last_per_subject",
            )
            await asyncio.sleep(LOOK_S)
    return found[0]


async def test_a_killed_scheduler_starts_again_with_what_ended_orders_had_found(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    around = await Around(client).start()
    with scheduler(nats_server.url, tmp_path / "one") as process:
        await ready(client, process)
        await order(client, "b1")
        done = await around.until(m.ParentDone, "b1")
    assert isinstance(done, m.ParentDone)
    assert {one.venue for one in done.found} == {"dark_a", "dark_b"}
    kept = await stored(client)
    assert (kept.trials, kept.at) == (done.found, done.at)
    with scheduler(nats_server.url, tmp_path / "one") as process:
        await ready(client, process)
        await order(client, "b2")
        accepted = await around.until(m.ParentAccepted, "b2")
        first = await around.until(m.ParentSliced, "b2")
    await around.stop()
    assert isinstance(accepted, m.ParentAccepted)
    assert accepted.prior == done.found
    assert isinstance(first, m.ParentSliced)
    assert first.venues == ["dark_b"]
