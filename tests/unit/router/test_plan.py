"""`plan`: what the router would do now, or one sentence on why it would do nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import codec, config, plugins
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.human import Ratio
from bestex.impact import ImpactSettings
from bestex.messages import BookStatus, Side
from services.router.plan import Market, answer, make_plan

NOW = 1_700_000_000 * SECOND
CONFIG = config.parse(
    """
[venues.a]
[venues.b]
[instruments."X/Y"]
price_scale = 2
qty_scale = 3
[instruments."X/Y".venues]
a = { tick = "0.01", lot = "0.001", taker_bps = "10" }
b = { tick = "0.01", lot = "0.001", taker_bps = "10" }
"""
)
BOOK = m.ConsolidatedBook(
    "X/Y",
    1,
    NOW,
    2,
    3,
    False,
    False,
    [
        m.VenueColumn("a", BookStatus.LIVE, 0, NOW, NOW, [99_00], [1_000], [101_00], [1_000]),
        m.VenueColumn("b", BookStatus.LIVE, 0, NOW, NOW, [98_90], [1_000], [101_10], [1_000]),
    ],
)
STRATEGIES = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
AROUND = Market(CONFIG.make_instruments(), CONFIG, STRATEGIES, {"X/Y": BOOK})


def plan(side: Side = Side.BUY, qty: str = "1.5", **more: Any) -> m.Plan:
    request = m.PlanRequest(**{"symbol": "X/Y", "side": side, "qty": Decimal(qty), **more})
    return make_plan(request, NOW, AROUND)


def test_the_legs_sum_to_the_plan_and_fees_add_to_what_a_buy_pays() -> None:
    found = plan()
    assert {leg.venue: leg.qty for leg in found.legs} == {"a": 1, "b": Decimal("0.5")}
    assert sum(leg.qty for leg in found.legs) == found.routed_qty == Decimal("1.5")
    paid = 101 + Decimal("50.55")
    assert (found.fees, found.total_cost) == (paid / 1000, paid + paid / 1000)
    assert found.error is None


def test_fees_lower_what_a_sell_receives() -> None:
    found = plan(Side.SELL, "1")
    assert found.total_cost == 99 - Decimal("0.099")
    assert found.expected_slippage_bps == pytest.approx(100)


def test_without_a_configured_day_the_impact_is_what_the_book_shows() -> None:
    found = plan()  # the whole of a's level and half of b's: the best ask is b's then
    assert found.impact_model == "book"
    assert found.expected_impact_bps == pytest.approx(0.10 / 200 * 10_000)
    assert plan(qty="0.5").expected_impact_bps == 0
    everything = plan(qty="2")
    assert (everything.expected_impact_bps, everything.impact_model) == (None, "")


def test_a_sell_moves_the_mid_downwards_and_that_counts_as_impact() -> None:
    assert plan(Side.SELL, "1.5").expected_impact_bps == pytest.approx(0.10 / 200 * 10_000)


def test_with_a_configured_day_the_impact_is_that_of_the_square_root() -> None:
    settings = ImpactSettings(prefactor=0.5, daily_volume=Decimal(150), daily_volatility=Ratio(0.02))
    around = replace(AROUND, config=msgspec.structs.replace(CONFIG, impact={"X/Y": settings}))
    found = make_plan(m.PlanRequest(symbol="X/Y", side=Side.BUY, qty=Decimal("1.5")), NOW, around)
    assert found.impact_model == "square_root"
    assert found.expected_impact_bps == pytest.approx(0.5 * 200 * 0.1)


def test_where_nothing_is_routed_nothing_is_expected() -> None:
    found = plan(limit_price=Decimal(50))
    assert (found.expected_impact_bps, found.impact_model) == (None, "")


def test_what_the_books_do_not_hold_is_said() -> None:
    found = plan(qty="5")
    assert (found.routed_qty, found.error) == (Decimal(2), None)
    assert found.text == "the books hold only a part of it within the limits"
    nothing = plan(limit_price=Decimal(50))
    assert (nothing.routed_qty, nothing.error) == (Decimal(0), Code.NO_LIQUIDITY)
    assert nothing.text == "the books hold none of it within the limits"


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"symbol": "Z"}, Code.UNKNOWN_SYMBOL, "there are X/Y"),
        ({"strategy": "nope"}, Code.UNKNOWN_STRATEGY, "there are"),
        ({"strategy_params": {"nope": 1}}, Code.INVALID_PARAMETER, "nope"),
        ({"venues": ["a", "nope"]}, Code.UNKNOWN_VENUE, "nope does not trade X/Y; a, b do"),
        ({"qty": Decimal(0)}, Code.INVALID_QTY, "must be above zero"),
        ({"qty": Decimal("NaN")}, Code.INVALID_PARAMETER, "NaN"),
        ({"qty": Decimal("0.0001")}, Code.INVALID_PARAMETER, "0.0001"),
    ],
)
def test_a_wrong_request_is_answered_with_a_code_and_a_sentence(
    wrong: dict[str, Any], code: Code, said: str
) -> None:
    request = m.PlanRequest(**{"symbol": "X/Y", "side": Side.BUY, "qty": Decimal(1), **wrong})
    found = make_plan(request, NOW, AROUND)
    assert (found.error, found.legs) == (code, [])
    assert said in found.text


@pytest.mark.parametrize("data", [b"", b"{", b'{"symbol":"X/Y"}', b"[" * 100_000, b'{"side":"up"}'])
def test_what_is_no_request_is_answered_too(data: bytes) -> None:
    found = codec.from_json(answer(data, NOW, market=AROUND), dict[str, Any])
    assert found["error"] == Code.MALFORMED
    assert found["text"]
