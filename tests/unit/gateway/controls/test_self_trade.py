"""A child that would meet an order of ours is not sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import port as p
from tests.unit.gateway.bench import SYMBOL, VENUE, Bench, accepted, child_cancel, child_new, closed
from tests.unit.gateway.controls.controlled import again, code_of, limited


def resting(bench: Bench, side: Side = Side.SELL, price: str = "60000", **more: Any) -> None:
    bench.hear(
        child_new("r1", bench.now, tif=Tif.GTC, side=side, price=Decimal(price), **more), accepted("r1")
    )


def other(bench: Bench, child_id: str, price: str, side: Side = Side.BUY, **more: Any) -> Code | None:
    return code_of(bench, child_id, price=Decimal(price), side=side, parent_id="p2", **more)


@pytest.mark.parametrize(
    ("side", "price", "code"),
    [
        (Side.BUY, "60000", Code.SELF_TRADE),
        (Side.BUY, "59999.9", None),
        (Side.SELL, "60000", None),
    ],
)
def test_a_buy_that_reaches_our_sell_is_refused(
    bench: Bench, side: Side, price: str, code: Code | None
) -> None:
    resting(bench)
    assert other(bench, "c1", price, side) is code


def test_a_sell_that_reaches_our_buy_is_refused(bench: Bench) -> None:
    resting(bench, Side.BUY)
    assert other(bench, "c1", "60000", Side.SELL) is Code.SELF_TRADE
    assert other(bench, "c2", "60000.1", Side.SELL) is None


def test_what_may_be_there_counts_and_what_has_ended_does_not(bench: Bench) -> None:
    bench.hear(child_new("r1", tif=Tif.GTC, side=Side.SELL))
    assert other(bench, "c1", "60000") is Code.SELF_TRADE, "written down, and so perhaps there"
    again(bench)
    assert other(bench, "c2", "60000") is Code.SELF_TRADE, "unknown, and so perhaps there"
    bench.hear(closed("canceled", 0, "r1"))
    assert other(bench, "c3", "60000") is None


def test_an_order_that_never_rests_is_met_by_nobody(bench: Bench) -> None:
    bench.hear(child_new("r1", tif=Tif.IOC, side=Side.SELL))
    assert other(bench, "c1", "60000") is None


def test_a_price_that_a_replace_leaves_open_counts_too(bench: Bench) -> None:
    resting(bench)
    terms: dict[str, Any] = {"child_id": "r1", "parent_id": "p1", "venue": VENUE, "symbol": SYMBOL}
    terms |= {"qty": Decimal("0.01"), "price": Decimal("59000"), "expires_at": Time(bench.now + SECOND)}
    bench.hear(m.ChildReplace(**terms))
    assert other(bench, "c1", "59000") is Code.SELF_TRADE
    assert other(bench, "c2", "58999.9") is None


def test_a_replace_into_our_own_order_is_refused(bench: Bench) -> None:
    resting(bench)
    bench.hear(
        child_new("b1", bench.now, tif=Tif.GTC, price=Decimal("59000"), parent_id="p2"), accepted("b1")
    )
    terms: dict[str, Any] = {"child_id": "b1", "parent_id": "p2", "venue": VENUE, "symbol": SYMBOL}
    terms |= {"qty": Decimal("0.01"), "price": Decimal("60000"), "expires_at": Time(bench.now + SECOND)}
    assert bench.hear(m.ChildReplace(**terms))[0].code is Code.SELF_TRADE


GROUPS = '[limits.self_trade]\ngroups = [["a", "b"], ["c"]]\n'


@pytest.mark.parametrize(("account", "code"), [("a", Code.SELF_TRADE), ("b", Code.SELF_TRADE), ("c", None)])
def test_accounts_of_one_owner_do_not_meet(account: str, code: Code | None) -> None:
    bench = limited(GROUPS)
    resting(bench, account="a")
    assert other(bench, "c1", "60000", account=account) is code


def test_the_resting_order_can_be_told_to_make_way() -> None:
    bench = limited('[limits.self_trade]\npolicy = "cancel_resting"\n')
    resting(bench)
    assert other(bench, "c1", "60000") is Code.SELF_TRADE
    assert [cancel.child_id for cancel in bench.asked(p.Cancel)] == ["r1"]
    assert bench.journal[-1].reason is Code.SELF_TRADE
    other(bench, "c2", "60000")
    assert not bench.asked(p.Cancel), "once"
    bench.hear(closed("canceled", 0, "r1"))
    assert other(bench, "c3", "60000") is None


def test_it_can_be_turned_off() -> None:
    bench = limited('[limits.self_trade]\npolicy = "off"\n')
    resting(bench)
    assert other(bench, "c1", "60000") is None
    bench.hear(child_cancel("r1"))
