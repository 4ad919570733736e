from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex import parent as parent_module
from bestex.client import Client
from bestex.clock import SECOND, Time
from bestex.errors import BusError, Code, UsageError
from bestex.messages import Side
from bestex.parent import Parent
from bestex.status import State

AT = Time(1_750_000_000 * SECOND)
ORDER = m.ParentOrder(symbol="BTC/USDT", side=Side.BUY, qty=Decimal(1), algo="twap", parent_id="p1")


def make_parent() -> Parent:
    return Parent(Client("nats://127.0.0.1:1"), "p1", "BTC/USDT", "twap")


def event(kind: Any, cum: str = "0", **more: Any) -> Any:
    qty = Decimal(cum)
    return kind(
        symbol="BTC/USDT", parent_id="p1", at=AT, cum_qty=qty, leaves_qty=1 - qty, avg_px=None, **more
    )


def accepted() -> Any:
    return event(m.ParentAccepted, order=ORDER, order_seq=1, start_at=AT)


def done(cum: str = "1") -> Any:
    return event(m.ParentDone, cum, reason=Code.FILLED, notional=Decimal(100), fees=Decimal(0))


def rejected(request: str) -> Any:
    return event(m.ParentRejected, code=Code.OFF_LOT, text="no", request=request)


def fill(number: int, qty: str) -> m.Fill:
    return m.Fill(
        fill_id=f"f{number}",
        trade_id=str(number),
        venue="sim_a",
        symbol="BTC/USDT",
        child_id="c1",
        parent_id="p1",
        slice_no=1,
        side=Side.BUY,
        qty=Decimal(qty),
        price=Decimal(100),
        fee=Decimal(0),
        venue_at=AT,
        at=AT,
    )


async def test_the_iteration_ends_with_done_and_tells_every_fill_before_it() -> None:
    parent = make_parent()
    parent.hear("SCHED", 1, accepted())
    parent.hear("EXEC_sim_a", 1, fill(1, "0.4"))
    parent.hear("SCHED", 2, done())
    parent.hear("EXEC_sim_a", 2, fill(2, "0.6"))
    heard = [one async for one in parent]
    assert heard == [accepted(), fill(1, "0.4"), fill(2, "0.6"), done()]
    assert parent.status.state is State.DONE


async def test_a_fill_that_never_comes_does_not_keep_done_back_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parent_module, "LATE_FILLS_S", 0.01)
    parent = make_parent()
    parent.hear("SCHED", 1, accepted())
    parent.hear("SCHED", 2, done())
    assert [one async for one in parent][-1] == done()


async def test_the_same_message_from_the_past_and_from_the_tail_is_told_once() -> None:
    parent = make_parent()
    parent.hold()
    parent.hear("EXEC_sim_a", 7, fill(1, "1"))
    parent.hear("SCHED", 2, done())
    parent.tell([("SCHED", 1, accepted()), ("EXEC_sim_a", 7, fill(1, "1"))])
    assert [one async for one in parent] == [accepted(), fill(1, "1"), done()]


async def test_the_rejection_of_the_order_ends_it_but_that_of_a_request_does_not() -> None:
    refused = make_parent()
    refused.hear("SCHED", 1, rejected("new"))
    assert (await refused.wait()).state is State.REJECTED
    working = make_parent()
    for seq, one in enumerate((accepted(), rejected("pause"), done("0")), 1):
        working.hear("SCHED", seq, one)
    assert (await working.wait()).state is State.DONE


async def test_refusals_before_the_acceptance_are_of_earlier_attempts() -> None:
    parent = make_parent()
    parent.hold()
    parent.tell([("SCHED", 1, rejected("new")), ("SCHED", 2, accepted()), ("SCHED", 3, done("0"))])
    assert [one async for one in parent] == [accepted(), done("0")]


async def test_a_parent_that_nobody_reads_is_let_go_with_an_error() -> None:
    parent = make_parent()
    parent._queue = asyncio.Queue(2)
    for number in range(3):
        parent.hear("EXEC_sim_a", number, fill(number, "0.1"))
    with pytest.raises(BusError, match="waiting to be read"):
        await parent.wait()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("BTC/USDT", "byu", "1"), "write buy or sell"),
        (("BTC/USDT", "buy", "one"), "is no number"),
        (("BTC/USDT", "buy", 0.1), "a float is not exact"),
        (("BTC/USDT",), "a symbol, a side and a quantity"),
    ],
)
async def test_what_cannot_be_an_order_is_refused_before_anything_is_sent(
    arguments: tuple[Any, ...], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        await Client("nats://127.0.0.1:1").submit(*arguments)


async def test_an_id_that_no_subject_can_carry_is_refused() -> None:
    with pytest.raises(UsageError, match="no parent id"):
        await Client("nats://127.0.0.1:1").submit("BTC/USDT", "buy", 1, parent_id="a.b")


async def test_a_bus_that_is_not_there_is_reported_at_once_with_what_to_do() -> None:
    with pytest.raises(BusError, match="start one with `bestex up`"):
        async with Client("nats://127.0.0.1:1"):
            pass
