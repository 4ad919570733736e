"""What another process may have swallowed is read again while a process runs, not only when it starts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from bestex import bus, codec, log, runtime, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import AffineClock, Time
from bestex.core import Effect, Fact
from bestex.errors import Code
from bestex.runtime import Runtime
from bestex.server import NatsServer
from bestex.service import Service


class Waiting:
    """Waits for the end of a slice that nobody delivers to it."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        if isinstance(message, m.RouteDone):
            self.heard.set()
        return [] if now_ns else ()

    def apply(self, event: Any) -> Sequence[Effect]:
        raise AssertionError(f"nothing was decided, and so no {event}")


async def test_an_end_that_another_process_acknowledged_is_heard_all_the_same(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LOOK_AGAIN_S", 0.05)
    config = configuration.load(None, {})
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, config)
    core = Waiting()
    subject = subjects.route("BTC/USDT", "p1", 1, "done")
    service = Service("scheduler", (), core, missing=lambda: {subjects.ROUTE: [subject]})
    running = Runtime(service, client, config, AffineClock(), log.configure("test"))
    await running.start()
    done = m.RouteDone(
        symbol="BTC/USDT",
        parent_id="p1",
        slice_no=1,
        at=Time(1_000),
        qty=Decimal(1),
        filled_qty=Decimal(1),
        notional=Decimal(1),
        fees=Decimal(0),
        reason=Code.FILLED,
    )
    await bus.publish(client, subject, codec.to_json(done))
    await asyncio.wait_for(core.heard.wait(), 10)
    await running.stop()
    await client.close()
