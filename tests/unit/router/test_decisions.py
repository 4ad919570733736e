"""What a decision says beside its legs, and what it keeps away from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from tests.unit.router.test_core import NOW, Bench, make_book, make_slice


def test_what_a_route_leaves_is_said_in_the_decision() -> None:
    bench = Bench()
    bench.feed(make_book())
    (decided,) = bench.feed(make_slice("3"))
    assert sum(leg.qty for leg in decided.legs) == 2
    assert decided.text == "the books hold only a part of it within the limits"
    bench = Bench()
    bench.feed(make_book())
    (decided,) = bench.feed(make_slice("3", tif=m.Tif.GTC, limit_price=Decimal("60100")))
    assert (sum(leg.qty for leg in decided.legs), decided.text) == (3, "")  # the rest is posted


def test_nothing_rests_where_the_order_keeps_away_from() -> None:
    bench = Bench()
    bench.feed(make_book())
    away = make_slice(tif=m.Tif.GTC, limit_price=Decimal("59000"), strategy_params={"include_spot": False})
    (decided,) = bench.feed(away)
    assert decided.legs == []
    assert {left.reason for left in decided.left_out} == {"not_selected: include_spot is false"}


@pytest.mark.parametrize(
    "stale", [{"strategy_params": {"max_splits": -1}}, {"strategy": "of_another_day"}], ids=str
)
def test_a_slice_that_does_not_fit_the_configuration_any_more_ends_with_the_reason(stale: Any) -> None:
    bench = Bench()
    bench.feed(make_book())
    (decided,) = bench.feed(make_slice(**stale))
    assert (decided.legs, len(decided.left_out)) == ([], 4)
    (done,) = bench.advance(NOW + 10 * SECOND)
    assert (type(done), done.reason) == (m.RouteDone, Code.EXPIRED)
    assert "invalid_parameter: " in done.text
