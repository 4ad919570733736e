"""What is special about Bybit and OKX, and what their quirks do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side
from services.gateway import port as p
from tests.contract.rigs import BYBIT_PERP, BYBIT_SPOT, CLOCK, OKX_PERP, OKX_SPOT, Desk, Rig, desk_of
from tests.emulators.bybit import Bybit
from tests.waiting import until

RIGS = [BYBIT_SPOT, BYBIT_PERP, OKX_SPOT, OKX_PERP]


@pytest.fixture(params=RIGS, ids=str)
async def desk(request: Any, tmp_path: Path) -> AsyncIterator[Desk]:
    rig: Rig = request.param
    async with desk_of(rig, tmp_path) as made:
        yield made


async def test_an_order_is_not_taken_after_its_deadline(desk: Desk) -> None:
    desk.emulator.skew_ns = 2 * SECOND  # as if it had been under way for so long
    now_ns = CLOCK.now_ns()
    [late] = await desk.venue.submit(desk.order("late", deadline_ns=now_ns + SECOND))
    assert isinstance(late, p.VenueRejected)
    assert late.code is Code.EXPIRED
    assert desk.there("late") is None
    [taken] = await desk.venue.submit(desk.order("taken", deadline_ns=now_ns + 4 * SECOND))
    assert isinstance(taken, p.VenueAccepted)


async def test_why_an_order_that_would_take_has_ended_is_told(desk: Desk) -> None:
    desk.others(Side.SELL)
    since = len(desk.said)
    [taken] = await desk.venue.submit(desk.order("c1", post_only=True))
    assert isinstance(taken, p.VenueAccepted), "the answer says yes"
    ends = (p.VenueRejected, p.VenueClosed)
    by_stream = await desk.until(lambda one: isinstance(one, ends) and one.child_id == "c1", since)
    by_query = (await desk.both("c1", taken.venue_order_id))[0]
    for end in (by_stream, by_query):
        assert isinstance(end, ends)
        assert end.code is Code.POST_ONLY_WOULD_TAKE
    assert isinstance(by_query, p.VenueRejected) == (desk.rig is BYBIT_SPOT)


async def test_more_trades_than_are_on_a_page_are_all_found_once(desk: Desk) -> None:
    qty = desk.rig.qty
    for _ in range(230):
        desk.others(Side.SELL, qty=qty)
    start_ns = CLOCK.now_ns() - 60 * SECOND
    for number in range(115):
        answer = desk.emulator.engine.submit(
            "default", desk.rig.symbol, Side.BUY, 2 * qty, desk.rig.price, client_id=f"c{number}"
        )
        assert len(answer.trades) >= 2
    fills = await desk.venue.fills_since(start_ns)
    assert fills is not None
    assert len(fills) == len({fill.trade_id for fill in fills}) == 230
    assert [fill.venue_ns for fill in fills] == sorted(fill.venue_ns for fill in fills)
    assert {fill.child_id for fill in fills} == {f"c{number}" for number in range(115)}, (
        "nobody had to be asked"
    )
    assert desk.emulator.faults.asked["query"] == 0
    assert sum(fill.qty for fill in fills) == desk.instrument.qty_units(230 * qty)


async def test_more_open_orders_than_are_on_a_page_are_all_found(desk: Desk) -> None:
    for number in range(110):
        desk.emulator.engine.submit(
            "default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price, client_id=f"c{number}"
        )
    found = await desk.venue.open_orders()
    assert found is not None
    assert {one.child_id for one in found} == {f"c{number}" for number in range(110)}


async def test_fees_are_exact_and_above_zero_where_they_are_paid(desk: Desk) -> None:
    desk.others(Side.SELL)
    await desk.venue.submit(desk.order("c1"))
    by_stream = await desk.until(lambda one: isinstance(one, p.VenueFill))
    [fill] = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND) or []
    rate = Decimal(desk.emulator.engine.markets[desk.rig.symbol].listing.taker_fee_e8).scaleb(-8)
    assert fill.fee == by_stream.fee == desk.instrument.cash(fill.qty * fill.price) * rate
    assert fill.fee_currency == ("BTC" if desk.listing.kind == "spot" else "USDT")


@pytest.mark.parametrize("rig", [BYBIT_SPOT, BYBIT_PERP], ids=str)
async def test_bybits_switch_is_thrown_when_the_stream_is_gone(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path) as desk:
        assert isinstance(desk.emulator, Bybit)
        await desk.venue.submit(desk.order("c1"))
        assert await desk.venue.arm(30 * SECOND)
        assert await desk.venue.arm(30 * SECOND)
        assert list(desk.emulator.windows_s.values()) == [30]
        await until(
            lambda: any(topic.startswith("dcp.") for one in desk.emulator.sockets for topic in one.topics)
        )
        for key in desk.emulator.windows_s:
            desk.emulator.windows_s[key] = 0  # without the wait
        await desk.venue.disconnect()
        await until(lambda: not desk.emulator.engine.open_orders("default"))


@pytest.mark.parametrize(("asked_s", "set_s"), [(0, 0), (5, 10), (30, 30), (600, 120)])
async def test_okxs_switch_is_set_to_what_it_can_be(asked_s: int, set_s: int, tmp_path: Path) -> None:
    async with desk_of(OKX_SPOT, tmp_path) as desk:
        told: list[tuple[str, int]] = []
        desk.emulator.engine.cancel_all_after = lambda *asked: told.append(asked)  # type: ignore[method-assign]
        assert await desk.venue.arm(asked_s * SECOND)
        assert told == [("default", set_s * SECOND)]
