"""A bus in memory for virtual time: streams, histories under compare-and-set, durable consumers.

It stores and remembers; when a message arrives and at whom is the business of `bestex.replay`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bestex import codec
from bestex.core import RawOrder
from bestex.errors import Fenced
from bestex.subjects import history, matches, stream_of


@dataclass(frozen=True, slots=True)
class StoredMessage:
    stream: str
    seq: int
    subject: str
    at_ns: int
    message: Any

    @property
    def data(self) -> bytes:
        return self.message.data if isinstance(self.message, RawOrder) else codec.to_json(self.message)


def matches_any(patterns: Sequence[str], subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in patterns)


@dataclass(slots=True, eq=False)
class Consumer:
    """A durable consumer. `due` was stored and not delivered, `given` was delivered and not acknowledged, with
    its time; `last` is the last sequence that was delivered."""

    stream: str
    subjects: tuple[str, ...]
    due: deque[StoredMessage] = field(default_factory=deque)
    given: dict[int, tuple[int, StoredMessage]] = field(default_factory=dict)
    last: int = 0

    def give(self, stored: StoredMessage, now_ns: int) -> None:
        self.given[stored.seq] = now_ns, stored
        self.last = max(self.last, stored.seq)

    def acknowledge(self, seq: int) -> None:
        """Once more changes nothing: what was given twice is acknowledged twice."""
        self.given.pop(seq, None)


class MemoryBus:
    """Everything that was stored, in order, and who has read how far."""

    def __init__(self) -> None:
        self.stored: list[StoredMessage] = []
        self.consumers: dict[tuple[str, str], Consumer] = {}
        self._streams: dict[str, list[StoredMessage]] = {}
        self._created: set[str] = set()
        self._histories: dict[str, int] = {}

    def held(self, stream: str, filters: Sequence[str]) -> list[StoredMessage]:
        """What the stream holds under the filters, in order."""
        return [one for one in self._streams.get(stream, ()) if matches_any(filters, one.subject)]

    def next_seq(self, stream: str) -> int:
        return len(self._streams.get(stream, ())) + 1

    def store(self, subject: str, message: Any, now_ns: int) -> StoredMessage:
        name = stream_of(subject)
        stored = StoredMessage(name, self.next_seq(name), subject, now_ns, message)
        self._streams.setdefault(name, []).append(stored)
        self.stored.append(stored)
        return stored

    def create(self, subject: str, message: Any, now_ns: int) -> StoredMessage | None:
        """Store as the only message of its subject; None where it stands there already."""
        if subject in self._created:
            return None
        self._created.add(subject)
        return self.store(subject, message, now_ns)

    def append(self, subject: str, event: Any, known: dict[str, int], now_ns: int) -> StoredMessage:
        """Store as the next event of its history, whose end the writer knows in `known`. Raises Fenced.

        A refusal, which is right whatever the history says by now, neither checks nor moves its end.
        """
        if getattr(event, "aside", False):
            return self.store(subject, event, now_ns)
        of = history(subject)
        expected, last = known.get(of, 0), self._histories.get(of, 0)
        if expected != last:
            raise Fenced(f"{of}: another writer is at {last}, after our {expected}")
        stored = self.store(subject, event, now_ns)
        self._histories[of] = known[of] = stored.seq
        if getattr(event, "ends", False):
            del known[of]
        return stored

    def consumer(self, stream: str, durable: str, subjects: tuple[str, ...]) -> Consumer:
        """The durable consumer of this name; a new one begins with the stream."""
        found = self.consumers.get((stream, durable))
        if found is None:
            found = self.consumers[stream, durable] = Consumer(stream, subjects)
            found.due.extend(self.held(stream, subjects))
        return found
