"""What a service is given of a stream through its durable consumer: one by one, or in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from bestex.asking import ask
from bestex.bus import REQUEST_TIMEOUT_S, STREAM_NOT_FOUND, api, error_code
from bestex.bus_access import api_subject, role
from bestex.errors import BusError, StreamMismatch

PULL_BATCH = 512  # messages asked for at once; bounds what can wait in this process
MAX_ACK_PENDING = 4096  # more inputs in flight than this means that the process is too slow, not too idle
PULL_EXPIRES_S = 30.0
PULL_HEARTBEAT_S = 5.0  # silence for twice as long means that the pull is gone
PULL_AGAIN_S = 0.1  # before a request that met nobody is made again
UNANSWERED_MAX = 100  # ten seconds of such answers: longer than most servers take to start
ACK_WAIT_S = 30.0
CONSUMER_NOT_FOUND = 10014


class Delivery:
    """One message of a stream, to be acknowledged when its consequences are stored."""

    __slots__ = (
        "_client",
        "at_ns",
        "data",
        "headers",
        "number",
        "pending",
        "reply",
        "seq",
        "stream",
        "subject",
    )

    def __init__(self, client: Client, message: Msg) -> None:
        # $JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>
        tokens = message.reply.split(".")
        at = 2 if len(tokens) == 9 else 4
        self._client = client
        self.subject = message.subject
        self.data = message.data
        self.headers: Mapping[str, str] = message.headers or {}
        self.reply = message.reply
        self.stream = tokens[at]
        self.seq = int(tokens[at + 3])
        self.number = int(tokens[at + 4])  # of this delivery among all of its consumer
        self.at_ns = int(tokens[at + 5])  # when the stream stored it
        self.pending = int(tokens[at + 6])

    async def ack_sync(self) -> None:
        """Acknowledge, and wait until the server has noted it."""
        await ask(self._client, self.reply, b"+ACK", REQUEST_TIMEOUT_S)

    async def give_back(self) -> None:
        """Let the server deliver it again at once, to whoever reads now."""
        await self._client.publish(self.reply, b"-NAK")


class StandingPull:
    """A pull consumer read through one standing request that is renewed before it runs dry.

    About 185 us from publish to callback, against 270 for a fetch of one. Messages arrive in stream order at
    `on_delivery`, which must not block. Acknowledging is the receiver's business.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        consumer: str,
        on_delivery: Callable[[Delivery], None],
        on_failure: Callable[[Exception], None],
        batch: int = PULL_BATCH,
    ) -> None:
        self._client = client
        self._stream = stream
        self._consumer = consumer
        self._on_delivery = on_delivery
        self._on_failure = on_failure
        self._batch = batch
        self._outstanding = 0
        self._unanswered = 0
        self._heard_at = asyncio.get_running_loop().time()
        self._look = asyncio.Event()
        self._subscription: Subscription | None = None
        self._watch: asyncio.Task[None] | None = None
        self._inbox = client.new_inbox()

    async def start(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)
        await self._ask()
        self._watch = asyncio.create_task(self._watch_silence())

    async def stop(self) -> None:
        """Ask for nothing more; what has arrived is delivered."""
        if self._watch is not None:
            self._watch.cancel()
        if self._subscription is not None and self._client.is_connected:
            await self._subscription.unsubscribe()

    async def _ask(self) -> None:
        count = self._batch - self._outstanding
        self._outstanding = self._batch
        request = {
            "batch": count,
            "expires": int(PULL_EXPIRES_S * 1e9),
            "idle_heartbeat": int(PULL_HEARTBEAT_S * 1e9),
        }
        subject = api_subject(self._client, f"CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}")
        try:
            await self._client.publish(subject, msgspec.json.encode(request), reply=self._inbox)
        except nats.errors.Error:
            self._outstanding = 0  # not connected: `renew` follows

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if message.reply.startswith("$JS.ACK."):
            self._outstanding -= 1
            self._unanswered = 0
            try:
                self._on_delivery(Delivery(self._client, message))
            except Exception as error:  # noqa: BLE001 - nats-py would only log it; the process must end
                self._on_failure(error)
                return
        else:
            headers = message.headers or {}
            status, text = headers.get("Status", ""), headers.get(Header.DESCRIPTION, "")
            if status == "100":
                return
            if status == "503":
                # Nobody answers for this consumer: JetStream is still starting, or the consumer is gone.
                self._unanswered += 1
                self.renew()
                if self._unanswered >= UNANSWERED_MAX:
                    await self._ask_whether_it_is_gone()
                return
            if status == "409" and ("Deleted" in text or "push based" in text):
                self._on_failure(StreamMismatch(f"consumer {self._consumer} of {self._stream}: {text}"))
                return
            self._outstanding -= int(headers.get("Nats-Pending-Messages", self._outstanding))
        if self._outstanding <= self._batch // 2:
            await self._ask()

    async def _ask_whether_it_is_gone(self) -> None:
        """A server that starts and a cluster without a leader give the same silence, and come back."""
        self._unanswered = 0
        if await is_gone(self._client, self._stream, self._consumer):
            gone = StreamMismatch(f"nobody answers for consumer {self._consumer} of {self._stream}")
            self._on_failure(gone)

    async def _watch_silence(self) -> None:
        """A lost request shows as silence, a new connection is told of by `renew`: ask anew."""
        while True:
            quiet_s = asyncio.get_running_loop().time() - self._heard_at
            with suppress(TimeoutError):
                async with asyncio.timeout(max(2 * PULL_HEARTBEAT_S - quiet_s, PULL_AGAIN_S)):
                    await self._look.wait()
                    await asyncio.sleep(PULL_AGAIN_S)
            self._look.clear()
            lost = asyncio.get_running_loop().time() - self._heard_at >= 2 * PULL_HEARTBEAT_S
            if self._client.is_connected and (lost or self._outstanding <= 0):
                self._heard_at = asyncio.get_running_loop().time()
                self._outstanding = 0
                await self._ask()

    def renew(self) -> None:
        """Whatever was asked for is forgotten by the server: ask again soon."""
        self._outstanding = 0
        self._look.set()


