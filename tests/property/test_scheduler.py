"""A parent's life, step by step, against a reference of its sums; and a twin that is killed again and again.

Whatever users ask, however slices come back, and however often either is told: the twin, which knows only what was
stored, decides the very same events.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.scheduler.bench_core import Bench

ID = "p1"
DURATION_S = 100
CANCEL_AFTER = 6  # events: a life that is over at once shows little


class ParentLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench, self.twin = Bench(), Bench()
        self.told: list[tuple[Any, ...]] = []  # every request and result so far, to be told again

    def both(self, *call: Any) -> list[Any]:
        """The same input to both; what came of it."""
        method, *arguments = call
        facts: list[Any] = getattr(self.bench, method)(*arguments)
        getattr(self.twin, method)(*arguments)
        return facts

    @initialize(note=st.integers(0, 99), limit=st.sampled_from([None, "61000"]), completes=st.booleans())
    def accepted(self, note: int, limit: str | None, completes: bool) -> None:
        params = {"duration": f"{DURATION_S}s", "interval": "7s", "force_completion": completes}
        self.body = {"side": "buy", "qty": "1", "parent_id": ID, "note": str(note), "params": params}
        if limit is not None:
            self.body["limit_price"] = limit
        (event, *_) = self.both("order", self.body)
        assert isinstance(event, m.ParentAccepted)

    # -- what users ask ------------------------------------------------------------------------------------------

    @rule()
    def the_same_order_again_changes_nothing(self) -> None:
        assert self.both("order", self.body) == []

    @rule()
    def another_order_under_its_id_is_refused(self) -> None:
        (refused,) = self.both("order", {**self.body, "qty": "2"})
        assert refused.code is Code.DUPLICATE_ID

    @rule()
    def asks_to_pause(self) -> None:
        self.request("pause")

    @rule()
    def asks_to_resume(self) -> None:
        self.request("resume")

    @precondition(lambda self: len(self.bench.facts) > CANCEL_AFTER)
    @rule()
    def asks_to_cancel(self) -> None:
        self.request("cancel")

    @rule(hundredths=st.integers(1, 200))
    def wants_another_quantity(self, hundredths: int) -> None:
        self.request("modify", qty=str(Decimal(hundredths) / 100))

    @rule(price=st.sampled_from(["60500", "62000"]))
    def wants_another_limit(self, price: str) -> None:
        self.request("modify", limit_price=price)

    def request(self, verb: str, **body: Any) -> None:
        for bench in (self.bench, self.twin):
            bench.request(verb, ID, **body)
        self.told.append((verb, self.bench.seq, body))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def a_message_comes_again(self, data: st.DataObject) -> None:
        """Of a request, that which was decided last or refused; of a result, any."""
        told = data.draw(st.sampled_from(self.told))
        before = len(self.bench.facts)
        for bench in (self.bench, self.twin):
            seq, bench.seq = bench.seq, told[1] - 1
            if told[0] == "settle":
                bench.feed(told[2])
            else:
                bench.request(told[0], ID, **told[2])
            bench.seq = seq
        assert len(self.bench.facts) == before, "what comes again changes nothing"

    # -- what the router tells -----------------------------------------------------------------------------------

    def open(self) -> list[m.ParentSliced]:
        settled = {event.slice_no for event in self.bench.of(m.ParentSettled)}
        return [event for event in self.bench.of(m.ParentSliced) if event.slice_no not in settled]

    @precondition(lambda self: self.open())
    @rule(data=st.data(), share=st.one_of(st.sampled_from([0, 100]), st.integers(0, 100)))
    def a_slice_comes_back(self, data: st.DataObject, share: int) -> None:
        self.settle(data.draw(st.sampled_from(self.open())), share)

    def settle(self, sliced: m.ParentSliced, share: int) -> None:
        filled = Decimal(int(sliced.qty * 10**5) * share // 100).scaleb(-5)
        reason = Code.FILLED if filled == sliced.qty else Code.NO_LIQUIDITY
        self.both("settle", sliced, str(filled), reason)
        done = m.RouteDone(
            symbol=sliced.symbol,
            parent_id=ID,
            slice_no=sliced.slice_no,
            at=sliced.at,
            qty=sliced.qty,
            filled_qty=filled,
            notional=filled * 60_000,
            fees=filled * 6,
            reason=reason,
        )
        self.told.append(("settle", 1, done))

    # -- time and accidents --------------------------------------------------------------------------------------

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.both("advance", self.bench.now_ns + seconds * SECOND)

    @rule()
    def the_twin_is_killed(self) -> None:
        self.twin = self.twin.recovered()
        self.twin.advance(self.twin.now_ns)

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def the_twin_has_decided_the_same(self) -> None:
        assert self.twin.facts == self.bench.facts

    @invariant()
    def every_event_agrees_with_the_sums_before_it(self) -> None:
        wanted = cum = notional = fees = Decimal(0)
        at_work: dict[int, Decimal] = {}
        paused = canceling = ended = False
        for event in self.bench.facts:
            if isinstance(event, m.ParentRejected):
                continue
            assert not ended, "nothing follows the end"
            match event:
                case m.ParentAccepted() | m.ParentModified():
                    wanted = event.order.qty
                case m.ParentPaused() | m.ParentResumed():
                    paused = isinstance(event, m.ParentPaused)
                case m.ParentCanceling():
                    canceling = True
                case m.ParentSliced():
                    assert not paused, "nothing is sliced while paused"
                    assert not canceling, "nothing is sliced after a cancel"
                    at_work[event.slice_no] = event.qty
                    assert cum + sum(at_work.values()) <= wanted, "never more than is wanted"
                case m.ParentSettled():
                    del at_work[event.slice_no]
                    cum, notional = cum + event.filled_qty, notional + event.notional
                    fees += event.fees
                case m.ParentDone():
                    ended = True
                    assert not at_work, "it ends when everything has come back"
                    assert (event.notional, event.fees) == (notional, fees)
                    assert (event.reason is Code.FILLED) == (cum >= wanted)
                    assert canceling or event.reason is not Code.CANCELED
            # What went out before less was wanted is still to be reckoned with, until it has come back.
            most = max(wanted, cum + sum(at_work.values()))
            assert (event.cum_qty, event.leaves_qty) == (cum, most - cum)

    def teardown(self) -> None:
        """When every slice has come back and nobody holds the order, it ends, and says why."""
        if not self.bench.facts:
            return
        self.request("resume")
        for _ in range(3 * DURATION_S):
            if self.bench.of(m.ParentDone):
                break
            for sliced in self.open():
                self.settle(sliced, 50)
            self.time_passes(1)
        (done,) = self.bench.of(m.ParentDone)
        assert done.reason
        self.the_twin_has_decided_the_same()
        self.every_event_agrees_with_the_sums_before_it()


ParentLife.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_a_parents_life = ParentLife.TestCase
