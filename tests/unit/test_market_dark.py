"""What others place in a dark book."""

from __future__ import annotations

import statistics
from decimal import Decimal
from typing import Any

from bestex.background import HiddenOrder
from bestex.clock import MINUTE, SECOND
from bestex.human import Duration, Ratio
from bestex.instruments import Instrument, Listing
from bestex.market.dark import DarkFlow, DarkFlowSettings

LISTING = Listing(venue="dark_a", symbol="BTC/USDT", kind="dark", lot=10, min_qty=100)
BTC = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5, listings=(LISTING,))
PRICE = 60_000_00


def flow(seed: int = 1, **settings: Any) -> DarkFlow:
    made = DarkFlowSettings(**settings)
    return DarkFlow(BTC, LISTING, made, seed, PRICE, 0)


def orders(minutes: int, **settings: Any) -> list[HiddenOrder]:
    return flow(**settings).step_until(minutes * MINUTE)


def test_the_same_seed_gives_the_same_orders_however_the_time_is_cut() -> None:
    whole, cut = flow().step_until(MINUTE * 10), flow()
    assert [one for second in range(601) for one in cut.step_until(second * SECOND)] == whole
    assert flow(2).step_until(MINUTE * 10) != whole


def test_the_flow_is_as_configured() -> None:
    found = orders(
        1_000, per_minute=30.0, notional=Decimal(60_000), buys=Ratio(0.7), life=Duration(20 * SECOND)
    )
    assert 0.97 < len(found) / 30_000 < 1.03
    assert 0.69 < sum(one.side > 0 for one in found) / len(found) < 0.71
    assert 0.97 < statistics.median(one.qty for one in found) / 10**5 < 1.03
    assert 19.5 < statistics.mean(one.good_till_ns - one.at_ns for one in found) / SECOND < 20.5


def test_sizes_are_whole_lots_and_minimums_a_part_of_them() -> None:
    found = orders(100, notional=Decimal(200), min_fill=Ratio(0.5))
    assert min(one.qty for one in found) == 100
    assert all(one.qty % 10 == one.min_qty % 10 == 0 and one.min_qty <= one.qty / 2 for one in found)


def test_no_arrivals_are_no_orders() -> None:
    assert orders(100, per_minute=0.0) == []


def test_wrong_values_are_named() -> None:
    assert DarkFlowSettings().problem() == ""
    assert DarkFlowSettings(notional=Decimal(0)).problem().startswith("notional")
    assert DarkFlowSettings(life=Duration(0)).problem().startswith("life")
    assert DarkFlowSettings(buys=Ratio(1.5)).problem().startswith("buys")
