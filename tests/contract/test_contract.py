"""What the gateway's core relies on, of every venue there is: the same sentences for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from bestex.sim_wire import State
from services.gateway import port as p
from tests.contract.rigs import CLOCK, RIGS, Desk, Rig, desk_of


@pytest.fixture(params=RIGS, ids=str)
async def desk(request: Any, tmp_path: Path) -> AsyncIterator[Desk]:
    rig: Rig = request.param
    async with desk_of(rig, tmp_path) as made:
        yield made


def is_fill(child_id: str) -> Any:
    return lambda said: isinstance(said, p.VenueFill) and said.child_id == child_id


async def rests(desk: Desk, child_id: str, **more: Any) -> p.VenueAccepted:
    said = await desk.venue.submit(desk.order(child_id, **more))
    assert isinstance(said[-1], p.VenueAccepted), said
    return said[-1]


async def test_an_order_rests_under_its_own_id_and_both_endpoints_know_it(desk: Desk) -> None:
    accepted = await rests(desk, "c1")
    there = desk.there("c1")
    assert there is not None
    place = desk.emulator.engine.markets[desk.rig.symbol]
    terms = there.state, place.qty(there.qty), place.price(there.price)
    assert terms == (State.OPEN, desk.rig.qty, desk.rig.price)
    for said in await desk.both("c1", accepted.venue_order_id):
        assert isinstance(said, p.VenueAccepted)
        assert (said.child_id, said.venue_order_id) == ("c1", accepted.venue_order_id)
        assert (said.qty, said.price, said.cum_qty) == (desk.order("c1").qty, desk.order("c1").price, 0)


async def test_what_fills_is_told_with_the_same_trade_by_the_stream_and_by_every_query(desk: Desk) -> None:
    accepted = await rests(desk, "c1")
    part = desk.rig.qty / 2
    desk.others(Side.SELL, qty=part)
    fill = await desk.until(is_fill("c1"))
    assert (fill.qty, fill.price) == (desk.instrument.qty_units(part), desk.order("c1").price)
    assert (fill.liquidity in ("maker", "unknown"), fill.venue_order_id) == (True, accepted.venue_order_id)
    pulled = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND)
    assert pulled == [fill]
    listed = await desk.venue.query_order(desk.query("c1", p.Endpoint.LISTS, accepted.venue_order_id))
    assert listed[0] == fill
    assert isinstance(listed[-1], p.VenueAccepted)
    assert listed[-1].cum_qty == fill.qty


async def test_an_order_that_takes_ends_and_its_trades_sum_to_it(desk: Desk) -> None:
    for off in (0, 1):
        desk.others(Side.SELL, off=off, qty=desk.rig.qty / 2)
    said = await desk.venue.submit(desk.order("c1", off=10, tif=desk.now_or_never()))
    assert not any(isinstance(one, p.VenueRejected | p.VenueUnknown) for one in said)
    closed = (await desk.both("c1", getattr(said[-1], "venue_order_id", "")))[0]
    assert isinstance(closed, p.VenueClosed)
    assert (closed.how, closed.cum_qty) == ("filled", desk.order("c1").qty)
    fills = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND)
    assert fills is not None
    assert sum(fill.qty for fill in fills) == closed.cum_qty
    assert len({fill.trade_id for fill in fills}) == len(fills) == 2
    rate = Decimal(desk.listing.taker_fee_e8) / 10**8
    for fill in fills:
        value = desk.instrument.cash(fill.qty * fill.price)
        assert abs(fill.fee - value * rate) <= value / 10**6, "what a taker pays, in quote, above zero"


async def test_an_order_that_finds_nothing_ends_at_once(desk: Desk) -> None:
    if Tif.IOC not in desk.venue.capabilities.tifs:
        pytest.skip("it has no such orders")
    await desk.venue.submit(desk.order("c1", tif=Tif.IOC))
    found = (await desk.both("c1"))[0]
    assert isinstance(found, p.VenueClosed)
    assert (found.how in ("canceled", "expired"), found.cum_qty) == (True, 0)


async def test_trades_that_an_answer_tells_are_those_that_the_queries_tell(desk: Desk) -> None:
    for off in (0, 1):
        desk.others(Side.SELL, off=off, qty=desk.rig.qty / 2)
    said = await desk.venue.submit(desk.order("c1", off=10, tif=Tif.IOC))
    told = [replace(one, venue_ns=0) for one in said if isinstance(one, p.VenueFill)]
    pulled = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND)
    assert pulled is not None
    assert told in ([], [replace(one, venue_ns=0) for one in pulled])
    assert told or desk.rig.venue != "binance_spot", "there a list costs twenty times as much as an order"


async def test_what_may_not_take_does_not(desk: Desk) -> None:
    if not desk.venue.capabilities.post_only:
        pytest.skip("it has no such orders")
    desk.others(Side.SELL)
    said = await desk.venue.submit(desk.order("c1", post_only=True))
    if isinstance(said[-1], p.VenueAccepted):  # some say so later
        said = [(await desk.both("c1", said[-1].venue_order_id))[0]]
    assert isinstance(said[-1], p.VenueRejected | p.VenueClosed)
    assert await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND) == []


async def test_a_cancel_ends_it_and_a_second_one_says_that_it_is_too_late(desk: Desk) -> None:
    accepted = await rests(desk, "c1")
    said = await desk.venue.cancel(desk.cancel("c1", accepted.venue_order_id))
    assert [(one.how, one.cum_qty) for one in said if isinstance(one, p.VenueClosed)] in (
        [],
        [("canceled", 0)],
    )
    there = desk.there("c1")
    assert there is not None
    assert there.state is State.CANCELED
    found = (await desk.both("c1", accepted.venue_order_id))[0]
    assert isinstance(found, p.VenueClosed)
    again = await desk.venue.cancel(desk.cancel("c1", accepted.venue_order_id))
    assert all(isinstance(one, p.VenueCancelRejected | p.VenueClosed) for one in again)


async def test_a_cancel_of_what_is_not_there_is_refused(desk: Desk) -> None:
    if not desk.venue.capabilities.client_id_length:
        pytest.skip("it takes no client ids, so that nothing can be named that it does not know")
    [said] = await desk.venue.cancel(desk.cancel("never"))
    assert isinstance(said, p.VenueCancelRejected)


async def test_only_what_is_absent_is_called_absent(desk: Desk) -> None:
    if not desk.venue.capabilities.client_id_length:
        pytest.skip("it takes no client ids")
    await rests(desk, "c1")
    for said in await desk.both("never"):
        assert isinstance(said, p.VenueAbsent)
    assert not any(isinstance(said, p.VenueAbsent) for said in await desk.both("c1"))


async def test_a_second_order_under_the_same_id_is_a_duplicate_or_the_first_one_itself(desk: Desk) -> None:
    if not desk.venue.capabilities.client_id_length:
        pytest.skip("it takes no client ids")
    first = await rests(desk, "c1")
    [said] = await desk.venue.submit(desk.order("c1"))
    if isinstance(said, p.VenueRejected):
        assert said.code is Code.DUPLICATE_ORDER
    else:  # some answer with the order that is there
        assert said == first
    assert len(desk.emulator.engine.open_orders("default")) == 1


async def test_an_order_is_changed_in_place_where_the_venue_can(desk: Desk) -> None:
    if not desk.venue.capabilities.native_replace:
        pytest.skip("it changes no order in place")
    accepted = await rests(desk, "c1")
    order = desk.order("c1", off=-3)
    replace = p.Replace(
        venue=desk.rig.venue,
        symbol="BTC/USDT",
        child_id="c1",
        venue_order_id=accepted.venue_order_id,
        side=Side.BUY,
        qty=order.qty,
        price=order.price,
        deadline_ns=CLOCK.now_ns() + 5 * SECOND,
    )
    said = await desk.venue.modify(replace)
    assert all(isinstance(one, p.VenueReplaced) for one in said)
    renamed = next((one.venue_order_id for one in said if isinstance(one, p.VenueReplaced)), "")
    for found in await desk.both("c1", renamed or accepted.venue_order_id):
        assert isinstance(found, p.VenueAccepted)
        assert (found.qty, found.price) == (order.qty, order.price)


async def test_what_happened_while_the_streams_were_down_is_found_by_the_pull(desk: Desk) -> None:
    accepted = await rests(desk, "c1")
    since = len(desk.said)
    desk.emulator.cut(user=True)
    desk.others(Side.SELL)
    await desk.until(lambda one: isinstance(one, p.SessionState) and one.state is p.Session.DOWN, since)
    await desk.up(since)
    query = desk.query("c1", p.Endpoint.ORDER, accepted.venue_order_id)
    said = await desk.venue.mass_status(
        p.MassStatus(venue=desk.rig.venue, since_ns=CLOCK.now_ns() - 60 * SECOND, orders=(query,))
    )
    assert said is not None
    assert sum(one.qty for one in said if isinstance(one, p.VenueFill)) == desk.order("c1").qty
    assert any(isinstance(one, p.VenueClosed) and one.how == "filled" for one in said)


async def test_orders_of_others_in_the_account_are_told_of_as_such(desk: Desk) -> None:
    desk.emulator.engine.submit("default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price)
    opened = await desk.venue.open_orders()
    assert opened is not None
    assert len(opened) == 1
    assert opened[0].child_id


async def test_its_own_terms_are_the_configured_ones(desk: Desk) -> None:
    [listing] = await desk.venue.instruments()
    own = desk.listing
    assert (listing.symbol, listing.tick, listing.lot) == (own.symbol, own.tick, own.lot)


async def test_fees_balances_and_positions_are_in_our_words(desk: Desk) -> None:
    fees = await desk.venue.fees()
    assert fees is not None
    assert set(fees) == {"BTC/USDT"}
    desk.others(Side.SELL)
    await desk.venue.submit(desk.order("c1", tif=desk.now_or_never()))
    if desk.listing.kind != "perp":
        balances = await desk.venue.balances()
        assert balances is not None
        held = desk.rig.deposits.get(desk.rig.base, 0)
        assert abs(balances["BTC"] - held - desk.rig.qty) <= desk.rig.qty / 100
    else:
        assert await desk.venue.positions() == {"BTC/USDT": desk.instrument.qty_units(desk.rig.qty)}


async def test_a_number_off_the_grid_is_not_sent(desk: Desk) -> None:
    if desk.listing.lot == 1:
        pytest.skip("its lot is our unit, so that nothing is between")
    said = await desk.venue.submit(desk.order("c1", qty=desk.order("c1").qty + 1))
    assert isinstance(said[0], p.VenueNotSent | p.VenueRejected)
    assert desk.there("c1") is None or desk.there("c1").state is State.REJECTED  # type: ignore[union-attr]


async def test_nothing_that_is_said_holds_a_secret(desk: Desk) -> None:
    await desk.venue.submit(desk.order("c1", qty=1))
    await desk.venue.cancel(desk.cancel("never"))
    desk.emulator.keys.clear()  # from now on its keys are wrong
    await desk.venue.submit(desk.order("c2"))
    await desk.both("c2")
    for secret in desk.rig.secrets:
        assert secret not in repr(desk.said)
        assert secret not in repr(desk.venue)
