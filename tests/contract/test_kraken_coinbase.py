"""What is special about Kraken and Coinbase, and what their quirks do about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import port as p
from tests.contract.rigs import CLOCK, COINBASE_SPOT, KRAKEN_SPOT, Desk, Rig, desk_of
from tests.emulators.coinbase import Coinbase
from tests.emulators.faults import Fault
from tests.emulators.kraken import Kraken
from tests.emulators.kraken_orders import Refused
from tests.waiting import until

RIGS = [KRAKEN_SPOT, COINBASE_SPOT]


@pytest.fixture(params=RIGS, ids=str)
async def desk(request: Any, tmp_path: Path) -> AsyncIterator[Desk]:
    rig: Rig = request.param
    async with desk_of(rig, tmp_path) as made:
        yield made


def down(said: Any) -> bool:
    return isinstance(said, p.SessionState) and said.state is p.Session.DOWN


async def test_an_order_is_not_taken_after_its_deadline(desk: Desk) -> None:
    """Kraken says so in words that do not prove it; Coinbase knows no such token any more."""
    desk.emulator.skew_ns = 3 * SECOND  # as if it had been under way for so long
    now_ns = CLOCK.now_ns()
    [late] = await desk.venue.submit(desk.order("late", deadline_ns=now_ns + SECOND))
    assert isinstance(late, p.VenueUnknown if desk.rig is KRAKEN_SPOT else p.VenueRejected)
    assert desk.there("late") is None
    for found in await desk.both("late"):
        assert isinstance(found, p.VenueAbsent)
    [taken] = await desk.venue.submit(desk.order("taken", deadline_ns=now_ns + 20 * SECOND))
    assert isinstance(taken, p.VenueAccepted)


async def test_more_trades_than_are_on_a_page_are_all_found_once(desk: Desk) -> None:
    qty = desk.rig.qty
    desk.emulator.faults.add(Fault(how="mute_user", seconds=600))
    for _ in range(230):
        desk.others(Side.SELL, qty=qty)
    start_ns = CLOCK.now_ns() - 60 * SECOND
    for number in range(115):
        answer = desk.emulator.engine.submit(
            "default", desk.rig.symbol, Side.BUY, 2 * qty, desk.rig.price, client_id=f"c{number}"
        )
        assert len(answer.trades) >= 2
    asked = desk.emulator.faults.asked.copy()
    fills = await desk.venue.fills_since(start_ns)
    assert fills is not None
    assert len(fills) == len({fill.trade_id for fill in fills}) == 230
    assert [fill.venue_ns for fill in fills] == sorted(fill.venue_ns for fill in fills)
    assert {fill.child_id for fill in fills} == {f"c{number}" for number in range(115)}
    assert sum(fill.qty for fill in fills) == desk.instrument.qty_units(230 * qty)
    assert (desk.emulator.faults.asked - asked).total() <= 12, "their orders are asked for together"
    asked = desk.emulator.faults.asked.copy()
    assert await desk.venue.fills_since(start_ns) == fills
    assert (desk.emulator.faults.asked - asked).total() <= 5, "and once"


async def test_more_open_orders_than_are_on_a_page_are_all_found(desk: Desk) -> None:
    for number in range(110):
        desk.emulator.engine.submit(
            "default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price, client_id=f"c{number}"
        )
    desk.emulator.engine.submit("default", "BTC/USD", Side.BUY, desk.rig.qty, desk.rig.price)
    found = await desk.venue.open_orders()
    assert found is not None
    assert {one.child_id for one in found} == {f"c{number}" for number in range(110)}


async def test_trades_of_others_in_the_account_are_told_as_such(desk: Desk) -> None:
    desk.others(Side.SELL)
    desk.emulator.engine.submit("default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price)
    [fill] = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND) or []
    assert fill.child_id
    assert fill.child_id in (f"foreign-{fill.venue_order_id}", fill.venue_order_id)


async def test_fees_are_exact_above_zero_and_in_quote(desk: Desk) -> None:
    desk.others(Side.SELL)
    await desk.venue.submit(desk.order("c1"))
    by_stream = await desk.until(lambda one: isinstance(one, p.VenueFill))
    [fill] = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND) or []
    rate = Decimal(desk.emulator.engine.markets[desk.rig.symbol].listing.taker_fee_e8).scaleb(-8)
    assert fill.fee == by_stream.fee == desk.instrument.cash(fill.qty * fill.price) * rate > 0
    assert fill.fee_currency == "USDT"


async def test_an_end_that_the_venue_brings_about_is_told_by_the_stream(desk: Desk) -> None:
    [accepted] = await desk.venue.submit(desk.order("c1"))
    assert isinstance(accepted, p.VenueAccepted)
    desk.others(Side.SELL, qty=desk.rig.qty / 4)
    await desk.until(lambda one: isinstance(one, p.VenueFill))
    desk.emulator.engine.cancel_all("default")
    closed = await desk.until(lambda one: isinstance(one, p.VenueClosed))
    assert (closed.child_id, closed.how) == ("c1", "canceled")
    assert closed.cum_qty == desk.order("c1").qty // 4


async def test_what_the_stream_says_of_an_open_order_is_its_own_size(desk: Desk) -> None:
    await desk.venue.submit(desk.order("c1"))
    desk.others(Side.SELL, qty=desk.rig.qty / 4)
    whole = desk.order("c1").qty
    part = await desk.until(lambda one: isinstance(one, p.VenueFill))
    stands = [one for one in desk.said if isinstance(one, p.VenueAccepted)]
    assert part.qty == whole // 4
    assert {one.qty for one in stands} == {whole}


async def test_why_an_order_that_would_take_was_refused_is_told(desk: Desk) -> None:
    desk.others(Side.SELL)
    [refused] = await desk.venue.submit(desk.order("c1", post_only=True))
    assert isinstance(refused, p.VenueRejected)
    assert refused.code is Code.POST_ONLY_WOULD_TAKE


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"qty": 1}, Code.BELOW_MINIMUM), ({"qty": 10**13}, Code.LIMIT_EXCEEDED), ({"tif": Tif.IOC}, None)],
)
async def test_refusals_are_in_our_words(desk: Desk, changed: dict[str, Any], code: Code | None) -> None:
    if code is Code.LIMIT_EXCEEDED and desk.rig is KRAKEN_SPOT:
        pytest.skip("it has no largest order")
    [said] = await desk.venue.submit(desk.order("c1", **changed))
    assert getattr(said, "code", None) is code


async def test_what_an_account_lacks_is_said_as_such(tmp_path: Path) -> None:
    for rig in RIGS:
        folder = tmp_path / rig.venue
        folder.mkdir()
        async with desk_of(rig, folder, deposits={"USDT": Decimal(10)}) as desk:
            [said] = await desk.venue.submit(desk.order("c1"))
            assert isinstance(said, p.VenueRejected)
            assert said.code is Code.INSUFFICIENT_FUNDS


async def test_a_change_is_found_under_the_orders_own_id(desk: Desk) -> None:
    [accepted] = await desk.venue.submit(desk.order("c1"))
    assert isinstance(accepted, p.VenueAccepted)
    order = desk.order("c1", off=-5)
    for venue_order_id in (accepted.venue_order_id, ""):
        replace = p.Replace(
            venue=desk.rig.venue,
            symbol="BTC/USDT",
            child_id="c1",
            venue_order_id=venue_order_id,
            side=Side.BUY,
            qty=2 * order.qty,
            price=order.price,
            deadline_ns=CLOCK.now_ns() + 5 * SECOND,
        )
        said = await desk.venue.modify(replace)
        assert all(isinstance(one, p.VenueReplaced) for one in said), said
        assert {one.venue_order_id for one in said if isinstance(one, p.VenueReplaced)} <= {venue_order_id}
    for name in (accepted.venue_order_id, ""):
        for found in await desk.both("c1", name):
            assert isinstance(found, p.VenueAccepted)
            terms = found.venue_order_id, found.qty, found.price
            assert terms == (accepted.venue_order_id, 2 * order.qty, order.price)
    await desk.venue.cancel(desk.cancel("c1"))
    assert not desk.emulator.engine.open_orders("default")
    refused = await desk.venue.modify(replace)
    assert isinstance(refused[0], p.VenueReplaceRejected), "it has ended"


async def test_a_subscription_that_is_refused_is_no_session(desk: Desk) -> None:
    """ccxt waits for ever for what it has not been given."""
    emulator, since, refused = desk.emulator, len(desk.said), 0
    assert isinstance(emulator, Kraken | Coinbase)
    good = emulator.key_of

    def refuse(_: Any) -> None:
        nonlocal refused
        refused += 1
        if isinstance(emulator, Kraken):
            raise Refused("ESession:Invalid session")

    def is_down() -> bool:
        states = [one.state for one in desk.said[since:] if isinstance(one, p.SessionState)]
        return refused >= 2 and states[-1] is p.Session.DOWN

    emulator.key_of = refuse  # type: ignore[assignment, method-assign]
    emulator.cut(user=True)
    await until(is_down)
    emulator.key_of = good  # type: ignore[method-assign]
    await desk.up(len(desk.said))
    await desk.venue.submit(desk.order("c1"))
    await desk.until(lambda one: isinstance(one, p.VenueAccepted) and one.child_id == "c1")


async def test_a_message_that_ccxt_cannot_handle_ends_the_session(desk: Desk) -> None:
    """It would read no further, and say nothing."""
    since = len(desk.said)
    if desk.rig is KRAKEN_SPOT:
        garbled: dict[str, Any] = {"channel": "book", "type": "update", "data": [{"symbol": "NONE"}]}
    else:
        garbled = {"channel": "market_trades", "events": [{"type": "update", "trades": []}]}
    for socket in desk.emulator.sockets:
        socket.put(garbled)
    await desk.until(down, since)
    await desk.up(since)
    await desk.venue.submit(desk.order("c1"))
    await desk.until(lambda one: isinstance(one, p.VenueAccepted) and one.child_id == "c1", since)


@pytest.mark.parametrize(("asked_s", "set_s"), [(0, 0), (1.2, 2), (30, 30)])
async def test_krakens_switch_is_set_to_whole_seconds(asked_s: float, set_s: int, tmp_path: Path) -> None:
    async with desk_of(KRAKEN_SPOT, tmp_path) as desk:
        told: list[tuple[str, int]] = []
        desk.emulator.engine.cancel_all_after = lambda *asked: told.append(asked)  # type: ignore[method-assign]
        assert await desk.venue.arm(int(asked_s * SECOND))
        assert told == [("default", set_s * SECOND)]


async def test_krakens_newest_order_of_a_client_id_is_the_one_that_is_meant(tmp_path: Path) -> None:
    async with desk_of(KRAKEN_SPOT, tmp_path) as desk:
        for price in (1, 2):
            for order in desk.emulator.engine.open_orders("default"):
                desk.emulator.engine.cancel(order)
            price_of_it = desk.rig.price - price
            desk.emulator.engine.submit(
                "default", desk.rig.symbol, Side.BUY, desk.rig.qty, price_of_it, client_id="c1"
            )
        found = (await desk.both("c1"))[0]
        assert isinstance(found, p.VenueAccepted)
        assert found.price == desk.instrument.price_units(desk.rig.price - 2)


async def test_coinbase_finds_an_order_of_another_process_in_the_list_of_all(tmp_path: Path) -> None:
    async with desk_of(COINBASE_SPOT, tmp_path) as desk:
        assert isinstance(desk.emulator, Coinbase)
        desk.emulator.engine.submit(
            "default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price, client_id="c1"
        )
        for number in range(1_005):  # more than are on a page
            answer = desk.emulator.engine.submit(
                "default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price, client_id=f"d{number}"
            )
            assert answer.order is not None
            desk.emulator.engine.cancel(answer.order)
        found = (await desk.both("c1"))[0]
        assert isinstance(found, p.VenueAccepted)
        assert found.qty == desk.order("c1").qty


async def test_coinbases_trades_are_not_lost_where_the_question_for_them_fails(tmp_path: Path) -> None:
    async with desk_of(COINBASE_SPOT, tmp_path) as desk:
        await desk.venue.submit(desk.order("c1"))
        desk.emulator.faults.add(Fault(how="rate_limited", what="list"))
        desk.others(Side.SELL, qty=desk.rig.qty / 4)
        await until(lambda: desk.emulator.faults.happened["rate_limited"] == 1)
        found = None
        while found is None:  # the pause that the venue has asked for may last as long as a question may wait
            found = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND)
        [pulled] = found
        desk.others(Side.SELL, qty=desk.rig.qty / 2)
        await desk.until(lambda one: isinstance(one, p.VenueFill) and one.qty == 2 * pulled.qty)
        told = [one for one in desk.said if isinstance(one, p.VenueFill)]
        assert pulled in told, "with the next one, all of the order are asked for"
        assert not any(down(one) for one in desk.said)


async def test_without_a_nonce_window_lists_are_still_read(tmp_path: Path) -> None:
    async with desk_of(KRAKEN_SPOT, tmp_path) as desk:
        assert isinstance(desk.emulator, Kraken)
        desk.emulator.nonce_window = 0
        for number in range(12):
            desk.emulator.engine.submit(
                "default", desk.rig.symbol, Side.BUY, desk.rig.qty, desk.rig.price - 1, client_id=f"c{number}"
            )
        queries = tuple(desk.query(f"gone{number}", p.Endpoint.ORDER) for number in range(12))
        since_ns = CLOCK.now_ns() - 60 * SECOND
        asked = p.MassStatus(venue=desk.rig.venue, since_ns=since_ns, orders=queries)
        said = await desk.venue.mass_status(asked)
        assert said is not None, "one after the other, so that each nonce is higher than the last"
        assert sum(isinstance(one, p.VenueAbsent) for one in said) == 12
