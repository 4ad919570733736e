"""Epochs: at each piece of work there is one process, and what it writes says by which claim.

A claim is a durable message in the stream that the process writes, compared and set on the claim before it; the
epoch is its sequence. Claims of one service in one stream stand in one line, so of two processes that claim at
once exactly one is the last, and that one stays. A claim that overlaps an earlier one ends the earlier process.

A process that is well answers for its work, and then no second one claims it. One that is frozen does not answer,
is claimed over, and finds the newer claim when it wakes: `bestex.footing` has it look before it acts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from bestex import bus, codec
from bestex.asking import ask
from bestex.clock import AffineClock, Time
from bestex.errors import BusError, Fenced, OutcomeUnknown
from bestex.journal import GIVE_UP_S, RETRY_S
from bestex.messages import Epoch
from bestex.service import Claim
from bestex.subjects import AT_WORK, stream_of

ANOTHER_ANSWERS_S = 0.5  # a process that is well answers in a millisecond, one that reads its journal in some


class Epochs:
    """The claims of one process. `fail` is called when a newer claim is heard."""

    def __init__(
        self,
        client: Client,
        claims: Sequence[Claim],
        writer: str,
        clock: AffineClock,
        fail: Callable[[Exception], None],
    ) -> None:
        self._client = client
        self._claims = sorted(claims, key=lambda claim: claim.subject)
        self._writer = writer
        self._clock = clock
        self._fail = fail
        self._epochs: dict[str, int] = {}  # by stream
        self._listening: list[Subscription] = []
        self._seen: dict[str, int] = {}  # by stream: up to here there is no newer claim on our work

    def of(self, stream: str) -> int:
        """The epoch under which this process writes the stream; 0 where it claims nothing in it."""
        return self._epochs.get(stream, 0)

    async def claim(self) -> None:
        """Take the work, or raise Fenced where another process is at it. OutcomeUnknown where the bus is away."""
        works = [(claim.service, work) for claim in self._claims for work in claim.works]
        await asyncio.gather(*(self._ask_who_works(*one) for one in works))
        for claim in self._claims:
            self._listening.append(await self._client.subscribe(claim.pattern, cb=self._hear))
        for one in works:
            self._listening.append(await self._client.subscribe(f"{AT_WORK}.{'.'.join(one)}", cb=_answer))
        for claim in self._claims:
            stream = stream_of(claim.subject)
            self._epochs[stream] = self._seen[stream] = await self._store(claim, stream)
        await self.check()  # what was claimed over us before we knew our own place

    async def release(self) -> None:
        """The end of a process that stops in order: the next one need not wait for an answer."""
        for subscription in self._listening:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()
        self._listening.clear()

    async def check(self) -> None:
        """Read back that no newer claim is on our work. Raises Fenced; nats.errors.Error or BusError where the
        bus cannot say."""
        await asyncio.gather(*map(self._check, self._claims))

    async def _check(self, claim: Claim) -> None:
        stream = stream_of(claim.subject)
        while True:
            found = await bus.read_next(self._client, stream, claim.pattern, self._seen[stream] + 1)
            if found is None:
                return
            try:
                other = codec.from_json(found.data, Epoch)
            except (msgspec.MsgspecError, ValueError) as error:
                raise Fenced(f"claim {found.seq} of {stream} cannot be read: {error}") from error
            if (newer := self._newer(claim, other, found.seq)) is not None:
                raise newer
            self._seen[stream] = found.seq

    def _newer(self, claim: Claim, other: Epoch, seq: int) -> Fenced | None:
        """The end of this process, where another's later claim takes any of its work."""
        if other.writer == self._writer or set(claim.works).isdisjoint(other.works):
            return None
        stream = stream_of(claim.subject)
        works = ", ".join(other.works)
        return Fenced(
            f"{other.writer} claimed {claim.service} {works} at {seq} of {stream}, after our {self.of(stream)}"
        )

    async def _store(self, claim: Claim, stream: str) -> int:
        """Claim after the claim that is the last one now; the sequence."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + GIVE_UP_S
        while loop.time() < deadline:
            with suppress(nats.errors.Error, TimeoutError):
                last = await bus.read_last(self._client, stream, claim.pattern)
                if last is not None and f'"{self._writer}"'.encode() in last.data:
                    return last.seq  # its acknowledgement was lost
                after = last.seq if last is not None else 0
                epoch = Epoch(
                    service=claim.service,
                    works=list(claim.works),
                    writer=self._writer,
                    after=after,
                    at=Time(self._clock.now_ns()),
                )
                headers = {bus.EXPECTED_SEQ: str(after), bus.EXPECTED_SUBJECT: claim.pattern}
                ack = await bus.publish(self._client, claim.subject, codec.to_json(epoch), headers)
                if ack.error is None:
                    return ack.seq
                if ack.error.err_code not in bus.WRONG_LAST_SEQUENCE:
                    raise BusError(f"{claim.subject}: {ack.error.description} ({ack.error.err_code})")
                continue  # another claimed at the same time: after that one, then
            await asyncio.sleep(RETRY_S)
        raise OutcomeUnknown(f"{claim.subject}: the bus did not confirm a claim for {GIVE_UP_S:.0f} s")

    async def _hear(self, message: Msg) -> None:
        """A claim as it is made. It may yet be refused, but only because of one that is newer still."""
        try:
            other = codec.from_json(message.data, Epoch)
        except (msgspec.MsgspecError, ValueError):
            return  # what stands in the stream is judged by `check`
        for claim in self._claims:
            stream = stream_of(claim.subject)
            epoch = self.of(stream)
            if epoch and other.after >= epoch and stream_of(message.subject) == stream:
                newer = self._newer(claim, other, other.after + 1)
                if newer is not None:
                    self._fail(newer)

    async def _ask_who_works(self, service: str, work: str) -> None:
        try:
            reply = await ask(self._client, f"{AT_WORK}.{service}.{work}", b"", ANOTHER_ANSWERS_S)
        except nats.errors.Error:
            return  # nobody, or one that does not answer
        raise Fenced(f"{service} {work} is at work already, in process {reply.data.decode()}")


async def _answer(message: Msg) -> None:
    with suppress(nats.errors.Error):
        await message.respond(str(os.getpid()).encode())
