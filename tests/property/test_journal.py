"""The journal against a bus that loses, delays and refuses, with other writers on the same histories.

One machine, two buses: a model of the calls that the journal makes, which is fast, and a real server, which is
right. Both are made to misbehave in the same way, so what holds on the one is shown on the other.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from unittest import mock

import nats.errors
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bestex import bus, config, journal, streams
from bestex.errors import Fenced, OutcomeUnknown
from bestex.journal import ASIDE, TOKEN, WRITER, Journal
from bestex.server import NatsServer
from bestex.subjects import matches, stream_of

NUMBERS = itertools.count()  # so that no two runs meet on the real server
FAULTS = ["none", "none", "lost", "unanswered", "late"]


class Calls(Protocol):
    """What the journal asks of a bus."""

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bus.PubAck: ...

    async def read_last(self, stream: str, subject_filter: str) -> bus.Stored | None: ...

    async def read_next(self, stream: str, subject_filter: str, seq: int) -> bus.Stored | None: ...


class Model:
    """A stream under compare-and-set, as the server's documentation has it."""

    def __init__(self) -> None:
        self.stored: list[bus.Stored] = []

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bus.PubAck:
        of = headers.get(bus.EXPECTED_SUBJECT, subject)
        expected = headers.get(bus.EXPECTED_SEQ)
        last = await self.read_last("", of)
        if expected is not None and int(expected) != (last.seq if last else 0):
            return bus.PubAck(error=bus.ApiError(400, 10071, "wrong last sequence"))
        self.stored.append(bus.Stored(subject, len(self.stored) + 1, payload, dict(headers)))
        return bus.PubAck(seq=len(self.stored))

    async def read_last(self, _stream: str, subject_filter: str) -> bus.Stored | None:
        return next((one for one in reversed(self.stored) if matches(subject_filter, one.subject)), None)

    async def read_next(self, _stream: str, subject_filter: str, seq: int) -> bus.Stored | None:
        later = (one for one in self.stored if one.seq >= seq and matches(subject_filter, one.subject))
        return next(later, None)


@dataclass
class Real:
    """The same calls on a real server."""

    client: Any

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bus.PubAck:
        return await bus.publish(self.client, subject, payload, dict(headers))

    async def read_last(self, stream: str, subject_filter: str) -> bus.Stored | None:
        return await bus.read_last(self.client, stream, subject_filter)

    async def read_next(self, stream: str, subject_filter: str, seq: int) -> bus.Stored | None:
        return await bus.read_next(self.client, stream, subject_filter, seq)


@dataclass
class Unreliable:
    """Stands where `bestex.bus` does for the journal. `faults` are used up one by one, then all is well.

    A publish may be lost, be stored without an answer, or be stored late: after the next read, so that the
    journal has looked in vain before. While `away`, nothing is answered and nothing is stored.
    """

    calls: Calls
    faults: deque[str] = field(default_factory=deque)
    late: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    away: bool = False
    EXPECTED_SEQ = bus.EXPECTED_SEQ
    EXPECTED_SUBJECT = bus.EXPECTED_SUBJECT
    WRONG_LAST_SEQUENCE = bus.WRONG_LAST_SEQUENCE

    async def publish(self, _client: Any, subject: str, payload: bytes, headers: dict[str, str]) -> Any:
        fault = "lost" if self.away else self.faults.popleft() if self.faults else "none"
        if fault == "late":
            self.late.append((subject, payload, headers))
        if fault in ("lost", "late"):
            raise nats.errors.TimeoutError
        ack = await self.calls.publish(subject, payload, headers)
        if fault == "unanswered":
            raise nats.errors.TimeoutError
        return ack

    async def read_last(self, _client: Any, stream: str, subject_filter: str) -> bus.Stored | None:
        if self.away:
            raise nats.errors.TimeoutError
        found = await self.calls.read_last(stream, subject_filter)
        await self.deliver_late()
        return found

    async def read_next(self, _client: Any, stream: str, subject_filter: str, seq: int) -> bus.Stored | None:
        return await self.calls.read_next(stream, subject_filter, seq)

    async def deliver_late(self) -> None:
        while self.late:
            await self.calls.publish(*self.late.pop(0))


@contextmanager
def in_place_of_the_bus(unreliable: Unreliable, give_up_s: float = 30.0) -> Iterator[None]:
    with (
        mock.patch.object(journal, "bus", unreliable),
        mock.patch.object(journal, "RETRY_S", 0.0),
        mock.patch.object(journal, "GIVE_UP_S", give_up_s),
    ):
        yield


