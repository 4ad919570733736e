"""The runtime's contract on virtual time, with a small core that counts what it is told to count."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from bestex import codec, subjects
from bestex import messages as m
from bestex.clock import MS, SECOND, US, Time
from bestex.core import Alarm, Call, Effect, Emit, Fact, Publish, RawOrder, Recovered, Wake, Wakeup
from bestex.errors import BestexError, Code, Fenced
from bestex.ids import child_id
from bestex.replay import ACK_WAIT_NS, World
from bestex.service import Read, Service

START = 1_750_000_000 * SECOND
ORDER = f"{subjects.ROOT}.order.new.market.BTC-USDT"
BOOK = subjects.book("BTC/USDT")
EMPTY_BOOK = m.ConsolidatedBook("BTC/USDT", 1, START, 2, 5, False, False, [])
HALT = m.Halt(scope="global", halted=True, reason="test", by="me", at=Time(START))


def decided(parent_id: str, decision_no: int, legs: int = 0) -> m.RouteDecided:
    return m.RouteDecided(
        symbol="BTC/USDT",
        parent_id=parent_id,
        slice_no=1,
        at=Time(START),
        decision_no=decision_no,
        side=m.Side.BUY,
        qty=Decimal(1),
        strategy="sweep",
        legs=[
            m.Leg(
                child_id=child_id("BTC/USDT", parent_id, 1, decision_no, leg),
                venue="sim_a",
                qty=Decimal(1),
                price=Decimal(1),
            )
            for leg in range(legs)
        ],
        expires_at=Time(START),
        good_till=Time(START),
    )


def done(parent_id: str) -> m.RouteDone:
    return m.RouteDone(
        symbol="BTC/USDT",
        parent_id=parent_id,
        slice_no=1,
        at=Time(START),
        qty=Decimal(1),
        filled_qty=Decimal(0),
        notional=Decimal(0),
        fees=Decimal(0),
        reason=Code.CANCELED,
    )


def fact(event: Any, lane: str = "") -> Fact:
    subject = subjects.route(event.symbol, event.parent_id, event.slice_no, subjects.event_name(event))
    return Fact(subject, event, lane or event.parent_id)


def child_subject(leg: m.Leg) -> str:
    return subjects.child(leg.venue, "BTC/USDT", leg.child_id, "new")


class SmallCore:
    """Answers every input by `script`, notes what it sees, and publishes a command per leg of a decision."""

    def __init__(self, script: Callable[[Any, int], list[Fact | Effect]] = lambda *_: []) -> None:
        self.script = script
        self.seen: list[tuple[int, Any]] = []
        self.applied: list[Any] = []

    def decide(self, message: Any, now_ns: int) -> list[Fact | Effect]:
        self.seen.append((now_ns, message))
        return self.script(message, now_ns)

    def apply(self, event: Any) -> list[Effect]:
        self.applied.append(event)
        if not isinstance(event, m.RouteDecided):
            return []
        commands = [
            m.ChildCancel(
                child_id=leg.child_id,
                parent_id=event.parent_id,
                venue=leg.venue,
                symbol=event.symbol,
                reason=Code.CANCELED,
            )
            for leg in event.legs
        ]
        return [
            *(Publish(child_subject(leg), c) for leg, c in zip(event.legs, commands, strict=True)),
            Emit(BOOK, EMPTY_BOOK),
            Wake(event.parent_id, event.at),
        ]

    def kinds(self) -> list[str]:
        return [type(message).__name__ for _, message in self.seen]


def service(core: SmallCore, **more: Any) -> Service:
    defaults: dict[str, Any] = {
        "journal": (Read(subjects.ROUTE, (f"{subjects.ROOT}.route.>",)),),
        "reads": (Read(subjects.ORDERS, (f"{subjects.ROOT}.order.>",), "small"),),
    }
    return Service("small", (), core, **{**defaults, **more})


def names(world: World) -> list[str]:
    return [".".join(stored.subject.split(".")[2:]) for stored in world.stored]


def on_order(*facts: Fact | Effect) -> Callable[[Any, int], list[Fact | Effect]]:
    return lambda message, _: list(facts) if isinstance(message, RawOrder) else []


def test_facts_of_a_lane_are_stored_in_order_each_with_its_commands_before_the_next() -> None:
    world = World(START)
    first, second = decided("p1", 0, legs=2), decided("p1", 1, legs=1)
    world.add(service(SmallCore(on_order(fact(first), fact(second)))))
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + SECOND)
    route = [message for message in world.stored if message.stream == subjects.ROUTE]
    assert route[0].message is first
    assert {stored.subject for stored in route[1:3]} == {child_subject(leg) for leg in first.legs}
    assert route[3].message is second
    assert route[4].subject == child_subject(second.legs[0])
    assert [stored.seq for stored in route] == [1, 2, 3, 4, 5]


def test_effects_come_after_storage_and_the_input_is_acknowledged_after_all_of_it() -> None:
    world = World(START)
    told: list[str] = []
    world.listeners.append(lambda subject, _: told.append(subject))
    core = SmallCore(on_order(fact(decided("p1", 0, legs=1))))
    own = service(core)
    world.add(own)
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + 2 * MS)
    assert [subject.split(".")[2] for subject in told] == ["order", "route", "child", "book"]
    world.crash(own)
    again = SmallCore()
    world.add(service(again))
    world.run(world.now_ns + 2 * ACK_WAIT_NS)
    assert "RawOrder" not in again.kinds()


def test_an_input_whose_facts_were_not_stored_comes_again_and_its_facts_are_stored_once() -> None:
    world = World(START)
    own = service(SmallCore(on_order(fact(decided("p1", 0, legs=1)))))
    world.add(own)
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + 2 * MS, stop=lambda: bool(own.core.applied))  # type: ignore[attr-defined]
    world.crash(own)
    world.run(START + SECOND)

    def script(message: Any, _: int) -> list[Fact | Effect]:
        return [fact(decided("p1", 0, legs=1))] if isinstance(message, RawOrder) and not again.applied else []

    again = SmallCore(script)
    world.add(service(again))
    world.run(START + 2 * ACK_WAIT_NS)
    assert again.kinds() == ["Recovered", "RawOrder", "Wakeup", "RawOrder"], (
        "at once, and as the bus repeats it"
    )
    assert sorted(name.split(".")[0] for name in names(world)) == ["child", "order", "route"]


@pytest.mark.parametrize("seed", range(6))
def test_a_crash_at_any_moment_leaves_the_commands_of_stored_decisions_complete(seed: int) -> None:
    """Recovery publishes what is missing, and nothing twice."""
    world = World(START, seed)
    event = decided("p1", 0, legs=3)
    own = service(SmallCore(on_order(fact(event))))
    world.add(own)
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + 10 * MS, stop=lambda: len(world.stored) == 2 + seed % 3)
    world.crash(own)
    world.run(START + SECOND)
    core = SmallCore()
    world.add(service(core))
    world.run(START + 2 * SECOND)
    assert core.applied == [event]
    children = [stored.subject for stored in world.stored if ".child." in stored.subject]
    assert sorted(children) == sorted(child_subject(leg) for leg in event.legs)


def test_recovery_decides_nothing_and_leaves_ended_histories_alone() -> None:
    world = World(START)
    own = service(SmallCore(on_order(fact(decided("p1", 0, legs=1)), fact(done("p1")))))
    world.add(own)
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + SECOND)
    before = names(world)
    world.crash(own)
    core = SmallCore()
    world.add(service(core))
    world.run(START + 2 * SECOND)
    assert names(world) == before
    assert [type(event) for event in core.applied] == [m.RouteDecided, m.RouteDone]
    assert core.kinds()[0] == "Recovered"


def test_a_second_writer_of_a_history_is_fenced() -> None:
    world = World(START)
    for durable in ("one", "two"):
        read = Read(subjects.ORDERS, (f"{subjects.ROOT}.order.>",), durable)
        world.add(service(SmallCore(on_order(fact(decided("p1", 0)))), reads=(read,)))
    world.run(START + MS)
    world.order(ORDER, b"{}")
    with pytest.raises(Fenced):
        world.run(START + SECOND)


def test_a_fact_that_is_created_once_and_stands_there_already_counts_as_stored() -> None:
    world = World(START)
    once = Fact(fact(done("p1")).subject, done("p1"), "lane", once=True)
    world.add(service(SmallCore(on_order(once, once, fact(decided("p2", 0), "lane")))))
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + SECOND)
    assert [name.split(".")[2] for name in names(world)[1:]] == ["p1", "p2"]


def test_settings_are_read_before_recovery_is_told_and_change_while_it_runs() -> None:
    world = World(START)
    for scope in ("global", "algo-twap", "global"):
        world.publish(subjects.halt(scope), HALT)
    core = SmallCore()
    world.add(service(core, reads=(Read(subjects.CONTROL, (f"{subjects.ROOT}.control.>",)),)))
    world.run(START + MS)
    assert core.kinds() == ["Halt", "Halt", "Recovered"], "the last of each subject"
    world.publish(subjects.halt("global"), HALT)
    world.run(START + 2 * MS)
    assert core.kinds() == ["Halt", "Halt", "Recovered", "Halt"]


def test_what_is_missing_is_read_after_recovery_and_before_new_inputs() -> None:
    world = World(START)
    world.publish(subjects.halt("global"), HALT)
    world.order(ORDER, b"{}")
    core = SmallCore()
    wanted = {"CONTROL": [subjects.halt("global")]}
    world.add(service(core, missing=lambda: wanted))
    world.run(START + MS)
    assert core.kinds() == ["Recovered", "Halt", "RawOrder"]


def test_live_and_stored_subjects_are_heard_once_the_inputs_are_open() -> None:
    world = World(START)
    core = SmallCore()
    world.add(service(core, reads=(), hears=(BOOK, f"{subjects.ROOT}.control.>")))
    world.emit(BOOK, EMPTY_BOOK)
    world.publish(subjects.halt("global"), HALT)
    world.run(START + MS)
    world.emit(BOOK, EMPTY_BOOK)
    world.publish(subjects.halt("global"), HALT)
    world.run(START + 2 * MS)
    assert sorted(core.kinds()) == ["ConsolidatedBook", "Halt", "Recovered"]


def test_a_later_setting_of_a_timer_replaces_the_earlier_and_zero_withdraws_it() -> None:
    def script(message: Any, now_ns: int) -> list[Fact | Effect]:
        if not isinstance(message, Recovered):
            return []
        return [
            Wake("moved", now_ns + 5 * MS),
            Wake("moved", now_ns + 7 * MS + 1),
            Wake("gone", now_ns + MS),
            Wake("gone", 0),
        ]

    world = World(START)
    core = SmallCore(script)
    world.add(service(core))
    world.run(START + SECOND)
    woken = [(now_ns - START, message) for now_ns, message in core.seen if isinstance(message, Wakeup)]
    assert woken == [(7 * MS + US, Wakeup("moved"))], "never before its time"


def test_timers_of_the_journal_fire_only_when_recovery_is_complete() -> None:
    world = World(START)
    own = service(SmallCore(on_order(fact(decided("p1", 0)))))
    world.add(own)
    world.run(START + MS)
    world.order(ORDER, b"{}")
    world.run(START + SECOND)
    world.crash(own)
    core = SmallCore()
    world.add(service(core))
    world.run(START + 2 * SECOND)
    assert core.kinds() == ["Recovered", "Wakeup"]


def test_a_core_that_asks_for_the_present_for_ever_is_stopped() -> None:
    world = World(START)
    world.add(service(SmallCore(lambda _, now_ns: [Wake("again", now_ns)])))
    with pytest.raises(BestexError, match="time stands still"):
        world.run(START + SECOND)


class SlowActor:
    """Ready after a second; answers every call with the request itself."""

    def start(self, deliver: Callable[[Any], None], world: World, ready: Callable[[], None]) -> None:
        self._deliver, self._world = deliver, world
        world.after(SECOND, ready)

    def call(self, request: Any) -> None:
        self._world.after(MS, lambda: self._deliver(request))


def test_inputs_open_when_the_actor_is_ready_and_calls_come_back_as_inputs() -> None:
    world = World(START)
    core = SmallCore(lambda message, _: [Call(Wakeup("called"))] if isinstance(message, RawOrder) else [])
    world.add(service(core), SlowActor())
    world.order(ORDER, b"{}")
    world.run(START + 2 * SECOND)
    assert core.kinds() == ["Recovered", "RawOrder", "Wakeup"]
    assert core.seen[0][0] == START + SECOND


def test_the_dead_hear_nothing_and_their_calls_come_back_to_nobody() -> None:
    world = World(START)
    core = SmallCore(lambda message, _: [Call(Wakeup("called"))] if isinstance(message, RawOrder) else [])
    own = service(core)
    world.add(own, SlowActor())
    world.order(ORDER, b"{}")
    world.run(START + 2 * SECOND, stop=lambda: "RawOrder" in core.kinds())
    world.crash(own)
    world.run(START + 3 * SECOND)
    assert core.kinds() == ["Recovered", "RawOrder"]


def test_what_is_stored_can_be_read_as_its_bytes() -> None:
    world = World(START)
    world.order(ORDER, b'{"qty": "1"}')
    world.publish(subjects.halt("global"), HALT)
    assert [stored.data for stored in world.stored] == [b'{"qty": "1"}', codec.to_json(HALT)]


def test_on_virtual_time_an_alarm_is_raised() -> None:
    """Nobody else's orders are at stake, and whoever looks wants the traceback."""
    world = World(START)
    error = ValueError("a bug")
    world.add(service(SmallCore(on_order(Alarm(Code.ALGO_FAILED, "p1", error)))))
    world.run(START + MS)
    world.order(ORDER, b"{}")
    with pytest.raises(ValueError, match="a bug"):
        world.run(START + SECOND)
