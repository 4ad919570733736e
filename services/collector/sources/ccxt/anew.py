"""Subscriptions to single books that are made again on the connection that they have, the others untouched.

A book is taken off first, and put on when the venue has confirmed that: a venue refuses what is on already.
Whatever of a book comes in between is of the old subscription, and is nobody's. Where no book is there in time, or a
book breaks again and again, the session ends: then it is not one book that is in trouble.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from bestex.clock import SECOND
from services.collector import metrics
from services.collector.sources.ccxt.stream import FeedBroken, Stream

THERE_S = 10.0  # a subscription takes a fraction of a second
AGAIN_MAX, AGAIN_NS = 5, 300 * SECOND  # of one symbol, in that time
AT_ONCE_MAX = (
    8  # more are not single books in trouble; and venues count what is asked of them over a connection
)
FIRST_NUMBER = 1_000_000_000  # of our requests: ccxt counts its own from one

Frame = Callable[[Sequence[Stream], int], Any]  # of these streams, under a number


class _Asked:
    def __init__(self, client: Any, streams: Sequence[Stream], number: int) -> None:
        self.client, self.streams, self.number = client, streams, number
        self.on, self.missing = set(streams), set(streams)
        self.is_off, self.is_there = asyncio.Event(), asyncio.Event()


class Anew:
    def __init__(self, off: Frame, on: Frame, broken: Callable[[BaseException], None]) -> None:
        self._off, self._on, self._broken = off, on, broken
        self._asked: dict[Stream, _Asked] = {}
        self._clients: dict[Stream, Any] = {}  # the connection that a book last came over
        self._times: defaultdict[Stream, deque[int]] = defaultdict(lambda: deque(maxlen=AGAIN_MAX))
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = FIRST_NUMBER

    def awaits(self, stream: Stream) -> bool:
        """Whether its next book is still to come, so that changes are of an old one."""
        return stream in self._asked

    def client_of(self, stream: Stream) -> Any:
        """None where there never was a book."""
        return self._clients.get(stream)

    def heard_over(self, client: Any) -> list[Stream]:
        return [stream for stream, one in self._clients.items() if one is client]

    def begin(self, client: Any, streams: Sequence[Stream], recv_ns: int, why: str, cause: str) -> None:
        """FeedBroken where it has been done too often."""
        new = [stream for stream in streams if stream not in self._asked]
        if not new:
            return
        if len(self._tasks) >= AT_ONCE_MAX:
            raise FeedBroken(f"{new[0].symbol}: {why}, and {len(self._tasks)} others are subscribed to anew")
        for stream in new:
            times = self._times[stream]
            if len(times) == AGAIN_MAX and recv_ns - times[0] < AGAIN_NS:
                raise FeedBroken(f"{stream.symbol}: {why}, after {AGAIN_MAX} new subscriptions")
            times.append(recv_ns)
            stream.unknown(recv_ns)
            noted(stream, why, cause)
        self._number += 2
        asked = _Asked(client, new, self._number)
        self._asked |= dict.fromkeys(new, asked)
        task = asyncio.create_task(self._ask(asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, asked: _Asked) -> None:
        names = ", ".join(stream.symbol for stream in asked.streams)
        try:
            async with asyncio.timeout(THERE_S):
                await asked.client.send(self._off(asked.streams, asked.number))
                await asked.is_off.wait()
                await asked.client.send(self._on(asked.streams, asked.number + 1))
                await asked.is_there.wait()
        except TimeoutError:
            self._broken(FeedBroken(f"{names}: no new book within {THERE_S:g} s"))
        except Exception as error:  # noqa: BLE001 - of the connection, of ccxt: then it is the session's
            self._broken(error)

    # -- what the venue says -----------------------------------------------------------------------------------

    def is_off(self, stream: Stream) -> bool:
        """The venue has confirmed that nothing more of it comes. Whether that was asked for."""
        asked = self._asked.get(stream)
        if asked is None:
            return False
        asked.on.discard(stream)
        if not asked.on:
            asked.is_off.set()
        return True

    def takes(self, client: Any, stream: Stream) -> bool:
        """Whether a whole book that has come is to be taken. One of the old subscription is not: the changes that
        follow it are nobody's."""
        self._clients[stream] = client
        asked = self._asked.get(stream)
        if asked is None:
            return True
        if not asked.is_off.is_set():
            return False
        del self._asked[stream]
        asked.missing.discard(stream)
        if not asked.missing:
            asked.is_there.set()
        return True

    def answered(self, number: int, good: bool, text: str) -> bool:
        """Whether the answer is to one of ours, by its number. FeedBroken where it is a no."""
        if number <= FIRST_NUMBER or number > self._number + 1:
            return False
        if not good:
            raise FeedBroken(f"not subscribed to anew: {text}")
        for asked in set(self._asked.values()):
            if asked.number == number:
                for stream in asked.streams:
                    self.is_off(stream)
        return True

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def noted(stream: Stream, why: str, cause: str) -> None:
    """One book is made anew, and why."""
    metrics.ANEW.labels(stream.listing.venue, cause).inc()
    structlog.get_logger(venue=stream.listing.venue).warning(
        "a book is made anew", symbol=stream.symbol, why=why, cause=cause
    )
