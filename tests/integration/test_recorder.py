"""The recorder on a real bus: what was published is stored once, acknowledged, analysed; and audited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest
import structlog
from nats.aio.client import Client

from bestex import bus, codec, pull, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.audit import Record, run_audit
from bestex.clock import AffineClock
from bestex.errors import BusError
from bestex.server import NatsServer
from services.recorder.service import Recorder
from services.recorder.store import Store
from tests.unit.history import PARENT, SYMBOL, events, records

RECORDER = "recorder"  # its consumer
WAIT_S = 10.0


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    yield connection
    await connection.close()


def config_for(tmp_path: Path) -> configuration.Config:
    made = configuration.load(None, {})
    recorder = configuration.RecorderConfig(database=str(tmp_path / "bestex.db"))
    return msgspec.structs.replace(made, recorder=recorder, data_dir=str(tmp_path / "data"))


def recorder_of(client: Client, config: configuration.Config) -> Recorder:
    log = structlog.get_logger()
    return Recorder(client, config, Store(config.recorder.database), AffineClock(), log)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - a database tells nobody when it changes
            await asyncio.sleep(0.01)


async def publish(client: Client, items: list[Record]) -> None:
    for item in items:
        ack = await bus.publish(client, item.subject, item.data)
        assert ack.error is None, ack.error


async def test_history_is_recorded_analysed_and_without_anomaly(
    nats_server: NatsServer, client: Client, tmp_path: Path
) -> None:
    config = config_for(tmp_path)
    await streams.apply(client, config)
    reports: list[m.TcaReport] = []

    async def hear(message: object) -> None:
        reports.append(codec.from_json(message.data, m.TcaReport))  # type: ignore[attr-defined]

    await client.subscribe(subjects.metrics("tca", PARENT), cb=hear)
    history = records(events())
    recorder = recorder_of(client, config)
    await recorder.start()
    await publish(client, history[:20])
    store = Store(config.recorder.database)
    await until(lambda: store.rows("SELECT count(*) FROM events") == [(20,)])
    await recorder.stop()  # and another one takes over in the middle of it
    recorder = recorder_of(client, config)
    await recorder.start()
    await publish(client, history[20:])
    await until(lambda: store.rows("SELECT count(*) FROM events") == [(len(history),)])
    await until(lambda: bool(reports) and reports[-1].fills == 4)
    await recorder.stop()
    assert not recorder.stopped.done()
    assert (reports[-1].symbol, str(reports[-1].cum_qty), reports[-1].fills) == (SYMBOL, "2.0", 4)
    assert store.rows("SELECT count(*) FROM events") == [(len(history),)]
    assert store.rows("SELECT published FROM tca") == [(1,)]
    store.close()
    for stream in ("ORDERS", "SCHED", "ROUTE", "EXEC_sim_a", "EXEC_sim_b"):
        info = await bus.api(client, f"CONSUMER.INFO.{stream}.{RECORDER}", {})
        assert (info["num_pending"], info["num_ack_pending"]) == (0, 0)
    report = await run_audit(nats_server.url, complete=True)
    assert report.ok, report.text()
    assert report.checked["messages"] == len(history)


async def test_what_a_killed_recorder_had_been_given_is_stored_at_once_and_in_order(
    client: Client, tmp_path: Path
) -> None:
    """The bus holds it back for the dead one until its time to acknowledge is over, half a minute later."""
    config = config_for(tmp_path)
    await streams.apply(client, config)
    spec = next(spec for spec in streams.specs(config) if spec.name == subjects.SCHED)
    killed = pull.PullReader(client, spec.name, RECORDER, spec.subjects)
    await killed.start()
    history = [record for record in records(events()) if record.stream == subjects.SCHED]
    await publish(client, history[:6])
    assert len(await killed.next_batch(WAIT_S)) > 0
    await killed.stop()
    await publish(client, history[6:8])
    recorder = recorder_of(client, config)
    await recorder.start()
    await publish(client, history[8:])
    store = Store(config.recorder.database)
    await until(lambda: store.rows("SELECT count(*) FROM events") == [(len(history),)])
    await recorder.stop()
    assert store.rows("SELECT state FROM parents") == [("done",)]
    store.close()


async def test_a_gap_in_what_is_delivered_is_read_from_the_stream(client: Client, tmp_path: Path) -> None:
    """As when a connection breaks with messages under way."""
    config = config_for(tmp_path)
    await streams.apply(client, config)
    recorder = recorder_of(client, config)
    await recorder.start()
    spec = next(spec for spec in streams.specs(config) if spec.name == subjects.SCHED)
    thief = pull.PullReader(client, spec.name, RECORDER, spec.subjects)
    await thief.start()
    history = [record for record in records(events()) if record.stream == subjects.SCHED]
    await publish(client, history)
    store = Store(config.recorder.database)
    # The server shares the messages out among the two; the last one to come through brings those before it.
    await until(lambda: store.rows("SELECT count(*) >= ? FROM events", (len(history) - 1,)) == [(1,)])
    await thief.stop()
    await recorder.stop()
    seqs = [row[0] for row in store.rows("SELECT seq FROM events ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1)), "nothing is missing between"
    store.close()


async def test_a_bus_that_lost_what_is_recorded_is_refused(client: Client, tmp_path: Path) -> None:
    config = config_for(tmp_path)
    await streams.apply(client, config)
    store = Store(config.recorder.database)
    with store:
        store.add_events([Record("SCHED", 7, "bestex.v1.parent.X.p.accepted", 0, b"{}")])  # type: ignore[list-item]
    store.close()
    recorder = recorder_of(client, config)
    with pytest.raises(BusError, match="ends at 0, but 7 is recorded"):
        await recorder.start()
    await recorder.stop()


async def test_an_audit_without_streams_says_what_to_do(nats_server: NatsServer) -> None:
    with pytest.raises(BusError, match="streams apply"):
        await run_audit(nats_server.url)
