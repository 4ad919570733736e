"""A slice's life at the router, step by step: children end in any order, books move, it is recalled and killed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bestex import codec
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.core import Recovered
from bestex.errors import Code
from bestex.ids import child_id
from tests.unit.router.test_core import NOW, Bench, make_book, make_slice

QUIET_S_MAX = 60  # far longer than the slice may live


class SliceLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.ends: dict[str, m.ExecEnded] = {}

    @initialize(
        qty=st.sampled_from(["0.1", "1", "1.7"]),
        limit=st.sampled_from(["59000", "60300"]),
        tif=st.sampled_from([m.Tif.IOC, m.Tif.GTC]),
        has_book=st.booleans(),
    )
    def sliced(self, qty: str, limit: str, tif: m.Tif, has_book: bool) -> None:
        self.slice = make_slice(qty, limit_price=Decimal(limit), tif=tif)
        if has_book:
            self.bench.feed(make_book())
        self.bench.feed(self.slice)

    # -- what is heard, and heard again --------------------------------------------------------------------------

    @rule(size=st.integers(0, 100_000), ask=st.sampled_from([60_001_00, 60_250_00, 60_400_00]))
    def the_book_moves(self, size: int, ask: int) -> None:
        self.bench.feed(make_book(self.bench.now_ns, size + 1, sim_a=ask, sim_b=ask))

    @rule()
    def the_slice_comes_again(self) -> None:
        assert self.bench.feed(self.slice) == []

    @rule(reason=st.sampled_from([Code.CANCELED, Code.REPLACED]))
    def it_is_recalled(self, reason: Code) -> None:
        base = {"symbol": self.slice.symbol, "parent_id": self.slice.parent_id, "slice_no": 1}
        sums = {"cum_qty": Decimal(0), "leaves_qty": self.slice.qty, "avg_px": None}
        at = Time(self.bench.now_ns)
        self.bench.feed(m.ParentRecalled(**base, **sums, at=at, reason=reason))  # type: ignore[arg-type]

    def open(self) -> list[m.ChildNew]:
        return [child for child in self.ordered().values() if child.child_id not in self.ends]

    def ordered(self) -> dict[str, m.ChildNew]:
        """The children that were published; a restart publishes them again, in the same words."""
        found: dict[str, m.ChildNew] = {}
        for command in self.bench.commands:
            if isinstance(command, m.ChildNew):
                assert found.setdefault(command.child_id, command) == command
        return found

    @precondition(lambda self: self.open())
    @rule(data=st.data(), share=st.one_of(st.sampled_from([0, 100]), st.integers(0, 100)))
    def a_child_ends(self, data: st.DataObject, share: int) -> None:
        self.end(data.draw(st.sampled_from(self.open())), share)

    @precondition(lambda self: self.open())
    @rule(data=st.data(), code=st.sampled_from([Code.VENUE_REJECTED, Code.EXPIRED, Code.TIMEOUT]))
    def a_child_is_rejected(self, data: st.DataObject, code: Code) -> None:
        more = {"kind": m.ExecRejected, "code": code, "text": "no"}
        self.end(data.draw(st.sampled_from(self.open())), 0, **more)

    def end(self, child: m.ChildNew, share: int, **more: Any) -> None:
        filled = Decimal(int(child.qty * 10**5) * share // 100).scaleb(-5)
        kind = more.pop("kind", m.ExecFilled if filled == child.qty else m.ExecExpired)
        owner = {
            name: getattr(child, name) for name in ("venue", "symbol", "child_id", "parent_id", "slice_no")
        }
        sums = {"cum_qty": filled, "notional": filled * child.price, "fees": filled}
        self.ends[child.child_id] = kind(**owner, at=Time(self.bench.now_ns), **sums, **more)
        self.bench.feed(self.ends[child.child_id])

    @precondition(lambda self: self.ends)
    @rule(data=st.data())
    def an_end_comes_again(self, data: st.DataObject) -> None:
        before = len(self.bench.facts)
        self.bench.feed(data.draw(st.sampled_from(list(self.ends.values()))))
        assert len(self.bench.facts) == before, "what comes again changes nothing"

    # -- time and accidents --------------------------------------------------------------------------------------

    @rule(pause=st.sampled_from([50 * MS, SECOND, 4 * SECOND]))
    def time_passes(self, pause: int) -> None:
        self.bench.advance(self.bench.now_ns + pause)

    @rule()
    def killed(self) -> None:
        """The journal is applied, the commands are published again, and the ends of open slices are read."""
        old, self.bench = self.bench, Bench()
        self.bench.now_ns, self.bench.facts, self.bench.commands = old.now_ns, old.facts, old.commands
        for event in old.facts:
            self.bench.effects(self.bench.core.apply(codec.from_json(codec.to_json(event), type(event))))
        self.bench.feed(Recovered())
        wanted = [of.split(".")[5] for filters in self.bench.core.missing().values() for of in filters]
        for name in wanted:
            if name in self.ends:
                self.bench.feed(self.ends[name])

    # -- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def every_event_agrees_with_those_before_it(self) -> None:
        qty, legs = self.slice.qty, dict[str, m.Leg]()
        recalled: m.RouteRecalled | None = None
        for number, event in enumerate(self.bench.facts):
            assert not number or not self.bench.facts[number - 1].ends, "nothing follows the end"
            match event:
                case m.RouteDecided():
                    assert recalled is None, "nothing is routed after a recall"
                    held = sum(self.held(leg, event.at) for leg in legs.values())
                    assert held + sum(leg.qty for leg in event.legs) <= qty
                    for place, leg in enumerate(event.legs):
                        assert leg.child_id == child_id(event.symbol, "p1", 1, event.decision_no, place)
                        assert leg.child_id not in legs
                        assert leg.price <= (self.slice.limit_price or 0)
                        legs[leg.child_id] = leg
                case m.RouteRecalled():
                    assert recalled is None, "it is recalled once"
                    recalled = event
                case m.RouteDone():
                    ends = [self.ends[name] for name in legs]
                    assert event.filled_qty == sum(end.cum_qty for end in ends)
                    assert event.notional == sum(end.notional for end in ends)
                    assert event.fees == sum(end.fees for end in ends)
                    assert (event.reason is Code.FILLED) == (event.filled_qty == qty)
                    assert recalled is None or event.reason in (Code.FILLED, recalled.reason)
        assert self.ordered().keys() == legs.keys(), "the children are those of the decisions"
        cancels = {c.child_id for c in self.bench.commands if isinstance(c, m.ChildCancel)}
        assert cancels == set(recalled.children if recalled else ())

    def held(self, leg: m.Leg, at: int) -> Decimal:
        end = self.ends.get(leg.child_id)
        return end.cum_qty if end is not None and end.at <= at else leg.qty

    def teardown(self) -> None:
        """When all of its children have ended, the slice ends, and says why."""
        for _ in range(QUIET_S_MAX):
            for child in self.open():
                self.end(child, 50)
            self.bench.advance(self.bench.now_ns + SECOND)
        if self.bench.facts:
            (done,) = [event for event in self.bench.facts if event.ends]
            assert done.reason
            self.every_event_agrees_with_those_before_it()
        assert self.bench.now_ns > NOW


SliceLife.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
test_a_slices_life = SliceLife.TestCase
