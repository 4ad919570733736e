"""A recording, played as if it came from the venue now: each event when the session's clock passes its receipt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import ConfigError
from bestex.recording import open_recording
from services.collector.sources import Deliver

BURST = 64  # events delivered in a row when behind, before others get the event loop


class RecordingSource:
    """Plays the files of `exchange.recordings.<venue>`, in receive time on `clock`, N times as fast as it runs.

    Only the venue's own events are played, under the symbol that it has in the recording.
    """

    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:
        """Raises ConfigError where the venue has no recording."""
        self._venue = venue
        self._clock = clock
        self._files = config.exchange.recordings.get(venue, [])
        if not self._files:
            raise ConfigError(f"exchange.recordings.{venue}: name the files of this venue's recording")

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        """RecordingError where a file is missing or no recording."""
        recording = await asyncio.to_thread(open_recording, *self._files)
        in_a_row = 0
        for event in recording:
            if event.venue != self._venue:
                continue
            early_ns = event.recv_ns - now_ns()
            if early_ns > 0:
                await asyncio.sleep(self._clock.wall_seconds(early_ns))
                in_a_row = 0
            elif (in_a_row := in_a_row + 1) % BURST == 0:
                await asyncio.sleep(0)
            deliver(event)
        logger = structlog.get_logger(venue=self._venue)
        if recording.damage:
            logger.warning("recording damaged", damage=recording.damage)
        logger.info("recording ended", files=self._files)
