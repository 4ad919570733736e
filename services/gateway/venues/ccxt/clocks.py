"""By how much a venue's clock is ahead of ours: every signed request has a time in it that the venue must believe.

Measured at the start, on a timer, and after the venue has refused a request for its time, before the next order
goes out. Of a few questions the quickest answer is believed, and taken to be half-way between asking and hearing.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from bestex import metrics

SAMPLES = 3
EVERY_S = 300.0  # a cheap clock runs 50 ppm off: 15 ms until it is asked again


class VenueClock:
    def __init__(self, venue: str) -> None:
        self.ahead_ms: float | None = None  # None where it was never asked
        self._venue = venue
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self._keeper: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None

    def start(self, exchange: Any) -> None:
        """Keep it measured; for once `measure` has been done."""
        self._keeper = asyncio.create_task(self._keep(exchange))

    async def stop(self) -> None:
        tasks = [task for task in (self._keeper, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def measure(self, exchange: Any) -> None:
        """Raises what ccxt raises. The exchange signs by it from then on."""
        if not exchange.has.get("fetchTime"):
            return
        found: list[tuple[float, float]] = []
        whole_seconds = True
        for _ in range(SAMPLES):
            asked_s, asked_ms = time.monotonic(), time.time() * 1_000
            there_ms = float(await exchange.fetch_time())
            whole_seconds &= there_ms % 1_000 == 0
            taken_ms = (time.monotonic() - asked_s) * 1_000
            found.append((taken_ms, there_ms - asked_ms - taken_ms / 2))
        taken_ms, ahead_ms = min(found)
        if whole_seconds:  # what was left out of them is unknown, so no more is claimed than they prove
            ahead_ms = ahead_ms if ahead_ms > 0 else min(ahead_ms + 1_000, 0.0)
        self.ahead_ms = ahead_ms
        exchange.options["timeDifference"] = -round(self.ahead_ms)
        metrics.venue_clock(self._venue, self.ahead_ms / 1_000)
        self._log.info("the venue's clock", ahead_ms=round(self.ahead_ms, 1), answer_ms=round(taken_ms, 1))

    def doubt(self, exchange: Any) -> None:
        """The venue does not believe our time."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._again(exchange))

    async def sure(self) -> None:
        """Waits while it is in doubt."""
        if self._asking is not None and not self._asking.done():
            await asyncio.shield(self._asking)

    async def _keep(self, exchange: Any) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._again(exchange)

    async def _again(self, exchange: Any) -> None:
        try:
            await self.measure(exchange)
        except Exception as error:  # noqa: BLE001 - the venue refuses again if it matters, and is asked again
            self._log.warning("the venue's clock was not told", error=type(error).__name__)
