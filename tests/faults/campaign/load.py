"""The client under faults: publishes orders, keeps a ledger of what was acknowledged, and reads along.

It shares nothing with the platform but the connection's options. The ledger says what was promised: each
acknowledged message, by its place in the stream. The notes say what was seen: a checksum of every message of
every stream, by its place. Both are compared with the streams at the end.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from zlib import crc32

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, codec, subjects
from bestex.errors import BusError
from bestex.messages import ExecRejected, Stats
from bestex.reading import Kept
from bestex.tail import Tail
from tests.faults.campaign.orders import Message, Order, Orders

RETRY_S = 0.1
PRICES_S_MAX = 30.0
ENDS_S_MAX = 180.0  # after the last fault: an unknown order is asked for with growing pauses
POLL_S = 0.05
LATE_SHOWN = 20


class Ledger:
    """What the bus acknowledged: the sequence of each message in ORDERS, with its subject and body."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, Message] = {}
        self.parents: set[str] = set()
        self.unknown = 0  # publishes whose outcome nobody knew; they were repeated


class Notes:
    """A checksum of every message that was seen, by stream and sequence."""

    def __init__(self) -> None:
        self.seen: dict[str, array[int]] = {}

    def take(self, kept: Kept) -> None:
        sums = self.seen.setdefault(kept.stream, array("q"))
        while len(sums) <= kept.seq:
            sums.append(-1)
        sums[kept.seq] = crc32(kept.data, crc32(kept.subject.encode()))

    def differences(self, stream: str, stored: Iterable[tuple[int, str, bytes]]) -> list[str]:
        """What was seen and is not there any more, or not as it was."""
        sums = self.seen.get(stream, array("q"))
        left = {seq for seq, checksum in enumerate(sums) if checksum >= 0}
        wrong = []
        for seq, subject, data in stored:
            if seq in left:
                left.remove(seq)
                if crc32(data, crc32(subject.encode())) != sums[seq]:
                    wrong.append(f"{stream} {seq} is not what it was: {subject}")
        return [*wrong, *(f"{stream} {seq} was seen and is gone" for seq in sorted(left))]


class Load:
    """Keeps `in_flight` parents at work until `stop`."""

    def __init__(self, client: Client, orders: Orders, in_flight: int, streams: list[str]) -> None:
        self._client = client
        self._orders = orders
        self._in_flight = in_flight
        self._open: dict[str, str] = {}
        self._news = asyncio.Event()
        self._mids: dict[str, Decimal] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = True
        self._tails = [
            Tail(client, stream, [f"{subjects.ROOT}.>"], self._hear, self._fail) for stream in streams
        ]
        self.ledger, self.notes = Ledger(), Notes()
        self.children = self.fills = 0
        self.became: dict[
            str, Counter[str]
        ] = {}  # by venue: events of orders there, why they were refused, and fills
        self.ended: Counter[str] = Counter()
        self.failures: list[Exception] = []
        self.stalls_s: list[float] = []  # from a publish's failure to its acknowledgement

    async def start(self) -> None:
        for tail in self._tails:
            await tail.start(after_seq=0)
        await self._client.subscribe(f"{subjects.ROOT}.stats.*", cb=self._price)
        async with asyncio.timeout(PRICES_S_MAX):
            while not self._mids:  # noqa: ASYNC110 - the collectors and the aggregators come up
                await asyncio.sleep(POLL_S)
        self._spawn(self._submit_all())

    def renew(self) -> None:
        """The connection is new."""
        for tail in self._tails:
            tail.renew()

    async def stop(self) -> list[str]:
        """Submit nothing more and wait for all ends; what is wrong, empty where nothing is."""
        self._running = False
        self._news.set()
        deadline = time.monotonic() + ENDS_S_MAX
        while (self._tasks or self._open) and time.monotonic() < deadline:  # noqa: ASYNC110 - both change
            await asyncio.sleep(POLL_S)
        for task in list(self._tasks):
            task.cancel()
        late = [f"{parent_id} has not ended" for parent_id in list(self._open)[:LATE_SHOWN]]
        if self._tasks:
            late.append(f"{len(self._tasks)} messages of the client were not acknowledged to the end")
        return [*late, *(repr(error) for error in self.failures)]

    async def close(self) -> None:
        for tail in self._tails:
            await tail.stop()

    # -- publishing ------------------------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        while self._running:
            if len(self._open) >= self._in_flight:
                self._news.clear()
                await self._news.wait()
                continue
            order = self._orders.next(self._mids)
            self._open[order.parent_id] = order.algo
            await self._publish(order.new)
            self.ledger.parents.add(order.parent_id)
            if order.changes:
                self._spawn(self._change(order))

    async def _change(self, order: Order) -> None:
        passed_s = 0.0
        for change in order.changes:
            await asyncio.sleep(change.after_s - passed_s)
            passed_s = change.after_s
            await self._publish(change)

    async def _publish(self, message: Message) -> None:
        """Until it is acknowledged. A repetition of an order changes nothing, one of a request is answered."""
        failed_at = 0.0
        while True:
            try:
                ack = await bus.publish(self._client, message.subject, message.body)
            except (nats.errors.Error, TimeoutError):
                self.ledger.unknown += 1
                failed_at = failed_at or time.monotonic()
                await asyncio.sleep(RETRY_S)
                continue
            if ack.error is None:
                self.ledger.acknowledged[ack.seq] = message
                if failed_at:
                    self.stalls_s.append(time.monotonic() - failed_at)
                return
            # A server that has just come up, or whose disk is full, refuses; what it refused is not stored.
            failed_at = failed_at or time.monotonic()
            await asyncio.sleep(RETRY_S)

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            self.failures.append(error)

    # -- reading along ---------------------------------------------------------------------------------------

    def _hear(self, kept: Kept) -> None:
        self.notes.take(kept)
        tokens = kept.subject.split(".")
        if tokens[2] == "parent" and tokens[-1] in ("done", "rejected"):
            parent_id = tokens[4]
            if parent_id in self._open:
                self.ended[self._open.pop(parent_id)] += 1
                self._news.set()
        elif tokens[2] == "child" and tokens[-1] == "new":
            self.children += 1
        elif tokens[2] == "fill":
            self.fills += 1
            self.became.setdefault(tokens[3], Counter())["fill"] += 1
        elif tokens[2] == "exec":
            event = tokens[-1]
            if event == "rejected":
                event = f"rejected {codec.from_json(kept.data, ExecRejected).code}"
            self.became.setdefault(tokens[3], Counter())[event] += 1

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)

    async def _price(self, message: Msg) -> None:
        stats = codec.from_json(message.data, Stats)
        if stats.mid is not None:
            self._mids[stats.symbol] = stats.mid


async def caught_up(client: Client, streams: list[str], seconds: float) -> list[str]:
    """Waits until the recorder has read and acknowledged everything; which streams it has not."""
    deadline, behind = time.monotonic() + seconds, list(streams)
    while behind and time.monotonic() < deadline:
        try:
            info = await bus.api(client, f"CONSUMER.INFO.{behind[0]}.recorder", {})
        except BusError:
            await asyncio.sleep(RETRY_S)
            continue
        if not info.get("num_pending") and not info.get("num_ack_pending") and "error" not in info:
            behind.pop(0)
        else:
            await asyncio.sleep(POLL_S)
    return behind
