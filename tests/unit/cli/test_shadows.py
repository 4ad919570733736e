"""The summary of shadow routing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex.cli.shadows import summary
from bestex.clock import Time
from bestex.errors import Code
from bestex.messages import RouteDone, ShadowCost


def done(**costs: float) -> RouteDone:
    shadows = [ShadowCost(name, cost) for name, cost in costs.items()]
    base: dict[str, Any] = {
        "symbol": "X/Y",
        "parent_id": "p",
        "slice_no": 1,
        "at": Time(0),
        "reason": Code.FILLED,
    }
    sums: dict[str, Any] = {
        "qty": Decimal(1),
        "filled_qty": Decimal(1),
        "notional": Decimal(1),
        "fees": Decimal(0),
    }
    return RouteDone(**base, **sums, shadows=shadows)


def test_the_cheapest_comes_first_with_the_error_of_its_paired_differences() -> None:
    best, real, worst = summary(
        [done(sweep=5.0, smart=2.0, best_price=6.0), done(sweep=7.0, smart=6.0, best_price=8.0)]
    )
    assert (best.strategy, best.slices, best.cost_bps, best.saves_bps) == ("smart", 2, 4.0, 2.0)
    assert best.error_bps == pytest.approx(1.0)
    assert (real.strategy, real.cost_bps, real.saves_bps, real.error_bps) == ("as routed", 6.0, 0.0, 0.0)
    assert (worst.strategy, worst.saves_bps) == ("best_price", -1.0)


def test_of_one_slice_there_is_no_error_to_tell_and_of_none_nothing() -> None:
    assert summary([done(sweep=5.0, smart=2.0)])[0].error_bps is None
    assert summary([]) == []
