"""What the simulated server holds: messages, streams, consumers, and the requests that wait for them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

from bestex import subjects
from bestex.clock import rfc3339

Headers = dict[str, str] | None


@dataclass(slots=True)
class Message:
    """As nats-py hands it to a callback."""

    subject: str
    data: bytes
    reply: str = ""
    headers: Headers = None
    client: Any = None  # of whoever took it

    async def respond(self, data: bytes) -> None:
        await self.client.publish(self.reply, data)


@dataclass(slots=True, frozen=True)
class Stored:
    subject: str
    seq: int
    data: bytes
    headers: dict[str, str]
    at_ns: int


class Link(Protocol):
    """The server's end of a connection. `generation` changes when the connection is lost."""

    generation: int
    is_closed: bool

    def deliver(self, subscription: Subscription, message: Message) -> None: ...


@dataclass(slots=True, eq=False)
class Subscription:
    link: Link
    pattern: str
    take: Callable[[Message], Any]
    queue: str = ""


# Every subject of a run is held against the same few patterns again and again.
matches = lru_cache(maxsize=1 << 16)(subjects.matches)


class Stream:
    def __init__(self, config: dict[str, Any], created_ns: int) -> None:
        self.config = config
        self.created = rfc3339(created_ns)
        self.messages: list[Stored | None] = []  # by sequence from 1; None where a limit has dropped one
        self.last: dict[str, int] = {}
        self.ends: dict[str, int] = {}  # of all subjects that differ in their last token only
        self.consumers: dict[str, Consumer] = {}
        self.dropped = 0
        self._kept: dict[str, deque[int]] = {}

    @property
    def name(self) -> str:
        name: str = self.config["name"]
        return name

    def last_of(self, pattern: str) -> int:
        """The last sequence under a subject pattern; 0 where there is none."""
        if "*" not in pattern and ">" not in pattern:
            return self.last.get(pattern, 0)
        head, _, tail = pattern.rpartition(".")
        if tail == "*" and "*" not in head:
            return self.ends.get(head, 0)
        return max((seq for s, seq in self.last.items() if matches(pattern, s)), default=0)

    def get(self, seq: int) -> Stored | None:
        return self.messages[seq - 1] if 0 < seq <= len(self.messages) else None

    def held(self, start: int = 1) -> Iterable[Stored]:
        return (m for m in islice(self.messages, start - 1, None) if m is not None)

    def store(self, subject: str, data: bytes, headers: Headers, at_ns: int) -> Stored:
        stored = Stored(subject, len(self.messages) + 1, data, headers or {}, at_ns)
        self.messages.append(stored)
        self.last[subject] = self.ends[subject.rpartition(".")[0]] = stored.seq
        most = self.config.get("max_msgs_per_subject", -1)
        if most > 0:
            kept = self._kept.setdefault(subject, deque())
            kept.append(stored.seq)
            if len(kept) > most:
                self.messages[kept.popleft() - 1] = None
                self.dropped += 1
        return stored

    def info(self, pattern: str = "") -> dict[str, Any]:
        """With how many messages each subject under `pattern` has, where there is one."""
        first = next((m.seq for m in self.held()), len(self.messages) + 1)
        state = {
            "messages": len(self.messages) - self.dropped,
            "first_seq": first,
            "last_seq": len(self.messages),
            "num_deleted": self.dropped,
            "consumer_count": len(self.consumers),
        }
        if pattern:
            found = Counter(m.subject for m in self.held() if matches(pattern, m.subject))
            about = {"subjects": dict(sorted(found.items())), "total": len(found)}
            return {"config": self.config, "state": {**state, **about}, "total": len(found)}
        return {"config": self.config, "created": self.created, "state": state}


@dataclass(slots=True, eq=False)
class Pull:
    """A standing request for messages."""

    inbox: str
    link: Link
    generation: int
    left: int
    heartbeat_ns: int

    @property
    def is_gone(self) -> bool:
        return self.left <= 0 or self.link.is_closed or self.generation != self.link.generation


@dataclass(slots=True, eq=False)
class Consumer:
    """`next_seq` is where it looks next, `queued` what stands before that (the last of each subject). `pending`
    holds what was delivered and not acknowledged: when it is due again, and how often it was delivered."""

    stream: Stream
    name: str
    config: dict[str, Any]
    filters: tuple[str, ...]
    durable: bool
    next_seq: int = 1
    queued: deque[int] = field(default_factory=deque)
    unseen: int = 0
    delivered: int = 0
    delivered_seq: int = 0
    pending: dict[int, tuple[int, int]] = field(default_factory=dict)
    again: deque[int] = field(default_factory=deque)
    waiting: deque[Pull] = field(default_factory=deque)
    acked: deque[int] = field(default_factory=lambda: deque(maxlen=64))
    timer_ns: int = 0

    def wants(self, subject: str) -> bool:
        return not self.filters or any(matches(pattern, subject) for pattern in self.filters)

    def next(self) -> Stored | None:
        """The next message that was not delivered yet, taken."""
        if self.queued:
            return self.stream.get(self.queued.popleft())
        messages = self.stream.messages
        while self.next_seq <= len(messages):
            stored = messages[self.next_seq - 1]
            self.next_seq += 1
            if stored is not None and self.wants(stored.subject):
                return stored
        return None

    def info(self) -> dict[str, Any]:
        floor = min(self.pending) - 1 if self.pending else self.delivered_seq
        return {
            "stream_name": self.stream.name,
            "name": self.name,
            "config": self.config,
            "delivered": {"consumer_seq": self.delivered, "stream_seq": self.delivered_seq},
            "ack_floor": {"consumer_seq": 0, "stream_seq": floor},
            "num_ack_pending": len(self.pending),
            "num_pending": self.unseen,
        }


class ApiError(Exception):
    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.answer = {"error": {"code": code, "err_code": err_code, "description": description}}


NO_STREAM = 404, 10059, "stream not found"
NO_CONSUMER = 404, 10014, "consumer not found"
NO_MESSAGE = 404, 10037, "no message found"
WRONG_LAST = 10071
