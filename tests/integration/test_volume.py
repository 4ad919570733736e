"""Minute volumes on a real bus: from statistics to a stored day, from files to the schedulers, and shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import structlog
from nats.aio.client import Client

from bestex import bus, codec, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.cli.main import run
from bestex.cli.volume import read_days
from bestex.clock import DAY, MINUTE, SECOND, AffineClock, Time
from bestex.runtime import Runtime
from bestex.server import NatsServer
from services.recorder.service import Recorder
from services.recorder.store import Store
from services.scheduler.core import SchedulerCore
from services.scheduler.service import build

WAIT_S = 10.0
BTC = "BTC/USDT"
BARS = "time,volume\n" + "".join(
    f"2026-03-0{day}T00:{minute:02}:00Z,2\n" for day in (2, 3) for minute in range(60)
)


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    connection = await bus.connect(nats_server.url, "test")
    yield connection
    await connection.close()


@pytest.fixture
async def recorder(client: Client, tmp_path: Path) -> AsyncIterator[Recorder]:
    config = msgspec.structs.replace(
        configuration.load(None, {}),
        recorder=configuration.RecorderConfig(database=str(tmp_path / "bestex.db")),
        data_dir=str(tmp_path / "data"),
    )
    await streams.apply(client, config)
    made = Recorder(client, config, Store(config.recorder.database), AffineClock(), structlog.get_logger())
    await made.start()
    yield made
    await made.stop()


async def days(client: Client, count: int) -> list[m.VolumeDay]:
    """Those that the bus has, once there are so many."""
    async with asyncio.timeout(WAIT_S):
        while len(found := await read_days(client, BTC)) < count:  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)
    return found


@pytest.mark.usefixtures("recorder")
async def test_what_the_statistics_count_is_stored_by_the_minute(client: Client) -> None:
    begin = AffineClock().now_ns() // DAY * DAY
    for second in range(0, 125):
        at = Time(begin + second * SECOND)
        stats = m.Stats(symbol=BTC, at=at, traded=Decimal(second), counting_since=Time(begin - MINUTE))
        await client.publish(subjects.stats(BTC), codec.to_json(stats))
    (day,) = await days(client, 1)
    assert (day.minutes[:3], day.opens_at) == ([Decimal(60), Decimal(60), None], begin)


@pytest.mark.usefixtures("recorder")
async def test_days_from_files_reach_a_scheduler_that_runs_and_one_that_starts(
    client: Client,
    nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BESTEX__BUS__URL", nats_server.url)
    bars = tmp_path / "bars.csv"
    bars.write_text(BARS)
    config = msgspec.structs.replace(configuration.load(None, {}), data_dir=str(tmp_path / "scheduler"))
    log = structlog.get_logger()

    def known(service: object) -> list[str]:
        assert isinstance(service, SchedulerCore)
        return sorted(service._markets[BTC].volumes._days)

    before = build(config, ())
    runtime = Runtime(before, client, config, AffineClock(), log)
    await runtime.start()
    assert known(before.core) == []

    assert await asyncio.to_thread(run, ["volume", "import", BTC, str(bars), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(one["date"], one["volume"], one["missing"]) for one in told["days"]] == [
        ("2026-03-02", "120", 1380),
        ("2026-03-03", "120", 1380),
    ]
    stored = await days(client, 2)
    assert [day.minutes[:60] for day in stored] == [[Decimal(2)] * 60] * 2
    async with asyncio.timeout(WAIT_S):
        while len(known(before.core)) < 2:  # noqa: ASYNC110 - a core tells nobody what it has heard
            await asyncio.sleep(0.01)
    await runtime.stop()

    after = build(config, ())
    runtime = Runtime(after, client, config, AffineClock(), log)
    await runtime.start()
    assert known(after.core) == ["2026-03-02", "2026-03-03"]
    await runtime.stop()


@pytest.mark.usefixtures("recorder")
async def test_a_profile_is_shown_and_where_there_is_none_that_is_said(
    client: Client,
    nats_server: NatsServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BESTEX__BUS__URL", nats_server.url)
    assert await asyncio.to_thread(run, ["volume", BTC]) == 1
    assert "no day is known" in capsys.readouterr().out
    bars = tmp_path / "bars.csv"
    bars.write_text("".join(f"2026-03-02T{hour:02}:00:00Z,{1 + hour}\n" for hour in range(24)))
    assert await asyncio.to_thread(run, ["volume", "import", BTC, str(bars)]) == 0
    await days(client, 1)
    capsys.readouterr()
    assert await asyncio.to_thread(run, ["volume", BTC, "--bucket", "6h"]) == 0
    shown = capsys.readouterr().out
    assert "1 day, 2026-03-02" in shown
    shares = [float(line.split()[1].rstrip("%")) for line in shown.splitlines() if ":00" in line]
    assert len(shares) == 4
    assert shares == sorted(shares)
    assert sum(shares) == pytest.approx(100, abs=0.05)


async def test_a_day_that_is_not_over_cannot_be_brought(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text(f"{Time(AffineClock().now_ns())},1\n")
    assert await asyncio.to_thread(run, ["volume", "import", BTC, str(bars)]) == 2
    assert "is not over" in capsys.readouterr().err
    assert await asyncio.to_thread(run, ["volume", "import", BTC]) == 2
    assert await asyncio.to_thread(run, ["volume", "import", "NO/NE", str(bars)]) == 2
