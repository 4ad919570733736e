"""The recorded evening on virtual time: spot and perpetual, the same fills every time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from bestex import messages as m
from bestex.clock import SECOND
from services.backtester.session import VirtualSession

FILES = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")
WARM_UP_NS = 10 * SECOND  # the first books, and a basis


def evening(data_dir: Path, cache_dir: Path, seed: int) -> VirtualSession:
    paths = [data_dir / "binance" / name for name in FILES]
    session = VirtualSession.on_recordings(paths, cache_dir, seed=seed)
    for side, qty in ((m.Side.BUY, "60"), (m.Side.SELL, "20")):
        # More than the perpetual alone shows within the difference of the fees.
        params = {"duration": "40s", "interval": "5s", "force_completion": True}
        order = m.ParentOrder(symbol="BTC/USDT", side=side, qty=Decimal(qty), algo="twap", params=params)
        session.submit(order, session.now_ns + WARM_UP_NS)
    assert session.finish(session.now_ns + 90 * SECOND)
    return session


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw frames are converted once."""
    return tmp_path_factory.mktemp("converted")


def test_the_recorded_evening_gives_the_same_fills_every_time(data_dir: Path, cache_dir: Path) -> None:
    session = evening(data_dir, cache_dir, seed=7)
    fills = session.fills()
    assert {fill.venue for fill in fills} == {"binance_spot", "binance_perp"}
    for stored in session.events("parent.*.*.done"):
        mine = [fill for fill in fills if fill.parent_id == stored.message.parent_id]
        assert sum((fill.qty for fill in mine), Decimal(0)) == stored.message.cum_qty > 0
    report = session.audit(complete=True)
    assert report.ok, report.text()
    again = evening(data_dir, cache_dir, seed=7)
    assert again.fills() == fills
    assert again.digest() == session.digest()


def test_an_inverse_contract_is_replayed_with_its_size_in_base(data_dir: Path, cache_dir: Path) -> None:
    session = VirtualSession.on_recordings([data_dir / "binance" / "cm_btcusd_perp_20240808.gz"], cache_dir)
    heard: list[m.ConsolidatedBook] = []
    session.world.listeners.append(
        lambda _, message: heard.append(message) if isinstance(message, m.ConsolidatedBook) else None
    )
    session.run(session.now_ns + 20 * SECOND)
    [column] = heard[-1].venues
    assert column.status is m.BookStatus.LIVE
    worth = Decimal(column.bid_px[0]).scaleb(-heard[-1].price_scale) * Decimal(column.bid_qty[0]).scaleb(
        -heard[-1].qty_scale
    )
    contracts = worth / 100  # of 100 USD each; the size in base is rounded down
    assert contracts > 1
    assert abs(contracts - round(contracts)) < Decimal("0.001")
