"""An order whose algorithm fails, on a real bus: its scheduler lives, starts again, and works for all others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from prometheus_client import REGISTRY

from bestex import bus, codec, fleet, log, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import Code
from bestex.marks import DiskFiles
from bestex.runtime import Runtime
from bestex.tape import Header, Tape, retrace, tape_path
from services.scheduler.service import build
from tests.integration.small_rig import Rig
from tests.unit.scheduler.faulty import FAULTY, faulty
from tests.waiting import until

__all__ = ["faulty"]
SYMBOL = "BTC/USDT"


@asynccontextmanager
async def scheduler(client: Client, config: Config, directory: Path) -> AsyncIterator[Runtime]:
    """A scheduler for all algorithms, with a tape."""
    service, clock = build(config, ()), AffineClock()
    header = Header(
        service="scheduler", names=(), config=codec.to_json(config).decode(), version=fleet.build()
    )
    tape = Tape(tape_path(str(directory / "tapes"), service, clock.now_ns()), header)
    files = DiskFiles(directory / "marks")
    runtime = Runtime(service, client, config, clock, log.configure("scheduler"), tape, files)
    await runtime.start()
    yield runtime
    assert not runtime.stopped.done(), "it has not ended"
    await runtime.stop()


async def history(client: Client, parent_id: str) -> list[Any]:
    """The parent's events, in order."""
    found = []
    for event in ("accepted", "paused", "resumed", "sliced", "done"):
        subject = subjects.parent(SYMBOL, parent_id, event)
        info = await bus.api(client, f"STREAM.INFO.{subjects.SCHED}", {"subjects_filter": subject})
        found += [event] * (info["state"].get("subjects") or {}).get(subject, 0)
    return found


async def last(client: Client, parent_id: str, event: str) -> Any:
    subject = subjects.parent(SYMBOL, parent_id, event)
    message = await client.jetstream().get_last_msg(subjects.SCHED, subject)
    assert message.data is not None
    return codec.from_json(message.data, subjects.kind_of(subject).message)


def contained() -> float:
    labels = {"service": "scheduler", "code": str(Code.ALGO_FAILED)}
    return REGISTRY.get_sample_value("bestex_contained_total", labels) or 0.0


@pytest.mark.usefixtures("faulty")
async def test_it_is_logged_and_counted_and_no_start_and_no_other_order_suffers_from_it(
    rig: Rig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = rig.client
    config = configuration.load(None, {"BESTEX__DATA_DIR": str(tmp_path)})
    before = contained()

    async def order(verb: str, algo: str, parent_id: str, **body: Any) -> None:
        subject = subjects.order(verb, algo, SYMBOL, *([] if verb == "new" else [parent_id]))
        own = {"parent_id": parent_id} if verb == "new" else {}
        await bus.publish(client, subject, json.dumps({**own, **body}).encode())

    def has(parent_id: str, *events: str) -> Any:
        async def holds() -> bool:
            return await history(client, parent_id) == list(events)

        return holds

    good = {"side": "buy", "qty": "1", "limit_price": "60000"}
    async with scheduler(client, config, tmp_path):
        await order("new", FAULTY, "bad", side="buy", qty="1", params={"fails_at": 1, "duration": "10m"})
        await until(has("bad", "accepted", "paused"))
        await order("new", "limit", "good1", **good)
        await until(has("good1", "accepted", "sliced"))
    event: m.ParentPaused = await last(client, "bad", "paused")
    assert event.code is Code.ALGO_FAILED
    assert "ValueError: nobody knows" in event.text
    async with scheduler(client, config, tmp_path):
        await order("new", "limit", "good2", **good)
        await until(has("good2", "accepted", "sliced"))
        assert contained() == before + 1, "a start asks it nothing"
        await order("resume", FAULTY, "bad")
        await until(has("bad", "accepted", "paused", "paused", "resumed"))
    assert contained() == before + 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"contained"' in line]
    assert [line["subject"] for line in lines] == [subjects.parent(SYMBOL, "bad", "paused")] * 2
    assert all("Traceback" in line["exception"] and "faulty.py" in line["exception"] for line in lines)
    assert [tape.identical for tape in retrace(tmp_path / "tapes")] == [True, True]
