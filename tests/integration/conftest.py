"""On a server of the test's own: a connection as nats-py makes it, one of ours, and the rig of a small service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client

from bestex import bus, config, streams
from bestex.server import NatsServer
from tests.faults.proxy import Proxy
from tests.integration.small_rig import Rig

STREAM, SUBJECT = "T", "t.x"  # of the plain connection


@pytest_asyncio.fixture
async def plain(nats_server: NatsServer) -> AsyncIterator[Client]:
    """nats-py as it comes, and a stream of its own."""
    # Without a pause sixty tries, the default, may be over before a server has started again.
    client = await nats.connect(nats_server.url, reconnect_time_wait=0, max_reconnect_attempts=-1)
    await client.jetstream().add_stream(name=STREAM, subjects=["t.>"], allow_direct=True)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def ours(nats_server: NatsServer) -> AsyncIterator[Client]:
    """A connection of bestex, and its streams."""
    client = await bus.connect(nats_server.url, "test")
    await streams.apply(client, config.load(None, {}))
    yield client
    await client.close()


@pytest_asyncio.fixture
async def proxy(nats_server: NatsServer) -> AsyncIterator[Proxy]:
    async with Proxy(int(nats_server.url.rpartition(":")[2])) as made:
        yield made


@pytest.fixture
async def rig(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """A bus with its streams, for processes of the small service."""
    async with AsyncExitStack() as stack:
        client = await bus.connect(nats_server.url, "test")
        stack.push_async_callback(client.close)
        await streams.apply(client, config.load(None, {}))
        yield Rig(nats_server, client, stack, tmp_path / "data")
