"""What ccxt says of orders and trades, as the core's inputs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex.errors import Code
from bestex.units import UnitError
from services.gateway import port as p
from services.gateway.venues.ccxt import said
from tests.unit.gateway.ccxt.test_terms import SPOT


def order(**more: Any) -> p.Said:
    usual = {"id": "v1", "status": "open", "amount": 0.5, "filled": 0.1, "price": 60_000.5}
    return said.order({**usual, **more}, "c1", SPOT)


def test_an_open_order_is_at_work_with_its_terms_and_what_has_filled() -> None:
    assert order() == p.VenueAccepted(
        child_id="c1", venue_order_id="v1", cum_qty=10_000, qty=50_000, price=6_000_050
    )
    bare = order(amount=None, filled=None, price=None)
    assert bare == p.VenueAccepted(child_id="c1", venue_order_id="v1")


@pytest.mark.parametrize(
    ("status", "filled", "how"),
    [
        ("closed", 0.5, "filled"),
        ("closed", 0.1, "canceled"),  # all that some say of an end
        ("canceled", 0.5, "canceled"),
        ("expired", 0.0, "expired"),
    ],
)
def test_an_end_says_how_and_how_much(status: str, filled: float, how: str) -> None:
    end = order(status=status, filled=filled)
    assert isinstance(end, p.VenueClosed)
    assert (end.how, end.cum_qty) == (how, SPOT.qty(filled))


def test_a_record_of_a_refusal_is_found_and_has_its_reason() -> None:
    usual = {"id": "v1", "status": "rejected", "filled": 0}
    end = said.order(usual, "c1", SPOT, Code.POST_ONLY_WOULD_TAKE)
    assert isinstance(end, p.VenueRejected)
    assert end.found
    assert end.code is Code.POST_ONLY_WOULD_TAKE
    plain = said.order(usual, "c1", SPOT)
    assert isinstance(plain, p.VenueRejected)
    assert plain.code is Code.VENUE_REJECTED


def test_a_word_that_is_not_known_is_no_end() -> None:
    assert isinstance(order(status="triggered"), p.VenueAccepted)
    assert isinstance(order(status=None), p.VenueAccepted)


def test_a_number_that_is_not_of_our_units_is_an_error_and_not_rounded() -> None:
    with pytest.raises(UnitError):
        order(filled=0.0000001)
    with pytest.raises(UnitError):
        order(price=60_000.001)


def trade(**more: Any) -> p.VenueFill:
    usual = {
        "id": 77,
        "order": "v1",
        "price": 60_000.5,
        "amount": 0.1,
        "timestamp": 1_700_000_000_123,
        "takerOrMaker": "maker",
        "fee": {"cost": 0.6, "currency": "USDT"},
    }
    return said.fill({**usual, **more}, "c1", SPOT)


def test_a_trade_is_a_fill() -> None:
    assert trade() == p.VenueFill(
        child_id="c1",
        trade_id="77",
        venue_order_id="v1",
        price=6_000_050,
        qty=10_000,
        fee=Decimal("0.6"),
        fee_currency="USDT",
        liquidity="maker",
        venue_ns=1_700_000_000_123_000_000,
    )
    assert trade(takerOrMaker=None).liquidity == "unknown"


def test_a_trade_of_nobody_is_known_by_its_order() -> None:
    assert said.fill({**_raw(), "order": "v9"}, "", SPOT).child_id == "foreign-v9"


def _raw() -> dict[str, Any]:
    return {"id": 1, "price": 1, "amount": 1, "timestamp": 0, "fee": None}


def test_names_are_kept_up_to_a_number_and_nothing_is_learned_from_nothing() -> None:
    names = said.Names()
    names.learn("v1", "c1")
    names.learn("", "c2")
    names.learn("v2", "")
    assert (names.child("v1"), names.child(""), names.child("v2")) == ("c1", "", "")
    for number in range(said.IDS_MAX):
        names.learn(f"x{number}", "c")
    assert names.child("v1") == ""
