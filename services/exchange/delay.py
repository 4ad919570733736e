"""The way between a client and the exchange: everything arrives later, and in the order in which it left."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable


class DelayLine:
    """Calls `act` `delay_s()` seconds after `send(act)`, first in first out; at once where there is no delay.

    One timer serves the whole line: timers of their own could overtake each other.
    """

    def __init__(self, delay_s: Callable[[], float]) -> None:
        self._delay_s = delay_s
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def send(self, act: Callable[[], None]) -> None:
        delay_s = self._delay_s()
        if delay_s <= 0 and not self._waiting:
            act()
            return
        loop = asyncio.get_running_loop()
        due = max(loop.time() + delay_s, self._waiting[-1][0] if self._waiting else 0.0)
        self._waiting.append((due, act))
        if len(self._waiting) == 1:
            loop.call_at(due, self._deliver)

    def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            _, act = self._waiting[0]
            act()
            self._waiting.popleft()
        if self._waiting:
            loop.call_at(self._waiting[0][0], self._deliver)

    async def travel(self) -> None:
        """Arrive with whatever was sent before."""
        arrived = asyncio.Event()
        self.send(arrived.set)
        await arrived.wait()
