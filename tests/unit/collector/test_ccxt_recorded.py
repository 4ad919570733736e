"""What Binance really sent, served again: the source's updates are those of the importer, one by one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import AffineClock
from bestex.feed import Books, DepthUpdate
from bestex.importers.binance import BinanceRecording
from bestex.messages import MarketTrade
from bestex.plugins import COLLECTORS, load
from tests.contract import rigs
from tests.contract.rigs import Rig
from tests.emulators.binance_recorded import Recorded
from tests.unit.collector.test_ccxt_venues import config_of

DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
LEVELS = 20
CLOCK = AffineClock()


def told_by(events: Any, price_scale: int, qty_scale: int) -> tuple[dict[int, Any], list[Any]]:
    """The best levels by update id, and the trades, at the scales given; finer sizes are rounded down."""
    books, tops, trades = Books(2 * LEVELS), dict[int, Any](), []
    for event in events:
        px = 10 ** (price_scale - event.price_scale)
        qty_one, one = 10**qty_scale, 10**event.qty_scale
        if isinstance(event, MarketTrade):
            qty = event.qty * qty_one // one
            trades.append((event.trade_id, event.price * px, qty, event.aggressor))
            continue
        made: Any = books.take(event)
        sides = zip(made.bid_px, made.bid_qty, strict=True), zip(made.ask_px, made.ask_qty, strict=True)
        tops[event.seq] = tuple(
            [(price * px, units) for price, size in side if (units := size * qty_one // one)][:LEVELS]
            for side in sides
        )
    return tops, trades


@pytest.mark.parametrize(
    ("file", "rig"),
    [
        ("spot_btcusdt_20240808.gz", rigs.BINANCE_SPOT),
        ("usdm_btcusdt_20240808.gz", rigs.BINANCE_PERP),
    ],
    ids=["spot", "usdm"],
)
async def test_each_update_and_trade_is_the_importers(file: str, rig: Rig, tmp_path: Path) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"needs the recording {file}")
    info = rig.make(tmp_path, market="none")._info({})  # type: ignore[attr-defined]
    recording = list(BinanceRecording([path], compares=False))
    last = max(event.seq for event in recording if isinstance(event, DepthUpdate))
    events: list[Any] = []
    done = asyncio.Event()

    def deliver(event: Any) -> None:
        events.append(event)
        if isinstance(event, DepthUpdate) and event.seq >= last:
            done.set()

    async with Recorded(path, info).serving() as url:
        source = load(COLLECTORS, "ccxt")(rig.venue, config_of(rig, url, tmp_path), CLOCK)
        running = asyncio.create_task(source.run(deliver, CLOCK.now_ns))
        async with asyncio.timeout(60):
            await done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    expected, expected_trades = told_by(recording, rig.price_scale, rig.qty_scale)
    tops, trades = told_by(events, rig.price_scale, rig.qty_scale)
    del tops[0]  # unknown, as the source ends
    # The snapshot may come when more updates wait for it than in the recording: then it begins at a later one.
    first = min(tops)
    assert tops == {seq: top for seq, top in expected.items() if seq >= first}
    assert len(tops) > 1_000
    assert trades == expected_trades[: len(trades)]
