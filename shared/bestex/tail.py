"""Follow subjects of a stream: every message once, in the stream's order, across reconnects and restarts.

A subscription of core NATS would also show writes that the stream refused, and would miss what was stored
while the connection was down. A tail reads the stream itself, and starts again after the last message it saw
whenever its consumer is gone or has skipped one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import nats.errors
from nats.aio.client import Client

from bestex.bus import api
from bestex.errors import BusError
from bestex.pull import Delivery, StandingPull

FORGET_AFTER_S = 60.0  # the server removes the consumer of a reader that went away
RETRY_S = 0.2  # a server that has just come up needs a moment until its streams answer
CHECK_S = 5.0  # a consumer kept in memory can vanish without a word


class Tail:
    """Calls `on_message` for each message; it must not block. Messages are never acknowledged.

    What `on_message` raises goes to `on_failure`, and the tail goes on.
    """

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: Sequence[str],
        on_message: Callable[[Delivery], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._stream = stream
        self._subjects = list(subjects)
        self._on_message = on_message
        self._on_failure = on_failure
        self._seq = 0  # the last stream sequence that was seen or lies before the start
        self._consumer_seq = 0
        self._consumer = ""
        self._pull: StandingPull | None = None
        self._broken = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, after_seq: int | None = None) -> None:
        """Begin after `after_seq`, or with what is stored from now on. BusError where there is no stream."""
        if after_seq is None:
            info = await api(self._client, f"STREAM.INFO.{self._stream}", {})
            if "error" in info:
                raise BusError(
                    f"stream {self._stream}: {info['error'].get('description')}; run `bestex streams apply`"
                )
            after_seq = int(info["state"]["last_seq"])
        self._seq = after_seq
        await self._open()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self._close()

    def renew(self) -> None:
        """The connection is new, or something was missed: read on from the last message seen."""
        self._broken.set()

    async def _open(self) -> None:
        config: dict[str, Any] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._seq + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": int(FORGET_AFTER_S * 1e9),
            "mem_storage": True,
            "num_replicas": 1,
            "filter_subjects": self._subjects,
        }
        made = await api(
            self._client, f"CONSUMER.CREATE.{self._stream}", {"stream_name": self._stream, "config": config}
        )
        if "error" in made:
            raise BusError(f"stream {self._stream}: {made['error'].get('description')}")
        self._consumer, self._consumer_seq = made["name"], 0
        self._broken.clear()
        self._pull = StandingPull(self._client, self._stream, self._consumer, self._take, self._fail)
        await self._pull.start()

    async def _close(self) -> None:
        if self._pull is not None:
            await self._pull.stop()
            self._pull = None
        if self._client.is_connected:
            await api(self._client, f"CONSUMER.DELETE.{self._stream}.{self._consumer}", {})

    def _take(self, delivery: Delivery) -> None:
        tokens = delivery.reply.split(".")
        consumer, number = (tokens[3], tokens[6]) if len(tokens) == 9 else (tokens[5], tokens[8])
        if consumer != self._consumer or self._broken.is_set():
            return
        if int(number) != self._consumer_seq + 1:
            self._broken.set()
            return
        self._consumer_seq += 1
        self._seq = delivery.seq
        try:
            self._on_message(delivery)
        except Exception as error:  # noqa: BLE001 - it is the owner's, who is told; the bus library would hide it
            self._on_failure(error)

    def _fail(self, _error: Exception) -> None:
        self._broken.set()

    async def _keep(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._broken.wait(), CHECK_S)
            except TimeoutError:
                if await self._is_alive():
                    continue
            try:
                await self._close()
                await self._open()
            except (BusError, nats.errors.Error):
                self._broken.set()
                await asyncio.sleep(RETRY_S)

    async def _is_alive(self) -> bool:
        try:
            return "error" not in await api(
                self._client, f"CONSUMER.INFO.{self._stream}.{self._consumer}", {}
            )
        except BusError:
            return True  # the bus is away: the reconnect asks for a renewal
