"""Reading while the server is away: what may pass is told from what will not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, config, pull, reading, streams, subjects
from bestex.errors import BusError, StreamMismatch
from bestex.server import NatsServer
from tests.waiting import WAIT_S

PATTERN = f"{subjects.ROOT}.parent.>"
MESSAGES = 200
BATCH = 16  # of which one request asks for few


@pytest_asyncio.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, config.load(None, {}))
    yield connection
    await connection.close()


async def store(client: Client, count: int) -> None:
    for number in range(count - 1):
        await client.publish(subjects.parent("X/Y", f"p{number}", "sliced"), b"{}")
    ack = await bus.publish(client, subjects.parent("X/Y", "last", "sliced"), b"{}", timeout=WAIT_S)
    assert ack.seq == count


async def test_a_history_whose_server_is_killed_meanwhile_is_a_failure_that_may_pass(
    client: Client, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE", BATCH)
    await store(client, MESSAGES)
    restarting: list[asyncio.Future[str]] = []

    def take(_: reading.Kept) -> None:
        if not restarting:
            nats_server.kill()
            restarting.append(asyncio.get_running_loop().run_in_executor(None, nats_server.restart))

    with pytest.raises(BusError, match="fell silent") as found:
        await asyncio.wait_for(reading.read_all(client, subjects.SCHED, [PATTERN], take), WAIT_S)
    assert not isinstance(found.value, StreamMismatch), "a service would stay down as misconfigured"
    await restarting[0]
    count = await reading.read_all(client, subjects.SCHED, [PATTERN], lambda _: None)
    assert count == MESSAGES


async def test_a_history_of_which_a_message_is_lost_on_the_way_is_not_taken_for_whole(client: Client) -> None:
    await store(client, BATCH)
    async with reading.Reader(client, subjects.SCHED).open() as reader:
        heard, skipped = reader._take, []

        async def lossy(message: Msg) -> None:
            if (message.headers or {}).get(reading.SEQUENCE) == "3":
                skipped.append(message)
            else:
                await heard(message)

        reader._take = lossy  # type: ignore[method-assign]
        inbox = client.new_inbox()
        reader._inbox = inbox
        await client.subscribe(f"{inbox}.*", cb=lossy)
        with pytest.raises(BusError, match="lost on the way"):
            await reader.page({"seq": 1, "batch": BATCH, "next_by_subj": PATTERN})
    assert len(skipped) == 1


async def test_a_consumer_that_nobody_answers_for_is_waited_for_unless_the_server_says_that_it_is_gone(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def not_gone(*_: object) -> bool:
        asked.set()
        return False

    monkeypatch.setattr(pull, "UNANSWERED_MAX", 2)
    monkeypatch.setattr(pull, "is_gone", not_gone)
    seqs: asyncio.Queue[int] = asyncio.Queue()
    failures: list[Exception] = []
    reader = pull.StandingPull(
        client, subjects.SCHED, "r", lambda delivery: seqs.put_nowait(delivery.seq), failures.append
    )
    await reader.start()
    await asyncio.wait_for(asked.wait(), WAIT_S)
    await pull.ensure_consumer(client, subjects.SCHED, "r", [PATTERN])
    await store(client, 1)
    assert await asyncio.wait_for(seqs.get(), WAIT_S) == 1
    assert failures == []
    await reader.stop()


async def test_one_server_of_several_that_is_down_keeps_nobody_out(nats_server: NatsServer) -> None:
    for _ in range(4):  # the order in which they are tried is drawn
        client = await bus.connect(f"nats://127.0.0.1:1,{nats_server.url}", "test")
        assert client.is_connected
        await client.close()
