"""The public history is the journal: append with compare-and-set, read back when in doubt.

Every append names the last sequence that this process knows of the order's history. Another writer's append
in between makes ours fail: then this process is the loser and must stop. A publish that timed out is unknown,
so the history is read back and the token of our own append looked for; only then is it tried again, which is
safe because the compare-and-set still stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import nats.errors
from nats.aio.client import Client

from bestex import bus
from bestex.errors import BusError, Fenced, OutcomeUnknown
from bestex.subjects import history as history_of

TOKEN = "Bestex-Token"  # identifies one append of one process, whatever becomes of its acknowledgement
WRITER = "Bestex-Writer"
EPOCH = "Bestex-Epoch"  # the claim in the same stream by which the writer is at this work
ASIDE = "Bestex-Aside"  # a refusal of a request: changes nothing, so another writer may step over it

GIVE_UP_S = 30.0  # a bus that is away for longer ends the process; recovery is the start-up path
RETRY_S = 0.05


class Leave(Protocol):
    """Says under which epoch this process writes, and waits until it may. See `bestex.footing`."""

    def epoch(self, stream: str) -> int: ...
    async def confirmed(self) -> None: ...


class Journal:
    """Appends to the histories of one process. `stream_of` maps a subject to the stream that holds it.

    `leave`: asked before every write, repeated ones included. `stored` hears (stream, sequence, subject, payload)
    of every write that was acknowledged.
    """

    def __init__(
        self,
        client: Client,
        writer: str,
        stream_of: Callable[[str], str],
        leave: Leave | None = None,
        stored: Callable[[str, int, str, bytes], None] | None = None,
    ) -> None:
        self._client = client
        self._writer = writer
        self._stream_of = stream_of
        self._leave = leave
        self._stored = stored
        self._last: dict[str, int] = {}
        self._count = 0
        self.readbacks = 0

    def learn(self, subject: str, seq: int) -> None:
        """Recovery: the history of `subject` goes up to `seq`."""
        self._last[history_of(subject)] = seq

    def learn_all(self, histories: Mapping[str, int]) -> None:
        """As another process had learned them."""
        self._last.update(histories)

    def histories(self) -> dict[str, int]:
        """Of each history that has not ended its last sequence."""
        return dict(self._last)

    def forget(self, subject: str) -> None:
        """The history has ended; nothing is written to it any more."""
        self._last.pop(history_of(subject), None)

    async def append(self, subject: str, payload: bytes, *, aside: bool = False) -> int:
        """Store as the next event of the subject's history; its sequence.

        `aside`: a refusal, which is right whatever the history says by now, and so is appended at its end.
        Raises Fenced where another writer was there, OutcomeUnknown where the bus stays away.
        """
        history = history_of(subject)
        token = self._token()
        deadline = _now_s() + GIVE_UP_S
        while True:
            expected = self._last.get(history, 0)
            headers = {
                bus.EXPECTED_SEQ: str(expected),
                bus.EXPECTED_SUBJECT: history,
                TOKEN: token,
                WRITER: self._writer,
            }
            if aside:
                headers[ASIDE] = "1"
            seq = await self._publish(subject, payload, headers)
            if seq is None:
                seq = await self._read_back(subject, history, expected, token, aside, deadline)
            if seq is not None:
                if not aside or history in self._last:
                    self._last[history] = seq
                return seq
            if _now_s() > deadline:
                raise OutcomeUnknown(f"{subject}: the bus did not confirm a write for {GIVE_UP_S:.0f} s")

    async def create(self, subject: str, payload: bytes) -> bool:
        """Store as the first and only message of `subject`. Already there is as good as stored.

        The subject is a function of what is said, so what stands there is the same thing said before; False
        where its words are not the same. Raises OutcomeUnknown.
        """
        deadline = _now_s() + GIVE_UP_S
        headers = {bus.EXPECTED_SEQ: "0", TOKEN: self._token(), WRITER: self._writer}
        while await self._publish(subject, payload, dict(headers)) is None:
            stored = await self._until_answered(subject, subject, deadline)
            if stored is not None:
                return stored.data == payload
            if _now_s() > deadline:
                raise OutcomeUnknown(f"{subject}: the bus did not confirm a write for {GIVE_UP_S:.0f} s")
        return True

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> int | None:
        """The sequence; None where it was refused by compare-and-set or nobody knows."""
        if self._leave is not None:
            await self._leave.confirmed()
            if epoch := self._leave.epoch(self._stream_of(subject)):
                headers = {**headers, EPOCH: str(epoch)}
        try:
            ack = await bus.publish(self._client, subject, payload, headers)
        except (nats.errors.Error, TimeoutError):
            await asyncio.sleep(RETRY_S)
            return None
        if ack.error is None:
            if ack.duplicate:  # cannot be ours: no Nats-Msg-Id is ever sent
                return None
            if self._stored is not None:
                self._stored(ack.stream, ack.seq, subject, payload)
            return ack.seq
        if ack.error.err_code in bus.WRONG_LAST_SEQUENCE:
            return None
        raise BusError(f"{subject}: {ack.error.description} ({ack.error.err_code})")

    async def _read_back(
        self, subject: str, history: str, expected: int, token: str, aside: bool, deadline: float
    ) -> int | None:
        """The sequence of our append if it is there; None where it may be tried again; else Fenced."""
        stored = await self._until_answered(subject, history, deadline)
        if stored is None:
            if expected:
                raise Fenced(f"{history}: the stream has lost what stood there up to {expected}")
            return None
        if stored.headers.get(TOKEN) == token:
            return stored.seq
        if stored.seq == expected:
            return None
        if stored.seq < expected:
            raise Fenced(f"{history}: the stream ends at {stored.seq}, before our {expected}")
        ours = await self._walk(subject, history, expected + 1, stored.seq, token, aside)
        self._last[history] = stored.seq
        return ours if ours is None else stored.seq

    async def _walk(
        self, subject: str, history: str, start: int, end: int, token: str, aside: bool
    ) -> int | None:
        """Look through what was appended after our last: our own append, refusals of another scheduler to
        step over, or another writer, which fences us. The sequence of ours, if it is there."""
        ours, at = None, start
        while at <= end:
            found = await bus.read_next(self._client, self._stream_of(subject), history, at)
            if found is None:
                break
            if found.headers.get(TOKEN) == token:
                ours = found.seq
            elif ASIDE not in found.headers and not aside:
                raise Fenced(
                    f"{history}: {found.headers.get(WRITER, 'another writer')} wrote {found.subject} "
                    f"at {found.seq}, after our {start - 1}"
                )
            at = found.seq + 1
        return ours

    async def _until_answered(self, subject: str, subject_filter: str, deadline: float) -> bus.Stored | None:
        while True:
            self.readbacks += 1
            try:
                return await bus.read_last(self._client, self._stream_of(subject), subject_filter)
            except (nats.errors.Error, TimeoutError) as error:
                if _now_s() > deadline:
                    raise OutcomeUnknown(f"{subject}: cannot be read back: {error!r}") from error
                await asyncio.sleep(RETRY_S)

    def _token(self) -> str:
        self._count += 1
        return f"{self._writer}.{self._count}"


def _now_s() -> float:
    return asyncio.get_running_loop().time()
