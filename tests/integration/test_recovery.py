"""What a service applies at its start."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from bestex import bus, codec, log, recovery, subjects
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


async def test_of_a_history_that_has_ended_the_end_alone_is_applied_where_the_core_needs_no_more(
    rig: Rig, tmp_path: Path
) -> None:
    events: list[m.RouteRecalled | m.RouteDone]
    events = [recalled("open"), recalled("ended"), done("ended"), recalled("late")]
    for event in events:
        subject = subjects.route(event.symbol, event.parent_id, event.slice_no, subjects.event_name(event))
        await bus.publish(rig.client, subject, codec.to_json(event))
    core = Applied()
    root = subjects.ROOT
    clock, logger = AffineClock(), log.configure("test")
    journal = Journal(rig.client, "one", stream_of)
    marks = Marks(rig.client, DiskFiles(tmp_path), "one", clock, logger)
    timers = Timers(clock, lambda _: None, lambda _: None)
    for ends, applied in (
        ((f"{root}.route.*.*.*.done",), [("open", "recalled"), ("ended", "done"), ("late", "recalled")]),
        ((), [("open", "recalled"), ("ended", "recalled"), ("ended", "done"), ("late", "recalled")]),
    ):
        core.events.clear()
        service = Service(
            "router", (), core, journal=(Read(subjects.ROUTE, (f"{root}.route.>",), ends=ends),)
        )
        await recovery.read_journal(rig.client, service, journal, timers, marks, None)
        assert core.events == applied
    # The open history goes on where it stands.
    subject = subjects.route("BTC/USDT", "late", 1, "done")
    assert await journal.append(subject, codec.to_json(done("late"))) == 5
