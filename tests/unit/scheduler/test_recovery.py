"""What a scheduler reads again after a restart, besides its own journal."""

from __future__ import annotations

from typing import Any

from bestex import messages as m
from bestex import subjects
from bestex.clock import HOUR, SECOND
from bestex.core import Recovered
from bestex.errors import Code
from tests.unit.scheduler.bench_core import Bench, book

TWAP: dict[str, Any] = {
    "side": "buy",
    "qty": "1",
    "parent_id": "p1",
    "params": {"duration": "1m", "interval": "10s"},
}


def test_the_end_of_an_open_slice_is_asked_for_because_another_process_may_have_swallowed_it() -> None:
    bench = Bench()
    bench.order(TWAP)
    (sliced,) = bench.of(m.ParentSliced)
    again = bench.recovered()
    assert again.core.missing() == {subjects.ROUTE: [subjects.route("BTC/USDT", "p1", 1, "done")]}
    (settled,) = [event for event in again.settle(sliced) if isinstance(event, m.ParentSettled)]
    assert settled.filled_qty == sliced.qty


def test_a_settled_slice_is_not_asked_for() -> None:
    bench = Bench()
    bench.order(TWAP)
    bench.settle(bench.of(m.ParentSliced)[0])
    assert bench.recovered().core.missing() == {subjects.ROUTE: []}


def long_after_the_end() -> Bench:
    """A scheduler that comes back when its order's time is over; nothing has been heard since."""
    bench = Bench()
    bench.order({**TWAP, "params": {**TWAP["params"], "force_completion": True}})
    bench.settle(bench.of(m.ParentSliced)[0])
    again = Bench(with_book=False)
    again.now_ns, again.seq = bench.now_ns + HOUR, bench.seq
    for event in bench.facts:
        again.core.apply(event)
    again.wakes["p1"] = again.now_ns
    again.feed(Recovered())
    return again


def test_an_order_is_not_given_up_for_want_of_a_book_before_the_first_one_can_have_come() -> None:
    again = long_after_the_end()
    assert again.facts == []
    again.advance(again.now_ns + SECOND)
    again.feed(book(at_ns=again.now_ns))
    again.advance(again.now_ns + SECOND)
    assert isinstance(again.facts[0], m.ParentSliced)


def test_a_cancel_that_waited_for_the_scheduler_is_taken_before_the_order_is_given_up() -> None:
    again = long_after_the_end()
    again.request("cancel", "p1")
    assert again.of(m.ParentDone)[0].reason is Code.CANCELED


def test_without_any_book_the_order_is_given_up_in_the_end() -> None:
    again = long_after_the_end()
    again.advance(again.now_ns + 2 * SECOND)
    assert again.of(m.ParentDone)[0].reason is Code.NO_BOOK
