"""What nats-py does with its default settings, measured again, and what bestex does against it.

Each test shows the trap with plain nats-py first, and then that our defence holds on the same server.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
import structlog
from nats.aio.client import DEFAULT_MAX_RECONNECT_ATTEMPTS, DEFAULT_PING_INTERVAL, Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.js import JetStreamContext

from bestex import bus, config, footing, subjects
from bestex.clock import AffineClock
from bestex.journal import Journal
from bestex.runtime import Runtime
from bestex.server import NatsServer
from bestex.service import Service
from bestex.subjects import stream_of
from services.recorder.service import DecidesNothing
from tests.faults.proxy import Proxy
from tests.integration.conftest import STREAM, SUBJECT
from tests.waiting import WAIT_S, until

CONFIG = config.load(None, {})
SOON_S = 0.3  # many times longer than loopback needs; only for what must not happen
HISTORY = "bestex.v1.parent.BTC-USDT.t1"


async def messages(js: JetStreamContext, stream: str = STREAM) -> int:
    return (await js.stream_info(stream)).state.messages


# -- publishing ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ours")
async def test_a_publish_that_timed_out_was_stored_all_the_same_and_the_journal_finds_it(
    plain: Client, proxy: Proxy
) -> None:
    through = await nats.connect(proxy.url)
    proxy.hold(to_server=False)
    with pytest.raises(nats.errors.TimeoutError):
        await through.jetstream().publish(SUBJECT, b"once", timeout=SOON_S)
    assert await messages(plain.jetstream()) == 1  # a retry would make it two
    proxy.heal()
    await through.close()

    writer = await bus.connect(proxy.url, "writer")
    proxy.hold(to_server=False)
    append = asyncio.create_task(Journal(writer, "one", stream_of).append(f"{HISTORY}.accepted", b"once"))

    async def is_stored() -> bool:
        return await messages(plain.jetstream(), subjects.SCHED) == 1

    await until(is_stored)
    proxy.cut()  # the acknowledgement is lost for good
    proxy.heal()
    assert await asyncio.wait_for(append, WAIT_S) == 1
    assert await messages(plain.jetstream(), subjects.SCHED) == 1
    await writer.close()


async def test_a_publish_while_disconnected_is_sent_later_by_default_and_never_by_us(
    plain: Client, ours: Client, nats_server: NatsServer
) -> None:
    nats_server.kill()
    await until(lambda: not plain.is_connected and not ours.is_connected)
    await plain.publish(SUBJECT, b"stale")  # no error: it waits in a buffer
    with pytest.raises(nats.errors.OutboundBufferLimitError):
        await ours.publish(f"{HISTORY}.accepted", b"stale")
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: plain.is_connected and ours.is_connected)
    js = plain.jetstream()

    async def has_come() -> bool:
        return await messages(js) == 1

    await until(has_come)
    assert await messages(js, subjects.SCHED) == 0


@pytest.mark.usefixtures("ours")
async def test_an_asynchronous_publish_never_completes_after_a_cut_and_ours_fails_at_once(
    plain: Client, proxy: Proxy
) -> None:
    through = await nats.connect(proxy.url, reconnect_time_wait=0)
    writer = await bus.connect(proxy.url, "writer")
    proxy.hold(to_server=False)
    future = await through.jetstream().publish_async(SUBJECT, b"x")
    ask = asyncio.create_task(bus.publish(writer, f"{HISTORY}.accepted", b"x", timeout=60))

    async def are_stored() -> bool:
        js = plain.jetstream()
        return await messages(js) == 1 and await messages(js, subjects.SCHED) == 1

    await until(are_stored)
    proxy.cut()
    proxy.heal()
    with pytest.raises(nats.errors.ConnectionClosedError):
        await asyncio.wait_for(ask, WAIT_S)
    await until(lambda: through.is_connected)
    await asyncio.sleep(SOON_S)
    assert not future.done()
    await through.close()
    await writer.close()


async def test_a_publish_changes_the_headers_that_it_is_given_and_the_journal_gives_new_ones(
    plain: Client, ours: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Mine": "1"}
    await plain.jetstream().publish(SUBJECT, b"x", stream=STREAM, headers=headers)
    assert headers != {"Mine": "1"}

    given: list[Any] = []

    async def refusing(*arguments: Any, **_: Any) -> bus.PubAck:
        given.append(arguments[3])
        if len(given) % 2:
            raise nats.errors.NoRespondersError
        return bus.PubAck(seq=len(given))

    monkeypatch.setattr(bus, "publish", refusing)
    journal = Journal(ours, "one", stream_of)
    await journal.append(f"{HISTORY}.accepted", b"x")
    await journal.create("bestex.v1.child.sim_a.BTC-USDT.c1.new", b"x")
    assert len({id(one) for one in given}) == len(given) == 4


async def test_a_message_id_drops_what_another_subject_says_and_none_is_ever_sent(
    plain: Client, ours: Client
) -> None:
    js = plain.jetstream()
    await js.publish("t.buy", b"buy", headers={"Nats-Msg-Id": "1"})
    second = await js.publish("t.sell", b"sell", headers={"Nats-Msg-Id": "1"})
    assert second.duplicate
    assert await messages(js) == 1

    journal = Journal(ours, "one", stream_of)
    await journal.append(f"{HISTORY}.accepted", b"x")
    await journal.append(f"{HISTORY}.rejected", b"x", aside=True)
    await journal.create("bestex.v1.child.sim_a.BTC-USDT.c1.new", b"x")
    for stream, count in ((subjects.SCHED, 2), (subjects.ROUTE, 1)):
        for seq in range(1, count + 1):
            found = await bus.read_next(ours, stream, f"{subjects.ROOT}.>", seq)
            assert found is not None
            assert "Nats-Msg-Id" not in found.headers


# -- the connection ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ours")
async def test_a_flush_that_times_out_kills_the_reader_and_the_watchdog_ends_such_a_process(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        # Closed also where something here does not hold: a client of nats-py that is left to try to reconnect may not
        # hear that its task is cancelled, and then the loop never ends.
        through = await nats.connect(proxy.url)
        stack.push_async_callback(through.close)
        proxy.hold(to_server=False)
        with pytest.raises(nats.errors.FlushTimeoutError):
            await through.flush(timeout=SOON_S)  # type: ignore[arg-type]
        proxy.heal()  # the late PONG comes
        await until(lambda: through._reading_task is not None and through._reading_task.done())
        assert through.is_connected
        with pytest.raises(nats.errors.TimeoutError):
            await through.request("$JS.API.INFO", b"", timeout=SOON_S)

        monkeypatch.setattr(footing, "WATCHDOG_INTERVAL_S", 0.05)
        client = await bus.connect(proxy.url, "watched")
        stack.push_async_callback(client.close)
        service = Service("scheduler", (), DecidesNothing())
        running = Runtime(service, client, CONFIG, AffineClock(), structlog.stdlib.get_logger())
        await running.start()
        stack.push_async_callback(running.stop)
        assert client._reading_task is not None
        client._reading_task.cancel()  # dead, as above, and nobody is told
        assert isinstance(await asyncio.wait_for(running.stopped, WAIT_S), TimeoutError)
        assert client.is_connected


async def test_a_silent_server_is_noticed_after_minutes_by_default_and_by_us_within_seconds(
    proxy: Proxy,
) -> None:
    assert DEFAULT_PING_INTERVAL == 120
    client = await bus.connect(proxy.url, "test")
    assert client.options["ping_interval"] * (client.options["max_outstanding_pings"] + 1) <= 6
    proxy.hold()
    await until(lambda: not client.is_connected)
    proxy.cut()
    proxy.heal()
    await until(lambda: client.is_connected)
    await client.close()


async def test_reconnecting_is_given_up_by_default_and_never_by_us(nats_server: NatsServer) -> None:
    assert DEFAULT_MAX_RECONNECT_ATTEMPTS == 60
    plain = await nats.connect(nats_server.url, max_reconnect_attempts=2, reconnect_time_wait=0)
    ours = await bus.connect(nats_server.url, "test")
    nats_server.kill()
    await until(lambda: plain.is_closed)
    ours.options["reconnect_time_wait"] = 0  # so that it tries far more often than 60 times
    tried = ours._server_pool[0].reconnects
    await until(lambda: ours._server_pool[0].reconnects > tried + 2 * DEFAULT_MAX_RECONNECT_ATTEMPTS)
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: ours.is_connected)
    await ours.close()


async def test_a_reconnect_may_not_hear_that_it_is_cancelled_and_ours_ends_all_the_same(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = await nats.connect(nats_server.url, max_reconnect_attempts=-1, reconnect_time_wait=0)
    ours = await bus.connect(nats_server.url, "test")
    both = plain, ours
    trying, tried = asyncio.Event(), 0

    async def refuses(*_: Any, **__: Any) -> None:
        """As `wait_for` does where the refusal and the cancellation come at once."""
        nonlocal tried
        tried += 1
        if tried == len(both):
            trying.set()
        if tried <= len(both):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(WAIT_S)
        await asyncio.sleep(0)
        raise ConnectionRefusedError

    monkeypatch.setattr(TcpTransport, "connect", refuses)
    nats_server.kill()
    await asyncio.wait_for(trying.wait(), WAIT_S)
    tasks = [client._reconnection_task for client in both]
    for task in tasks:
        assert task is not None
        task.cancel()
    await until(lambda: tasks[1] is not None and tasks[1].done())
    assert tasks[0] is not None
    assert not tasks[0].done(), "it tries on and on"
    tasks[0].cancel()
    for client in both:
        await client.close()


async def test_an_error_callback_that_raises_kills_the_reader_and_ours_does_not_reach_it(
    nats_server: NatsServer,
) -> None:
    async def overflow(client: Client) -> None:
        """Provoke an error: a subscription that nobody reads runs over."""
        await client.subscribe("over", pending_msgs_limit=1)
        for _ in range(3):
            await client.publish("over", b"x")

    async def bad(_: Exception) -> None:
        raise ValueError("a bug of the callback")

    plain = await nats.connect(nats_server.url, error_cb=bad)
    await overflow(plain)
    await until(lambda: plain._reading_task is not None and plain._reading_task.done())
    assert plain.is_connected
    await plain.close()

    told: list[Exception] = []
    raised: list[Any] = []

    def also_bad(error: Exception) -> None:
        told.append(error)
        raise ValueError("a bug of the callback")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
    ours = await bus.connect(nats_server.url, "test", on_error=also_bad)
    await overflow(ours)
    await until(lambda: len(told) == 2)
    await bus.api(ours, "INFO", {})  # the reader lives
    assert [type(error) for error in raised] == [ValueError, ValueError]  # and the bug is not hidden
    await ours.close()


async def test_a_drain_ends_only_when_the_callbacks_in_flight_have(nats_server: NatsServer) -> None:
    client = await bus.connect(nats_server.url, "test")
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slowly(_: Msg) -> None:
        begun.set()
        await asyncio.sleep(SOON_S)
        ended.set()

    await client.subscribe("t", cb=slowly)
    await client.publish("t", b"x")
    await begun.wait()
    await client.drain()
    assert ended.is_set()
