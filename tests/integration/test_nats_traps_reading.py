"""What nats-py does when it reads, with its default settings, measured again, and what bestex does against it.

Each test shows the trap with plain nats-py first, and then that our defence holds on the same server.
"""

from __future__ import annotations

import asyncio

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, ids, pull, subjects
from bestex.errors import StreamMismatch
from bestex.journal import Journal
from bestex.reading import Kept, read_all
from bestex.server import NatsServer
from bestex.subjects import stream_of
from tests.integration.conftest import STREAM, SUBJECT
from tests.waiting import WAIT_S, until

SOON_S = 0.3  # many times longer than loopback needs; only for what must not happen
HISTORY = "bestex.v1.parent.BTC-USDT.t1"


async def test_an_ordered_consumer_loses_messages_silently_and_a_standing_pull_does_not(
    plain: Client, nats_server: NatsServer
) -> None:
    js = plain.jetstream()
    for number in range(2_000):
        await plain.publish(SUBJECT, str(number).encode())
    await plain.flush()
    errors: list[Exception] = []

    async def note(error: Exception) -> None:
        errors.append(error)

    reading = await nats.connect(nats_server.url, error_cb=note)
    ordered = await reading.jetstream().subscribe(SUBJECT, ordered_consumer=True, pending_msgs_limit=500)
    await until(lambda: len(errors) == 1_500)  # all that is ever said of it
    for _ in range(500):
        await ordered.next_msg(timeout=WAIT_S)
    with pytest.raises(nats.errors.TimeoutError):
        await ordered.next_msg(timeout=SOON_S)
    await reading.close()

    client = await bus.connect(nats_server.url, "test")
    seen: list[int] = []

    def take(kept: Kept) -> None:
        seen.append(kept.seq)

    await read_all(client, STREAM, ["t.>"], take)
    assert seen == list(range(1, 2_001))
    await client.close()
    await js.delete_stream(STREAM)


async def test_an_existing_consumers_configuration_wins_silently_and_we_refuse_it(
    plain: Client, ours: Client
) -> None:
    js = plain.jetstream()
    await js.pull_subscribe("t.one", durable="d", stream=STREAM)
    asked = await js.pull_subscribe("t.two", durable="d", stream=STREAM)
    assert (await asked.consumer_info()).config.filter_subject == "t.one"
    await pull.ensure_consumer(ours, subjects.SCHED, "d", ["bestex.v1.parent.>"])
    with pytest.raises(StreamMismatch, match="filter_subject"):
        await pull.ensure_consumer(ours, subjects.SCHED, "d", ["bestex.v1.parent.*.*.done"])


async def test_a_push_callback_acknowledges_by_itself_and_a_pull_waits_for_us(
    plain: Client, ours: Client
) -> None:
    js = plain.jetstream()
    heard = asyncio.Event()

    async def forgetful(_: Msg) -> None:
        heard.set()

    pushed = await js.subscribe(SUBJECT, durable="push", cb=forgetful)
    await js.publish(SUBJECT, b"x")
    await heard.wait()

    async def is_acknowledged() -> bool:
        return (await pushed.consumer_info()).num_ack_pending == 0

    await until(is_acknowledged)

    reader = pull.PullReader(ours, subjects.SCHED, "pulled", ["bestex.v1.parent.>"])
    await reader.start()
    await Journal(ours, "one", stream_of).append(f"{HISTORY}.accepted", b"x")
    [delivery] = await reader.next_batch(WAIT_S)
    info = await bus.api(ours, f"CONSUMER.INFO.{subjects.SCHED}.pulled", {})
    assert info["num_ack_pending"] == 1
    await delivery.ack_sync()
    info = await bus.api(ours, f"CONSUMER.INFO.{subjects.SCHED}.pulled", {})
    assert info["num_ack_pending"] == 0
    await reader.stop()


async def test_a_fetch_on_a_deleted_consumer_looks_like_silence_and_a_standing_pull_reports_it(
    plain: Client, ours: Client
) -> None:
    js = plain.jetstream()
    subscription = await js.pull_subscribe("t.>", durable="gone", stream=STREAM)
    fetching = asyncio.create_task(subscription.fetch(1, timeout=2 * SOON_S))

    async def is_waiting() -> bool:
        return (await subscription.consumer_info()).num_waiting == 1

    await until(is_waiting)
    await js.delete_consumer(STREAM, "gone")
    with pytest.raises(nats.errors.TimeoutError):  # as if there were nothing to read
        await fetching

    reader = pull.PullReader(ours, subjects.SCHED, "gone", ["bestex.v1.parent.>"])
    await reader.start()

    async def is_asked() -> bool:
        return bool((await bus.api(ours, f"CONSUMER.INFO.{subjects.SCHED}.gone", {}))["num_waiting"])

    await until(is_asked)
    await bus.api(ours, f"CONSUMER.DELETE.{subjects.SCHED}.gone", {})
    with pytest.raises(StreamMismatch):
        await reader.next_batch(WAIT_S)
    await reader.stop()


async def test_names_refuse_what_symbols_are_made_of_and_our_tokens_have_none_of_it(plain: Client) -> None:
    js = plain.jetstream()
    buckets = await js.create_key_value(bucket="b")
    with pytest.raises(nats.js.errors.InvalidKeyError):
        await buckets.put("BTC/USDT:USDT", b"x")
    await buckets.put(ids.token("BTC/USDT:USDT"), b"x")
    for name in ("A/B", "A.B"):
        with pytest.raises((ValueError, nats.js.errors.Error)):
            await js.add_stream(name=name, subjects=["s.>"])
    longest = "v" * 24  # what the configuration takes
    assert len(subjects.exec_stream(longest)) < 32
