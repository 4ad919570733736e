"""Virtual time, and an asyncio loop on it for every process: one thread, one order of events, no waiting.

A `ProcessLoop` is all that a process of the platform has of the machine. To kill the process is never to run its
loop again; to freeze it (SIGSTOP) is to run it later.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from bestex.clock import SECOND, US

START_NS = 1_780_000_000 * SECOND
INSTANT_EVENTS_MAX = 100_000  # at one instant: beyond it something asks for the present over and over again


class StandsStill(AssertionError):
    """Time does not pass any more: a loop of zero delays."""


class World:
    """The clock and what is due on it."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.events = 0
        self._due: list[tuple[int, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._now: deque[Callable[[], None]] = deque()
        self._count = 0

    def at(self, at_ns: int, act: Callable[..., Any], *args: Any) -> None:
        """What is due at one instant happens in the order in which it was asked for."""
        self._count += 1
        heapq.heappush(self._due, (max(at_ns, self.now_ns), self._count, act, args))

    def after(self, delay_ns: int, act: Callable[..., Any], *args: Any) -> None:
        self.at(self.now_ns + delay_ns, act, *args)

    def soon(self, act: Callable[[], None]) -> None:
        """At this instant, after what is due at it."""
        self._now.append(act)

    def run(self, until_ns: int) -> None:
        """Let time pass until `until_ns`."""
        at_this_instant = 0
        while True:
            while self._now:
                at_this_instant += 1
                if at_this_instant > INSTANT_EVENTS_MAX:
                    raise StandsStill(f"time stands still at {self.now_ns}")
                self.events += 1
                self._now.popleft()()
            if not self._due or self._due[0][0] > until_ns:
                self.now_ns = max(self.now_ns, until_ns)
                return
            at_ns, _, act, args = heapq.heappop(self._due)
            if at_ns > self.now_ns:
                at_this_instant = 0
                self.now_ns = at_ns
            self.events += 1
            act(*args)


def _nothing() -> None:
    """Called off."""


class Handle(asyncio.TimerHandle):
    """asyncio's own without what is for debugging: thousands are made in a run."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, when: float = 0.0
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context if context is not None else copy_context()
        self._cancelled = False
        self._when = when

    def cancel(self) -> None:
        self._cancelled = True
        self._callback, self._args = _nothing, ()


class ProcessLoop(asyncio.AbstractEventLoop):
    """What asyncio needs of a loop, on virtual time. Errors that nobody awaits are kept in `errors`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: deque[Handle] = deque()
        self._is_due = False
        self.alive = True
        self.frozen = False
        self.errors: list[str] = []

    # -- life ------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Nothing of it ever runs again."""
        self.alive = False
        self._ready.clear()

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        """It runs on, and finds its timers overdue."""
        self.frozen = False
        self._wake()

    def enter(self, act: Callable[..., Any], *args: Any) -> None:
        """Have `act` called on this loop: what a socket does when something arrives."""
        if self.alive:
            self._ready.append(Handle(act, args, None))
            self._wake()

    def _wake(self) -> None:
        if not self._is_due and self._ready and self.alive and not self.frozen:
            self._is_due = True
            self._world.soon(self._turn)

    def _turn(self) -> None:
        """One round, as asyncio's: what is ready now, and not what becomes ready through it."""
        self._is_due = False
        if self.frozen:
            return
        ready = self._ready
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                if not self.alive or self.frozen:
                    return
                handle = ready.popleft()
                if not handle._cancelled:
                    self._call(handle)
        finally:
            events._set_running_loop(None)
        self._wake()

    def _call(self, handle: Handle) -> None:
        try:
            handle._context.run(handle._callback, *handle._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - as asyncio's own handle does
            self.call_exception_handler({"message": f"{handle._callback}", "exception": error})

    # -- the part of a loop that asyncio uses ------------------------------------------------------------------

    def time(self) -> float:
        return (self._world.now_ns - START_NS) / SECOND

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = Handle(callback, args, context)
        if self.alive:
            self._ready.append(handle)
            self._wake()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = Handle(callback, args, context, when)
        # Up to the next microsecond, so that a timer never rings before its time: it would ring for ever.
        at_ns = START_NS - (-round(when * SECOND) // US) * US
        self._world.at(at_ns, self._ring, handle)
        return handle

    def _ring(self, handle: Handle) -> None:
        if self.alive and not handle._cancelled:
            self._ready.append(handle)
            self._wake()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self.alive

    def is_closed(self) -> bool:
        return not self.alive

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")
