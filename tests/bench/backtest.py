"""A whole backtest on a recorded evening: `python -m tests.bench.backtest [--json]`.

Eleven minutes of Binance's spot BTC/USDT, both files, from our recording format (conversion is not timed) through
collector, aggregator, scheduler, router and gateway on virtual time, with a TWAP parent of 2 BTC over five minutes.
`events` are the level changes and trades that happen around its orders; the feed's book tickers say nothing that
those do not, and are not in our format. `seconds` is the best of RUNS, each with a session of its own, from opening
the file to the end; `cpu_seconds` its processor time, which says more where others use the machine; `peak_mb` the
memory of the process by then. `reference_seconds`: the same step by step, with the same `digest` of all that was
stored.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from bestex import messages as m
from bestex.clock import SECOND
from bestex.feed import DepthUpdate
from bestex.recording import convert, open_recording
from services.backtester.session import VirtualSession
from tests.bench import rig

FILES = ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz")
RUNS = 3
AFTER_NS = 10 * SECOND  # when the parent comes: every service has its books
CONVERT = "convert"  # the argument with which this module only makes the recording: that takes memory too
PARAMS = {"duration": "300s", "interval": "5s"}


def run() -> dict[str, Any]:
    folder = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
    if not folder.is_dir():
        return {"skipped": "no recorded market data"}
    with tempfile.TemporaryDirectory(prefix="bestex-bench-") as scratch:
        recording = Path(scratch) / "evening.rec"
        paths = [str(folder / name) for name in FILES]
        subprocess.run(
            [sys.executable, "-m", "tests.bench.backtest", CONVERT, str(recording), *paths], check=True
        )
        return measure(recording)


def measure(recording: Path) -> dict[str, Any]:
    runs = [backtest(recording) for _ in range(RUNS)]
    seconds, _, session = min(runs, key=lambda one: one[0])
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    reference_seconds, _, reference = backtest(recording, step_by_step=True)
    digests = {one.digest() for *_, one in runs} | {reference.digest()}
    assert len(digests) == 1, "every run is the same"
    levels = trades = 0
    for event in open_recording(recording):
        if isinstance(event, DepthUpdate):
            levels += len(event.bids) + len(event.asks)
        else:
            trades += 1
    [done] = [stored.message for stored in session.events("parent.*.*.done")]
    return {
        "events": levels + trades,
        "level_changes": levels,
        "trades": trades,
        "seconds": round(seconds, 3),
        "cpu_seconds": round(min(cpu for _, cpu, _ in runs), 3),
        "events_per_s": round((levels + trades) / seconds),
        "peak_mb": round(peak_mb),
        "slices": len(session.events("route.*.*.*.decided")),
        "fills": len(session.fills()),
        "filled": str(done.cum_qty),
        "reference_seconds": round(reference_seconds, 3),
        "digest": digests.pop(),
    }


def backtest(recording: Path, *, step_by_step: bool = False) -> tuple[float, float, VirtualSession]:
    """Seconds, seconds of the processor, and the session as it ended."""
    began, cpu_began = time.perf_counter(), time.process_time()
    session = VirtualSession.on_recordings([recording], recording.parent, seed=1, step_by_step=step_by_step)
    order = m.ParentOrder(symbol="BTC/USDT", side=m.Side.BUY, qty=Decimal(2), algo="twap", params=PARAMS)
    session.submit(order, session.now_ns + AFTER_NS)
    session.run(open_recording(recording).end_ns)
    return time.perf_counter() - began, time.process_time() - cpu_began, session


if __name__ == "__main__":
    if sys.argv[1:2] == [CONVERT]:
        convert(sys.argv[3:], sys.argv[2])
    else:
        rig.main(run)
