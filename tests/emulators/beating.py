"""An exchange whose sockets beat once a second, whether there is news or not."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.emulators.server import Emulator

HEARTBEAT_S = 1.0


class Beating(Emulator):
    """Before the exchange's own class in the order of inheritance; `beat` is to be overridden."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._beating: asyncio.Task[None] | None = None

    def beat(self) -> None:
        """Tell everybody who wants it that the exchange is there."""

    async def start(self, port: int = 0) -> None:
        await super().start(port)
        self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.wait({self._beating})
        await super().stop()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self.beat()
