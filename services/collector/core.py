"""What a collector publishes: each venue's book after each update, public trades, mark prices of perpetuals, and what
the venue itself says of its best bid and ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bestex import subjects
from bestex.core import Effect, Emit, Fact
from bestex.errors import VenueError
from bestex.feed import Books, DepthUpdate
from bestex.messages import Bbo, MarketTrade, MarkPrice, VenueBook

AS_IT_IS = MarketTrade, MarkPrice, Bbo
BOOKS = DepthUpdate, VenueBook
SUBJECTS = {
    VenueBook: subjects.md_book,
    MarketTrade: subjects.md_trade,
    MarkPrice: subjects.md_mark,
    Bbo: subjects.md_bbo,
}


class SourceFailed(msgspec.Struct, frozen=True):
    """A source has ended with a fault of ours: trouble at the venue it handles by itself."""

    venue: str
    text: str


class CollectorCore:
    """Stateless but for the books: a restarted collector begins with the venue's next snapshot.

    What was received longer than `max_age_ns` ago still changes the book but is not published: a collector
    that joins a replay late must not repeat the past to those who lived through it.
    """

    def __init__(self, levels: int, max_age_ns: int) -> None:
        self._books = Books(levels)
        self._max_age_ns = max_age_ns
        self._subjects: dict[tuple[type, str, str], str] = {}

    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        """Raises VenueError for a source that has failed: the process must start anew."""
        if isinstance(message, AS_IT_IS):
            out: VenueBook | MarketTrade | MarkPrice | Bbo = message
        elif isinstance(message, BOOKS):
            out = self._books.take(message)
        elif isinstance(message, SourceFailed):
            raise VenueError(f"{message.venue}: {message.text}")
        else:
            return ()
        if now_ns - out.recv_ns > self._max_age_ns:
            return ()
        return (Emit(self._subject(out), out),)

    def apply(self, fact: Any) -> Sequence[Effect]:
        raise AssertionError(f"a collector keeps no history, and so no {type(fact).__name__}")

    def _subject(self, out: VenueBook | MarketTrade | MarkPrice | Bbo) -> str:
        key = (type(out), out.venue, out.symbol)
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = SUBJECTS[type(out)](out.venue, out.symbol)
        return subject
