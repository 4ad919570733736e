from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bestex import bus, streams
from bestex import config as configuration
from bestex.server import NatsServer
from tests.integration.small_rig import Rig


@pytest.fixture
async def rig(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Rig]:
    """A bus with its streams, for processes of the small service."""
    async with AsyncExitStack() as stack:
        client = await bus.connect(nats_server.url, "test")
        stack.push_async_callback(client.close)
        await streams.apply(client, configuration.load(None, {}))
        yield Rig(nats_server, client, stack, tmp_path / "data")
