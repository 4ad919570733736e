"""Another copy of an input that is still being worked on: memory knows what follows, the bus does not yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import bus, log, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import AffineClock, Time
from bestex.core import Effect, Fact, RawOrder
from bestex.journal import Journal
from bestex.pull import Delivery
from bestex.runtime import Runtime
from bestex.server import NatsServer
from bestex.service import Read, Service
from tests.waiting import until

SYMBOL, PARENT = "BTC/USDT", "p1"
COPIES = 3


class Once:
    """Answers the first copy of an order, and knows the others."""

    def __init__(self) -> None:
        self.heard = 0

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        if not isinstance(message, RawOrder):
            return []
        self.heard += 1
        if self.heard > 1:
            return []
        event = m.ParentPaused(
            symbol=SYMBOL,
            parent_id=PARENT,
            at=Time(now_ns),
            cum_qty=Decimal(0),
            leaves_qty=Decimal(1),
            avg_px=None,
            order_seq=message.seq,
        )
        return [Fact(subjects.parent(SYMBOL, PARENT, "paused"), event, lane=PARENT)]

    def apply(self, event: Any) -> Sequence[Effect]:
        return [] if event else ()


async def test_no_copy_of_an_input_is_acknowledged_before_what_follows_from_it_is_stored(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    append, go_on = Journal.append, asyncio.Event()

    async def slow_append(self: Journal, subject: str, payload: bytes, *, aside: bool = False) -> int:
        await go_on.wait()
        return await append(self, subject, payload, aside=aside)

    monkeypatch.setattr(Journal, "append", slow_append)
    config = configuration.load(None, {"BESTEX__DATA_DIR": str(tmp_path)})
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, config)
    core = Once()
    orders = Read(subjects.ORDERS, (f"{subjects.ROOT}.order.>",), "one")
    running = Runtime(
        Service("scheduler", (), core, reads=(orders,)), client, config, AffineClock(), log.configure("test")
    )
    await running.start()
    acknowledged: list[int] = []

    def acknowledge(delivery: Delivery) -> None:
        acknowledged.append(delivery.seq)
        running._acks.add(delivery)

    monkeypatch.setattr(running._underway, "_acknowledge", acknowledge)
    for _ in range(COPIES):
        await bus.publish(client, subjects.order("new", "market", SYMBOL), b"{}")
    await until(lambda: core.heard == COPIES)
    assert acknowledged == []
    go_on.set()
    await until(lambda: acknowledged == [2, 3])

    async def all_are_acknowledged() -> bool:
        info = await bus.api(client, f"CONSUMER.INFO.{subjects.ORDERS}.one", {})
        return bool(info["ack_floor"]["stream_seq"] == COPIES)

    await until(all_are_acknowledged)
    await running.stop()
    await client.close()
