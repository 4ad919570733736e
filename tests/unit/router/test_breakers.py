"""A venue that fails again and again is left alone, tried once, and used again when it works."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import BreakerConfig
from bestex.errors import Code
from bestex.human import Duration
from services.router.breakers import TRIAL_NS_MAX, Breakers
from tests.unit.router.test_core import NOW, VENUES, Bench, make_book, make_slice

CONFIG = BreakerConfig(failures=3, pause=Duration(2 * SECOND), max_pause=Duration(5 * SECOND))


def ended(kind: Any, at_ns: int, venue: str = "a", **more: Any) -> m.ExecEnded:
    owner = {"venue": venue, "symbol": "X/Y", "child_id": "c", "parent_id": "p", "slice_no": 1}
    return kind(**owner, at=Time(at_ns), **more)  # type: ignore[no-any-return]


def fails(breakers: Breakers, at_ns: int, times: int = 1, code: Code = Code.VENUE_DOWN) -> None:
    for _ in range(times):
        breakers.ended(ended(m.ExecRejected, at_ns, code=code, text="away"))


def test_it_opens_after_so_many_failures_in_a_row_and_not_for_another_venue() -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 2)
    assert breakers.check("a", NOW) == ""
    fails(breakers, NOW)
    assert breakers.check("a", NOW + SECOND) == "breaker_open: for 1.0 s more after venue_down: away"
    assert breakers.check("b", NOW) == ""


@pytest.mark.parametrize("kind", [m.ExecFilled, m.ExecExpired])
def test_whatever_the_venue_worked_ends_the_row(kind: Any) -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 2)
    breakers.ended(ended(kind, NOW))
    fails(breakers, NOW, 2)
    assert breakers.check("a", NOW) == ""


def test_a_refusal_for_a_fault_of_the_order_is_no_failure_of_the_venue() -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 9, Code.OFF_TICK)
    assert breakers.check("a", NOW) == ""


def test_one_decision_tries_it_and_each_failure_doubles_the_pause_up_to_the_longest() -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 3)
    now_ns = NOW
    for pause_s in (2, 4, 5, 5):
        now_ns += pause_s * SECOND
        assert breakers.check("a", now_ns - 1) != ""
        assert breakers.check("a", now_ns) == ""
        breakers.sent("a", now_ns)
        assert breakers.check("a", now_ns) == "breaker_open: it is being tried after venue_down: away"
        fails(breakers, now_ns)
    breakers.ended(ended(m.ExecFilled, now_ns, cum_qty=Decimal(1)))
    assert breakers.check("a", now_ns) == ""


def test_what_was_sent_before_it_opened_does_not_open_it_for_longer() -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 9)
    assert breakers.check("a", NOW + 2 * SECOND) == ""


def test_a_trial_of_which_nothing_is_heard_does_not_keep_it_open_for_good() -> None:
    breakers = Breakers(CONFIG)
    fails(breakers, NOW, 3)
    breakers.sent("a", NOW + 2 * SECOND)
    assert breakers.check("a", NOW + 2 * SECOND + TRIAL_NS_MAX - 1) != ""
    assert breakers.check("a", NOW + 2 * SECOND + TRIAL_NS_MAX) == ""


def test_the_router_leaves_it_out_and_says_why() -> None:
    bench = Bench()
    bench.feed(make_book())
    for _ in range(5):
        bench.feed(ended(m.ExecRejected, NOW, VENUES[0], code=Code.VENUE_DOWN, text="away"))
    (decided,) = bench.feed(make_slice("0.4"))
    assert VENUES[0] not in {leg.venue for leg in decided.legs}
    [why] = [left.reason for left in decided.left_out if left.venue == VENUES[0]]
    assert why.startswith("breaker_open: ")
