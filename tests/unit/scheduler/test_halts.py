"""A parent under a halt: nothing is sliced that would be refused, and it goes on or ends with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from bestex import fleet
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from tests.unit.scheduler.bench_core import START, Bench

ORDER = {"side": "buy", "qty": "1", "parent_id": "p1"}
TWAP = {**ORDER, "params": {"duration": "100s", "interval": "10s", "randomize": 0}}


def halt(bench: Bench, scope: str, halted: bool = True) -> list[Any]:
    word = m.Halt(scope=scope, halted=halted, reason="test", by="me", at=Time(bench.now_ns))
    return bench.feed(word)


def test_a_slice_says_what_the_whole_order_is_and_who_made_it() -> None:
    bench = Bench()
    bench.order(TWAP)
    (sliced,) = bench.of(m.ParentSliced)
    assert (sliced.parent_qty, sliced.build) == (1, fleet.build())
    bench.settle(sliced)
    bench.request("modify", "p1", qty="2")
    bench.advance(START + 15 * SECOND)
    assert bench.of(m.ParentSliced)[-1].parent_qty == 2


@pytest.mark.parametrize("scope", ["global", "algo-twap", "account-default", "parent-p1"])
def test_a_halted_parent_waits_and_goes_on_in_bounds(scope: str) -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    halt(bench, scope)
    assert bench.advance(START + 45 * SECOND) == []
    assert list(bench.wakes.values()) == [START + 100 * SECOND], "no look before its end"
    (sliced,) = halt(bench, scope, halted=False)
    assert 0 < sliced.qty <= sliced.parent_qty / 5, "what is behind comes back in bounds, not as a burst"


def test_a_halt_of_something_else_changes_nothing() -> None:
    bench = Bench()
    for scope in ("algo-vwap", "account-other", "parent-p2", "venue-sim_a"):
        halt(bench, scope)
    accepted, sliced = bench.order(TWAP)
    assert isinstance(sliced, m.ParentSliced), accepted


def test_an_order_whose_only_venues_are_halted_waits() -> None:
    bench = Bench()
    halt(bench, "venue-sim_a")
    assert len(bench.order({**TWAP, "venues": ["sim_a"]})) == 1
    assert len(bench.order({**TWAP, "parent_id": "p2", "venues": ["sim_a", "sim_b"]})) == 2
    halt(bench, "venue-sim_b")
    assert len(bench.order({**TWAP, "parent_id": "p3", "venues": ["sim_a", "sim_b"]})) == 1


def test_a_parent_whose_time_ends_under_a_halt_ends_with_that_reason() -> None:
    bench = Bench()
    bench.order(TWAP)
    (sliced,) = bench.of(m.ParentSliced)
    halt(bench, "global")
    bench.advance(START + 200 * SECOND)
    assert not bench.of(m.ParentDone), "its slice is still with the router"
    _, done = bench.settle(sliced, "0", Code.HALTED)
    assert (done.reason, done.text) == (Code.HALTED, "its time ended while global was halted")


def test_a_halted_parent_can_be_cancelled() -> None:
    bench = Bench()
    halt(bench, "global")
    bench.order(TWAP)
    assert [type(event) for event in bench.request("cancel", "p1")] == [m.ParentCanceling, m.ParentDone]
