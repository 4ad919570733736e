"""What nats-server does that surprises, measured again, and what bestex does against it.

Each test shows the trap by bare requests first, and then that our defence holds on the same server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from bestex import bus, config, pull, streams, subjects
from bestex.errors import BusError, Fenced, StreamMismatch
from bestex.journal import Journal
from bestex.server import NatsServer, find_binary
from bestex.subjects import stream_of
from tests.faults.bits import flip_a_bit
from tests.faults.campaign.servers import Servers
from tests.waiting import POLL_S, WAIT_S, until

CONFIG = config.load(None, {})
HISTORY = "bestex.v1.parent.BTC-USDT.s1"
MESSAGES = 500
DOWN_S = 1.5  # longer than the schedule's second


@pytest_asyncio.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    await streams.apply(connection, CONFIG)
    yield connection
    await connection.close()


async def ask(
    client: Client, subject: str, body: bytes = b"x", headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """A bare publish; the server's answer."""
    reply = await client.request(subject, body, timeout=WAIT_S, headers=headers)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def make_stream(client: Client, name: str, subject: str, **options: Any) -> None:
    answer = await bus.api(client, f"STREAM.CREATE.{name}", {"name": name, "subjects": [subject], **options})
    assert "error" not in answer, answer


async def state(client: Client, stream: str) -> dict[str, Any]:
    found: dict[str, Any] = (await bus.api(client, f"STREAM.INFO.{stream}", {}))["state"]
    return found


