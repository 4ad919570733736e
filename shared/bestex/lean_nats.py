"""Imported first by a service: nats-py without aiohttp, which takes a third of the time of all imports together.

nats-py imports it where it is there, for a bus behind a websocket, which bestex does not speak; where it is missing,
nats-py goes without. Whoever needs aiohttp itself imports it as ever.
"""

from __future__ import annotations

import sys

_ABSENT = "aiohttp"

if _ABSENT not in sys.modules:
    sys.modules[_ABSENT] = None  # type: ignore[assignment]  # what the import system takes for "not installed"
    try:
        import nats.aio.client  # noqa: F401
    finally:
        del sys.modules[_ABSENT]
