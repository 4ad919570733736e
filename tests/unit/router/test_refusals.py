"""What the router makes of halts, of a gateway's refusals, and of slices of another build."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import config, fleet
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from services.router.core import PAUSE_MIN_NS, RouterCore
from services.router.service import build
from services.router.state import PAUSE_NS
from tests.unit.router.test_core import NOW, VENUES, Bench, make_book, make_slice

LONG: dict[str, Any] = {"expires_at": Time(NOW + 600 * SECOND)}


def halt(bench: Bench, scope: str, halted: bool = True) -> list[Any]:
    word = m.Halt(scope=scope, halted=halted, reason="test", by="me", at=Time(bench.now_ns))
    return bench.feed(word)


def ready(**sliced: Any) -> Bench:
    bench = Bench()
    bench.feed(make_book(at_ns=NOW + 600 * SECOND))
    bench.feed(make_slice("0.5", **{**LONG, **sliced}))
    return bench


def refuse(bench: Bench, code: Code) -> m.ChildNew:
    child: m.ChildNew = bench.commands[-1]
    bench.end(child, "0", m.ExecRejected, code=code, text="no")
    return child


def test_the_commands_carry_the_parents_quantity_and_both_builds() -> None:
    (child,) = ready(parent_qty=Decimal(7)).commands
    assert (child.parent_qty, child.build, child.slice_build) == (7, fleet.build(), fleet.build())


@pytest.mark.parametrize("other", ["", "0.0.1+other"])
def test_a_slice_of_another_build_is_not_routed_and_ends_with_a_sentence(other: str) -> None:
    bench = ready(build=other)
    decided, done = bench.facts
    assert decided.legs == []
    assert done.reason is Code.MIXED_FLEET
    assert fleet.build() in done.text
    assert not bench.commands


@pytest.mark.parametrize("scope", ["global", "account-default", "algo-twap", "parent-p1"])
def test_a_halted_slice_waits_without_a_try_and_goes_on_when_it_may(scope: str) -> None:
    bench = Bench()
    bench.feed(make_book(at_ns=NOW + 600 * SECOND))
    halt(bench, scope)
    (decided,) = bench.feed(make_slice("0.5", algo="twap", **LONG))
    assert (decided.legs, len(decided.left_out)) == ([], 4)
    assert all("halted" in left.reason for left in decided.left_out)
    assert bench.advance(NOW + 60 * SECOND) == []
    assert list(bench.wakes.values()) == [NOW + 600 * SECOND], "it looks again at its end, and not before"
    (rerouted,) = halt(bench, scope, halted=False)
    assert sum(leg.qty for leg in rerouted.legs) == Decimal("0.5")


def test_a_slice_that_ends_under_a_halt_says_so() -> None:
    bench = Bench()
    halt(bench, "global")
    bench.feed(make_slice("0.5"))
    (done,) = bench.advance(NOW + 11 * SECOND)
    assert (done.reason, done.text) == (Code.HALTED, "halted: global")


def test_a_halted_venue_is_left_out_while_it_is_halted() -> None:
    bench = Bench()
    bench.feed(make_book(at_ns=NOW + 600 * SECOND, sim_d=60_000_00))
    halt(bench, "venue-sim_d")
    bench.feed(make_slice("0.5", **LONG))
    assert bench.commands[-1].venue != "sim_d"
    bench.end(bench.commands[-1], "0.2")
    halt(bench, "venue-sim_d", halted=False)
    bench.advance(bench.now_ns + SECOND)
    assert bench.commands[-1].venue == "sim_d"


def test_refusals_under_a_halt_use_up_no_tries() -> None:
    bench = ready()
    for _ in range(10):
        halt(bench, "global")
        refuse(bench, Code.HALTED)
        bench.advance(bench.now_ns + SECOND)
        halt(bench, "global", halted=False)
    assert len(bench.commands) == 11
    assert not [fact for fact in bench.facts if isinstance(fact, m.RouteDone)]


@pytest.mark.parametrize("code", [Code.RATE_LIMITED, Code.SELF_TRADE, Code.NO_REFERENCE, Code.PRICE_COLLAR])
def test_a_venue_that_may_take_it_later_is_left_alone_for_a_while_and_not_for_good(code: Code) -> None:
    bench = Bench()
    bench.feed(make_book(at_ns=NOW + 600 * SECOND, sim_d=60_000_00))
    bench.feed(make_slice("0.5", **LONG))
    assert refuse(bench, code).venue == "sim_d"
    bench.advance(bench.now_ns + 300 * MS)
    assert bench.commands[-1].venue != "sim_d", "the rest goes elsewhere at once"
    bench.end(bench.commands[-1], "0.1")
    bench.advance(NOW + PAUSE_NS + SECOND)
    bench.end(bench.commands[-1], "0.1")
    bench.advance(bench.now_ns + SECOND)
    assert bench.commands[-1].venue == "sim_d"


def test_refusals_everywhere_are_no_storm() -> None:
    bench = ready(venues=["sim_a"])
    for _ in range(100):
        if bench.core._slices and next(iter(bench.core._slices.values())).open:
            refuse(bench, Code.RATE_LIMITED)
        bench.advance(bench.now_ns + 100 * MS)
    assert len(bench.commands) <= 10 * SECOND // PAUSE_NS
    assert bench.facts[-1].reason is Code.RETRIES_EXHAUSTED


@pytest.mark.parametrize(
    "code", [Code.REPEATED_ORDER, Code.REJECTED_REPEATEDLY, Code.RESTRICTED, Code.PARENT_CAP]
)
def test_what_only_a_person_can_change_is_not_tried_again_in_the_slice(code: Code) -> None:
    bench = ready(venues=["sim_a"])
    refuse(bench, code)
    bench.advance(NOW + 599 * SECOND)
    assert len(bench.commands) == 1


def test_a_market_with_nothing_is_not_asked_without_a_pause() -> None:
    core = build(config.load(None, {"BESTEX__EXECUTION__RETRY_PAUSE": "0s"}), ()).core
    assert isinstance(core, RouterCore)
    bench = Bench()
    bench.core = core
    bench.feed(make_slice(**LONG))
    (at_ns,) = bench.wakes.values()
    assert at_ns >= NOW + PAUSE_MIN_NS
    assert len(VENUES) == len(bench.facts[0].left_out)
