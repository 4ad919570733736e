"""The desk: the clock is looked at last, cancels go first, and nothing is lost when an adapter fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import msgspec

from bestex.clock import MS
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import desk as desk_module
from services.gateway import port as p
from services.gateway.desk import CANCEL_RESERVE, QUERY_RESERVE, Desk


class Scripted:
    """A venue that answers when it is let."""

    capabilities = p.Capabilities(in_flight_max=CANCEL_RESERVE + 1)

    def __init__(self) -> None:
        self.seen: list[p.Request] = []
        self.gate = asyncio.Event()
        self.broken = False

    async def connect(self, say: p.Say, _now_ns: Callable[[], int]) -> None:
        self.say = say
        asyncio.get_running_loop().call_soon(say, p.SessionState("sim_a", p.Session.RECONCILED))

    async def disconnect(self) -> None:
        pass

    async def submit(self, order: p.Submit) -> Sequence[p.Said]:
        self.seen.append(order)
        if self.broken:
            raise ValueError("a bug")
        await self.gate.wait()
        return [p.VenueAccepted(child_id=order.child_id, venue_order_id="v")]

    async def cancel(self, order: p.Cancel) -> Sequence[p.Said]:
        self.seen.append(order)
        await self.gate.wait()
        return [p.VenueClosed(child_id=order.child_id, how="canceled", cum_qty=0)]

    async def modify(self, order: p.Replace) -> Sequence[p.Said]:
        self.seen.append(order)
        return [p.VenueReplaced(child_id=order.child_id, venue_order_id="v", qty=1, price=1)]

    async def mass_status(self, ask: p.MassStatus) -> Sequence[p.Said] | None:
        self.seen.append(ask)
        await self.gate.wait()
        return []

    query_order = cancel

    async def fills_since(self, _since_ns: int) -> Sequence[p.VenueFill] | None:
        return None


class Table:
    def __init__(self, now_ns: int = 0, venue: Scripted | None = None) -> None:
        self.now_ns = now_ns
        self.venue = venue or Scripted()
        self.said: list[Any] = []
        self.heard = asyncio.Event()
        self.bus_is_there = True
        self.halted = ""
        self.desk = Desk({"sim_a": self.venue}, Counter(), lambda _: self.halted)  # type: ignore[dict-item]

    async def __aenter__(self) -> Table:
        await self.desk.start(self.deliver, lambda: self.now_ns, self.may_send)
        self.said.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.desk.stop()

    async def may_send(self) -> bool:
        return self.bus_is_there

    def deliver(self, said: Any) -> None:
        self.said.append(said)
        self.heard.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.said) < count:
                self.heard.clear()
                await self.heard.wait()


def submit(child_id: str, deadline_ns: int = 10) -> p.Submit:
    return p.Submit(
        venue="sim_a",
        symbol="BTC/USDT",
        child_id=child_id,
        side=Side.BUY,
        qty=1,
        price=1,
        tif=Tif.IOC,
        post_only=False,
        deadline_ns=deadline_ns,
        good_till_ns=0,
    )


def cancel(child_id: str) -> p.Cancel:
    return p.Cancel(venue="sim_a", symbol="BTC/USDT", child_id=child_id)


async def test_the_start_waits_for_a_good_session_so_that_waiting_commands_are_not_refused() -> None:
    table = Table()
    await table.desk.start(table.deliver, lambda: 0, table.may_send)
    assert [said.state for said in table.said] == [p.Session.RECONCILED]
    await table.desk.stop()


async def test_an_order_whose_time_passed_is_not_sent() -> None:
    async with Table(now_ns=10) as table:
        table.desk.call(submit("c1", deadline_ns=10))
        await table.until(1)
        assert table.said == [p.VenueNotSent(child_id="c1", code=Code.EXPIRED, text=table.said[0].text)]
        assert table.venue.seen == []


async def test_an_order_is_held_until_its_time_and_a_halt_that_comes_meanwhile_still_stops_it() -> None:
    async with Table() as table:
        waits: list[float] = []
        go = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await go.wait()

        table.venue.gate.set()
        with patch("services.gateway.desk.asyncio.sleep", sleep):
            held = msgspec.structs.replace(submit("c1", deadline_ns=60 * MS), send_at_ns=20 * MS)
            table.desk.call(held)
            far = msgspec.structs.replace(submit("c2", deadline_ns=900 * MS), send_at_ns=800 * MS)
            table.desk.call(far)
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
            assert table.venue.seen == []
            table.halted = "global"
            go.set()
            await table.until(2)
        assert waits == [0.02, 0.1]  # however far off, it is not held for longer
        assert table.venue.seen == []
        assert {said.code for said in table.said} == {Code.HALTED}


async def test_an_order_that_waits_when_a_halt_is_heard_does_not_go_out_and_a_cancel_does() -> None:
    async with Table() as table:
        table.desk.call(submit("c1"))
        table.desk.call(submit("c2"))
        await asyncio.sleep(0)
        assert table.desk.sending == 1
        table.halted = "global"
        table.desk.call(cancel("x1"))
        table.venue.gate.set()
        await table.until(3)
        assert [order.child_id for order in table.venue.seen] == ["c1", "x1"]  # type: ignore[attr-defined]
        (refused,) = [said for said in table.said if isinstance(said, p.VenueNotSent)]
        assert (refused.child_id, refused.code) == ("c2", Code.HALTED)
        assert table.desk.sending == 0


async def test_a_replace_whose_time_passed_is_not_sent() -> None:
    replace = p.Replace(
        side=Side.BUY,
        venue="sim_a",
        symbol="BTC/USDT",
        child_id="c1",
        venue_order_id="v",
        qty=1,
        price=1,
        deadline_ns=10,
    )
    async with Table(now_ns=10) as table:
        table.desk.call(replace)
        await table.until(1)
        assert [(type(said), said.code) for said in table.said] == [(p.VenueReplaceRejected, Code.EXPIRED)]
        assert table.venue.seen == []


async def test_a_reconciliation_over_a_connection_that_was_lost_meanwhile_says_nothing() -> None:
    async with Table() as table:
        table.desk.call(p.MassStatus(venue="sim_a", since_ns=0))
        await asyncio.sleep(0)
        table.venue.say(p.SessionState("sim_a", p.Session.DOWN))
        table.venue.gate.set()
        table.desk.call(cancel("x1"))
        await table.until(2)
        assert table.said[0].state is p.Session.DOWN
        assert [type(said) for said in table.said[1:]] == [p.VenueClosed]


async def test_time_spent_waiting_in_the_queue_counts() -> None:
    async with Table() as table:
        table.desk.call(submit("c1"))
        table.desk.call(submit("c2"))
        await asyncio.sleep(0)
        table.now_ns = 10
        table.venue.gate.set()
        await table.until(2)
        assert [order.child_id for order in table.venue.seen] == ["c1"]  # type: ignore[attr-defined]
        assert isinstance(table.said[1], p.VenueNotSent)


async def test_cancels_pass_what_waits_and_find_a_place_kept_for_them() -> None:
    async with Table() as table:
        for name in ("n1", "n2", "n3"):
            table.desk.call(submit(name))
        table.desk.call(cancel("x1"))
        await asyncio.sleep(0)
        assert [order.child_id for order in table.venue.seen] == ["n1", "x1"]  # type: ignore[attr-defined]
        table.desk.call(cancel("x2"))
        table.desk.call(cancel("x3"))
        table.venue.gate.set()
        await table.until(6)
        assert [order.child_id for order in table.venue.seen] == ["n1", "x1", "x2", "x3", "n2", "n3"]  # type: ignore[attr-defined]


async def test_an_adapter_that_fails_leaves_the_order_unknown() -> None:
    async with Table() as table:
        table.venue.broken = True
        table.desk.call(submit("c1"))
        await table.until(1)
        assert isinstance(table.said[0], p.VenueUnknown)


async def test_a_full_queue_refuses_new_orders_but_takes_cancels(monkeypatch: Any) -> None:
    monkeypatch.setattr(desk_module, "QUEUED_MAX", 1)
    async with Table() as table:
        for name in ("n1", "n2", "n3"):
            table.desk.call(submit(name))
        table.desk.call(cancel("x1"))
        assert table.said == [], "never from within the call"
        await table.until(1)
        assert [(type(s), s.child_id) for s in table.said] == [(p.VenueNotSent, "n3")]
        table.venue.gate.set()
        await table.until(4)


async def test_a_pull_without_an_answer_does_not_count_as_pulled() -> None:
    async with Table() as table:
        table.desk.call(p.PullFills(venue="sim_a", since_ns=0))
        table.venue.gate.set()
        table.desk.call(cancel("x1"))
        await table.until(1)
        assert [type(said) for said in table.said] == [p.VenueClosed]


async def test_an_order_that_waits_is_not_sent_once_the_bus_is_lost_and_a_cancel_is() -> None:
    async with Table() as table:
        table.bus_is_there = False
        table.venue.gate.set()
        table.desk.call(submit("c1"))
        table.desk.call(cancel("c2"))
        await table.until(2)
        assert {type(said): said.child_id for said in table.said} == {
            p.VenueNotSent: "c1",
            p.VenueClosed: "c2",
        }
        assert next(said.code for said in table.said if said.child_id == "c1") is Code.NOT_READY


class Limited(Scripted):
    """A venue whose orders wait for its limits."""

    capabilities = p.Capabilities(in_flight_max=CANCEL_RESERVE + QUERY_RESERVE + 2)

    def __init__(self) -> None:
        super().__init__()
        self.admitted = asyncio.Event()
        self.refusal: list[p.Said] = []

    async def admit(self, request: p.Submit | p.Replace) -> Sequence[p.Said]:  # noqa: ARG002
        await self.admitted.wait()
        return self.refusal


async def test_the_last_look_comes_after_the_wait_for_the_venues_limits() -> None:
    async with Table(venue=Limited()) as table:
        assert isinstance(table.venue, Limited)
        table.desk.call(submit("c1", deadline_ns=10))
        await asyncio.sleep(0)
        table.now_ns = 10
        table.venue.admitted.set()
        await table.until(1)
        assert [type(one) for one in table.said] == [p.VenueNotSent]
        assert table.venue.seen == []


async def test_what_the_venues_limits_do_not_let_pass_is_not_sent_and_said_so() -> None:
    async with Table(venue=Limited()) as table:
        assert isinstance(table.venue, Limited)
        table.venue.refusal = [p.VenueNotSent(child_id="c1", code=Code.RATE_LIMITED, text="full")]
        table.venue.admitted.set()
        table.desk.call(submit("c1"))
        await table.until(1)
        assert table.said == table.venue.refusal
        assert table.venue.seen == []


async def test_orders_that_wait_for_the_venues_limits_hold_up_no_question_and_no_cancel() -> None:
    async with Table(venue=Limited()) as table:
        for number in range(10):
            table.desk.call(submit(f"c{number}"))
        for _ in range(QUERY_RESERVE):
            table.desk.call(p.QueryOrder(venue="sim_a", symbol="BTC/USDT", child_id="q"))
        for _ in range(CANCEL_RESERVE):
            table.desk.call(cancel("c0"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        kinds = Counter(type(one).__name__ for one in table.venue.seen)
        assert kinds == {"QueryOrder": QUERY_RESERVE, "Cancel": CANCEL_RESERVE}


async def test_pulls_that_come_while_one_is_under_way_are_one_from_the_earliest() -> None:
    table, seen, gate = Table(), list[int](), asyncio.Event()

    async def fills_since(since_ns: int) -> Sequence[p.VenueFill] | None:
        seen.append(since_ns)
        await gate.wait()
        return []

    with (
        patch.object(table.venue, "fills_since", fills_since),
        patch.object(desk_module, "PULL_PAUSE_S", 0.001),
    ):
        async with table:
            for since_ns in (50, 40, 30, 60):
                table.desk.call(p.PullFills(venue="sim_a", since_ns=since_ns))
            gate.set()
            await table.until(2)
            assert seen == [50, 30]
            assert table.said == [p.VenuePulled("sim_a", 0)] * 2
            table.desk.call(p.PullFills(venue="sim_a", since_ns=20))
            await table.until(3)
            assert seen == [50, 30, 20], "and the next one goes as ever"


async def test_a_reconciliation_that_fails_is_asked_for_again_after_longer_and_longer() -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def refuse(_: p.MassStatus) -> None:
        return None

    async with Table() as table:
        with patch.object(table.venue, "mass_status", refuse), patch.object(asyncio, "sleep", sleep):
            for count in range(1, 8):
                table.desk.call(p.MassStatus(venue="sim_a", since_ns=0))
                await table.until(count)
        assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
