"""The functions that work an order, in a backtest: the same call as live, the same summary."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bestex import Limit, OrderRejected, config, execute, execute_limit, execute_market, execute_twap
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code, UsageError
from services.backtester.session import VirtualSession

BTC = "BTC/USDT"


def session() -> VirtualSession:
    return VirtualSession(config.load(None, {}), seed=3)


async def test_an_order_is_one_line_and_its_sums_are_those_of_its_fills() -> None:
    trader = session()
    execution = await execute_twap(BTC, "buy", "1", duration="40s", interval="5s", client=trader)
    found = execution.summary(benchmark_price="60000")
    assert (found.algo, found.reason, found.fill_rate) == ("twap", "filled", 1.0)
    assert found.total_quantity == 1
    assert sum(fill.qty for fill in execution.fills) == 1
    notional = sum((fill.qty * fill.price for fill in execution.fills), Decimal(0))
    assert found.avg_fill_price == pytest.approx(notional)
    assert found.total_commission == sum(fill.fee for fill in execution.fills)
    sliced = trader.events(f"parent.*.{execution.parent_id}.sliced")
    assert found.num_slices == len(sliced)
    assert found.arrival_price is not None
    assert 30 <= found.duration_s <= 41
    assert found.benchmark_slippage_bps == pytest.approx(float(found.avg_fill_price / 60_000 - 1) * 1e4)


async def test_the_market_s_averages_are_those_of_all_that_was_published() -> None:
    trader = session()
    trades: list[m.MarketTrade] = []
    trader.world.listeners.append(
        lambda _, message: trades.append(message) if isinstance(message, m.MarketTrade) else None
    )
    execution = await execute_twap(BTC, "sell", "1", duration="40s", interval="5s", client=trader)
    listed = {(one.venue, one.symbol) for one in trader.config.make_instruments().by_symbol[BTC].listings}
    inside = [
        (trade.price / 10**trade.price_scale, trade.qty / 10**trade.qty_scale)
        for trade in trades
        if (trade.venue, trade.symbol) in listed
        and execution.started_at <= trade.recv_ns <= execution.ended_at
    ]
    naive = sum(price * qty for price, qty in inside) / sum(qty for _, qty in inside)
    assert execution.interval_vwap == pytest.approx(naive)
    assert execution.interval_twap == pytest.approx(naive, rel=1e-3)


async def test_orders_follow_one_another_on_one_clock() -> None:
    trader = session()
    first = await execute_market(BTC, "buy", "0.1", client=trader)
    second = await execute(
        BTC, "sell", "0.1", algo=Limit(tif="ioc"), limit_price="59000", parent_id="mine", client=trader
    )
    assert second.started_at >= first.ended_at
    assert second.parent_id == "mine"
    assert trader.execution(first.parent_id).summary() == first.summary()
    assert trader.audit(complete=True).ok


async def test_a_refusal_is_the_same_exception_as_live() -> None:
    with pytest.raises(OrderRejected) as raised:
        await execute_limit(BTC, "buy", "1", client=session())
    assert raised.value.code is Code.MISSING_PARAMETER


def test_what_has_not_ended_or_is_not_there_has_no_summary() -> None:
    trader = session()
    with pytest.raises(UsageError, match="no order nobody"):
        trader.execution("nobody")
    trader.submit(m.ParentOrder(symbol=BTC, side=m.Side.BUY, qty=Decimal(1), algo="twap"))
    trader.run(trader.now_ns + SECOND)
    with pytest.raises(UsageError, match="has not ended"):
        trader.execution("p1")


def test_the_command_prints_what_each_order_came_to(tmp_path: Path) -> None:
    order = {"symbol": BTC, "side": "buy", "qty": "0.5", "algo": "twap", "params": {"duration": "10s"}}
    wrong = {**order, "params": {"slices": -1}}
    path = tmp_path / "orders.json"
    path.write_text(json.dumps([{"order": order}, {"order": wrong}]))
    outcome = subprocess.run(
        [sys.executable, "-m", "services.backtester", str(path), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(outcome.stdout)
    assert len(found["parents"]) == 2
    [execution] = found["executions"]
    assert (execution["total_quantity"], execution["num_slices"]) == ("0.5", 1)
    assert len(execution["fills"]) == execution["num_fills"] == found["fills"]