def varz(monitor_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{monitor_url}/varz") as page:
        found: dict[str, Any] = json.load(page)
    return found


@contextmanager
def bare_server(folder: Path) -> Iterator[str]:
    """A nats-server as it comes, but on loopback; its monitoring address."""
    folder.mkdir()
    options = ["-js", "-sd", str(folder), "--ports_file_dir", str(folder)]
    process = subprocess.Popen(
        [str(find_binary()), *options, "-a", "127.0.0.1", "-p", "-1", "-m", "-1"], stderr=subprocess.DEVNULL
    )
    ports = folder / f"nats-server_{process.pid}.ports"
    try:
        deadline = time.monotonic() + WAIT_S
        while not ports.exists() or not ports.stat().st_size:
            assert time.monotonic() < deadline, "nats-server did not start"
            time.sleep(POLL_S)
        yield json.loads(ports.read_text())["monitoring"][0]
    finally:
        process.kill()
        process.wait()


# -- the disk ----------------------------------------------------------------------------------------------


def test_writes_reach_the_disk_after_minutes_by_default_and_before_their_acknowledgement_with_ours(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    with bare_server(tmp_path / "bare") as monitor_url:
        theirs = varz(monitor_url)["jetstream"]["config"]
    assert theirs["sync_interval"] == 120e9
    assert not theirs.get("sync_always")
    ours = varz(nats_server.monitor_url)
    assert ours["jetstream"]["config"]["sync_always"] is True
    # Without a host in the file the monitoring port, which asks nobody who he is, would be open to the network.
    assert (ours["host"], ours["http_host"]) == ("127.0.0.1", "127.0.0.1")
    assert nats_server.monitor_url.startswith("http://127.0.0.1:")


async def test_one_flipped_bit_loses_messages_silently_and_a_running_writer_is_stopped_by_it(
    client: Client, nats_server: NatsServer, tmp_path: Path
) -> None:
    journal = Journal(client, "one", stream_of)
    await journal.append(f"{HISTORY}.accepted", b"0")
    for number in range(MESSAGES):
        await client.publish(f"bestex.v1.parent.BTC-USDT.o{number}.sliced", b"x" * 100)

    async def are_stored() -> bool:
        return bool((await state(client, subjects.SCHED))["messages"] == MESSAGES + 1)

    await until(are_stored)
    seq = await journal.append(f"{HISTORY}.sliced", b"1")
    nats_server.kill()
    flip_a_bit(tmp_path / "nats", subjects.SCHED)
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: client.is_connected)
    left = await state(client, subjects.SCHED)
    assert left["messages"] < MESSAGES
    assert left["last_seq"] < seq, "numbers that were given are given again"
    log = (tmp_path / "nats" / "nats.log").read_text()
    assert "[ERR]" not in log
    with pytest.raises(Fenced, match="the stream"):
        await journal.append(f"{HISTORY}.settled", b"2")


# -- writing -----------------------------------------------------------------------------------------------


async def test_a_subject_that_is_created_once_stays_so_over_a_kill_of_the_server(
    client: Client, nats_server: NatsServer
) -> None:
    subject = "bestex.v1.child.sim_a.BTC-USDT.c1.new"
    assert await Journal(client, "one", stream_of).create(subject, b"x")
    nats_server.kill()
    await asyncio.to_thread(nats_server.restart)
    await until(lambda: client.is_connected)
    refused = await ask(client, subject, headers={bus.EXPECTED_SEQ: "0"})
    assert refused["error"]["err_code"] == 10071
    assert await Journal(client, "two", stream_of).create(subject, b"x")
    assert (await state(client, subjects.ROUTE))["messages"] == 1


async def test_compare_and_set_holds_over_a_whole_history_with_one_header_more(client: Client) -> None:
    await make_stream(client, "T", "t.>")
    await ask(client, "t.p1.accepted")
    await ask(client, "t.p1.sliced")
    # On its own subject, the newest event does not see what was written beside it.
    alone = await ask(client, "t.p1.accepted", headers={bus.EXPECTED_SEQ: "1"})
    assert alone["seq"] == 3
    whole = {bus.EXPECTED_SUBJECT: "t.p1.*"}
    stale = await ask(client, "t.p1.accepted", headers={bus.EXPECTED_SEQ: "2", **whole})
    assert stale["error"]["err_code"] == 10071
    fresh = await ask(client, "t.p1.done", headers={bus.EXPECTED_SEQ: "3", **whole})
    assert fresh["seq"] == 4

    one, two = Journal(client, "one", stream_of), Journal(client, "two", stream_of)
    await one.append(f"{HISTORY}.accepted", b"1")
    await one.append(f"{HISTORY}.sliced", b"2")
    two.learn(f"{HISTORY}.accepted", 1)
    with pytest.raises(Fenced, match="one wrote"):
        await two.append(f"{HISTORY}.done", b"3")


async def test_one_server_and_three_answer_a_retry_differently_and_the_journal_takes_either(
    tmp_path: Path,
) -> None:
    async with Servers(tmp_path, 3) as servers:
        client = await bus.connect(servers.url, "test")
        answers = {}
        for replicas in (1, 3):
            name, subject = f"T{replicas}", f"t{replicas}.x"
            await made_in_the_end(client, {"name": name, "subjects": [subject], "num_replicas": replicas})
            retry = {"Nats-Msg-Id": "1", bus.EXPECTED_SEQ: "0"}
            assert (await ask(client, subject, headers=retry))["seq"] == 1
            answers[replicas] = await ask(client, subject, headers=retry)
            assert await Journal(client, "one", {subject: name}.__getitem__).create(subject, b"x")
            assert (await state(client, name))["messages"] == 1
        assert answers[1]["error"]["err_code"] == 10071
        assert answers[3]["duplicate"]
        await client.close()


async def made_in_the_end(client: Client, request: dict[str, Any]) -> None:
    """Three servers elect a leader before any stream can be made, and our server hears of it a little later.

    The second wait publishes with an expectation that cannot hold: an answer says that the stream listens,
    and nothing is stored.
    """

    async def is_made() -> bool:
        try:
            return "error" not in await bus.api(client, f"STREAM.CREATE.{request['name']}", request)
        except BusError:
            return False

    async def listens() -> bool:
        try:
            answer = await ask(client, request["subjects"][0], headers={"Nats-Expected-Stream": "NO-SUCH"})
        except nats.errors.NoRespondersError:
            return False
        assert "error" in answer, answer
        return True

    await until(is_made)
    await until(listens)


async def test_scheduled_messages_come_late_after_a_downtime_and_no_stream_of_ours_takes_any(
    client: Client, nats_server: NatsServer
) -> None:
    await make_stream(client, "S", "s.>", allow_msg_schedules=True, allow_msg_ttl=True)
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    planned = await ask(
        client,
        "s.plan",
        headers={"Nats-Schedule": f"@at {due:%Y-%m-%dT%H:%M:%SZ}", "Nats-Schedule-Target": "s.target"},
    )
    assert planned["seq"] == 1
    nats_server.kill()
    await asyncio.sleep(DOWN_S)
    await asyncio.to_thread(nats_server.restart)
    back = datetime.now(UTC)

    async def has_come() -> bool:
        return client.is_connected and await bus.read_last(client, "S", "s.target") is not None

    await until(has_come)
    assert back > due, "it came after the server was back, and so late"
    for spec in streams.specs(CONFIG):
        info = await bus.api(client, f"STREAM.INFO.{spec.name}", {})
        assert not info["config"].get("allow_msg_schedules")


# -- consumers and streams ---------------------------------------------------------------------------------


async def test_whoever_is_not_pinned_may_acknowledge_all_the_same_and_only_compare_and_set_excludes(
    client: Client, nats_server: NatsServer
) -> None:
    await make_stream(client, "P", "p.>")
    pinned = {
        "durable_name": "c",
        "name": "c",
        "ack_policy": "explicit",
        "priority_policy": "pinned_client",
        "priority_groups": ["g"],
        "priority_timeout": 5_000_000_000,
    }
    made = await bus.api(client, "CONSUMER.CREATE.P.c", {"stream_name": "P", "config": pinned})
    assert "error" not in made
    await ask(client, "p.1")
    inbox = await client.subscribe(client.new_inbox())
    request = json.dumps({"batch": 1, "expires": 10**10, "group": "g"}).encode()
    await client.publish("$JS.API.CONSUMER.MSG.NEXT.P.c", request, reply=inbox.subject)
    message = await inbox.next_msg(timeout=WAIT_S)
    assert "Nats-Pin-Id" in (message.headers or {})
    stranger = await nats.connect(nats_server.url)
    await stranger.request(message.reply, b"+ACK", timeout=WAIT_S)
    assert (await bus.api(client, "CONSUMER.INFO.P.c", {}))["num_ack_pending"] == 0
    await stranger.close()

    await Journal(client, "one", stream_of).append(f"{HISTORY}.accepted", b"1")
    with pytest.raises(Fenced):
        await Journal(client, "stranger", stream_of).append(f"{HISTORY}.accepted", b"2")


async def test_a_stream_that_denies_deletion_can_be_deleted_whole_and_is_missed(client: Client) -> None:
    await bus.publish(client, f"{HISTORY}.accepted", b"x")
    for what, request in (("PURGE", {}), ("MSG.DELETE", {"seq": 1})):
        answer = await bus.api(client, f"STREAM.{what}.{subjects.SCHED}", request)
        assert "not permitted" in answer["error"]["description"]
    reader = pull.PullReader(client, subjects.SCHED, "r", ["bestex.v1.parent.>"])
    await reader.start()
    assert len(await reader.next_batch(WAIT_S)) == 1
    assert (await bus.api(client, f"STREAM.DELETE.{subjects.SCHED}", {}))["success"]
    with pytest.raises(StreamMismatch):
        await reader.next_batch(WAIT_S)
    await reader.stop()
    with pytest.raises(StreamMismatch, match="SCHED is missing"):
        await streams.verify(client, CONFIG)
