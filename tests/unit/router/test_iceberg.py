"""A slice of which a part may be shown: where it rests, how much of it, and when it is given back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import load
from bestex.errors import Code
from services.router.routing import rest_leg
from services.router.service import build
from tests.unit.router.test_core import NOW, VENUES, Bench, make_book, make_slice

PASSIVE = Decimal(59_000)
CONFIG = load(None, {})
INSTRUMENT = CONFIG.make_instruments().by_symbol["BTC/USDT"]


class IcebergBench(Bench):
    """`native`: the venues that show an order in parts by themselves."""

    def __init__(self, *native: str) -> None:
        super().__init__()
        named = {f"BESTEX__VENUES__{venue}__NATIVE_ICEBERG": str(venue in native).lower() for venue in VENUES}
        self.core = build(load(None, named), ()).core  # type: ignore[assignment]
        self.feed(make_book())

    @property
    def children(self) -> list[m.ChildNew]:
        return [command for command in self.commands if isinstance(command, m.ChildNew)]


def iceberg(qty: str = "1", display: str = "0.1", **changes: Any) -> m.ParentSliced:
    usual = {"limit_price": PASSIVE, "tif": m.Tif.GTC, "display_qty": Decimal(display)}
    return make_slice(qty, **{**usual, **changes})


def test_where_a_venue_shows_an_order_in_parts_it_holds_all_of_it() -> None:
    bench = IcebergBench("sim_c")
    (decided,) = bench.feed(iceberg())
    (child,) = bench.children
    assert (child.venue, child.qty, child.display_qty) == ("sim_c", Decimal(1), Decimal("0.1"))
    (leg,) = decided.legs
    assert (leg.display_qty, leg.reason) == (Decimal("0.1"), "rests at the limit, and is shown in parts")
    (done,) = bench.end(child)
    assert (done.reason, done.filled_qty) == (Code.FILLED, Decimal(1))


def test_elsewhere_only_the_part_rests_and_the_slice_is_given_back_when_it_has_been_traded() -> None:
    bench = IcebergBench()
    bench.feed(iceberg())
    (child,) = bench.children
    assert (child.qty, child.display_qty, child.tif) == (Decimal("0.1"), None, m.Tif.GTC)
    assert bench.advance(NOW + 5 * SECOND) == [], "nothing goes out beside what is shown"
    (done,) = bench.end(child)
    assert (done.reason, done.qty, done.filled_qty) == (Code.DISPLAYED, Decimal(1), Decimal("0.1"))
    assert done.children == 1


def test_a_part_that_was_traded_in_part_when_it_ended_is_counted_and_given_back() -> None:
    bench = IcebergBench()
    bench.feed(iceberg())
    (child,) = bench.children
    (done,) = bench.end(child, "0.04", m.ExecCanceled, code=Code.CANCELED)
    assert (done.reason, done.filled_qty) == (Code.DISPLAYED, Decimal("0.04"))


def test_a_part_that_a_venue_refuses_goes_to_another_and_is_no_larger_there() -> None:
    bench = IcebergBench()
    bench.feed(iceberg())
    (first,) = bench.children
    bench.end(first, "0", m.ExecRejected, code=Code.VENUE_REJECTED, text="")
    bench.advance(NOW + SECOND)
    _, second = bench.children
    assert second.venue != first.venue
    assert second.qty == Decimal("0.1")


def test_a_gateway_that_cannot_show_parts_after_all_is_left_alone() -> None:
    bench = IcebergBench("sim_c")
    bench.feed(iceberg())
    (first,) = bench.children
    bench.end(first, "0", m.ExecRejected, code=Code.INVALID_PARAMETER, text="sim_c shows no order in parts")
    bench.advance(NOW + SECOND)
    _, second = bench.children
    assert (second.venue != "sim_c", second.qty, second.display_qty) == (True, Decimal("0.1"), None)


def test_what_crosses_is_taken_with_all_of_it_and_a_part_of_the_rest_is_shown() -> None:
    bench = IcebergBench()
    bench.feed(iceberg("3", limit_price=Decimal(60_001)))
    taken = [child for child in bench.children if child.tif is m.Tif.IOC]
    (resting,) = [child for child in bench.children if child.tif is m.Tif.GTC]
    assert sum(child.qty for child in taken) == Decimal(2)  # all that four venues show
    assert resting.qty == Decimal("0.1")
    for child in taken:
        bench.end(child)
    assert bench.advance(NOW + SECOND) == [], "while a part is shown, no other goes out"
    (done,) = bench.end(resting, "0", m.ExecCanceled, code=Code.CANCELED)
    assert (done.reason, done.filled_qty) == (Code.DISPLAYED, Decimal(2))


@pytest.mark.parametrize("strategy", ["smart", "cont_kukanov"])
def test_no_strategy_shows_more_of_it(strategy: str) -> None:
    bench = IcebergBench()
    queue = m.QueueStats(outflow=50.0, outflow_sd=5.0, traded=40.0, seconds=1_000.0)
    venues = [
        m.VenueStats(venue=venue, status=m.BookStatus.LIVE, age_ms=1.0, bid_queue=queue, ask_queue=queue)
        for venue in VENUES
    ]
    bench.feed(m.Stats(symbol="BTC/USDT", at=Time(NOW), volatility_bps=0.1, venues=venues))
    (decided,) = bench.feed(iceberg("1", limit_price=Decimal(60_000), strategy=strategy))
    resting = [child for child in bench.children if child.tif is not m.Tif.IOC]
    assert sum(child.qty for child in resting) == Decimal("0.1")
    assert decided.review_at is None


def test_a_recall_brings_what_was_traded_until_then() -> None:
    bench = IcebergBench("sim_a")
    bench.feed(iceberg())
    (child,) = bench.children
    recall = m.ParentRecalled(
        symbol="BTC/USDT", parent_id="p1", at=Time(NOW), cum_qty=Decimal(0), leaves_qty=Decimal(1),
        avg_px=None, slice_no=1, reason=Code.REPLACED,
    )  # fmt: skip
    bench.feed(recall)
    assert [command.child_id for command in bench.commands if isinstance(command, m.ChildCancel)] == [
        child.child_id
    ]
    (done,) = bench.end(child, "0.25", m.ExecCanceled, code=Code.REPLACED)
    assert (done.reason, done.filled_qty) == (Code.REPLACED, Decimal("0.25"))


def test_a_part_that_a_venues_lot_or_minimum_does_not_allow_rests_elsewhere() -> None:
    named = {
        "BESTEX__VENUES__SIM_D__NATIVE_ICEBERG": "true",
        "BESTEX__VENUES__SIM_A__NATIVE_ICEBERG": "false",
    }
    native = load(None, named)
    everywhere = ("sim_a", "sim_b", "sim_c", "sim_d")

    def at(display: int) -> tuple[str, int, int]:
        leg = rest_leg(INSTRUMENT, native, m.Side.BUY, 10**5, 59_000_00, everywhere, display=display)
        assert leg is not None
        return leg.venue, leg.qty, leg.display

    assert at(250) == ("sim_d", 10**5, 200)  # its lot is 100
    assert at(99) == ("sim_b", 99, 0)
    assert at(10**5) == ("sim_d", 10**5, 0)
