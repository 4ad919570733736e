"""An emulated exchange's journal tells an audit what the exchange told us, to the last digit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import SECOND
from bestex.messages import Side, Tif
from services.gateway import port as p
from tests.contract.rigs import BINANCE_SPOT, CLOCK, RIGS, Desk, Rig, desk_of
from tests.emulators import truth

ODD = Decimal("59999.9")  # at which a fee has more digits than an exchange counts
EMULATED = [rig for rig in RIGS if rig.adapter == "ccxt"]


def told(desk: Desk, kind: str) -> tuple[list[w.Submit], list[w.Trade]]:
    """What the journal says was asked for, and was traded."""
    emulator = desk.emulator
    lines = truth.told(emulator, desk.rig.venue, kind)
    read = [codec.json_decoder(w.JournalLine).decode(line) for line in lines]
    entries = [line for line in read if isinstance(line, w.JournalEntry)]
    mine = [one for entry in entries for one in entry.trades if one.account == "default"]
    asked = [entry.request for entry in entries if isinstance(entry.request, w.Submit)]
    return [one for one in asked if one.account == "default"], mine


@pytest.mark.parametrize("rig", EMULATED, ids=str)
async def test_trades_have_the_names_and_the_fees_that_the_exchange_told(rig: Rig, tmp_path: Path) -> None:
    async with desk_of(rig, tmp_path, deposits={**rig.deposits, rig.base: Decimal(1)}) as desk:
        for side in (Side.SELL, Side.BUY):
            desk.emulator.engine.submit("other", rig.symbol, side, rig.qty, ODD)
            await desk.venue.submit(desk.order(f"c{side}", side=side.opposite, off=10, tif=Tif.IOC))
        fills = await desk.venue.fills_since(CLOCK.now_ns() - 60 * SECOND)
        kind = desk.listing.kind
        asked, trades = told(desk, kind)
        other = told(desk, "spot" if kind == "perp" else "perp")
    assert fills is not None
    assert len(fills) == 2
    assert {one.trade_id: (one.child_id, one.fee) for one in fills} == {
        one.told_as: (one.client_id, one.fee) for one in trades
    }
    assert {one.venue for one in trades} == {rig.venue}
    assert [one.client_id for one in asked] == ["csell", "cbuy"]
    assert other == ([], [])


async def test_an_order_that_was_sent_twice_stands_there_twice_under_its_own_name(tmp_path: Path) -> None:
    rig = BINANCE_SPOT
    async with desk_of(rig, tmp_path, deposits={**rig.deposits, rig.base: Decimal(1)}) as desk:
        for _ in range(2):  # such ids are unique among open orders only
            said = await desk.venue.submit(desk.order("c1", tif=Tif.IOC))
            assert isinstance(said[-1], p.VenueClosed)
        asked, _ = told(desk, "spot")
    assert [one.client_id for one in asked] == ["c1", "c1"]
