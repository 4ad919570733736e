"""What a service applies at its start."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import bus, codec, log, pull, recovery, subjects
from bestex import messages as m
from bestex.clock import AffineClock, Time
from bestex.core import Effect, Fact
from bestex.errors import Code
from bestex.journal import Journal
from bestex.marks import DiskFiles, Marks
from bestex.service import Read, Service
from bestex.subjects import stream_of
from bestex.timers import Timers
from tests.integration.small_rig import Rig


class Applied:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        raise AssertionError(f"recovery decides nothing, at {now_ns} about {message}")

    def apply(self, event: Any) -> Sequence[Effect]:
        self.events.append((event.parent_id, subjects.event_name(event)))
        return []


def done(parent_id: str) -> m.RouteDone:
    return m.RouteDone(
        symbol="BTC/USDT",
        parent_id=parent_id,
        slice_no=1,
        at=Time(0),
        qty=Decimal(1),
        filled_qty=Decimal(0),
        notional=Decimal(0),
        fees=Decimal(0),
        reason=Code.EXPIRED,
    )


def recalled(parent_id: str) -> m.RouteRecalled:
    return m.RouteRecalled(
        symbol="BTC/USDT", parent_id=parent_id, slice_no=1, at=Time(0), reason=Code.EXPIRED, children=[]
    )


async def store(rig: Rig, *events: m.RouteRecalled | m.RouteDone) -> None:
    for event in events:
        subject = subjects.route(event.symbol, event.parent_id, event.slice_no, subjects.event_name(event))
        assert (await bus.publish(rig.client, subject, codec.to_json(event))).error is None


async def test_of_what_ended_before_any_input_that_may_come_again_the_end_is_known_and_no_more(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CLOCKS_APART_S", 0.0)
    monkeypatch.setattr(recovery, "SAMPLED", 1)
    root = subjects.ROOT
    orders = Read(subjects.ORDERS, (f"{root}.order.>",), durable="one")
    await pull.ensure_consumer(rig.client, orders.stream, orders.durable, orders.subjects)
    await store(rig, recalled("open"), recalled("ended"), done("ended"), recalled("answered"))
    await rig.order("nobody-acknowledges-it")
    await store(rig, done("answered"), recalled("late"))
    core = Applied()
    past: list[str] = []
    clock, logger = AffineClock(), log.configure("test")
    journal = Journal(rig.client, "one", stream_of)
    marks = Marks(rig.client, DiskFiles(tmp_path), "one", clock, logger)
    timers = Timers(clock, lambda _: None, lambda _: None)
    present = [("open", "recalled"), ("answered", "recalled"), ("answered", "done"), ("late", "recalled")]
    everything = [present[0], ("ended", "recalled"), ("ended", "done"), *present[1:]]
    some = Read(
        subjects.ROUTE,
        (f"{root}.route.>",),
        begins=(f"{root}.route.*.*.*.recalled",),
        ends=(f"{root}.route.*.*.*.done",),
    )
    infos = {subjects.ROUTE: await bus.api(rig.client, f"STREAM.INFO.{subjects.ROUTE}", {})}
    for read, applied, ended in (
        (some, present, [subjects.route("BTC/USDT", "ended", 1, "done")]),
        (Read(subjects.ROUTE, (f"{root}.route.>",)), everything, []),
    ):
        core.events.clear()
        past.clear()
        service = Service("router", (), core, journal=(read,), reads=(orders,), past=past.append)
        floors = await recovery.read_floors(rig.client, service)
        await recovery.Recovery(rig.client, service, journal, timers, marks).read(infos, floors)
        assert (core.events, past) == (applied, ended)
    # The open history goes on where it stands.
    subject = subjects.route("BTC/USDT", "late", 1, "done")
    assert await journal.append(subject, codec.to_json(done("late"))) == 7
