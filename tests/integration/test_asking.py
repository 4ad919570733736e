"""A connection that is up and leads nowhere is made anew."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import nats.errors
import pytest
from nats.aio.client import Client

from bestex import asking, bus
from bestex.asking import ask
from bestex.server import NatsServer
from tests.faults.proxy import Proxy
from tests.waiting import POLL_S, WAIT_S

TIMEOUT_S = 0.05


async def ask_until_connected_anew(client: Client) -> None:
    while not client.stats["reconnects"]:
        await asyncio.sleep(POLL_S)
        with suppress(nats.errors.Error):
            await ask(client, "$JS.API.INFO", b"", TIMEOUT_S)


async def test_a_connection_whose_reader_is_dead_comes_back(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "DEAF_S", 2 * TIMEOUT_S)
    client = await bus.connect(nats_server.url, "test")
    await ask(client, "$JS.API.INFO", b"", 2.0)
    assert client._reading_task is not None
    client._reading_task.cancel()
    await asyncio.wait_for(ask_until_connected_anew(client), WAIT_S)
    assert (await ask(client, "$JS.API.INFO", b"", 2.0)).data
    await client.close()


async def test_a_server_that_leads_nowhere_is_left_for_another(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(int(nats_server.url.rpartition(":")[2])) as proxy:
        client = await bus.connect(proxy.url, "test")
        client._setup_server_pool([nats_server.url])
        client.options["dont_randomize"] = True  # the next of the two is the other one
        proxy.hold(to_server=False)
        monkeypatch.setattr(asking, "DEAF_S", 2 * TIMEOUT_S)
        await asyncio.wait_for(ask_until_connected_anew(client), WAIT_S)
        assert client.connected_url is not None
        assert client.connected_url.geturl() == nats_server.url
        assert (await ask(client, "$JS.API.INFO", b"", 2.0)).data
        await client.close()


async def test_a_single_request_that_takes_long_changes_nothing(nats_server: NatsServer) -> None:
    client = await bus.connect(nats_server.url, "test")
    before = client.stats["reconnects"]
    silent = await client.subscribe("silent")
    with pytest.raises(nats.errors.TimeoutError):
        await ask(client, "silent", b"", TIMEOUT_S)
    await ask(client, "$JS.API.INFO", b"", 2.0)
    await asyncio.sleep(0)
    assert client.stats["reconnects"] == before
    assert client.is_connected
    await silent.unsubscribe()
    await client.close()
