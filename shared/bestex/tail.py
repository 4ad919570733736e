"""Follow subjects of a stream: every message once, in the stream's order, across reconnects and restarts.

What a stream has stored comes out again below `subjects.STORED`. A tail takes that as the word that there is
something new; the next in the stream's own count is taken as it is, and whatever lies between is read from the
stream. A subscription of the subjects themselves would also show writes that the stream refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bestex.bus_access import stored_subjects
from bestex.errors import BusError, StreamMismatch
from bestex.reading import SEQUENCE, Extent, Kept, Reader, find_extent, read_range

RETRY_S = 0.2  # a server that has just come up needs a moment until its streams answer
CHECK_S = 5.0  # what is stored comes out again at once; should it ever not, it is read within this


class Tail:
    """Calls `on_message` for each message; it must not block. Messages are never acknowledged.

    What `on_message` raises goes to `on_failure`, and the tail goes on.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: Sequence[str],
        on_message: Callable[[Kept], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._subjects = list(subjects)
        self._on_message = on_message
        self._on_failure = on_failure
        self._seq = 0  # the last stream sequence that was seen, or is known to be none of ours
        self._reading = False
        self._news = asyncio.Event()
        self._subscriptions: list[Subscription] = []
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, after_seq: int | None = None) -> None:
        """Begin after `after_seq`, or with what is stored from now on. BusError where there is no stream."""
        for pattern in self._subjects:
            for subject in stored_subjects(self._client, pattern):
                self._subscriptions.append(await self._client.subscribe(subject, cb=self._hear))
        self._reading = True  # what is heard before the place is known is read afterwards
        end = (await self._extent()).end
        self._seq = end if after_seq is None else after_seq
        self._news.set()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        for subscription in self._subscriptions:
            if self._client.is_connected:
                await subscription.unsubscribe()

    def renew(self) -> None:
        """The connection is new, or something was missed: read on from the last message seen."""
        self._news.set()

    async def _hear(self, message: Msg) -> None:
        if SEQUENCE not in (message.headers or {}):
            return  # written by another client of this account just now, and not known to be stored
        kept = Kept(message)
        if kept.stream != self._stream or kept.seq <= self._seq:
            return
        if self._reading or kept.seq != self._seq + 1:
            self._news.set()
        else:
            self._take(kept)

    def _take(self, kept: Kept) -> None:
        self._seq = kept.seq
        try:
            self._on_message(kept)
        except Exception as error:  # noqa: BLE001 - it is the owner's, who is told; the bus library would hide it
            self._on_failure(error)

    async def _keep(self) -> None:
        while True:
            self._reading = False
            with suppress(TimeoutError):  # nothing was heard for so long: look
                # Python 3.11's `wait_for` swallows a cancellation that comes with what is waited for.
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()
            self._reading = True
            self._news.clear()
            try:
                await self._read_on()
            except (BusError, nats.errors.Error):
                self._news.set()
                await asyncio.sleep(RETRY_S)

    async def _read_on(self) -> None:
        extent = await self._extent()
        async with Reader(self._client, self._stream).open() as reader:
            await read_range(
                self._client, reader, self._stream, self._subjects, self._seq + 1, extent, self._take
            )
        self._seq = max(self._seq, extent.end)

    async def _extent(self) -> Extent:
        extent = await find_extent(self._client, self._stream)
        if not extent.config.get("republish"):
            raise StreamMismatch(
                f"stream {self._stream} does not say what it has stored; run `bestex streams apply`"
            )
        return extent
