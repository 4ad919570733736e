"""What is said of an order that has ended."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from bestex import codec
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code, OrderRejected, UsageError
from bestex.execution import execute, execution_of
from bestex.interval import Interval
from bestex.messages import Side
from tests.unit.test_interval import stats, trade

START = 1_700_000_000 * SECOND


def told(side: Side = Side.BUY, cum: str = "2", late: bool = False) -> list[Any]:
    def at(seconds: int) -> dict[str, Any]:
        return {"symbol": "X/Y", "parent_id": "p1", "at": Time(START + seconds * SECOND)}

    def stands(qty: str, average: str | None) -> dict[str, Any]:
        price = None if average is None else Decimal(average)
        return {"cum_qty": Decimal(qty), "leaves_qty": 2 - Decimal(qty), "avg_px": price}

    order = m.ParentOrder(symbol="X/Y", side=side, qty=Decimal(2), algo="twap", parent_id="p1")
    nothing = stands("0", None)
    events: list[Any] = [
        m.ParentAccepted(
            **at(0), **nothing, order=order, order_seq=1, start_at=Time(START), arrival_px=Decimal(100)
        )
    ]
    if late:
        events.append(m.ParentStarted(**at(5), **nothing, arrival_px=Decimal(99)))
    for number, price in enumerate(("100", "102"), 1):
        more: dict[str, Any] = {"slice_no": number, "side": side, "qty": Decimal(1)}
        times: dict[str, Any] = {"due_at": Time(START), "expires_at": Time(START)}
        events.append(m.ParentSliced(**at(10 * number), **nothing, **more, **times))
        events.append(
            m.Fill(
                fill_id=str(number), trade_id=str(number), venue="sim_a", symbol="X/Y", child_id="c",
                parent_id="p1", slice_no=number, side=side, qty=Decimal(1), price=Decimal(price),
                fee=Decimal("0.5"), fee_currency="Y", liquidity="taker",
                venue_at=Time(START), at=Time(START + 10 * number * SECOND),
            )
        )  # fmt: skip
    ending: dict[str, Any] = {"reason": Code.FILLED, "notional": Decimal(202), "fees": Decimal(1)}
    return [*events, m.ParentDone(**at(30), **stands(cum, "101"), **ending)]


def test_the_summary_says_what_was_filled_at_what_cost() -> None:
    execution = execution_of(told())
    found = execution.summary()
    assert (found.total_quantity, found.avg_fill_price, found.total_commission) == (
        Decimal(2),
        Decimal(101),
        Decimal(1),
    )
    assert (found.num_slices, found.num_fills, found.fill_rate, found.duration_s) == (2, 2, 1.0, 30.0)
    assert sum(line.quantity for line in found.fills) == found.total_quantity
    assert [(line.fill_price, line.fee, line.venue) for line in found.fills] == [
        (Decimal(100), Decimal("0.5"), "sim_a"),
        (Decimal(102), Decimal("0.5"), "sim_a"),
    ]
    assert execution.is_filled


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_positive_basis_points_are_cost_on_both_sides(side: Side, sign: int) -> None:
    found = execution_of(told(side)).summary("101.5")
    assert found.slippage_bps == pytest.approx(sign * 100.0)
    assert found.benchmark_slippage_bps == pytest.approx(sign * (101 - 101.5) / 101.5 * 1e4)


def test_the_market_is_averaged_over_the_order_s_own_time() -> None:
    interval = Interval()
    for seconds, price in ((-5, 5000), (10, 1000), (20, 1030), (40, 9000)):
        interval.trade(trade(START + seconds * SECOND, price, 100))
    for seconds, mid in ((-1, 100), (15, 104), (31, 900)):
        interval.stats(stats(START + seconds * SECOND, mid))
    found = execution_of(told(), interval).summary()
    assert found.interval_vwap == pytest.approx(101.5)
    assert found.vwap_slippage_bps == pytest.approx((101 - 101.5) / 101.5 * 1e4)
    assert found.interval_twap == pytest.approx(102.0)


def test_what_is_not_known_is_left_out() -> None:
    found = execution_of(told()).summary()
    assert (found.interval_vwap, found.vwap_slippage_bps, found.interval_twap) == (None, None, None)
    assert (found.benchmark_price, found.benchmark_slippage_bps) == (None, None)


def test_an_order_that_waited_is_measured_from_its_start() -> None:
    found = execution_of(told(late=True)).summary()
    assert (found.duration_s, found.arrival_price) == (25.0, Decimal(99))


def test_a_summary_travels_as_json() -> None:
    found = json.loads(json.dumps(execution_of(told()).summary().as_dict()))
    assert found["avg_fill_price"] == "101"
    assert found["fills"][0]["timestamp"] == "2023-11-14T22:13:30.000000Z"


def test_a_refusal_is_an_exception_with_its_code() -> None:
    nothing: dict[str, Any] = {"cum_qty": Decimal(0), "leaves_qty": Decimal(0), "avg_px": None}
    refused = m.ParentRejected(
        symbol="X/Y", parent_id="p1", at=Time(START), **nothing, code=Code.OFF_LOT, text="not a lot"
    )
    with pytest.raises(OrderRejected, match=r"p1 was rejected: not a lot \(off_lot\)") as raised:
        execution_of([refused])
    assert (raised.value.code, raised.value.text, raised.value.parent_id) == (Code.OFF_LOT, "not a lot", "p1")


def test_a_refused_request_about_an_order_at_work_is_none() -> None:
    events = told()
    nothing: dict[str, Any] = {"cum_qty": Decimal(0), "leaves_qty": Decimal(2), "avg_px": None}
    asked = m.ParentRejected(
        symbol="X/Y", parent_id="p1", at=Time(START), **nothing, code=Code.TOO_LATE, text="", request="modify"
    )
    assert execution_of([events[0], asked, *events[1:]]).status.reason == "filled"


@pytest.mark.parametrize("events", [told()[:-1], []])
def test_what_has_not_ended_has_no_sums(events: list[Any]) -> None:
    with pytest.raises(UsageError, match="has not ended"):
        execution_of(events)


async def test_an_order_is_what_was_written_and_a_client_works_it() -> None:
    class Worker:
        seen: m.ParentOrder

        async def execute(self, order: m.ParentOrder) -> Any:
            self.seen = order
            return execution_of(told())

    worker = Worker()
    await execute("X/Y", "sell", "2", algo="twap", limit_price="99", venues=["a"], slices=3, client=worker)
    assert codec.to_builtins(worker.seen) == {
        "symbol": "X/Y",
        "side": "sell",
        "qty": "2",
        "algo": "twap",
        "limit_price": "99",
        "venues": ["a"],
        "params": {"slices": 3},
    }
