"""Where a venue's market data comes from: one file a kind, copied from `_template.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bestex.feed import FeedEvent
from bestex.messages import Bbo, MarkPrice, VenueBook

Deliver = Callable[[FeedEvent | VenueBook | MarkPrice | Bbo], None]


class Source(Protocol):
    """Made with (venue, config, clock)."""

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        """Deliver what the venue sends until cancelled; return at its end, where it has one.

        Trouble at the venue (a lost connection, a garbled frame, a gap) is handled here: connect again with
        pauses, and deliver an empty snapshot where the book is no longer known. An exception ends the process.
        """