class PullReader:
    """A durable consumer read in batches, for services that store many messages in one transaction."""

    def __init__(
        self, client: Client, stream: str, durable: str, subjects: Sequence[str], batch: int = PULL_BATCH
    ) -> None:
        self._client = client
        self.stream = stream
        self._durable = durable
        self.subjects = tuple(subjects)
        self._batch = batch
        self._queue: asyncio.Queue[Delivery | Exception] = asyncio.Queue()
        self._pull: StandingPull | None = None

    async def start(self) -> None:
        await ensure_consumer(self._client, self.stream, self._durable, self.subjects)
        self._pull = StandingPull(
            self._client,
            self.stream,
            self._durable,
            self._queue.put_nowait,
            self._queue.put_nowait,
            batch=self._batch,
        )
        await self._pull.start()

    def renew(self) -> None:
        if self._pull is not None:
            self._pull.renew()

    async def next_batch(self, max_wait: float) -> list[Delivery]:
        """Up to `batch` messages; waits `max_wait` seconds for the first. Raises what ended the pull."""
        deliveries: list[Delivery] = []
        try:
            async with asyncio.timeout(max_wait):
                item = await self._queue.get()
            while True:
                if isinstance(item, Exception):
                    raise item
                deliveries.append(item)
                if len(deliveries) == self._batch:
                    break
                item = self._queue.get_nowait()
        except (TimeoutError, asyncio.QueueEmpty):
            pass
        return deliveries

    async def stop(self) -> None:
        if self._pull is not None:
            await self._pull.stop()


def durable_config(durable: str, subjects: Sequence[str]) -> dict[str, Any]:
    """The configuration of a service's consumer, as the server states it."""
    config: dict[str, Any] = {
        "durable_name": durable,
        "name": durable,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_S * 1e9),
        "max_ack_pending": MAX_ACK_PENDING,
        "replay_policy": "instant",
    }
    if len(subjects) == 1:
        config["filter_subject"] = subjects[0]
    else:
        config["filter_subjects"] = sorted(subjects)
    return config


async def ensure_consumer(client: Client, stream: str, durable: str, subjects: Sequence[str]) -> None:
    """Check that the durable consumer is exactly this; on a bus without roles, create it where it is missing.

    An existing durable's configuration silently wins over the one asked for, so it is compared. Raises
    StreamMismatch.
    """
    if not await make_consumer(client, stream, durable, subjects, create=not role(client)):
        raise StreamMismatch(
            f"consumer {durable} of {stream} is missing; run `bestex streams apply`, with --split for one "
            "process an algorithm"
        )


async def make_consumer(
    client: Client, stream: str, durable: str, subjects: Sequence[str], *, create: bool
) -> bool:
    """As `ensure_consumer`; False where the consumer is missing and was not to be created."""
    wanted = durable_config(durable, subjects)
    found = await api(client, f"CONSUMER.INFO.{stream}.{durable}", {})
    if error_code(found) == CONSUMER_NOT_FOUND:
        if not create:
            return False
        found = await api(
            client,
            f"CONSUMER.CREATE.{stream}.{durable}",
            {"stream_name": stream, "config": wanted, "action": "create"},
        )
    if "error" in found:
        raise refusal(stream, found)
    config = found["config"]
    for key, value in wanted.items():
        given = config.get(key)
        if key == "filter_subjects":
            given = sorted(given or ())
        if given != value:
            raise StreamMismatch(f"consumer {durable} of {stream}: {key} is {given!r}, must be {value!r}")
    return True


def refusal(stream: str, answer: dict[str, Any]) -> BusError:
    """A missing stream stays missing until somebody creates it; whatever else the server says may pass."""
    text = f"stream {stream}: {answer['error'].get('description')}"
    if error_code(answer) == STREAM_NOT_FOUND:
        return StreamMismatch(f"{text}; run `bestex streams apply`")
    return BusError(text)


async def is_gone(client: Client, stream: str, consumer: str) -> bool:
    """Whether the server says that there is no such consumer; not where it says nothing."""
    try:
        found = await api(client, f"CONSUMER.INFO.{stream}.{consumer}", {})
    except BusError:
        return False
    return error_code(found) in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND)


async def not_acknowledged(client: Client, stream: str, durable: str) -> int:
    """The first sequence that this consumer may not have acknowledged; everything before it is done with. 1 where
    there is no such consumer yet."""
    info = await api(client, f"CONSUMER.INFO.{stream}.{durable}", {})
    if error_code(info) == CONSUMER_NOT_FOUND:
        return 1
    if "error" in info:
        raise BusError(f"consumer {durable} of {stream}: {info['error'].get('description')}")
    return int(info["ack_floor"]["stream_seq"]) + 1
