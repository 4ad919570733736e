"""A preview is the answer that the order would get, and the plan that it would follow."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import config, plugins
from bestex import messages as m
from bestex.errors import Code
from services.scheduler.preview import hears, preview
from tests.unit.scheduler.bench_core import START, Bench
from tests.unit.scheduler.examples import EXAMPLES
from tests.unit.scheduler.play import ID, SYMBOL, Moment, Play, book_of, stats_of

CASES = [(algo, i) for algo in plugins.ALGOS for i in range(len(EXAMPLES[algo]))]


def order(algo: str, **params: Any) -> m.ParentOrder:
    limit = params.pop("limit_price", None)
    more = {name: params.pop(name) for name in ("strategy", "strategy_params", "venues") if name in params}
    return m.ParentOrder(
        symbol=SYMBOL,
        side=m.Side.BUY,
        qty=Decimal(1),
        algo=algo,
        parent_id=ID,
        params=params,
        limit_price=None if limit is None else Decimal(limit),
        **more,
    )


def shown(wanted: m.ParentOrder) -> m.ParentAccepted | m.ParentRejected:
    moment = Moment()
    heard = [book_of(moment, START), stats_of(moment, START)]
    return preview(wanted, Bench(with_book=False).config, heard, START)


@pytest.mark.parametrize(("algo", "i"), CASES)
def test_the_plan_that_is_shown_is_the_one_that_is_followed(algo: str, i: int) -> None:
    answer = shown(order(algo, **EXAMPLES[algo][i]))
    [accepted] = Play().order(algo, **EXAMPLES[algo][i])[:1]
    assert isinstance(answer, m.ParentAccepted)
    assert answer.schedule == accepted.schedule
    assert (answer.works_as, answer.params, answer.arrival_px) == (
        accepted.works_as,
        accepted.params,
        accepted.arrival_px,
    )


def test_what_would_be_refused_is_refused() -> None:
    answer = shown(order("twap", randomize="200%"))
    assert isinstance(answer, m.ParentRejected)
    assert (answer.code, answer.text) == (Code.INVALID_PARAMETER, "randomize must be from 0% to 90%")


def test_it_hears_one_symbol_s_book_and_statistics() -> None:
    found = hears("BTC/USDT", config.load(None, {}))
    assert {"bestex.v1.book.BTC-USDT", "bestex.v1.stats.BTC-USDT"} <= set(found)
    assert not [subject for subject in found if "*" in subject]
