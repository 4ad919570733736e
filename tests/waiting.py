"""Waiting for what other processes do: asked again and again, because they set no event here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

WAIT_S = 30.0  # loopback takes milliseconds; a machine under load takes longer
POLL_S = 0.01


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = WAIT_S) -> None:
    """Returns when it holds; TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            held = holds()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(POLL_S)
