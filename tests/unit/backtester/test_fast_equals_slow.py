"""The fast path of a backtest against the slow one: the same books, trades and stored messages, one by one."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from bestex import codec
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import SECOND
from bestex.matching import market
from services.backtester.session import VirtualSession
from tests.unit.backtester import recorded
from tests.unit.matching.plain_ladder import PlainLadder

EVENING = ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz")


def ran(session: VirtualSession, orders: list[m.ParentOrder], seconds: int) -> tuple[str, str]:
    """Digests of all that was said on the live plane and when, and of all that was stored."""
    heard = hashlib.blake2b(digest_size=16)

    def listen(subject: str, message: Any) -> None:
        heard.update(f"{session.now_ns} {subject} ".encode())
        heard.update(codec.to_json(message))

    session.world.listeners.append(listen)
    start_ns = session.now_ns
    for number, order in enumerate(orders):
        session.submit(order, start_ns + (3 + number) * SECOND)
    session.run(start_ns + seconds * SECOND)
    assert session.fills()
    return heard.hexdigest(), session.digest()


def order(algo: str, qty: str, side: m.Side = m.Side.BUY, **params: Any) -> m.ParentOrder:
    return m.ParentOrder(symbol="BTC/USDT", side=side, qty=Decimal(qty), algo=algo, params=params)


MIXED = [
    order("twap", "3", duration="10s", interval="1s"),
    order("peg", "0.5", duration="12s"),
    order("iceberg", "1", m.Side.SELL, display="0.1", duration="12s"),
    order("market", "2", m.Side.SELL),
]


@pytest.mark.parametrize("where", ["made up", "evening", "model"])
def test_the_fast_path_says_and_stores_what_the_slow_one_does(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if where == "evening":
        data_dir: Path = request.getfixturevalue("data_dir")
        paths = [data_dir / "binance" / name for name in EVENING]
    else:
        paths = [recorded.write(tmp_path / "made.rec", 20)]

    def made(*, slow: bool) -> VirtualSession:
        if where == "model":
            return VirtualSession(configuration.load(None, {}), seed=1, step_by_step=slow)
        return VirtualSession.on_recordings(paths, tmp_path, seed=1, step_by_step=slow)

    fast = ran(made(slow=False), MIXED, 18)
    with patch.object(market, "Ladder", PlainLadder):
        assert ran(made(slow=True), MIXED, 18) == fast


def test_an_idle_exchange_is_not_looked_at(tmp_path: Path) -> None:
    path = recorded.write(tmp_path / "made.rec", 20)
    events = []
    for slow in (False, True):
        session = VirtualSession.on_recordings([path], tmp_path, step_by_step=slow)
        session.run(session.now_ns + 10 * SECOND)
        events.append(session.world.events)
    assert events[0] < events[1] - 800, "of a thousand looks a hundred find something"
