"""The platform with one guard taken away at a time. The simulation must catch each, or it is blind.

A mutation replaces one function or one constant while it is in force. Its scenarios hold what the guard is there for:
faults of some kinds, or a few that are aimed at it. Among all faults it would be missed too, but later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec

from bestex import bus, pull, reading, recovery, runtime
from bestex import messages as m
from bestex.epochs import Epochs
from bestex.errors import Code
from bestex.journal import Journal
from services.gateway import chase, core, evidence, facts, reconcile
from services.gateway.desk import Desk
from services.gateway.reconcile import Reconciler
from services.scheduler import bounds
from services.scheduler.algos.base import Task
from tests.faults.simulation.faults import (
    AnyFault,
    ClockJump,
    Freeze,
    Kill,
    LineFault,
    RequestFault,
    UserEventFault,
)
from tests.faults.simulation.scenario import REQUESTS_MAX, VENUES, Scenario, draw

Patch = Any  # what `unittest.mock.patch` returns


class Mutation(NamedTuple):
    name: str
    aim: Callable[[int], Scenario]
    patches: Callable[[], list[Patch]]

    def scenario(self, seed: int) -> Scenario:
        """One in which the guard has something to do."""
        return self.aim(seed)


def among(*kinds: str) -> Callable[[int], Scenario]:
    """Faults of these kinds, wherever they strike."""
    return lambda seed: draw(seed, kinds)


def soon_over(seed: int) -> Scenario:
    """Orders that end at once, so that much of what comes again is about what has ended."""
    return draw(seed, ("kill", "freeze", "bus", "line"), ("market",))


def _calm(seed: int, *faults: AnyFault) -> Scenario:
    return msgspec.structs.replace(draw(seed), faults=faults)


def frozen_at_a_send(seed: int) -> Scenario:
    """The gateway stands still for longer than a child's time, right after one of its steps."""
    return _calm(seed % 4, Freeze(process="gateway", step=FIRST_STEP + seed // 4, for_ms=4_000))


def dead_before_it_is_stored(seed: int) -> Scenario:
    """A write is lost on its way, and the process dies soon after."""
    process, step = ("scheduler", "router")[seed % 2], FIRST_STEP + seed // 6
    lost = LineFault(process=process, number=step + 1, dropped=True)
    return _calm(seed % 3, lost, Kill(process=process, step=step + 1 + seed % 3, after=True))


def dead_at_a_decision(seed: int) -> Scenario:
    """The router dies at one of its steps: some of them store what has been decided."""
    return _calm(seed % 3, Kill(process="router", step=FIRST_STEP + seed // 3))


def beside_its_successor(seed: int) -> Scenario:
    """The scheduler stands still, and orders come when another one has taken its place."""
    still = Freeze(process="scheduler", at_ms=500 + seed % 7 * 150, for_ms=2_000, successor=True)
    return _calm(seed, still)


def ahead_of_the_venue(seed: int) -> Scenario:
    """The gateway's clock is ahead, and of what an order did nobody tells but the list of trades."""
    venue = VENUES[seed % 2]
    return _calm(
        seed,
        ClockJump(process="gateway", at_ms=500, by_ms=1_500),
        *(UserEventFault(venue=venue, number=number, what="lost") for number in range(1, 8)),
        *(RequestFault(venue=venue, number=number, what="answer_lost") for number in range(3, 8)),
    )


def unheard(seed: int) -> Scenario:
    """A request is done and its answer lost, and the venue's stream tells of it late."""
    venue, number = VENUES[seed % 2], 1 + seed // 2 % REQUESTS_MAX
    return _calm(
        seed,
        RequestFault(venue=venue, number=number, what="answer_lost"),
        *(UserEventFault(venue=venue, number=one, what="late", delay_ms=5_000) for one in range(1, 8)),
    )


FIRST_STEP = 40  # the ones before are those of a start


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
    return [
        patch.object(Task, "unsent", property(lambda self: self.qty - self.cum)),
        patch.object(bounds, "_within", lambda _task, wanted, _now_ns: wanted),
    ]


def _no_epochs() -> list[Patch]:
    """Whoever wakes beside its successor is not told, and does not ask."""

    async def nothing(*_: Any) -> None: ...

    return [patch.object(Epochs, "check", nothing), patch.object(Epochs, "_hear", nothing)]


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


def _forgotten_commands() -> list[Patch]:
    async def nothing(*_: Any) -> None:
        """What followed from the last decisions is not published again."""

    return [patch.object(runtime.Runtime, "_publish_again", nothing)]


def _all_that_ended_is_past() -> list[Patch]:
    """Of what has ended nothing is remembered, though some of what led to it may come once more."""

    async def never(*_: Any) -> int:
        return reading.NEVER_NS

    return [patch.object(recovery, "_oldest_input_ns", never)]


def _every_word_is_believed() -> list[Patch]:
    """What the venue says of an account is compared with what is known now, and taken over at once."""
    real = reconcile._moments

    def now(*given: Any) -> Any:
        return real(*given)[:1]

    return [
        patch.object(reconcile, "_moments", now),
        patch.object(reconcile, "AGAIN_NS", 0),
        patch.object(Reconciler, "_is_complete", lambda *_: True),
    ]


MUTATIONS = (
    Mutation("compare-and-set", among("kill", "freeze", "line"), _no_compare_and_set),
    Mutation("the last look at the deadline", frozen_at_a_send, _no_last_look),
    Mutation("reading back what was not confirmed", among("line", "cut"), _no_read_back),
    Mutation("writing before sending", dead_at_a_decision, _send_before_write),
    Mutation("acknowledging after writing", dead_before_it_is_stored, _ack_before_write),
    Mutation("the cap on what is given out", among("kill"), _no_cap),
    Mutation("one process at each piece of work", beside_its_successor, _no_epochs),
    Mutation("the reservation of unknown children", unheard, _unknown_is_rejected),
    Mutation("the overlap of pulls", ahead_of_the_venue, _no_overlap),
    Mutation("two absences that agree", among("request", "lag"), _one_absence),
    Mutation("remembering what may come again", soon_over, _all_that_ended_is_past),
    Mutation("commands that are published again", among("kill"), _forgotten_commands),
    Mutation("the doubt in a venue's word on its account", among("lag", "session"), _every_word_is_believed),
)
