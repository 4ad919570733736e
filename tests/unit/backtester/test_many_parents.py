"""Fifty parents over three symbols at once: sums exact, no promise broken, the same in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

from bestex import config as configuration
from bestex import messages as m
from bestex import replay_config
from bestex.clock import MS, SECOND
from bestex.feed import DepthUpdate, FeedStream
from bestex.messages import MarketTrade
from bestex.recording import RecordingWriter
from services.backtester.session import VirtualSession
from tests.unit.backtester import recorded

ROOT = Path(__file__).resolve().parents[3]
PARENTS = 50
# Of different scales, and on one venue or two.
MARKETS = {
    "BTC/USDT": (2, 5, 60_000_00, ("alpha", "beta")),
    "ETH/USDT": (2, 4, 3_000_00, ("alpha", "beta")),
    "DOGE/USDT": (5, 0, 12_345, ("beta",)),
}
FILLS = '[exchange.fills]\nqueue = "power3"\nrefill = "1s"\n[exchange.fills.there]\nkind = "lognormal"\nsigma = 0.4\n'


def write(path: Path, seconds: int = 30) -> Path:
    """Every book every 200 ms, up and down by a tick; a trade at either side every half second."""
    streams = [
        FeedStream(venue=venue, symbol=symbol, price_scale=price_scale, qty_scale=qty_scale)
        for symbol, (price_scale, qty_scale, _, venues) in MARKETS.items()
        for venue in venues
    ]
    with RecordingWriter(path, "made up", streams) as out:
        for i in range(seconds * 5):
            at_ns = recorded.START_NS + i * 200 * MS
            for stream in streams:
                scales = stream.price_scale, stream.qty_scale
                mid, size = MARKETS[stream.symbol][2] + i % 3, 3 * 10**stream.qty_scale * (1 + i % 2)
                bids = [(mid - 1 - n, size) for n in range(10)]
                asks = [(mid + 1 + n, size) for n in range(10)]
                name = stream.venue, stream.symbol
                out.write(DepthUpdate(*name, i + 1, at_ns, at_ns, *scales, True, bids, asks))
                if i % 5 in (1, 3):
                    side = 1 if i % 5 == 1 else -1
                    price = mid + side
                    out.write(MarketTrade(*name, f"t{i}", at_ns, at_ns, *scales, price, size // 2, side))
    return path


def worked(path: Path) -> VirtualSession:
    text, start_ns = replay_config.derive([path], "", path.parent)
    config = configuration.parse(f"{text}\n{FILLS}")
    session = VirtualSession(config, start_ns=start_ns, seed=5)
    algos = ("twap", "limit", "market", "peg", "pov")
    for number in range(PARENTS):
        symbol = list(MARKETS)[number % 3]
        price_scale, _, mid, _ = MARKETS[symbol]
        algo, side = algos[number % 5], m.Side.BUY if number % 2 else m.Side.SELL
        params = {} if algo == "market" else {"duration": f"{5 + number % 7}s"}
        order = m.ParentOrder(
            symbol=symbol,
            side=side,
            qty=Decimal(1 + number % 4) * (100 if symbol == "DOGE/USDT" else 1),
            algo=algo,
            limit_price=Decimal(mid).scaleb(-price_scale) if algo == "limit" else None,
            params=params,
        )
        session.submit(order, start_ns + 3 * SECOND + number * 40 * MS)
    assert session.finish(start_ns + 28 * SECOND)
    return session


def test_fifty_parents_over_three_symbols_end_with_exact_sums_and_no_anomaly(tmp_path: Path) -> None:
    path = write(tmp_path / "three.rec")
    session = worked(path)
    done = [stored.message for stored in session.events("parent.*.*.done")]
    assert len(done) == PARENTS
    filled: Counter[str] = Counter()
    for parent in done:
        fills = [fill for fill in session.fills() if fill.parent_id == parent.parent_id]
        assert sum((fill.qty for fill in fills), Decimal(0)) == parent.cum_qty
        assert sum((fill.qty * fill.price for fill in fills), Decimal(0)) == parent.notional
        filled[parent.symbol] += bool(fills)
    assert all(filled[symbol] > 5 for symbol in MARKETS), filled
    assert {fill.liquidity for fill in session.fills()} == {"maker", "taker"}
    report = session.audit(complete=True)
    assert report.ok, report.text()
    program = (
        "from pathlib import Path; from tests.unit.backtester import test_many_parents as t; "
        f"print(t.worked(Path({str(path)!r})).digest())"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "815",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
    }
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.stdout.strip() == session.digest(), run.stderr
