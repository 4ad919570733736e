"""An order's cost, trade by trade: the parts mean what they say, and sum to what the analysis of the order says."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bestex.messages import Side
from bestex.shortfall import PARTS, Costs, PricedTrade, Rest, Touch, decompose, shortfall


def costs(*trades: PricedTrade, side: Side = Side.BUY, qty: str = "10", end: str | None = None) -> Costs:
    return decompose(side, D(qty), trades, arrival=D(100), end=None if end is None else D(end))


def trade(price: str, touch: Touch | None, liquidity: str = "taker", qty: str = "10") -> PricedTrade:
    return PricedTrade(D(qty), D(price), D(0), liquidity, touch)  # type: ignore[arg-type]


def parts(found: Costs) -> dict[str, D]:
    return {name: value for name in PARTS if (value := getattr(found, name))}


def test_taking_the_touch_costs_half_the_spread() -> None:
    at_ask = costs(trade("100.02", Touch(D("99.98"), D("100.02"))))
    at_bid = costs(trade("99.98", Touch(D("99.98"), D("100.02"))), side=Side.SELL)
    assert parts(at_ask) == parts(at_bid) == {"spread": D("0.2")}


def test_resting_earns_it() -> None:
    assert parts(costs(trade("99.98", Touch(D("99.98"), D("100.02")), "maker"))) == {"spread": D("-0.2")}


def test_what_is_paid_beyond_the_touch_is_impact_and_where_the_market_had_gone_is_timing() -> None:
    found = costs(trade("100.07", Touch(D("100.01"), D("100.05"))))
    assert parts(found) == {"spread": D("0.2"), "impact": D("0.2"), "timing": D("0.3")}
    assert found.total == 10 * D("0.07")
    assert found.bps("total") == 7


def test_a_better_price_than_the_touch_is_negative_impact() -> None:
    """Such as a mid-point in the dark."""
    assert parts(costs(trade("100", Touch(D("99.98"), D("100.02"))))) == {
        "spread": D("0.2"),
        "impact": D("-0.2"),
    }


def test_a_rest_costs_what_the_market_has_gone_away_by() -> None:
    touch = Touch(D("99.98"), D("100.02"))
    found = costs(trade("100.02", touch, qty="6"), end="100.50")
    assert parts(found) == {"spread": D("0.12"), "opportunity": 4 * D("0.50")}
    assert parts(costs(end="100.50", side=Side.SELL)) == {"opportunity": -10 * D("0.50")}
    assert parts(costs(end=None)) == {}


def test_a_rest_that_is_taken_at_the_end_costs_its_price_and_its_fees() -> None:
    bought = decompose(Side.BUY, D(10), [], arrival=D(100), end=D(101), rest=Rest(D("1012.5"), D("1.5")))
    sold = decompose(Side.SELL, D(10), [], arrival=D(100), end=D(101), rest=Rest(D("987.5"), D("1.5")))
    assert parts(bought) == parts(sold) == {"opportunity": D(14)}
    assert bought.total == 14


def test_a_contract_that_is_quoted_lower_is_no_gain() -> None:
    """The same touch, on a perpetual 23 below the market."""
    found = costs(trade("77.02", Touch(D("99.98"), D("100.02"), D(-23))))
    assert parts(found) == {"spread": D("0.2")}
    assert found.basis == -230


def test_a_trade_before_any_book_is_all_impact() -> None:
    assert parts(costs(trade("100.07", None))) == {"impact": 10 * D("0.07")}


prices = st.decimals("0.01", "100000", places=3)
sizes = st.decimals("0.00001", "1000", places=5)
touches = st.none() | st.builds(Touch, prices, prices, st.decimals("-100", "100", places=2))
trades = st.lists(
    st.builds(
        PricedTrade,
        sizes,
        prices,
        st.decimals("-1", "1", places=8),
        st.sampled_from(["maker", "taker", "unknown"]),
        touches,
    ),
    max_size=8,
)


@given(trades, prices, st.none() | prices, st.sampled_from(Side), sizes)
def test_the_parts_sum_to_the_total_and_with_the_basis_to_the_shortfall(
    done: list[PricedTrade], arrival: D, end: D | None, side: Side, rest: D
) -> None:
    filled = sum((one.qty for one in done), D(0))
    notional = sum((one.qty * one.price for one in done), D(0))
    fees = sum((one.fee for one in done), D(0))
    found = decompose(side, filled + rest, done, arrival=arrival, end=end)
    assert sum(Fraction(getattr(found, part)) for part in PARTS) == Fraction(found.total)
    whole = shortfall(side, filled + rest, filled, notional, fees, arrival=arrival, end=end)
    assert Fraction(found.total) + Fraction(found.basis) == Fraction(whole.total)
