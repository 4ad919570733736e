"""What Binance really sent, served again: the source's updates are those of the importer, one by one."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
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


FILES = {
    "spot": ("spot_btcusdt_20240808.gz", rigs.BINANCE_SPOT),
    "usdm": ("usdm_btcusdt_20240808.gz", rigs.BINANCE_PERP),
}


async def heard(recorded: Recorded, rig: Rig, last_id: int, folder: Path, options: str = "") -> list[Any]:
    """What the source tells until the update of that id."""
    events: list[Any] = []
    done = asyncio.Event()

    def deliver(event: Any) -> None:
        events.append(event)
        if isinstance(event, DepthUpdate) and event.seq >= last_id:
            done.set()

    async with recorded.serving() as url:
        source = load(COLLECTORS, "ccxt")(rig.venue, config_of(rig, url, folder, options), CLOCK)
        running = asyncio.create_task(source.run(deliver, CLOCK.now_ns))
        try:
            async with asyncio.timeout(60):
                await done.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return events


def recording_of(file: str, limit: int | None = None) -> tuple[Path, list[Any]]:
    """Its events as the importer has them, those of its first `limit` depth updates."""
    path = DATA / file
    if not path.exists():
        pytest.skip(f"needs the recording {file}")
    events: list[Any] = []
    for event in BinanceRecording([path], compares=False):
        events.append(event)
        if (
            limit is not None
            and sum(isinstance(one, DepthUpdate) for one in events[-1:])
            and (limit := limit - 1) == 0
        ):
            break
    return path, events


def last_id_of(events: list[Any]) -> int:
    return max(event.seq for event in events if isinstance(event, DepthUpdate))


@pytest.mark.parametrize(("file", "rig"), FILES.values(), ids=FILES)
async def test_each_update_and_trade_is_the_importers(file: str, rig: Rig, tmp_path: Path) -> None:
    path, recording = recording_of(file)
    info = rig.make(tmp_path, market="none")._info({})  # type: ignore[attr-defined]
    events = await heard(Recorded(path, info), rig, last_id_of(recording), tmp_path)
    expected, expected_trades = told_by(recording, rig.price_scale, rig.qty_scale)
    tops, trades = told_by(events, rig.price_scale, rig.qty_scale)
    del tops[0]  # unknown, as the source ends
    # The snapshot may come when more updates wait for it than in the recording, or fewer: then the first book is
    # that of a later one, or of an earlier one.
    first = max(min(tops), min(expected))
    assert {seq: top for seq, top in tops.items() if seq >= first} == {
        seq: top for seq, top in expected.items() if seq >= first
    }
    # Trades are subscribed to last, so that the first ones may be missing; none of those in between is.
    assert trades == expected_trades[-len(trades) :] or trades == in_a_row(trades, expected_trades)
    assert min(len(tops), len(trades)) > 1_000


def in_a_row(some: list[Any], of: list[Any]) -> list[Any]:
    """What stands in `of` from the first of `some` on, as many."""
    begin = of.index(some[0])
    return of[begin : begin + len(some)]


SILENCE_S = 4.0  # longer than the pauses between snapshots
PLANS: dict[str, dict[str, Any]] = {
    "gaps": {"plan": {300: "gap", 301: "gap", 700: "gap", 1_100: "gap"}},
    "cut": {"plan": {400: "cut", 900: "cut"}},
    "silence": {"plan": {500: "silence"}},
    "garbled": {"plan": {600: "garbled"}},
    "old snapshots": {"plan": {400: "gap"}, "old_snapshots": 3},
    "everything": {
        "plan": {200: "gap", 500: "cut", 700: "garbled", 900: "silence", 1_200: "gap"},
        "old_snapshots": 2,
    },
}


def cases() -> Iterator[Any]:
    """All of it at both. Each alone where it is quicker, but for gaps: they are seen by how the updates of perpetuals
    name the one before."""
    for name in PLANS:
        for market, (file, rig) in FILES.items():
            chosen = name == "everything" or market == ("usdm" if name == "gaps" else "spot")
            marks = () if chosen else pytest.mark.campaign
            yield pytest.param(name, file, rig, id=f"{name}-{market}", marks=marks)


@pytest.mark.parametrize(("name", "file", "rig"), list(cases()))
async def test_whatever_happens_no_book_is_told_that_never_was(
    name: str, file: str, rig: Rig, tmp_path: Path
) -> None:
    path, recording = recording_of(file, 1_800)
    info = rig.make(tmp_path, market="none")._info({})  # type: ignore[attr-defined]
    recorded = Recorded(path, info, **PLANS[name])
    events = await heard(recorded, rig, last_id_of(recording), tmp_path, f"silence_s = {SILENCE_S}")
    expected, _ = told_by(recording, rig.price_scale, rig.qty_scale)
    tops, _ = told_by(events, rig.price_scale, rig.qty_scale)
    del tops[0]
    known = range(min(expected), max(expected) + 1)
    assert {seq: top for seq, top in tops.items() if seq in known and top != expected.get(seq)} == {}
    for happening, times in Counter(PLANS[name]["plan"].values()).items():
        assert recorded.happened[happening] == times
    # Nothing is built upon what was not heard: the book is unknown from there to the next snapshot.
    books = [event for event in events if isinstance(event, DepthUpdate)]
    for before, after in pairwise(books):
        if any(before.seq < lost <= after.seq for lost in recorded.unheard) and before.seq:
            assert after.snapshot, (before.seq, after.seq)
            assert not after.seq, "a new book without a word that the old one was over"
    assert len(tops) > 300
