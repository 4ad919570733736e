"""Repetitions and rows of refusals: what an algorithm that has gone wrong looks like."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.errors import Code
from services.gateway import port as p
from tests.unit.gateway.bench import Bench, closed
from tests.unit.gateway.controls.controlled import again, code_of, limited

REPEATS = '[limits.repeats]\nmax_same = 3\nwindow = "10s"\nmax_rejected = 2\n'


def ended(bench: Bench, child_id: str, **changed: object) -> Code | None:
    """A child that is sent and comes back empty."""
    code = code_of(bench, child_id, **changed)
    bench.hear(closed("expired", 0, child_id))
    bench.now += SECOND
    return code


def release(bench: Bench, scope: str) -> None:
    bench.hear(m.Halt(scope=scope, halted=False, reason="looked", by="me", at=Time(bench.now)))
    bench.now += SECOND


def test_the_same_terms_at_once_while_the_first_are_open_are_a_duplicate(bench: Bench) -> None:
    assert code_of(bench, "c1") is None
    bench.now += 249 * MS
    assert code_of(bench, "c2") is Code.DUPLICATE_TERMS
    assert code_of(bench, "c3", qty=Decimal("0.0101")) is None
    assert code_of(bench, "c4", parent_id="p2") is None
    bench.now += MS
    assert code_of(bench, "c5") is None


def test_the_same_terms_after_the_first_have_ended_are_no_duplicate(bench: Bench) -> None:
    code_of(bench, "c1")
    bench.hear(closed("expired", 0))
    assert code_of(bench, "c2") is None


def test_an_unknown_child_is_open(bench: Bench) -> None:
    code_of(bench, "c1")
    bench.hear(p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="no answer"))
    assert code_of(bench, "c2") is Code.DUPLICATE_TERMS


def test_too_much_of_the_same_stops_the_parent_until_a_person_says_so() -> None:
    bench = limited(REPEATS)
    assert [ended(bench, f"c{n}") for n in range(4)] == [None, None, None, Code.REPEATED_ORDER]
    bench.now += 100 * SECOND
    assert ended(bench, "d1", price=Decimal("59000")) is Code.REPEATED_ORDER, "the window alone opens nothing"
    assert ended(bench, "d2", parent_id="p2") is None
    assert ended(again(bench), "d3") is Code.REPEATED_ORDER
    release(bench, "parent-p1")
    assert ended(bench, "d4") is None


@pytest.mark.parametrize("scope", ["global", "venue-sim_a", "account-default", "algo-twap"])
def test_a_wider_word_releases_too_and_another_scopes_does_not(scope: str) -> None:
    bench = limited(REPEATS)
    for n in range(4):
        ended(bench, f"c{n}", algo="twap")
    release(bench, "algo-vwap")
    assert ended(bench, "d1", algo="twap") is Code.REPEATED_ORDER
    release(bench, scope)
    assert ended(bench, "d2", algo="twap") is None


def test_the_same_less_often_than_the_limit_goes_on_for_ever() -> None:
    bench = limited(REPEATS)
    for n in range(20):
        assert ended(bench, f"c{n}") is None
        bench.now += 3 * SECOND


def refuse(bench: Bench, child_id: str, code: Code = Code.VENUE_REJECTED) -> Code | None:
    found = code_of(bench, child_id, price=Decimal(50_000 + bench.now // SECOND % 1_000))
    bench.hear(p.VenueRejected(child_id=child_id, code=code, text="no"))
    bench.now += SECOND
    return found


def test_refusal_after_refusal_stops_the_parent_until_a_person_says_so() -> None:
    bench = limited(REPEATS)
    assert [refuse(bench, f"c{n}") for n in range(3)] == [None, None, Code.REJECTED_REPEATEDLY]
    assert refuse(again(bench), "d1") is Code.REJECTED_REPEATEDLY
    release(bench, "parent-p1")
    assert [refuse(bench, f"e{n}") for n in range(3)] == [None, None, Code.REJECTED_REPEATEDLY]


def test_an_order_that_is_taken_breaks_the_row() -> None:
    bench = limited(REPEATS)
    for n in range(5):
        assert refuse(bench, f"c{n}") is None
        assert ended(bench, f"d{n}", price=Decimal("55000")) is None
        bench.now += 10 * SECOND


def test_what_is_not_the_orders_fault_does_not_count() -> None:
    bench = limited(REPEATS)
    bench.hear(m.Halt(scope="venue-sim_a", halted=True, reason="", by="me", at=Time(bench.now)))
    assert {refuse(bench, f"c{n}") for n in range(5)} == {Code.HALTED}
    release(bench, "venue-sim_a")
    assert {refuse(bench, f"d{n}", Code.POST_ONLY_WOULD_TAKE) for n in range(5)} == {None}


def test_our_own_refusals_of_what_it_asks_count() -> None:
    bench = limited(REPEATS)
    codes = [code_of(bench, f"c{n}", price=Decimal("90000")) for n in range(3)]
    assert codes == [Code.PRICE_COLLAR, Code.PRICE_COLLAR, Code.REJECTED_REPEATEDLY]
