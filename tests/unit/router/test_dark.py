"""Dark venues show nothing, so no strategy chooses them: a slice that names them alone rests there."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from bestex import config, plugins
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from services.router.core import RouterCore
from services.router.service import build
from tests.unit.router.test_core import NOW, Bench, make_book, make_slice
from tests.unit.router.test_resting import canceled

DARK = ["dark_a"]


@cache
def with_dark() -> config.Config:
    names = ("DARK_A", "DARK_B")
    return config.load(None, {f"BESTEX__VENUES__{name}__ENABLED": "true" for name in names})


class DarkBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.service = build(with_dark(), ())
        assert isinstance(self.service.core, RouterCore)
        self.core = self.service.core
        self.feed(make_book())

    def routed(self, **changes: Any) -> Any:
        return self.feed(make_slice(**{"venues": DARK, "tif": m.Tif.GTC, **changes}))[0]


def test_a_slice_that_names_a_dark_venue_rests_there_whole_with_its_minimum() -> None:
    bench = DarkBench()
    decided = bench.routed(min_fill_qty=Decimal("0.25"))
    [leg] = decided.legs
    assert (leg.venue, leg.qty, leg.price, leg.tif) == ("dark_a", 1, 60_300, m.Tif.GTC)
    [child] = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    assert (child.min_fill_qty, child.post_only) == (Decimal("0.25"), False)


def test_a_conditional_slice_is_so_in_the_dark_alone() -> None:
    bench = DarkBench()
    assert [leg.conditional for leg in bench.routed(conditional=True).legs] == [True]
    bench.routed(slice_no=2, conditional=True, venues=["sim_b"], limit_price=Decimal(60_000))
    children = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    assert [(one.venue, one.conditional) for one in children] == [("dark_a", True), ("sim_b", False)]


def test_a_minimum_is_whole_lots_and_no_more_than_the_child() -> None:
    bench = DarkBench()
    assert bench.routed(qty="0.5", min_fill_qty=Decimal("0.70001")).legs[0].min_fill_qty == Decimal("0.5")
    assert bench.routed(slice_no=2, min_fill_qty=Decimal("0.25007")).legs[0].min_fill_qty == Decimal("0.25")


def test_it_needs_no_book_of_that_venue_nor_any_other() -> None:
    bench = DarkBench()
    bench.core.books.clear()
    assert [leg.venue for leg in bench.routed().legs] == ["dark_a"]


@pytest.mark.parametrize("name", plugins.STRATEGIES)
@pytest.mark.parametrize("venues", [None, ["dark_a", "sim_a"]])
def test_no_strategy_routes_to_a_dark_venue_by_itself(name: str, venues: list[str] | None) -> None:
    bench = DarkBench()
    for slice_no, tif in enumerate((m.Tif.IOC, m.Tif.GTC)):
        decided = bench.routed(slice_no=slice_no, venues=venues, tif=tif, strategy=name, qty="0.4")
        assert decided.legs
        assert not [leg for leg in decided.legs if leg.venue.startswith("dark")]


@pytest.mark.parametrize("changes", [{"tif": m.Tif.IOC}, {"limit_price": None}])
def test_without_a_limit_or_leave_to_rest_nothing_goes_there(changes: dict[str, Any]) -> None:
    assert DarkBench().routed(**changes).legs == []


def test_no_minimum_goes_to_a_lit_venue() -> None:
    decided = DarkBench().routed(venues=["sim_b"], min_fill_qty=Decimal("0.1"), limit_price=Decimal(60_000))
    assert [(leg.venue, leg.min_fill_qty) for leg in decided.legs] == [("sim_b", None)]


def test_what_rests_of_a_slice_that_names_lit_venues_too_rests_in_the_light() -> None:
    for slice_no, venues in enumerate((None, ["dark_b", "sim_a"])):
        decided = DarkBench().routed(slice_no=slice_no, venues=venues, limit_price=Decimal(60_000))
        [leg] = decided.legs
        assert leg.venue.startswith("sim")


def test_what_comes_back_goes_there_again_until_the_slice_ends_and_its_rest_comes_back() -> None:
    bench = DarkBench()
    bench.routed(min_fill_qty=Decimal("0.5"))
    [child] = [command for command in bench.commands if isinstance(command, m.ChildNew)]
    [again] = [*bench.feed(canceled(child, "0.7")), *bench.advance(NOW + 4 * SECOND)]
    assert [(leg.venue, leg.qty, leg.min_fill_qty) for leg in again.legs] == [
        ("dark_a", Decimal("0.3"), Decimal("0.3"))
    ]
    [recalled] = bench.advance(NOW + 10 * SECOND)
    assert recalled.reason is Code.EXPIRED
    [last] = [c for c in bench.commands if isinstance(c, m.ChildNew) and c.child_id != child.child_id]
    [done] = bench.feed(canceled(last, "0"))
    assert (done.filled_qty, done.reason) == (Decimal("0.7"), Code.EXPIRED)


def test_a_halted_dark_venue_gets_nothing() -> None:
    bench = DarkBench()
    bench.feed(m.Halt(scope="venue-dark_a", halted=True, reason="test", by="me", at=Time(NOW)))
    assert bench.routed().legs == []
    assert [leg.venue for leg in bench.routed(slice_no=2, venues=["dark_a", "dark_b"]).legs] == ["dark_b"]
