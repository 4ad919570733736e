"""What a parent cost, in parts that sum."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side
from services.recorder.tca import NO_ARRIVAL, Execution, Trade, analyse

T0 = Time(1_750_000_000 * SECOND)


def execution(**changes: object) -> Execution:
    values: dict[str, object] = {
        "parent_id": "p1",
        "symbol": "BTC/USDT",
        "algo": "twap",
        "side": Side.BUY,
        "qty": D(10),
        "accepted_at": T0,
        "done_at": Time(T0 + 90 * SECOND),
        "reason": Code.COMPLETED,
        "children": 3,
        "trades": [
            Trade(D(5), D("100.10"), D("0.05"), "taker"),
            Trade(D(3), D("99.90"), D("-0.01"), "maker"),
        ],
        "arrival_px": D(100),
        "release_px": D("100.05"),
        "end_px": D("100.50"),
    }
    return Execution(**(values | changes))  # type: ignore[arg-type]


def test_the_parts_are_what_the_formulas_say() -> None:
    report = analyse(execution(), T0)
    assert report.cum_qty == 8
    assert report.avg_px == (D("500.5") + D("299.7")) / 8
    assert report.delay_cost == 8 * D("0.05")
    assert report.trading_cost == D("800.2") - 8 * D("100.05")
    assert report.opportunity_cost == 2 * D("0.50")
    assert report.fees == D("0.04")
    assert report.shortfall == D("0.2") + D(1) + D("0.04")
    assert report.arrival_slippage_bps == pytest.approx(0.2 / 800 * 1e4)
    assert report.shortfall_bps == pytest.approx(1.24 / 1000 * 1e4)
    assert report.fee_bps == pytest.approx(0.04 / 800.2 * 1e4)
    assert report.fill_rate == pytest.approx(0.8)
    assert report.maker_share == pytest.approx(3 / 8)
    assert report.duration_s == 90.0
    assert (report.children, report.fills) == (3, 2)


def test_a_cost_is_positive_on_both_sides() -> None:
    dear = [Trade(D(10), D(101), D(0), "taker")]
    cheap = [Trade(D(10), D(99), D(0), "taker")]
    buy = analyse(execution(trades=dear, release_px=None), T0)
    sell = analyse(execution(side=Side.SELL, trades=cheap, release_px=None), T0)
    assert buy.arrival_slippage_bps == sell.arrival_slippage_bps == pytest.approx(100.0)


def test_without_an_arrival_price_nothing_is_claimed() -> None:
    report = analyse(execution(arrival_px=None), T0)
    assert (report.arrival_slippage_bps, report.shortfall, report.shortfall_bps) == (None, None, None)
    assert report.arrival_source == NO_ARRIVAL
    assert report.fees == D("0.04")


def test_an_order_that_never_filled_costs_its_opportunity_only() -> None:
    report = analyse(execution(trades=[]), T0)
    assert (report.avg_px, report.arrival_slippage_bps, report.fee_bps) == (None, None, None)
    assert report.shortfall == report.opportunity_cost == 10 * D("0.5")


def test_sums_keep_digits_that_python_would_round() -> None:
    done = [
        Trade(D("1000000000000.000000001"), D("12345.000000000001"), D("1000000000000000"), "taker"),
        Trade(D("0.000000001"), D("0.000000000001"), D("0.000000000000000001"), "maker"),
    ]
    report = analyse(execution(trades=done, arrival_px=D(1), release_px=D(1), end_px=D(1)), T0)
    assert report.fees == D("1000000000000000.000000000000000001")
    paid = sum(Fraction(trade.qty) * Fraction(trade.price) for trade in done)
    filled = sum(Fraction(trade.qty) for trade in done)
    assert report.trading_cost is not None
    assert report.shortfall is not None
    assert Fraction(report.trading_cost) == paid - filled
    assert Fraction(report.shortfall) == paid - filled + Fraction(report.fees)


prices = st.decimals("0.01", "100000", places=2)
sizes = st.decimals("0.00001", "1000", places=5)
trades = st.lists(
    st.builds(Trade, sizes, prices, st.decimals("-1", "1", places=8), st.sampled_from(["maker", "taker"])),
    max_size=8,
)


@given(trades, prices, st.none() | prices, st.none() | prices, st.sampled_from(Side), sizes)
def test_the_parts_sum_to_the_shortfall(
    done: list[Trade], arrival: D, release: D | None, end: D | None, side: Side, rest: D
) -> None:
    filled = sum((trade.qty for trade in done), D(0))
    report = analyse(
        execution(
            trades=done, qty=filled + rest, arrival_px=arrival, release_px=release, end_px=end, side=side
        ),
        T0,
    )
    parts = (report.delay_cost, report.trading_cost, report.opportunity_cost)
    assert all(part is not None for part in parts)
    assert report.shortfall == sum((part for part in parts if part is not None), report.fees)
    paid = sum((trade.qty * trade.price for trade in done), D(0))
    end = arrival if end is None else end
    paper = side.sign * (paid - filled * arrival) + side.sign * rest * (end - arrival) + report.fees
    assert report.shortfall == paper
