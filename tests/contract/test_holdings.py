"""What a gateway believes that its account holds, against emulated exchanges: refused before the send, kept exactly
by fills in whatever the fee was taken, and corrected where something happened by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway.holdings import Account
from services.gateway.port import Session
from services.gateway.reconcile import AGAIN_NS, LOOK_EVERY_NS
from tests.contract.live import Live
from tests.contract.rigs import (
    BINANCE_SPOT,
    COINBASE_SPOT,
    KIS,
    KRAKEN_SPOT,
    PLENTY,
    RIGS,
    Desk,
    Rig,
    desk_of,
)
from tests.emulators.unified import Wallet
from tests.waiting import until

SPOT = [rig for rig in RIGS if rig.adapter == "ccxt" and not rig.venue.endswith("_perp")]
PERPS = [rig for rig in RIGS if rig.venue.endswith("_perp")]
FEES_IN_QUOTE = (KRAKEN_SPOT, COINBASE_SPOT)  # whatever was bought
D = Decimal


@asynccontextmanager
async def live_of(
    rig: Rig, folder: Path, journal: list[Any] | None = None, **made: Any
) -> AsyncIterator[tuple[Desk, Live]]:
    async with desk_of(rig, folder, connect=False, **made) as desk, Live(desk, journal) as live:
        yield desk, live


def account(live: Live) -> Account:
    return live.core.holdings.by_venue[live.name]


def words(live: Live) -> list[m.HoldingsEvent]:
    return [event for event in live.journal if isinstance(event, m.HoldingsEvent)]


def adjusted(live: Live) -> list[m.HoldingsAdjusted]:
    return [event for event in words(live) if isinstance(event, m.HoldingsAdjusted)]


async def looked(live: Live, times: int = 2) -> None:
    """Lets the account be looked at so often again, as soon as the core wants it."""
    for _ in range(times):
        asked_ns = live.core.reconciler.asked_ns(live.name)
        await live.until(lambda before=asked_ns: live.core.reconciler.asked_ns(live.name) > before)  # type: ignore[misc]
    await until(lambda: not live.actor.in_flight)


def held_at(desk: Desk) -> dict[str, Decimal]:
    """What the venue itself counts, by currency."""
    engine = desk.emulator.engine
    if desk.rig in FEES_IN_QUOTE:
        return {currency: free + locked for currency, (free, locked) in engine.holdings("default").items()}
    return {currency: held.total for currency, held in Wallet(engine, "default").holdings.items()}


def near(one: Decimal, other: Decimal) -> bool:
    """As near as an exchange's text of it and ours are: the emulators divide fees without rounding them."""
    return abs(one - other) < D("1e-12")


@pytest.mark.parametrize("rig", [*SPOT, *KIS], ids=str)
async def test_a_sell_of_more_than_is_held_never_reaches_the_venue(rig: Rig, tmp_path: Path) -> None:
    async with live_of(rig, tmp_path, deposits={rig.quote: PLENTY, rig.base: rig.qty / 2}) as (desk, live):
        live.new("c1", side=Side.SELL)
        end = live.end("c1")
        assert isinstance(end, m.ExecRejected)
        assert end.code is Code.NOT_HELD
        assert "BTC" in end.text
        await until(lambda: not live.actor.in_flight)
        assert desk.emulator.faults.asked["new"] == 0, "the venue has seen no order"
        live.new("c2", side=Side.SELL, qty=rig.qty / 2)
        await live.until(lambda: live.decided("c2"))
        assert desk.emulator.faults.asked["new"] == 1
        assert live.became("c2") == "working"


@pytest.mark.parametrize("rig", SPOT, ids=str)
async def test_what_is_held_follows_the_fills_in_the_currency_of_their_fees(rig: Rig, tmp_path: Path) -> None:
    async with live_of(rig, tmp_path, deposits={rig.quote: PLENTY, "BTC": D(1)}) as (desk, live):
        for number, side in enumerate((Side.BUY, Side.SELL, Side.BUY)):
            desk.others(side.opposite, qty=rig.qty)
            live.new(f"c{number}", side=side, tif=Tif.IOC)
            await live.until(lambda n=number: live.end(f"c{n}") is not None)  # type: ignore[misc]
        fills = [event for event in live.journal if isinstance(event, m.Fill)]
        assert len(fills) == 3
        there = held_at(desk)
        for currency in ("BTC", rig.quote):
            assert near(account(live).wallet.of(currency), there[currency])
        assert account(live).reserved == {}
        await looked(live, 3)
        assert [type(event) for event in words(live)] == [m.HoldingsOpened], "and the venue says so too"
        assert live.alarms == []


