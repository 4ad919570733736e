"""A source whose venue is told of under another name."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bestex.feed import FeedEvent
from bestex.messages import Bbo, MarkPrice, VenueBook
from services.collector.sources import Deliver, Source


class Renamed:
    def __init__(self, source: Source, venue: str) -> None:
        self._source, self._venue = source, venue

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        def renamed(told: FeedEvent | VenueBook | MarkPrice | Bbo) -> None:
            deliver(msgspec.structs.replace(told, venue=self._venue))

        await self._source.run(renamed, now_ns)
