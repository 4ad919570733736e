"""What is too small for any venue is taken along, so that orders end filled and not with dust."""

from __future__ import annotations

from decimal import Decimal

from tests.unit.router.test_core import Bench, make_book, make_slice


def test_a_remainder_below_every_minimum_is_taken_along_by_a_finer_venue() -> None:
    bench = Bench()
    bench.feed(make_book(sim_d=60_000_00))
    (decided,) = bench.feed(make_slice("0.30003"))
    assert sum(leg.qty for leg in decided.legs) == Decimal("0.30003")
    assert {leg.venue: leg.qty for leg in decided.legs}["sim_d"] == Decimal("0.299")


def test_a_remainder_stays_where_nobody_can_take_it() -> None:
    bench = Bench()
    bench.feed(make_book(sim_d=60_000_00))
    (decided,) = bench.feed(make_slice("0.30003", venues=["sim_d"]))
    assert [leg.qty for leg in decided.legs] == [Decimal("0.3")]
