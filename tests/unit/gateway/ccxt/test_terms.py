"""Numbers between the core and ccxt: exactly, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestex.instruments import Instrument, Listing
from bestex.units import UnitError
from services.gateway.venues.ccxt.terms import Market, as_float, check_sent, decimal, stated

INSTRUMENT = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=5)
SPOT = Market(INSTRUMENT, Listing(venue="v", symbol="BTC/USDT", taker_fee_e8=100_000, maker_fee_e8=-10_000))
PERP = Market(INSTRUMENT, Listing(venue="v", symbol="BTC/USDT:USDT", kind="perp", contract_size=1_000))


@given(st.integers(1, 10**12))
def test_a_quantity_and_a_price_come_back_as_they_went(units: int) -> None:
    assert SPOT.qty(as_float(SPOT.amount(units))) == units
    assert SPOT.price(as_float(INSTRUMENT.price(units))) == units
    assert PERP.qty(as_float(PERP.amount(units * 1_000))) == units * 1_000


def test_contracts_are_of_their_size() -> None:
    assert PERP.amount(2_500) == Decimal("2.5")
    assert PERP.qty(2.5) == 2_500
    assert PERP.quote == "USDT"


@pytest.mark.parametrize("amount", [0.000001, "0.000015"])
def test_less_than_a_unit_is_an_error(amount: Any) -> None:
    with pytest.raises(UnitError):
        SPOT.qty(amount)
    with pytest.raises(UnitError):
        PERP.qty(0.0001)


def test_a_float_is_the_number_that_it_reads_as() -> None:
    assert decimal(0.1) == Decimal("0.1")
    assert decimal(1e-8) == Decimal("0.00000001")
    with pytest.raises(UnitError):
        as_float(Decimal("12345678901234567.89"))


def test_what_would_be_sent_differently_is_an_error() -> None:
    check_sent("price", Decimal("60000.10"), "60000.1")
    with pytest.raises(UnitError, match="grid"):
        check_sent("price", Decimal("60000.11"), "60000.1")


@pytest.mark.parametrize(
    ("fee", "maker", "cost", "currency"),
    [
        ({"cost": 0.6, "currency": "USDT"}, False, Decimal("0.6"), "USDT"),
        ({"cost": -0.06, "currency": "USDT"}, True, Decimal("-0.06"), "USDT"),
        ({"cost": 0.00001, "currency": "BTC"}, False, Decimal("0.6"), "BTC"),
        ({"cost": 0.002, "currency": "BNB"}, False, Decimal("0.6"), "BNB"),  # by the listing: 10 bps of 600
        ({"cost": 0.002, "currency": "BNB"}, True, Decimal("-0.06"), "BNB"),
        (None, False, Decimal(0), "USDT"),
        ({"cost": None, "currency": None}, False, Decimal(0), "USDT"),
    ],
)
def test_a_fee_is_in_quote_whatever_it_was_taken_in(
    fee: Any, maker: bool, cost: Decimal, currency: str
) -> None:
    assert SPOT.fee(fee, 6_000_000, 1_000, maker) == (cost, currency)


def test_a_markets_terms_are_in_our_units() -> None:
    terms = {
        "precision": {"price": 0.1, "amount": 0.001},
        "limits": {"amount": {"min": 0.0001, "max": 100}, "cost": {"min": 5}},
    }
    found = stated(SPOT, terms)
    assert (found.tick, found.lot, found.min_qty, found.max_qty) == (10, 100, 100, 10_000_000)
    assert found.min_notional == 5 * 10**7
    assert not stated(SPOT, {**terms, "limits": {"amount": {}}}).max_qty
    with pytest.raises(UnitError):
        stated(SPOT, {**terms, "precision": {"price": 0.001, "amount": 0.001}})
