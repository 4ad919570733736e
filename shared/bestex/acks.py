"""Acknowledgements out of the way: a little later and together, so that they never stand before a write.

An input is acknowledged only when its consequences are stored; that it is acknowledged some milliseconds after
that costs nothing but a few messages read once more after a crash.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors

from bestex.errors import BestexError
from bestex.pull import Delivery

FLUSH_S = 2.0  # a server that is there acknowledges in milliseconds; what it does not, comes again
LATER_S = 0.02  # longer than an order's next steps take, far shorter than the time after which it comes again


class Acks:
    """`confirmed` waits until this process may act, or raises: an input that another process is to have is not
    taken from it by an acknowledgement."""

    def __init__(self, confirmed: Callable[[], Awaitable[None]]) -> None:
        self._confirmed = confirmed
        self._open: dict[Delivery, None] = {}  # in the order in which they came
        self._due: list[Delivery] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def expect(self, delivery: Delivery) -> None:
        """It has arrived, and is open until it is acknowledged or given back."""
        self._open[delivery] = None

    def leave_open(self, delivery: Delivery) -> None:
        """It is never acknowledged, and comes again when its time is over."""
        self._open.pop(delivery, None)

    def add(self, delivery: Delivery) -> None:
        self._due.append(delivery)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._send)

    def _send(self) -> None:
        due, self._due, self._timer = self._due, [], None
        task = asyncio.get_running_loop().create_task(self._acknowledge(due))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def flush(self) -> None:
        """Send what is due now and wait for it: the end of a process that stops in order."""
        if self._timer is not None:
            self._timer.cancel()
            self._send()
        if self._sending:  # while the bus is away they wait for it, and this process is asked to end
            await asyncio.wait(self._sending, timeout=FLUSH_S)

    async def give_back(self) -> None:
        """The end of a process whose work is another's: that one is to have what is open here, and at once."""
        if self._timer is not None:
            self._timer.cancel()
        for delivery in self._open:
            with suppress(nats.errors.Error):  # else it comes again when its time is over
                await delivery.give_back()
        self._open.clear()

    async def _acknowledge(self, deliveries: list[Delivery]) -> None:
        try:
            await self._confirmed()
        except BestexError:
            return  # the process ends, and gives them back

        async def one(delivery: Delivery) -> None:
            # An acknowledgement that is lost brings the message again, which changes nothing.
            with suppress(nats.errors.Error, TimeoutError):
                await delivery.ack_sync()
            self._open.pop(delivery, None)

        await asyncio.gather(*map(one, deliveries))


class Underway:
    """The writes under way, and the inputs from which nothing followed while they were.

    Such an input may be another copy of one whose consequences are among those writes: memory knows them already,
    the bus does not. Acknowledged now, it would be lost if this process died before they are stored.
    """

    def __init__(self, acknowledge: Callable[[Delivery], None]) -> None:
        self._acknowledge = acknowledge
        self._count = 0
        self._open: dict[int, None] = {}  # in the order in which they began
        self._waiting: deque[tuple[int, Delivery]] = deque()

    def begin(self) -> int:
        """A write has been decided; its number, for `end`."""
        self._count += 1
        self._open[self._count] = None
        return self._count

    def end(self, number: int) -> None:
        """It is stored, and what follows from it."""
        del self._open[number]
        oldest = next(iter(self._open), self._count + 1)
        while self._waiting and self._waiting[0][0] < oldest:
            self._acknowledge(self._waiting.popleft()[1])

    def acknowledge_after(self, delivery: Delivery) -> None:
        """Acknowledge when all that was decided before is stored; at once where nothing is under way."""
        if self._open:
            self._waiting.append((self._count, delivery))
        else:
            self._acknowledge(delivery)
