"""Processes of two builds on one bus: nothing is sent, everybody is told why, and `bestex doctor` names them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as Connection

from bestex import bus, fleet, streams
from bestex import config as configuration
from bestex import messages as m
from bestex.client import Client
from bestex.errors import Code
from bestex.server import NatsServer
from tests.integration.exchange_process import ExchangeProcess
from tests.integration.gateway_process import GatewayProcess, History, journal_of, order, publish

OTHER = "0.0.1+0123456789"
AS_OTHER = (
    f"import runpy, sys; from bestex import fleet; fleet.build = lambda: {OTHER!r}; "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__')"
)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[ExchangeProcess]:
    process = ExchangeProcess(tmp_path / "exchange")
    process.start()
    yield process
    process.stop()


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Connection]:
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, configuration.load(None, {}))
    yield client
    await client.close()


class Process:
    """One service; `other`: as the other build."""

    def __init__(self, service: str, url: str, data_dir: Path, *, other: bool = False) -> None:
        run = ["-c", AS_OTHER, f"services.{service}"] if other else ["-m", f"services.{service}"]
        environment = os.environ | {"NATS_URL": url, "BESTEX__DATA_DIR": str(data_dir)}
        self._process = subprocess.Popen(
            [sys.executable, *run], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


async def test_a_gateway_sends_only_what_its_own_build_decided(
    nats_server: NatsServer, exchange: ExchangeProcess, connection: Connection, tmp_path: Path
) -> None:
    history = await History().follow(connection)
    gateway = GatewayProcess(nats_server.url, exchange.url, tmp_path / "data")
    try:
        await publish(connection, order("a1", build=OTHER))
        await publish(connection, order("a2", slice_build=OTHER))
        await publish(connection, order("a3", slice_build=""))
        for child_id in ("a1", "a2", "a3"):
            end = await history.end_of(child_id)
            assert end.code is Code.MIXED_FLEET
            assert fleet.build() in end.text
        await publish(connection, order("a4"))
        assert isinstance(await history.end_of("a4"), m.ExecFilled)
    finally:
        assert gateway.stop() == 0
    sent = {order.client_id for entry in journal_of(exchange) for order in entry.orders}
    assert sent == {"a4"}


async def test_a_router_of_another_build_ends_the_slice_and_doctor_says_who_it_is(
    nats_server: NatsServer, connection: Connection, tmp_path: Path
) -> None:
    url = nats_server.url
    processes = [Process("scheduler", url, tmp_path), Process("router", url, tmp_path, other=True)]
    try:
        async with Client(nats_server.url) as client:
            # A limit order needs no book to be sliced.
            parent = await client.submit("BTC/USDT", "buy", "1", algo="limit", limit_price="60000", tif="ioc")
            async with asyncio.timeout(40):
                events = [event async for event in parent]
        sliced = next(event for event in events if isinstance(event, m.ParentSliced))
        settled = next(event for event in events if isinstance(event, m.ParentSettled))
        assert (sliced.build, settled.reason) == (fleet.build(), Code.MIXED_FLEET)
        assert not settled.filled_qty
        assert parent.status.reason == Code.MIXED_FLEET
        found = await doctor(nats_server.url)
        builds = next(one for one in found["findings"] if one["what"] == "builds")
        assert not builds["ok"]
        assert f"router: {OTHER}" in builds["text"]
        assert f"scheduler, this command: {fleet.build()}" in builds["text"]
    finally:
        for process in processes:
            process.stop()
    assert connection.is_connected


async def doctor(url: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", "from bestex.cli.main import main; main()", "doctor", "--json"],
        env=os.environ | {"NATS_URL": url},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    found: dict[str, Any] = json.loads(out)
    return found
