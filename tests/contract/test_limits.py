"""Limits, clocks and the connection for orders, at the exchanges that have them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.errors import Code, ConfigError
from services.gateway import port as p
from services.gateway.venues.ccxt.adapter import CcxtVenue
from tests.contract.rigs import (
    BINANCE_PERP,
    BINANCE_SPOT,
    BY_REST,
    BYBIT_SPOT,
    CLOCK,
    OKX_PERP,
    OKX_SPOT,
    Desk,
    Rig,
    desk_of,
)
from tests.emulators.faults import Fault
from tests.waiting import until

BY_SOCKET = [BINANCE_SPOT, BINANCE_PERP, BYBIT_SPOT, OKX_SPOT, OKX_PERP]


@pytest.fixture(params=[*BY_SOCKET, *BY_REST], ids=str)
async def desk(request: Any, tmp_path: Path) -> AsyncIterator[Desk]:
    rig: Rig = request.param
    async with desk_of(rig, tmp_path) as made:
        yield made


def adapter(desk: Desk) -> CcxtVenue:
    assert isinstance(desk.venue, CcxtVenue)
    return desk.venue


async def sent(desk: Desk, order: p.Submit) -> p.Said:
    """As the gateway's desk does it."""
    refused = await adapter(desk).admit(order)
    return (refused or await desk.venue.submit(order))[-1]


def gate(desk: Desk) -> Any:
    return adapter(desk)._limits.gate


# -- limits ------------------------------------------------------------------------------------------------------


async def test_a_burst_is_spread_so_that_the_venue_refuses_none_of_it(tmp_path: Path) -> None:
    async with desk_of(BYBIT_SPOT, tmp_path) as desk:  # 20 a second
        later_ns = CLOCK.now_ns() + 30 * SECOND
        begin_s = time.monotonic()
        said = await asyncio.gather(
            *(sent(desk, desk.order(f"c{n}", deadline_ns=later_ns)) for n in range(50))
        )
        assert all(isinstance(one, p.VenueAccepted) for one in said)
        assert time.monotonic() - begin_s > 2
        assert desk.emulator.faults.asked["new"] == 50


async def test_an_order_that_would_leave_after_its_time_is_not_sent(tmp_path: Path) -> None:
    async with desk_of(BYBIT_SPOT, tmp_path) as desk:
        soon_ns = CLOCK.now_ns() + SECOND // 4
        said = await asyncio.gather(
            *(sent(desk, desk.order(f"c{n}", deadline_ns=soon_ns)) for n in range(50))
        )
        refused = [one for one in said if isinstance(one, p.VenueNotSent)]
        assert len(refused) > 20
        assert {one.code for one in refused} == {Code.RATE_LIMITED}
        assert desk.emulator.faults.asked["new"] == len(said) - len(refused)


