"""What a scheduler reads again after a restart, besides its own journal."""

from __future__ import annotations

from bestex import messages as m
from bestex import subjects
from tests.unit.scheduler.bench_core import Bench

TWAP = {"side": "buy", "qty": "1", "parent_id": "p1", "params": {"duration": "1m", "interval": "10s"}}


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
