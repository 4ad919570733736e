"""Whose word it is how a slice is routed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex.messages import ParentOrder, Side
from services.router.strategies.smart import Smart
from services.router.strategies.sweep import Sweep
from services.scheduler.algos.base import Slice
from services.scheduler.algos.market import Market
from services.scheduler.facts import routing_of


@pytest.mark.parametrize(
    ("order", "wanted", "strategy", "params"),
    [
        ({}, {}, "sweep", {}),
        ({"strategy": "smart", "strategy_params": {"urgency": "low"}}, {}, "smart", {"urgency": "low"}),
        ({"strategy": "smart"}, {"strategy": "best_price"}, "best_price", {}),
        (
            {"strategy_params": {"max_splits": 2}},
            {"strategy_params": {"max_splits": 1}},
            "sweep",
            {"max_splits": 1},
        ),
        # Parameters of one strategy mean nothing to another.
        ({"strategy": "smart", "strategy_params": {"urgency": "low"}}, {"strategy": "sweep"}, "sweep", {}),
    ],
)
def test_a_slice_is_routed_by_its_own_word_over_the_orders_over_the_default(
    order: dict[str, Any], wanted: dict[str, Any], strategy: str, params: dict[str, Any]
) -> None:
    parent = ParentOrder(side=Side.BUY, qty=Decimal(1), **order)
    found = routing_of(parent, Slice(1, 2, **wanted), Market(), "sweep", Sweep)
    assert found == {"strategy": strategy, "strategy_params": params}


def test_an_orders_urgency_reaches_a_strategy_that_weighs_it_and_has_no_word_of_its_own() -> None:
    params = Market(urgency="high")
    order = ParentOrder(side=Side.BUY, qty=Decimal(1), strategy="smart")
    assert routing_of(order, Slice(1, 2), params, "sweep", Smart)["strategy_params"] == {"urgency": "high"}
    said = ParentOrder(side=Side.BUY, qty=Decimal(1), strategy="smart", strategy_params={"urgency": "low"})
    assert routing_of(said, Slice(1, 2), params, "sweep", Smart)["strategy_params"] == {"urgency": "low"}
    plain = ParentOrder(side=Side.BUY, qty=Decimal(1))
    assert routing_of(plain, Slice(1, 2), params, "sweep", Sweep)["strategy_params"] == {}