async def test_a_cancel_does_not_wait_for_the_orders_before_it(tmp_path: Path) -> None:
    async with desk_of(BINANCE_SPOT, tmp_path) as desk:
        await sent(desk, desk.order("rests"))
        later_ns = CLOCK.now_ns() + 60 * SECOND
        waiting = [
            asyncio.create_task(adapter(desk).admit(desk.order(f"c{n}", deadline_ns=later_ns)))
            for n in range(100)
        ]
        await asyncio.sleep(0)
        assert [
            one.how for one in await desk.venue.cancel(desk.cancel("rests")) if isinstance(one, p.VenueClosed)
        ]
        assert not all(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_what_the_venue_shuts_is_left_alone_until_it_may_be_asked(desk: Desk) -> None:
    asked = desk.emulator.faults.asked
    desk.emulator.faults.add(Fault(how="rate_limited", what="new"))
    [refused] = await desk.venue.submit(desk.order("c1"))
    assert isinstance(refused, p.VenueRejected)
    assert refused.code is Code.RATE_LIMITED
    assert gate(desk).shut_for_ns()
    at_once_ns = CLOCK.now_ns() + SECOND // 10
    late = await sent(desk, desk.order("c2", deadline_ns=at_once_ns))
    assert isinstance(late, p.VenueNotSent)
    assert asked["new"] == 1
    there = await sent(desk, desk.order("c3"))  # has the time to wait
    assert isinstance(there, p.VenueAccepted)
    assert asked["new"] == 2


async def test_where_each_kind_has_its_limit_cancels_pass_though_orders_do_not(tmp_path: Path) -> None:
    for rig in (BYBIT_SPOT, OKX_SPOT):
        async with desk_of(rig, tmp_path / rig.venue) as desk:
            await sent(desk, desk.order("c1"))
            desk.emulator.faults.add(Fault(how="rate_limited", what="new"))
            await desk.venue.submit(desk.order("c2"))
            assert gate(desk).shut_for_ns()
            said = await desk.venue.cancel(desk.cancel("c1"))
            assert not any(isinstance(one, p.VenueUnanswered) for one in said)
            assert desk.emulator.faults.asked["cancel"] == 1


async def test_a_ban_stops_everything_and_a_second_process_knows_of_it(tmp_path: Path) -> None:
    async with desk_of(BINANCE_SPOT, tmp_path) as desk:
        await sent(desk, desk.order("c1"))
        desk.emulator.faults.add(Fault(how="banned", what="query"))
        await desk.both("c1")
        asked = dict(desk.emulator.faults.asked)
        for said in (
            *await desk.venue.cancel(desk.cancel("c1")),
            *await desk.both("c1"),
        ):
            assert isinstance(said, p.VenueUnanswered)
        assert isinstance(await sent(desk, desk.order("c2")), p.VenueNotSent)
        assert asked == dict(desk.emulator.faults.asked)
        other = CcxtVenue(desk.rig.venue, desk.config, CLOCK)
        await other.connect(lambda _: None, CLOCK.now_ns)
        await until(lambda: other._limits.gate is not None)
        assert other._limits.gate is not None
        assert other._limits.gate.shut_for_ns() > 100 * SECOND
        await other.disconnect()
        assert asked == dict(desk.emulator.faults.asked)


async def test_a_cancel_that_is_refused_for_a_limit_is_unanswered_and_not_too_late(desk: Desk) -> None:
    await sent(desk, desk.order("c1"))
    desk.emulator.faults.add(Fault(how="rate_limited", what="cancel"))
    [said] = await desk.venue.cancel(desk.cancel("c1"))
    assert isinstance(said, p.VenueUnanswered)
    assert said.code is Code.RATE_LIMITED


# -- clocks ------------------------------------------------------------------------------------------------------


async def test_a_clock_that_jumps_costs_one_order_and_is_measured_before_the_next(desk: Desk) -> None:
    ahead_s = 40  # more than any of them lets pass
    assert abs(adapter(desk)._session.clock.ahead_ms or 0) < 2_000
    desk.emulator.skew_ns = ahead_s * SECOND
    [refused] = await desk.venue.submit(desk.order("c1"))
    assert isinstance(refused, p.VenueRejected)
    assert refused.code is Code.EXPIRED
    assert desk.there("c1") is None
    assert isinstance(await sent(desk, desk.order("c2")), p.VenueAccepted)
    assert abs((adapter(desk)._session.clock.ahead_ms or 0) - ahead_s * 1_000) < 2_000


async def test_a_cancel_that_is_refused_for_its_time_is_asked_again(desk: Desk) -> None:
    await sent(desk, desk.order("c1"))
    desk.emulator.faults.add(Fault(how="skewed", what="cancel"))
    [said] = await desk.venue.cancel(desk.cancel("c1"))
    assert isinstance(said, p.VenueUnanswered)
    assert said.code is Code.EXPIRED


# -- the connection for orders -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rig", BY_SOCKET, ids=str)
async def test_orders_go_over_the_socket_and_never_again_over_rest(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path) as desk:
        line, asked = adapter(desk)._session.line, desk.emulator.faults.asked
        assert line is not None
        posts = []
        fetch = adapter(desk)._exchange.fetch

        async def watched(url: str, method: str = "GET", *rest: Any) -> Any:
            posts.append((method, url))
            return await fetch(url, method, *rest)

        adapter(desk)._exchange.fetch = watched
        assert isinstance(await sent(desk, desk.order("c1")), p.VenueAccepted)
        desk.emulator.faults.add(Fault(how="reset", what="new", when="after"))
        assert isinstance(await sent(desk, desk.order("c2")), p.VenueUnknown)
        assert desk.there("c2") is not None
        assert asked["new"] == 2
        assert not [post for post in posts if post[0] != "GET"]
        assert not line._waiting
        # What is new is not held up by that: it goes over REST, or over the line that has come up again.
        assert isinstance(await sent(desk, desk.order("c3")), p.VenueAccepted)
        await until(lambda: line.is_up)
        del posts[:]
        assert isinstance(await sent(desk, desk.order("c4")), p.VenueAccepted)
        assert posts == []


async def test_an_answer_that_nobody_can_read_ends_the_connection_and_not_the_venue(tmp_path: Path) -> None:
    async with desk_of(OKX_SPOT, tmp_path) as desk:
        line = adapter(desk)._session.line
        assert line is not None
        desk.emulator.faults.add(Fault(how="garbled", what="new", when="after"))
        unknown = await sent(desk, desk.order("c1"))
        assert isinstance(unknown, p.VenueUnknown)
        assert unknown.text.startswith("Broken"), "it does not wait for an answer that cannot come"
        await until(lambda: line.is_up)
        assert isinstance(await sent(desk, desk.order("c2")), p.VenueAccepted)


def test_a_way_for_orders_that_is_none_is_refused(tmp_path: Path) -> None:
    config = BINANCE_SPOT.config("http://127.0.0.1:1", tmp_path)
    config.venues[BINANCE_SPOT.venue].options["order_entry"] = "pigeon"
    with pytest.raises(ConfigError, match="pigeon"):
        CcxtVenue(BINANCE_SPOT.venue, config, CLOCK)
