"""The client's end: what bestex uses of `nats.aio.client.Client`, over a line that faults can be put on.

Like nats-py: a callback per subscription gets its messages one after another, a publish while the line is down
fails at once (as `bestex.bus` asks for), subscriptions come back with the connection. Like TCP: what arrives on a
line arrives in order, and what is in flight when it breaks is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

import nats.errors

from bestex.asking import asking
from bestex.clock import MS, US
from tests.faults.simulation.faults import Line, LineFault, Step
from tests.faults.simulation.jetstream import Server
from tests.faults.simulation.stored import Headers, Message, Subscription
from tests.faults.simulation.world import ProcessLoop, World

HOP_NS = 60 * US  # one way
JITTER_NS = 60 * US
RECONNECT_NS = 100 * MS

Callback = Callable[[Message], Coroutine[Any, Any, None]]


class Handle:
    """A subscription as the client sees it. Its messages are worked off one by one."""

    def __init__(self, client: LinkClient, subscription: Subscription, callback: Callback) -> None:
        self._client = client
        self._subscription = subscription
        self._callback = callback
        self._waiting: deque[Message] = deque()
        self._busy = False

    async def unsubscribe(self) -> None:
        self._client.unsubscribe(self._subscription)

    def take(self, message: Message) -> None:
        message.client = self._client
        self._waiting.append(message)
        if not self._busy:
            self._work()

    def _work(self, running: Any = None) -> None:
        """Run callbacks as far as they go without waiting; one that waits holds up those behind it."""
        self._busy = True
        while running is not None or self._waiting:
            coroutine = running or self._callback(self._waiting.popleft())
            running = None
            try:
                awaited = coroutine.send(None)
            except StopIteration:
                continue
            awaited.add_done_callback(lambda _, coroutine=coroutine: self._work(coroutine))
            return
        self._busy = False


class LinkClient:
    """One connection of one process. `step` counts what the process does to the world outside."""

    def __init__(
        self, server: Server, world: World, loop: ProcessLoop, name: str, step: Step, line: Line
    ) -> None:
        self._server = server
        self._world = world
        self._loop = loop
        self._name = name
        self._step = step
        self._line = line
        self._random = Random(f"{name} {line.seed}")
        self._handles: list[tuple[Subscription, Handle]] = []
        self._count = 0
        self._out_ns = self._in_ns = 0
        self.generation = 0
        self.is_closed = False
        self.is_connected = True
        self.on_lost: Callable[[], None] = _nothing
        self.on_back: Callable[[], None] = _nothing

    # -- what nats-py offers -----------------------------------------------------------------------------------

    def new_inbox(self) -> str:
        self._count += 1
        return f"_INBOX.{self._name}.{self._count}"

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Headers = None
    ) -> None:
        if not self.is_connected:
            raise nats.errors.OutboundBufferLimitError
        headers = dict(headers) if headers else None
        self._step(subject, partial(self._send, subject, payload, reply, headers))

    async def subscribe(self, subject: str, queue: str = "", cb: Callback | None = None) -> Handle:
        assert cb is not None, "the platform listens with callbacks only"
        subscription = Subscription(self, subject, _nothing, queue)
        handle = Handle(self, subscription, cb)
        subscription.take = handle.take
        self._handles.append((subscription, handle))
        if self.is_connected:
            self._server.subscribe(subscription)
        return handle

    def unsubscribe(self, subscription: Subscription) -> None:
        self._handles = [one for one in self._handles if one[0] is not subscription]
        self._server.unsubscribe(subscription)

    async def flush(self, timeout: float = 10) -> None:  # noqa: ARG002 - nats-py's
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError

    async def drain(self) -> None:
        self.close()

    async def force_reconnect(self) -> None:
        self.lose()
        self._world.after(RECONNECT_NS, self.come_back)

    # -- the line ----------------------------------------------------------------------------------------------

    def _send(self, subject: str, payload: bytes, reply: str, headers: Headers) -> None:
        fault = self._line.outward()
        if fault.dropped:
            return
        self._out_ns = max(self._world.now_ns + self._hop_ns(), self._out_ns) + fault.delay_ns
        for _ in range(1 + fault.copies):
            self._world.at(self._out_ns, self._arrived, self.generation, subject, payload, reply, headers)

    def _arrived(self, generation: int, subject: str, payload: bytes, reply: str, headers: Headers) -> None:
        if generation == self.generation:
            self._server.receive(self, subject, payload, reply, headers)

    def deliver(self, subscription: Subscription, message: Message) -> None:
        fault = self._line.inward()
        if fault.dropped or not self._loop.alive:
            return
        at_ns = max(self._world.now_ns + self._hop_ns(), self._in_ns)
        if fault.overtaken:
            at_ns += fault.delay_ns  # this one alone is late: what follows overtakes it
        else:
            at_ns = self._in_ns = at_ns + fault.delay_ns
        for _ in range(1 + fault.copies):
            self._world.at(at_ns, self._came, self.generation, subscription, message)

    def _came(self, generation: int, subscription: Subscription, message: Message) -> None:
        if generation == self.generation and self._loop.alive:
            self._loop.enter(subscription.take, message)

    def _hop_ns(self) -> int:
        return HOP_NS + int(JITTER_NS * self._random.random())

    def lose(self) -> None:
        """The connection breaks: what is in flight either way is lost."""
        if self.is_connected:
            self.is_connected = False
            self.generation += 1
            self._server.forget(self)
            self._loop.enter(self._tell_lost)

    def _tell_lost(self) -> None:
        asking(self).disconnected()  # type: ignore[arg-type]
        self.on_lost()

    def come_back(self) -> None:
        if not self.is_connected and self._loop.alive and self._server.up:
            self.is_connected = True
            for subscription, _ in self._handles:
                self._server.subscribe(subscription)
            self._loop.enter(self.on_back)

    def close(self) -> None:
        """The process is gone, and its socket with it. What it had sent still arrives."""
        self.is_connected, self.is_closed = False, True
        self._server.forget(self)


def _nothing(*_: Any) -> None:
    """Nobody listens."""


__all__ = ["Handle", "LineFault", "LinkClient"]