class Writers(RuleBasedStateMachine):
    """Two processes at the same histories. One that is fenced or in doubt ends, and another reads all again."""

    def __init__(self, calls: Calls, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.calls, self.loop = calls, loop
        self.bus = Unreliable(calls)
        self.run_no = next(NUMBERS)
        self.histories = [f"bestex.v1.parent.BTC-USDT.r{self.run_no}-{name}" for name in "xy"]
        self.journals: list[Journal] = []
        self.known: list[dict[str, int]] = []  # what each of them may know of each history
        self.names: list[str] = []
        self.acknowledged: dict[str, list[bytes]] = {of: [] for of in self.histories}
        self.fenced: list[tuple[str, str, int]] = []  # writer, history, where that ended then
        self.created: dict[str, bytes] = {}
        self.count = 0
        for who in (0, 1):
            self.start(who)

    def wait(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def truth(self, of: str) -> list[bus.Stored]:
        async def read() -> list[bus.Stored]:
            found: list[bus.Stored] = []
            while True:
                after = found[-1].seq + 1 if found else 1
                one = await self.calls.read_next(stream_of(of), of, after)
                if one is None:
                    return found
                found.append(one)

        return self.wait(read())  # type: ignore[no-any-return]

    def start(self, who: int) -> None:
        """Recovery: all histories are read, refusals aside."""
        name = f"w{self.run_no}.{next(NUMBERS)}"
        made, known = Journal(None, name, stream_of), {}  # type: ignore[arg-type]
        for of in self.histories:
            events = [one for one in self.truth(f"{of}.*") if ASIDE not in one.headers]
            if events:
                made.learn(f"{of}.any", events[-1].seq)
                known[of] = events[-1].seq
        self.journals[who : who + 1], self.known[who : who + 1] = [made], [known]
        self.names[who : who + 1] = [name]

    # -- what the writers do ---------------------------------------------------------------------------------------

    @rule(
        who=st.integers(0, 1),
        of=st.integers(0, 1),
        aside=st.sampled_from([False, False, False, True]),
        faults=st.lists(st.sampled_from(FAULTS), max_size=4),
    )
    def append(self, who: int, of: int, aside: bool, faults: list[str]) -> None:
        self.bus.faults = deque(faults)
        self.count += 1
        place, payload = self.histories[of], f"{self.names[who]} {self.count}".encode()
        subject = f"{place}.{'rejected' if aside else 'sliced'}"
        try:
            with in_place_of_the_bus(self.bus):
                seq = self.wait(self.journals[who].append(subject, payload, aside=aside))
        except Fenced:
            self.check_fenced(who, place)
        else:
            stored = next(one for one in self.truth(f"{place}.*") if one.seq == seq)
            assert (stored.subject, stored.data) == (subject, payload)
            self.acknowledged[place].append(payload)
            self.known[who][place] = seq

    def check_fenced(self, who: int, place: str) -> None:
        """Only another writer's event fences, and it fences for good."""
        stored = self.truth(f"{place}.*")
        mine, since = self.names[who], self.known[who].get(place, 0)
        assert any(
            one.seq > since and one.headers[WRITER] != mine and ASIDE not in one.headers for one in stored
        ), "fenced by nobody"
        self.fenced.append((mine, place, stored[-1].seq))
        self.start(who)

    @rule(
        who=st.integers(0, 1),
        name=st.integers(0, 3),
        words=st.sampled_from([b"one", b"other"]),
        faults=st.lists(st.sampled_from(FAULTS), max_size=4),
    )
    def create(self, who: int, name: int, words: bytes, faults: list[str]) -> None:
        self.bus.faults = deque(faults)
        subject = f"bestex.v1.child.sim_a.BTC-USDT.r{self.run_no}c{name}.new"
        with in_place_of_the_bus(self.bus):
            same = self.wait(self.journals[who].create(subject, words))
        assert same is (self.created.setdefault(subject, words) == words)
        assert [one.data for one in self.truth(subject)] == [self.created[subject]]

    @rule(who=st.integers(0, 1), of=st.integers(0, 1), late=st.booleans())
    def append_while_the_bus_is_away(self, who: int, of: int, late: bool) -> None:
        """Nobody knows: the process ends. What it had sent may still arrive."""
        self.count += 1
        place = self.histories[of]
        self.bus.away = not late
        self.bus.faults = deque(["late"])
        try:
            with in_place_of_the_bus(self.bus, give_up_s=-1.0), pytest.raises((OutcomeUnknown, Fenced)):
                self.wait(self.journals[who].append(f"{place}.sliced", f"{self.count}".encode()))
        finally:
            self.bus.away = False
        self.start(who)

    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        self.start(who)

    @precondition(lambda self: self.bus.late)
    @rule()
    def what_was_on_its_way_arrives(self) -> None:
        self.wait(self.bus.deliver_late())

    # -- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def the_truth_is_as_it_must_be(self) -> None:
        for place in self.histories:
            stored = self.truth(f"{place}.*")
            acknowledged = self.acknowledged[place]
            assert [one.data for one in stored if one.data in acknowledged] == acknowledged, (
                "what was acknowledged is stored once, and in order"
            )
            assert len({one.headers[TOKEN] for one in stored}) == len(stored), "no append is stored twice"
            for writer, of, end in self.fenced:
                after = [one for one in stored if of == place and one.seq > end and ASIDE not in one.headers]
                assert all(one.headers[WRITER] != writer for one in after), "a fenced writer wrote on"


def test_the_journal_on_a_model_of_the_bus() -> None:
    loop = asyncio.new_event_loop()
    try:
        run_state_machine_as_test(
            lambda: Writers(Model(), loop),  # type: ignore[arg-type]
            settings=settings(max_examples=60, stateful_step_count=20, deadline=None),
        )
    finally:
        loop.close()


def test_the_journal_on_a_real_bus(nats_server: NatsServer) -> None:
    loop = asyncio.new_event_loop()
    try:
        client = loop.run_until_complete(bus.connect(nats_server.url, "test"))
        loop.run_until_complete(streams.apply(client, config.load(None, {})))
        run_state_machine_as_test(
            lambda: Writers(Real(client), loop),  # type: ignore[arg-type]
            settings=settings(max_examples=6, stateful_step_count=12, deadline=None),
        )
        loop.run_until_complete(client.close())
    finally:
        loop.close()
