"""The adapter of KIS against the emulated broker: what is special about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import SECOND
from bestex.human import Duration
from bestex.messages import Side, Tif
from bestex.sim_wire import State
from services.gateway import port as p
from services.gateway.venues.kis.adapter import KisVenue
from tests.contract.live import Live
from tests.contract.rigs import CLOCK, KIS, KIS_KRX, Desk, Rig, desk_of
from tests.contract.test_contract import is_fill, rests
from tests.emulators.budget import Budget
from tests.emulators.faults import Fault
from tests.emulators.server import Key
from tests.unit.gateway.bench import child_cancel
from tests.unit.gateway.kis_desk import connected, kis, optioned, replace
from tests.waiting import until

MINUTE_AGO = 60 * SECOND
RESETS = [(how, when) for how in ("reset", "timeout", "garbled") for when in ("before", "after")]


@pytest.fixture(params=KIS, ids=str)
async def desk(request: Any, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def krx(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_of(KIS_KRX, tmp_path) as made:
        yield made


# -- new numbers -----------------------------------------------------------------------------------------------


async def test_an_amended_order_has_a_new_number_and_one_sum(desk: Desk) -> None:
    first = (await rests(desk, "c1")).venue_order_id
    desk.others(Side.SELL, qty=Decimal(3))
    await desk.until(is_fill("c1"))
    *_, replaced = await desk.venue.modify(replace(desk, "c1", first, off=2))
    assert isinstance(replaced, p.VenueReplaced)
    assert replaced.venue_order_id != first
    desk.others(Side.SELL, off=-2, qty=Decimal(2))
    await desk.until(lambda one: isinstance(one, p.VenueFill) and one.trade_id.endswith("-5"))
    for stands in await desk.both("c1", replaced.venue_order_id):
        assert (stands.venue_order_id, stands.cum_qty, stands.qty) == (replaced.venue_order_id, 5, 10)
    fills = await desk.venue.fills_since(CLOCK.now_ns() - MINUTE_AGO)
    assert fills is not None
    assert [fill.qty for fill in fills] == [3, 2]
    assert {fill.trade_id for fill in fills} == {f"{first}-3", f"{first}-5"}
    said = await desk.venue.cancel(desk.cancel("c1", replaced.venue_order_id))
    assert [(one.how, one.cum_qty) for one in said if isinstance(one, p.VenueClosed)] == [("canceled", 5)]


@pytest.mark.parametrize(("how", "when"), RESETS)
async def test_an_amendment_without_an_answer_is_found_or_is_not(krx: Desk, how: Any, when: Any) -> None:
    first = (await rests(krx, "c1")).venue_order_id
    krx.emulator.faults.add(Fault(how=how, what="amend", when=when, seconds=3))
    said = await krx.venue.modify(replace(krx, "c1", first))
    assert [type(one) for one in said] == [p.VenueUnanswered]
    for stands in await krx.both("c1", first):
        assert isinstance(stands, p.VenueAccepted)
        assert (stands.venue_order_id != first) == (when == "after")
        assert stands.price == krx.order("c1", off=-3 if when == "after" else 0).price
    assert krx.emulator.faults.asked["amend"] == 1
    await krx.venue.cancel(krx.cancel("c1", first))
    there = krx.there("c1")
    assert there is not None
    assert there.state is State.CANCELED, "by its new number, though that was not told"


async def test_a_quantity_is_not_amended(desk: Desk) -> None:
    first = (await rests(desk, "c1")).venue_order_id
    [said] = await desk.venue.modify(replace(desk, "c1", first, qty=9))
    assert isinstance(said, p.VenueReplaceRejected)
    assert desk.emulator.faults.asked["amend"] == 0


# -- trades ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["double_user", "mute_user", "late_user"])
async def test_notices_that_are_doubled_missing_or_late_change_no_sum(desk: Desk, fault: Any) -> None:
    await rests(desk, "c1", price=desk.order("c1", off=5).price)
    desk.emulator.faults.add(Fault(how=fault, times=4, seconds=0.3))
    for off in (-3, -2, -1):
        desk.others(Side.SELL, off=off, qty=Decimal(2))
    fills: Any = []

    async def all_there() -> bool:
        fills[:] = await desk.venue.fills_since(CLOCK.now_ns() - MINUTE_AGO) or []
        return bool(sum(fill.qty for fill in fills) >= 6)

    await until(all_there)
    price = desk.order("c1", off=5).price
    assert sum(fill.qty for fill in fills) == 6
    assert sum(fill.qty * fill.price for fill in fills) == 6 * price
    await asyncio.sleep(0)
    again = await desk.venue.fills_since(CLOCK.now_ns() - MINUTE_AGO)
    assert again == fills


@pytest.mark.parametrize("rig", KIS, ids=str)
async def test_a_gateway_that_begins_anew_counts_only_what_is_new(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path, "1s", connect=False) as desk:
        live = Live(desk)
        async with live:
            live.new("c1")
            await live.until(lambda: live.decided("c1"))
            desk.others(Side.SELL, qty=Decimal(3))
            await until(lambda: sum_of(live) == 3)
        desk.others(Side.SELL, qty=Decimal(2))
        desk.venue = KisVenue(rig.venue, desk.config, CLOCK)
        async with Live(desk, live.journal) as again:
            await until(lambda: sum_of(again) == 5)
            desk.others(Side.SELL, qty=Decimal(5))
            await again.until(lambda: again.end("c1") is not None)
        assert again.became("c1") == "filled"
        assert sum_of(again) == 10
        assert not again.core.anomalies


def sum_of(live: Live) -> Decimal:
    return sum((one.qty for one in live.journal if isinstance(one, m.Fill)), Decimal(0))


async def test_what_is_sold_is_taxed(krx: Desk) -> None:
    krx.others(Side.BUY)
    config = optioned(krx.config, "kis_krx", sell_tax_bps="18", notices=False)
    async with connected(krx, config) as venue:
        await venue.submit(krx.order("c1", Side.SELL, tif=Tif.IOC))
        [fill] = await venue.fills_since(CLOCK.now_ns() - MINUTE_AGO) or []
    value = Decimal(10 * 70_000)
    assert (fill.fee, fill.fee_currency) == (value * Decimal("19.5") / 10_000, "USDT")


# -- whose is it -----------------------------------------------------------------------------------------------


async def test_two_children_of_the_same_terms_whose_answers_are_lost(tmp_path: Path) -> None:
    async with desk_of(KIS_KRX, tmp_path, "1s", connect=False) as desk:
        repeats = msgspec.structs.replace(desk.config.limits.repeats, duplicate_window=Duration(0))
        limits = msgspec.structs.replace(desk.config.limits, repeats=repeats)
        desk.config = msgspec.structs.replace(desk.config, limits=limits)
        async with Live(desk) as live:
            desk.emulator.faults.add(Fault(how="mute_user", seconds=600))
            desk.emulator.faults.add(Fault(how="reset", what="new", when="after", times=2))
            live.new("c1")
            live.new("c2")
            await live.until(lambda: live.decided("c1") and live.decided("c2"))
            assert {live.became("c1"), live.became("c2")} == {"unknown, then working"}
            numbers = {one.venue_order_id for one in live.journal if isinstance(one, m.ExecAccepted)}
            assert len(numbers) == 2
            for child_id in ("c1", "c2"):
                live.deliver(
                    m.ChildCancel(**{**msgspec.structs.asdict(child_cancel(child_id)), "venue": "kis_krx"})
                )
            await live.until(lambda: live.end("c1") is not None and live.end("c2") is not None)
        assert desk.emulator.engine.open_orders("default") == []
        assert desk.emulator.faults.asked["new"] == 2


async def test_an_order_of_somebody_else_with_the_same_terms_is_not_taken_for_ours(krx: Desk) -> None:
    engine = krx.emulator.engine
    krx.emulator.faults.add(Fault(how="reset", what="new", when="after"))
    sent_ns = CLOCK.now_ns()
    [said] = await krx.venue.submit(krx.order("c1"))
    assert isinstance(said, p.VenueUnknown)
    engine.submit("default", KIS_KRX.symbol, Side.BUY, KIS_KRX.qty, KIS_KRX.price)
    order = krx.order("c1")
    terms: dict[str, Any] = {"side": order.side, "qty": order.qty, "price": order.price, "tif": order.tif}
    for endpoint in p.Endpoint:
        [said] = await krx.venue.query_order(krx.query("c1", endpoint, submitted_ns=sent_ns, **terms))
        assert isinstance(said, p.VenueUnanswered)
        assert "by hand" in said.text
    [first, second] = await krx.venue.open_orders() or []
    known: dict[str, Any] = {"claimed": (second.venue_order_id,), **terms}
    [said] = await krx.venue.query_order(krx.query("c1", p.Endpoint.ORDER, submitted_ns=sent_ns, **known))
    assert isinstance(said, p.VenueAccepted)
    assert said.venue_order_id == first.venue_order_id


async def test_what_neither_list_has_is_absent(desk: Desk) -> None:
    desk.emulator.faults.add(Fault(how="reset", what="new"))
    sent_ns = CLOCK.now_ns()
    await desk.venue.submit(desk.order("c1"))
    order = desk.order("c1")
    terms: dict[str, Any] = {"side": order.side, "qty": order.qty, "price": order.price, "tif": order.tif}
    for said in await desk.both("c1", submitted_ns=sent_ns, **terms):
        assert isinstance(said, p.VenueAbsent)


async def test_what_only_one_list_has_is_not_absent(krx: Desk) -> None:
    krx.emulator.faults.add(Fault(how="reset", what="new", when="after"))
    sent_ns = CLOCK.now_ns()
    await krx.venue.submit(krx.order("c1"))
    [row] = kis(krx).numbers["KRX"].links(krx.emulator.engine.orders("default")[0])
    kis(krx).late_rows.add(row.number)
    order = krx.order("c1")
    terms: dict[str, Any] = {"side": order.side, "qty": order.qty, "price": order.price, "tif": order.tif}
    [said] = await krx.venue.query_order(krx.query("c1", p.Endpoint.LISTS, submitted_ns=sent_ns, **terms))
    assert isinstance(said, p.VenueUnanswered), "the open orders have one that may be it"
    kis(krx).late_rows.clear()
    [found] = await krx.venue.query_order(krx.query("c1", p.Endpoint.LISTS, submitted_ns=sent_ns, **terms))
    assert isinstance(found, p.VenueAccepted)
    kis(krx).late_rows.add(row.number)
    [said] = await krx.venue.query_order(krx.query("c1", p.Endpoint.LISTS, found.venue_order_id))
    assert isinstance(said, p.VenueUnanswered), "nor is one that was known before"


async def test_pings_are_answered(krx: Desk) -> None:
    for _ in range(5):
        kis(krx).ping()
        await until(lambda: krx.emulator.sockets[0].state["unanswered"] == 0)
    assert not any(isinstance(one, p.SessionState) and one.state is p.Session.DOWN for one in krx.said)


async def test_all_is_known_again_from_long_lists(krx: Desk) -> None:
    kis(krx).PAGE = {False: 3}
    kis(krx).budgets[Key().key] = Budget(1_000, 1.0)
    ids = [(await rests(krx, f"c{i}", price=60_000 + 100 * i)).venue_order_id for i in range(8)]
    queries = tuple(
        krx.query(f"c{i}", p.Endpoint.ORDER, one, side=Side.BUY, qty=10) for i, one in enumerate(ids)
    )
    async with connected(krx, optioned(krx.config, "kis_krx", notices=False)) as venue:
        said = await venue.mass_status(p.MassStatus(venue="kis_krx", since_ns=0, orders=queries))
    assert said is not None
    stands = [one for one in said if isinstance(one, p.VenueAccepted)]
    assert [(one.child_id, one.venue_order_id) for one in stands] == [
        (f"c{i}", one) for i, one in enumerate(ids)
    ]


async def test_many_questions_are_one_reading_of_the_lists(krx: Desk) -> None:
    kis(krx).budgets[Key().key] = Budget(1_000, 1.0)  # the orders are not what is limited here
    ids = {f"c{i}": (await rests(krx, f"c{i}", price=60_000 + 100 * i)).venue_order_id for i in range(30)}
    asked = krx.emulator.faults.asked
    asked.clear()
    answers = await asyncio.gather(
        *(krx.venue.query_order(krx.query(one, p.Endpoint.ORDER, ids[one])) for one in ids)
    )
    assert [answer[-1].venue_order_id for answer in answers] == list(ids.values())  # type: ignore[union-attr]
    assert asked["query"] + asked["list"] <= 5