@pytest.mark.parametrize("rig", SPOT, ids=str)
async def test_a_deposit_by_hand_is_noticed_said_and_used(rig: Rig, tmp_path: Path) -> None:
    async with live_of(rig, tmp_path) as (desk, live):
        live.new("c1", side=Side.SELL)
        assert isinstance(live.end("c1"), m.ExecRejected)
        assert desk.emulator.engine.deposits is not None
        desk.emulator.engine.deposits["BTC"] = D(3)
        await live.until(lambda: bool(adjusted(live)))
        [said] = adjusted(live)
        assert (said.differences, said.code) == ({"BTC": D(3)}, Code.HOLDINGS_DIFFER)
        assert [alarm.code for alarm in live.alarms] == [Code.HOLDINGS_DIFFER]
        assert live.ahead_ns < LOOK_EVERY_NS + 2 * AGAIN_NS
        live.new("c2", side=Side.SELL)
        await live.until(lambda: live.decided("c2"))
        assert live.became("c2") == "working"


@pytest.mark.parametrize("rig", PERPS, ids=str)
async def test_the_position_is_the_venues_own_after_fills(rig: Rig, tmp_path: Path) -> None:
    async with live_of(rig, tmp_path) as (desk, live):
        for number, side in enumerate((Side.SELL, Side.SELL, Side.BUY)):
            desk.others(side.opposite, qty=rig.qty)
            live.new(f"c{number}", side=side, tif=Tif.IOC)
            await live.until(lambda n=number: live.end(f"c{n}") is not None)  # type: ignore[misc]
        ours = account(live).perps[rig.venue].of("BTC/USDT")
        assert ours == desk.emulator.engine.position("default", rig.symbol) == -rig.qty
        await looked(live, 3)
        assert adjusted(live) == []
        # By hand, at the venue: nobody here has an order of it.
        desk.others(Side.BUY)
        desk.emulator.engine.submit("default", rig.symbol, Side.SELL, rig.qty, rig.price)
        await live.until(lambda: bool(adjusted(live)))
        [said] = adjusted(live)
        assert (said.what, said.differences) == ("positions", {"BTC/USDT": -rig.qty})
        assert account(live).perps[rig.venue].of("BTC/USDT") == -2 * rig.qty


async def test_a_restart_finds_what_happened_while_it_was_down(tmp_path: Path) -> None:
    rig = BINANCE_SPOT
    async with desk_of(rig, tmp_path, connect=False) as desk:
        async with Live(desk) as live:
            live.new("c1")
            await live.until(lambda: live.decided("c1"))
        # While nobody listens it fills, and somebody brings money.
        desk.others(Side.SELL)
        assert desk.emulator.engine.deposits is not None
        desk.emulator.engine.deposits["EUR"] = D(7)
        again = Desk(rig, desk.emulator, desk.config)
        async with Live(again, live.journal) as second:
            await second.until(lambda: bool(adjusted(second)))
            [said] = adjusted(second)
            assert said.differences == {"EUR": D(7)}, "and no more: the fill was pulled"
            there = held_at(desk)["BTC"]
            assert near(account(second).wallet.of("BTC"), there)


async def test_no_order_goes_out_before_the_account_has_been_looked_at(tmp_path: Path) -> None:
    rig = BINANCE_SPOT
    async with live_of(rig, tmp_path) as (desk, live):
        live.new("c1")
        await live.until(lambda: live.decided("c1"))
        before = len(live.journal)

        async def silent() -> None:
            return None

        desk.venue.balances = silent  # type: ignore[method-assign]
        desk.emulator.cut(user=True)
        await until(lambda: live.core.sessions[rig.venue] is Session.UP)
        live.new("c2")
        assert isinstance(live.journal[before], m.ExecRejected)
        assert live.journal[before].code is Code.NOT_READY
        live.deliver(
            m.ChildCancel(
                child_id="c1", parent_id="p1", venue=rig.venue, symbol="BTC/USDT", reason=Code.CANCELED
            )
        )
        await live.until(lambda: live.end("c1") is not None)
        assert isinstance(live.end("c1"), m.ExecCanceled), "cancels pass"
        del desk.venue.balances
        await until(lambda: live.core.sessions[rig.venue] is Session.RECONCILED, 5)
        live.new("c3", expires_at=Time(live.now_ns() + 2 * SECOND))
        await live.until(lambda: live.decided("c3"))
        assert live.became("c3") == "working"
