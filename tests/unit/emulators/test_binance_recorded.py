"""What Binance really sent, told again: the books that an unmodified ccxt makes of it are the importer's."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bestex.depth import DepthBook
from bestex.feed import DepthUpdate
from bestex.importers.binance import BinanceRecording
from tests.emulators.binance import Binance
from tests.emulators.binance_perp import BinancePerp
from tests.emulators.binance_recorded import Recorded
from tests.unit.emulators.talking import PERP, SPOT, client, talking

DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
BEST = 20
Top = tuple[list[tuple[float, float]], list[tuple[float, float]]]


def rebuilt(path: Path) -> dict[int, Top]:
    """The best levels by update id."""
    recording, book, tops = BinanceRecording([path], compares=False), DepthBook(), dict[int, Top]()
    for event in recording:
        if not isinstance(event, DepthUpdate):
            continue
        if event.snapshot:
            book.replace(event.bids, event.asks)
        else:
            book.apply(event.bids, event.asks)
        px, qty = 10.0**event.price_scale, 10.0**event.qty_scale
        bid_px, bid_qty, ask_px, ask_qty = book.top(BEST)
        bids, asks = zip(bid_px, bid_qty, strict=True), zip(ask_px, ask_qty, strict=True)
        tops[event.seq] = (
            [(price / px, size / qty) for price, size in bids],
            [(price / px, size / qty) for price, size in asks],
        )
    return tops


async def streamed(url: str, name: str, symbol: str, last_id: int, **options: Any) -> dict[int, Top]:
    """By update id, every one: ccxt shows its books to whoever overrides what it does with a message."""
    exchange, tops = client(name, url, symbol, **options), dict[int, Top]()
    done, handle = asyncio.Event(), exchange.handle_order_book_message

    def seen(ws: Any, message: Any, book: Any) -> Any:
        made = handle(ws, message, book)
        bids, asks = ([tuple(level[:2]) for level in book[side][:BEST]] for side in ("bids", "asks"))
        tops[made["nonce"]] = (bids, asks)
        if made["nonce"] >= last_id:
            done.set()
        return made

    exchange.handle_order_book_message = seen
    async with talking(exchange):
        async with asyncio.timeout(60):
            watching = asyncio.create_task(exchange.watch_order_book(symbol))
            await done.wait()
            await watching
    return tops


@pytest.mark.parametrize(
    ("file", "name", "symbol", "kind", "options"),
    [
        (
            "spot_btcusdt_20240808.gz",
            "binance",
            SPOT,
            Binance,
            {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False},
        ),
        ("usdm_btcusdt_20240808.gz", "binanceusdm", PERP, BinancePerp, {}),
    ],
    ids=["spot", "usdm"],
)
async def test_every_update_gives_the_book_of_the_importer(
    tmp_path: Path, file: str, name: str, symbol: str, kind: Any, options: dict[str, Any]
) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"needs the recording {file}")
    info = kind(tmp_path, market="none")._info({})
    expected = rebuilt(path)
    async with Recorded(path, info).serving() as url:
        told = await streamed(url, name, symbol, max(expected), **options)
    # What the importer joins in one step (the snapshot and the updates before it) ccxt tells one by one.
    assert len(expected) > 1_000
    assert expected.keys() <= told.keys()
    assert {seq: told[seq] for seq in expected} == expected
