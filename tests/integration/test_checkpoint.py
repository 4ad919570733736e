"""Checkpoints on a real bus: what is made of a part of the journal and of the rest is made of the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client

from bestex import bus, codec, keeper, log, recovery, streams, subjects
from bestex import config as configuration
from bestex.checkpoint import Checkpoint, Checkpoints
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.journal import Journal
from bestex.marks import MARKS, DiskFiles, Marks
from bestex.service import Service
from bestex.subjects import stream_of
from bestex.timers import Timers
from services.gateway.core import GatewayCore
from services.gateway.service import build
from tests.unit import history

VENUE = "sim_a"
STREAM = subjects.exec_stream(VENUE)
LOG = log.configure("test")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return msgspec.structs.replace(configuration.load(None, {}), data_dir=str(tmp_path))


def of_venue() -> list[tuple[str, bytes]]:
    told = [(subject, codec.to_json(message)) for subject, _, message in history.events()]
    return [one for one in told if stream_of(one[0]) == STREAM]


async def store(client: Client, messages: list[tuple[str, bytes]]) -> None:
    for subject, data in messages:
        assert (await bus.publish(client, subject, data)).error is None


async def keep(client: Client, config: Config) -> None:
    await keeper.make(client, build(config, (VENUE,)), config, DiskFiles(Path(config.data_dir) / MARKS), LOG)


def checkpoints(client: Client, service: Service, config: Config) -> Checkpoints:
    return Checkpoints(client, service, config, DiskFiles(Path(config.data_dir) / MARKS), LOG)


async def found(client: Client, config: Config) -> Checkpoint | None:
    infos = await streams.verify(client, config, (STREAM,))
    return await checkpoints(client, build(config, (VENUE,)), config).find(infos)


async def started(
    client: Client, config: Config, kept: Checkpoint | None
) -> tuple[GatewayCore, Journal, int]:
    """What a start makes of it, and of how many messages."""
    service, clock = build(config, (VENUE,)), AffineClock()
    infos = await streams.verify(client, config, (STREAM,))
    journal = Journal(client, "one", stream_of)
    marks = Marks(client, DiskFiles(Path(config.data_dir)), "one", clock, LOG)
    timers = Timers(clock, lambda _: None, lambda _: None)
    read = recovery.Recovery(client, service, journal, timers, marks)
    await read.read(infos, {}, kept)
    assert isinstance(service.core, GatewayCore)
    return service.core, journal, read.applied


async def test_a_start_from_a_checkpoint_knows_what_one_from_the_whole_journal_knows(
    ours: Client, config: Config
) -> None:
    messages = of_venue()
    for place in range(len(messages)):
        if place:
            await keep(ours, config)
        await store(ours, messages[place : place + 1])
        kept = await found(ours, config)
        assert (kept is None) == (place == 0)
        core, journal, applied = await started(ours, config, kept)
        whole, whole_journal, _ = await started(ours, config, None)
        assert applied == 1
        assert core.memory == whole.memory
        assert core.controls.ledger.parents == whole.controls.ledger.parents
        assert core.controls.ledger.places == whole.controls.ledger.places
        assert core.controls.durable()[1:] == whole.controls.durable()[1:]
        assert journal.histories() == whole_journal.histories()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("spoil", [damage, lambda path: path.write_bytes(b""), Path.unlink])
async def test_a_checkpoint_that_is_not_whole_is_as_good_as_none(
    ours: Client, config: Config, spoil: Callable[[Path], None]
) -> None:
    await store(ours, of_venue())
    await keep(ours, config)
    assert await found(ours, config) is not None
    spoil(Path(config.data_dir) / MARKS / f"gateway-{VENUE}.checkpoint")
    assert await found(ours, config) is None


async def test_a_checkpoint_of_another_configuration_or_another_stream_is_not_used(
    ours: Client, config: Config
) -> None:
    await store(ours, of_venue())
    await keep(ours, config)
    patient = msgspec.structs.replace(config.execution, timeout=2 * config.execution.timeout)
    assert await found(ours, msgspec.structs.replace(config, execution=patient)) is None
    await ours.jetstream().delete_stream(STREAM)
    await streams.apply(ours, config)
    await store(ours, of_venue())
    assert await found(ours, config) is None
