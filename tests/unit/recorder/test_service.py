"""The recorder's shell without a bus: what waits, and for how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from itertools import groupby
from pathlib import Path

import msgspec
import pytest
import structlog
from nats.aio.client import Client

from bestex import config as configuration
from bestex.clock import HOUR
from services.recorder.core import Record
from services.recorder.service import FILLS_WAIT_NS, Recorder
from services.recorder.store import Store
from tests.unit.history import PARENT, SYMBOL, T0, events, records

NOW = T0 + HOUR


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    config = msgspec.structs.replace(
        configuration.load(None, {}),
        recorder=configuration.RecorderConfig(database=str(tmp_path / "bestex.db")),
    )
    store = Store(config.recorder.database)
    yield Recorder(Client(), config, store, lambda: NOW, structlog.get_logger())
    store.close()


def batches(*streams: str) -> list[list[Record]]:
    """The history of those streams, a batch for each."""
    items = sorted(
        (Record(*item[:5]) for item in records(events())), key=lambda item: (item.stream, item.seq)
    )
    return [list(batch) for stream, batch in groupby(items, lambda item: item.stream) if stream in streams]


async def test_an_analysis_waits_for_the_fills_that_the_end_counts_but_not_for_ever(
    recorder: Recorder,
) -> None:
    store = recorder._store
    for batch in batches("ORDERS", "ROUTE", "SCHED"):
        recorder.store(batch)
    recorder.analyse_due(NOW + FILLS_WAIT_NS - 1)
    assert store.report(PARENT, SYMBOL) is None, "its fills are on their way"
    recorder.analyse_due(NOW + FILLS_WAIT_NS)
    early = store.report(PARENT, SYMBOL)
    assert early is not None
    assert early.fills == 0
    for batch in batches("EXEC_sim_a", "EXEC_sim_b"):
        recorder.store(batch)
    recorder.analyse_due(NOW)
    report = store.report(PARENT, SYMBOL)
    assert report is not None
    assert (report.fills, report.cum_qty) == (4, D(2))


async def test_a_report_that_the_bus_did_not_take_goes_out_in_a_later_round(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for batch in batches("ORDERS", "ROUTE", "SCHED", "EXEC_sim_a", "EXEC_sim_b"):
        recorder.store(batch)
    taken: list[str] = []
    answers = [False, True]

    async def publish(_: Recorder, subject: str, __: object) -> bool:
        if ".tca." not in subject:
            return True
        taken.append(subject)
        return answers.pop(0)

    monkeypatch.setattr(Recorder, "_publish", publish)
    await recorder._round()
    assert len(recorder._store.unpublished()) == 1
    await recorder._round()
    assert recorder._store.unpublished() == []
    assert len(taken) == 2
