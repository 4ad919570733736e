"""The journal on a real server: compare-and-set, reading back, and what a killed bus has to keep."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from bestex import bus, config, pull, reading, streams
from bestex.errors import Fenced, StreamMismatch
from bestex.journal import Journal
from bestex.server import NatsServer
from bestex.subjects import stream_of

CONFIG = config.load(None, {})
HISTORY = "bestex.v1.parent.BTC-USDT.j1"


@pytest_asyncio.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, CONFIG)
    yield connection
    await connection.close()


async def stored(client: Client, stream: str = "SCHED", pattern: str = "bestex.v1.>") -> list[reading.Kept]:
    found: list[reading.Kept] = []
    await reading.read_all(client, stream, [pattern], found.append)
    return found


async def test_a_history_is_appended_in_order(client: Client) -> None:
    journal = Journal(client, "one", stream_of)
    for event in ("accepted", "sliced", "done"):
        await journal.append(f"{HISTORY}.{event}", event.encode())
    assert [message.data for message in await stored(client)] == [b"accepted", b"sliced", b"done"]


async def test_a_second_writer_is_fenced(client: Client) -> None:
    one, two = Journal(client, "one", stream_of), Journal(client, "two", stream_of)
    await one.append(f"{HISTORY}.accepted", b"1")
    with pytest.raises(Fenced, match="one wrote"):
        await two.append(f"{HISTORY}.accepted", b"2")
    assert len(await stored(client)) == 1


async def test_a_writer_steps_over_anothers_refusal_and_a_refusal_over_anything(client: Client) -> None:
    one, two = Journal(client, "one", stream_of), Journal(client, "two", stream_of)
    await one.append(f"{HISTORY}.accepted", b"1")
    await two.append(f"{HISTORY}.rejected", b"no", aside=True)
    await one.append(f"{HISTORY}.sliced", b"2")
    await two.append(f"{HISTORY}.rejected", b"no", aside=True)
    await one.append(f"{HISTORY}.done", b"3")
    assert [message.data for message in await stored(client)] == [b"1", b"no", b"2", b"no", b"3"]


async def test_a_command_is_created_once_for_ever(client: Client) -> None:
    subject = "bestex.v1.child.sim_a.BTC-USDT.c1.new"
    await Journal(client, "one", stream_of).create(subject, b"same")
    again = Journal(client, "two", stream_of)
    assert await again.create(subject, b"same")
    assert len(await stored(client, "ROUTE")) == 1
    assert not await again.create(subject, b"other")
    assert len(await stored(client, "ROUTE")) == 1


async def test_a_write_whose_acknowledgement_is_lost_is_found_and_not_repeated(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bus.publish
    lost: list[int] = []

    async def lossy(*arguments: Any, **named: Any) -> bus.PubAck:
        ack = await real(*arguments, **named)
        if len(lost) % 2 == 0:
            lost.append(ack.seq)
            raise nats.errors.TimeoutError
        lost.append(ack.seq)
        return ack

    monkeypatch.setattr(bus, "publish", lossy)
    journal = Journal(client, "one", stream_of)
    for number in range(6):
        await journal.append(f"{HISTORY}.sliced", str(number).encode())
        await journal.create(f"bestex.v1.child.sim_a.BTC-USDT.c{number}.new", b"x")
    assert [message.data for message in await stored(client)] == [str(n).encode() for n in range(6)]
    assert len(await stored(client, "ROUTE")) == 6
    assert journal.readbacks > 0


async def test_a_write_that_never_left_is_repeated(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bus.publish
    tries: list[int] = []

    async def failing(*arguments: Any, **named: Any) -> bus.PubAck:
        tries.append(1)
        if len(tries) == 1:
            raise nats.errors.NoRespondersError
        return await real(*arguments, **named)

    monkeypatch.setattr(bus, "publish", failing)
    await Journal(client, "one", stream_of).append(f"{HISTORY}.accepted", b"1")
    assert (len(tries), len(await stored(client))) == (2, 1)


async def test_what_was_acknowledged_survives_kills_of_the_bus(
    client: Client, nats_server: NatsServer
) -> None:
    acknowledged: list[bytes] = []
    stop = asyncio.Event()

    async def write(lane: int) -> None:
        journal, number = Journal(client, f"writer{lane}", stream_of), 0
        while not stop.is_set():
            payload = f"{lane}:{number}".encode()
            await journal.append(f"bestex.v1.parent.BTC-USDT.k{lane}.sliced", payload)
            acknowledged.append(payload)
            number += 1

    writers = [asyncio.create_task(write(lane)) for lane in range(4)]
    for _ in range(3):
        goal = len(acknowledged) + 200
        while len(acknowledged) < goal:  # noqa: ASYNC110 - four writers progress meanwhile
            await asyncio.sleep(0)
        nats_server.kill()
        await asyncio.to_thread(nats_server.restart)
    stop.set()
    await asyncio.gather(*writers)
    found = [message.data for message in await stored(client)]
    assert sorted(found) == sorted(acknowledged)
    assert len(set(found)) == len(found)


async def test_streams_are_applied_once_and_verified(client: Client) -> None:
    assert {word for _, word in await streams.apply(client, CONFIG)} == {"unchanged"}
    await streams.verify(client, CONFIG)
    other = config.load(None, {"BESTEX__BUS__MAX_AGE": "1d"})
    with pytest.raises(StreamMismatch, match="bestex streams apply"):
        await streams.verify(client, other)
    assert {word for _, word in await streams.apply(client, other)} == {"updated"}


async def test_a_consumer_that_is_not_as_it_must_be_is_refused(client: Client) -> None:
    await pull.ensure_consumer(client, "SCHED", "d1", ["bestex.v1.parent.>"])
    await pull.ensure_consumer(client, "SCHED", "d1", ["bestex.v1.parent.>"])
    with pytest.raises(StreamMismatch, match="filter_subject"):
        await pull.ensure_consumer(client, "SCHED", "d1", ["bestex.v1.parent.*.*.done"])


async def test_a_publish_while_the_bus_is_away_fails_at_once_and_is_never_sent_later(
    client: Client, nats_server: NatsServer
) -> None:
    nats_server.kill()
    while client.is_connected:  # noqa: ASYNC110 - nats-py offers no event for it
        await asyncio.sleep(0)
    with pytest.raises(nats.errors.Error):
        await client.publish(f"{HISTORY}.accepted", b"stale")
    await asyncio.to_thread(nats_server.restart)
    while not client.is_connected:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await stored(client) == []


async def test_a_standing_pull_delivers_everything_in_order_across_a_restart(
    client: Client, nats_server: NatsServer
) -> None:
    async def renew() -> None:
        reader.renew()

    reading = await bus.connect(nats_server.url, "reader", on_reconnected=renew)
    reader = pull.PullReader(reading, "SCHED", "reader", ["bestex.v1.parent.>"], batch=16)
    await reader.start()
    journal = Journal(client, "one", stream_of)
    seen: list[bytes] = []

    async def read_until(count: int) -> None:
        # A killed server forgets acknowledgements that it gave: what was read may come again.
        while len(set(seen)) < count:
            for delivery in await reader.next_batch(5.0):
                seen.append(delivery.data)
                await delivery.ack_sync()

    for number in range(100):
        await journal.append(f"{HISTORY}.sliced", str(number).encode())
    await read_until(100)
    nats_server.kill()
    await asyncio.to_thread(nats_server.restart)
    for number in range(100, 150):
        await journal.append(f"{HISTORY}.sliced", str(number).encode())
    await asyncio.wait_for(read_until(150), 30)
    assert list(dict.fromkeys(seen)) == [str(number).encode() for number in range(150)]
    await reader.stop()
    await reading.close()


async def test_a_consumer_that_was_deleted_ends_the_reader_instead_of_looking_like_silence(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "UNANSWERED_MAX", 3)
    reader = pull.PullReader(client, "SCHED", "gone", ["bestex.v1.parent.>"])
    await reader.start()
    async with asyncio.timeout(10):
        while not (await bus.api(client, "CONSUMER.INFO.SCHED.gone", {}))["num_waiting"]:
            pass  # the pull has not arrived yet
    await bus.api(client, "CONSUMER.DELETE.SCHED.gone", {})
    with pytest.raises(StreamMismatch):
        assert await reader.next_batch(10.0) == []
    await reader.stop()
