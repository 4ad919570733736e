"""The platform with one guard taken away at a time. The simulation must catch each, or it is blind.

A mutation replaces one function or one constant while it is in force. `kinds` are the faults that the guard is there
for: with them it is missed soon, among all faults later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from bestex import bus, pull, runtime
from bestex import messages as m
from bestex.errors import Code
from bestex.journal import Journal
from services.gateway import chase, core, evidence, facts
from services.gateway.desk import Desk
from services.router.state import SliceState
from services.scheduler.algos.base import Task

Patch = Any  # what `unittest.mock.patch` returns


class Mutation(NamedTuple):
    name: str
    kinds: tuple[str, ...]
    patches: Callable[[], list[Patch]]


@contextmanager
def without(mutation: Mutation) -> Iterator[None]:
    """The platform without this guard."""
    patches = mutation.patches()
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()


def _no_compare_and_set() -> list[Patch]:
    publish = bus.publish

    async def blind(client: Any, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> Any:
        kept = {k: v for k, v in (headers or {}).items() if k not in (bus.EXPECTED_SEQ, bus.EXPECTED_SUBJECT)}
        return await publish(client, subject, payload, kept)

    return [patch("bestex.journal.bus.publish", blind)]


def _no_last_look() -> list[Patch]:
    async def at_once(_self: Desk, venue: Any, order: Any) -> Any:
        return await venue.submit(order)

    return [patch.object(Desk, "_submit", at_once)]


def _no_read_back() -> list[Patch]:
    """What was not confirmed is taken for stored."""

    async def assume(_self: Journal, _subject: str, _history: str, expected: int, *_: Any) -> int:
        return expected + 1

    async def there(self: Journal, subject: str, payload: bytes) -> bool:
        await self._publish(subject, payload, {bus.EXPECTED_SEQ: "0"})
        return True

    return [patch.object(Journal, "_read_back", assume), patch.object(Journal, "create", there)]


def _send_before_write() -> list[Patch]:
    store = runtime.Runtime._store

    async def work(self: Any, name: str, lane: Any) -> None:
        while lane:
            step = lane[0]
            await self._release(step.effects)
            await store(self, step.fact)
            lane.popleft()
            step.input.open -= 1
            if not step.input.open and step.input.delivery is not None:
                self._acks.add(step.input.delivery)
        del self._lanes[name]

    return [patch.object(runtime.Runtime, "_work", work)]


def _ack_before_write() -> list[Patch]:
    decide = runtime.Runtime._decide

    def early(self: Any, message: Any, now_ns: int, delivery: pull.Delivery | None) -> None:
        if delivery is not None:
            self._acks.add(delivery)
        decide(self, message, now_ns, None)

    return [patch.object(runtime.Runtime, "_decide", early)]


def _no_cap() -> list[Patch]:
    """What is with the router is given out again."""
    return [patch.object(Task, "unsent", property(lambda self: self.qty - self.cum))]


def _no_reservation() -> list[Patch]:
    """The rest of a slice is routed again while children are at work, or nobody knows."""
    return [
        patch.object(SliceState, "open", property(lambda _: set(), lambda *_: None)),
    ]


def _unknown_is_rejected() -> list[Patch]:
    def refused(child: Any, at: Any, code: Code, text: str) -> Any:
        return facts.end(m.ExecRejected, child, at, code=code, text=text)

    return [patch.object(module, "unknown", refused) for module in (facts, chase)]


def _no_overlap() -> list[Patch]:
    return [patch.object(module, "OVERLAP_NS", 0) for module in (chase, core)]


def _one_absence() -> list[Patch]:
    """The first place that does not know the order, asked at once, is believed."""

    def gone(child: Any, _chase: Any, _said: Any, now: Any) -> Any:
        return [facts.end(m.ExecRejected, child, now, code=Code.TIMEOUT, text="absent")]

    from services.gateway.port import VenueAbsent

    return [patch.dict(evidence.EVIDENCE, {(evidence.U, VenueAbsent): gone})]


def _no_pulls() -> list[Patch]:
    """Trades are heard on the stream, and nowhere else."""
    return [patch.object(core.GatewayCore, "_pull", lambda *_: []), patch.object(evidence, "pull", _none)]


def _none(*_: Any) -> None: ...


def _forgotten_commands() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        """What followed from the last decisions is not published again."""

    return [patch.object(runtime.Runtime, "_publish_again", nothing)]


MUTATIONS = (
    Mutation("compare-and-set", ("kill", "freeze", "line"), _no_compare_and_set),
    Mutation("the last look at the deadline", ("freeze",), _no_last_look),
    Mutation("reading back what was not confirmed", ("line", "cut"), _no_read_back),
    Mutation("writing before sending", ("kill",), _send_before_write),
    Mutation("acknowledging after writing", ("kill",), _ack_before_write),
    Mutation("the cap on what is given out", ("kill",), _no_cap),
    Mutation("the reservation of unknown children", ("request", "kill"), _unknown_is_rejected),
    Mutation("the overlap of pulls", ("user_event", "lag"), _no_overlap),
    Mutation("two absences that agree", ("request", "lag"), _one_absence),
    Mutation("commands that are published again", ("kill",), _forgotten_commands),
)
