"""Virtual time, and an asyncio loop on it for every process: one thread, one order of events, no waiting.

A `ProcessLoop` is all that a process of the platform has of the machine. To kill the process is never to run its
loop again; to freeze it (SIGSTOP) is to run it later.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from inspect import CORO_CREATED, getcoroutinestate
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
        self.happened = 0  # how many things
        self._due: list[tuple[int, int, Callable[..., Any], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, at_ns: int, act: Callable[..., Any], *args: Any) -> None:
        """What is due at one instant happens in the order in which it was asked for."""
        self._count = count = self._count + 1
        now_ns = self.now_ns
        heappush(self._due, (at_ns if at_ns > now_ns else now_ns, count, act, args))

    def after(self, delay_ns: int, act: Callable[..., Any], *args: Any) -> None:
        self.at(self.now_ns + delay_ns, act, *args)

    def run(self, until_ns: int) -> None:
        """Let time pass until `until_ns`."""
        due = self._due
        at_this_instant = 0
        while due and due[0][0] <= until_ns:
            at_ns, _, act, args = heappop(due)
            if at_ns > self.now_ns:
                at_this_instant = 0
                self.now_ns = at_ns
            self.happened += 1
            at_this_instant += 1
            if at_this_instant > INSTANT_EVENTS_MAX:
                raise StandsStill(f"time stands still at {at_ns}")
            act(*args)
        self.now_ns = max(self.now_ns, until_ns)


def _nothing() -> None:
    """Called off."""


class Handle:
    """As asyncio's own, without what is for debugging: thousands are made in a run."""

    __slots__ = ("_args", "_callback", "_context", "_when")

    def __init__(
        self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, when: float = 0.0
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._when = when

    def cancel(self) -> None:
        self._callback, self._args, self._context = _nothing, (), None

    def cancelled(self) -> bool:
        return self._callback is _nothing

    def when(self) -> float:
        return self._when


class ProcessLoop(asyncio.AbstractEventLoop):
    """What asyncio needs of a loop, on virtual time. Errors that nobody awaits are kept in `errors`.

    What happens at one instant in one process happens without a break: as long as something is ready it runs, until
    the process is killed or frozen.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: deque[Handle] = deque()
        self._made: list[Coroutine[Any, Any, Any]] = []  # and may not have begun
        self._is_running = False
        self.alive = True
        self.frozen = False
        self.errors: list[str] = []

    # -- life ------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Nothing of it ever runs again."""
        self.alive = False
        self._ready.clear()
        for coroutine in self._made:
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()  # Python would warn of one that has never run

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        """It runs on, and finds its timers overdue."""
        self.frozen = False
        self._run()

    def enter(self, act: Callable[..., Any], *args: Any) -> None:
        """Have `act` called on this loop: what a socket does when something arrives."""
        if self.alive:
            self._ready.append(Handle(act, args, None))
            self._run()

    def _run(self) -> None:
        """All that is ready, and what becomes ready through it."""
        if self._is_running or self.frozen:
            return
        assert events._get_running_loop() is None, "one process runs at a time"
        ready, count = self._ready, 0
        self._is_running = True
        events._set_running_loop(self)
        try:
            while ready and not self.frozen:
                handle = ready.popleft()
                count += 1
                if count > INSTANT_EVENTS_MAX:
                    raise StandsStill(f"a process never waits, at {self._world.now_ns}")
                context, callback = handle._context, handle._callback
                try:
                    if context is None:
                        callback(*handle._args)
                    else:
                        context.run(callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio's own handle does
                    self.call_exception_handler({"message": f"{callback}", "exception": error})
        finally:
            self._is_running = False
            events._set_running_loop(None)
            if not ready:
                self._made.clear()

    # -- the part of a loop that asyncio uses ------------------------------------------------------------------

    def time(self) -> float:
        return (self._world.now_ns - START_NS) / SECOND

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        """Where there is no context it is called in that of whoever let time pass: none of the platform's own."""
        handle = Handle(callback, args, context)
        if self.alive:
            self._ready.append(handle)
            if not self._is_running:
                self._run()
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(callback, args, context, when)
        # Up to the next microsecond, so that a timer never rings before its time: it would ring for ever.
        self._world.at(START_NS - (-round(when * SECOND) // US) * US, self._ring, handle)
        return handle

    def _ring(self, handle: Handle) -> None:
        if self.alive and handle._callback is not _nothing:
            self._ready.append(handle)
            self._run()

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        self._made.append(coro)
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
