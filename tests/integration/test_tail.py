"""A tail sees every message once, in order, whatever is lost on the way to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, config, streams, subjects
from bestex.errors import BusError
from bestex.reading import Kept
from bestex.server import NatsServer
from bestex.tail import Tail

WAIT_S = 10.0
PATTERN = f"{subjects.ROOT}.parent.>"


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, config.load(None, {}))
    yield connection
    await connection.close()


class Listener:
    """Keeps what a tail told: the messages' numbers, and what went wrong."""

    def __init__(self, client: Client) -> None:
        self.seqs: list[int] = []
        self.errors: list[Exception] = []
        self.stumbles_at = 0
        self._heard = asyncio.Event()
        self.tail = Tail(client, subjects.SCHED, [PATTERN], self._hear, self.errors.append)

    def _hear(self, delivery: Kept) -> None:
        self.seqs.append(delivery.seq)
        self._heard.set()
        if delivery.seq == self.stumbles_at:
            raise ValueError("a bug of the listener")

    async def until(self, seq: int) -> None:
        async with asyncio.timeout(WAIT_S):
            while not self.seqs or self.seqs[-1] < seq:
                self._heard.clear()
                await self._heard.wait()


async def store(client: Client, count: int) -> None:
    for number in range(count):
        ack = await bus.publish(client, subjects.parent("X/Y", f"p{number}", "sliced"), b"{}")
        assert ack.error is None


async def test_a_message_lost_on_the_way_is_read_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hear = Tail._hear

    async def lossy(tail: Tail, message: Msg) -> None:
        if Kept(message).seq != 3:
            await hear(tail, message)

    monkeypatch.setattr(Tail, "_hear", lossy)
    listener = Listener(client)
    await listener.tail.start()
    await store(client, 6)
    await listener.until(6)
    await listener.tail.stop()
    assert listener.seqs == [1, 2, 3, 4, 5, 6]


async def test_a_listener_that_fails_is_told_and_hears_on(client: Client) -> None:
    listener = Listener(client)
    listener.stumbles_at = 2
    await listener.tail.start()
    await store(client, 3)
    await listener.until(3)
    await listener.tail.stop()
    assert [str(error) for error in listener.errors] == ["a bug of the listener"]


async def test_a_tail_begins_after_the_message_that_it_is_told(client: Client) -> None:
    await store(client, 4)
    listener = Listener(client)
    await listener.tail.start(after_seq=2)
    await listener.until(4)
    await listener.tail.stop()
    assert listener.seqs == [3, 4]


async def test_without_its_stream_a_tail_says_what_to_do(nats_server: NatsServer) -> None:
    connection = await bus.connect(nats_server.url, "test")
    with pytest.raises(BusError, match="bestex streams apply"):
        await Listener(connection).tail.start()
    await connection.close()


@pytest.mark.parametrize("steps", range(6))
async def test_a_tail_that_is_stopped_while_news_comes_has_stopped(client: Client, steps: int) -> None:
    """A cancellation that came with what was waited for was lost, and the tail asked a closed connection for ever."""
    listener = Listener(client)
    await listener.tail.start()
    await asyncio.sleep(0.05)  # it has read on, and waits
    listener.tail.renew()
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_S):
        await listener.tail.stop()
    assert listener.tail._keeper is not None
    assert listener.tail._keeper.cancelled()
