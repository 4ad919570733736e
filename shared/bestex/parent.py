"""One parent order as its client follows it: events and fills in order, to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from bestex import messages as m
from bestex import subjects
from bestex.errors import BusError
from bestex.status import ParentStatus, State, fold

if TYPE_CHECKING:
    from bestex.client import Client

EVENTS_MAX = 100_000  # of one parent that nobody reads; a reader so slow has stopped reading
LATE_FILLS_S = 5.0  # fills come from other streams than the end that counts them

Event = subjects.ParentEvents | m.Fill


class Parent:
    """A parent order that is being followed: iterate over it for its events and fills.

    The iteration ends after `done`, or after the rejection of the order itself; all fills that `done` counts
    come before it. `status` is where the order stands by the events read off so far.
    """

    def __init__(self, client: Client, parent_id: str, symbol: str, algo: str) -> None:
        self._client = client
        self._queue: asyncio.Queue[Event | Exception] = asyncio.Queue(EVENTS_MAX)
        self._seen: set[tuple[str, int]] = set()
        self._held: list[tuple[str, int, Event]] | None = None
        self._overflowed = False
        self._ended = False
        self.parent_id = parent_id
        self.symbol = symbol
        self.algo = algo
        self.status = ParentStatus(parent_id=parent_id, symbol=symbol)
        self.fills: list[m.Fill] = []

    def __repr__(self) -> str:
        return f"Parent({self.parent_id!r}, {self.symbol!r}, {self.status.state})"

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    async def wait(self) -> ParentStatus:
        """Read to the end; the final status."""
        async for _ in self:
            pass
        return self.status

    async def cancel(self, reason: str = "") -> int:
        return await self._client.cancel(self.parent_id, reason)

    async def modify(
        self,
        *,
        qty: Decimal | str | None = None,
        limit_price: Decimal | str | None = None,
        **params: Any,
    ) -> int:
        return await self._client.modify(self.parent_id, qty=qty, limit_price=limit_price, **params)

    async def pause(self, reason: str = "") -> int:
        return await self._client.pause(self.parent_id, reason)

    async def resume(self, reason: str = "") -> int:
        return await self._client.resume(self.parent_id, reason)

    def hold(self) -> None:
        """Keep what comes from now on until the past has been told."""
        self._held = []

    def skip(self, past: list[tuple[str, int, Event]]) -> None:
        """These are of an earlier attempt: never tell them."""
        self._seen.update((stream, seq) for stream, seq, _ in past)

    def tell(self, past: list[tuple[str, int, Event]]) -> None:
        """The past, then what was held meanwhile. Refusals before the acceptance are of earlier attempts."""
        held, self._held = self._held or [], None
        kinds = [type(event) for _, _, event in past]
        if m.ParentAccepted in kinds:
            before = past[: kinds.index(m.ParentAccepted)]
            self.skip([one for one in before if isinstance(one[2], m.ParentRejected)])
        for stream, seq, event in (*past, *held):
            self.hear(stream, seq, event)

    def hear(self, stream: str, seq: int, event: Event) -> None:
        """One message of the order's history; the same one may come from the past and from the tail."""
        if self._held is not None:
            self._held.append((stream, seq, event))
        elif (stream, seq) not in self._seen:
            self._seen.add((stream, seq))
            self._put(event)

    def fail(self, error: Exception) -> None:
        self._put(error)

    def _put(self, item: Event | Exception) -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            self._overflowed = True
            self._client.forget(self)

    async def _events(self) -> AsyncIterator[Event]:
        while not self._ended:
            event = await self._next()
            if not isinstance(event, m.ParentDone):
                self._ended = self.status.state is State.REJECTED
                yield event
                continue
            deadline = time.monotonic() + LATE_FILLS_S
            while sum(fill.qty for fill in self.fills) < event.cum_qty:
                try:
                    yield await asyncio.wait_for(self._next(), deadline - time.monotonic())
                except TimeoutError:
                    break
            self._ended = True
            yield event
        self._client.forget(self)

    async def _next(self) -> Event:
        """The next event, taken into `status` and `fills`."""
        if self._overflowed:
            raise BusError(f"parent {self.parent_id}: more than {EVENTS_MAX} events were waiting to be read")
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        if isinstance(item, m.Fill):
            self.fills.append(item)
        else:
            self.status = fold(self.status, item)
        return item
