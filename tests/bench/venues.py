"""Order entry at a venue of ccxt, against bare aiohttp: `python -m tests.bench.venues [--json]`.

`order_*`: a round trip of a new order at an emulated Binance in a process of its own, one after the other, through
the adapter and by hand in turns, so that both meet the same machine. `cancel_*`: a hundred orders wait at the
gateway's desk, and a cancel comes behind them: how long until its request goes out.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import structlog

from bestex.children import die_with_parent
from bestex.clock import SECOND
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.desk import Desk
from services.gateway.venues.ccxt.adapter import CcxtVenue
from tests.bench import rig
from tests.contract.rigs import BINANCE_SPOT, CLOCK
from tests.emulators.server import Key
from tests.waiting import until

ROUNDS = 500
WARM = 50
QUEUED = 100
CANCELS = 20
SECONDS_MAX = 120.0
VENUE, SYMBOL = BINANCE_SPOT.venue, "BTC/USDT"


def run() -> dict[str, Any]:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="bestex-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "tests.emulators.binance", "--market", "none"]
        command += ["--data-dir", str(folder / "venue")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent) as process:
            try:
                assert process.stdout is not None
                url = str(json.loads(process.stdout.readline())["url"])
                return rig.run_async(measure(url, folder), SECONDS_MAX)
            finally:
                process.terminate()


async def measure(url: str, folder: Path) -> dict[str, Any]:
    venue = CcxtVenue(VENUE, BINANCE_SPOT.config(url, folder, "5s"), CLOCK)
    up = asyncio.Event()
    await venue.connect(lambda said: up.set() if isinstance(said, p.SessionState) else None, CLOCK.now_ns)
    await up.wait()
    ours, floor = [], []
    async with aiohttp.ClientSession() as http:
        for number in range(WARM + ROUNDS):
            floor.append(await timed(lambda n=number: post(http, url, f"bare{n}")))  # type: ignore[misc]
            ours.append(await timed(lambda n=number: venue.submit(order(f"ours{n}"))))  # type: ignore[misc]
    await venue.disconnect()
    return {**figures("order", ours[WARM:]), **figures("floor", floor[WARM:]), **await cancels(url, folder)}


def figures(name: str, taken_s: list[float]) -> dict[str, float]:
    ordered = sorted(taken_s)
    return {
        f"{name}_p50_us": round(1e6 * ordered[len(ordered) // 2]),
        f"{name}_p99_us": round(1e6 * ordered[len(ordered) * 99 // 100]),
    }


async def timed(act: Callable[[], Any]) -> float:
    begin_s = time.perf_counter()
    await act()
    return time.perf_counter() - begin_s


def order(child_id: str) -> p.Submit:
    later_ns = CLOCK.now_ns() + 60 * SECOND
    return p.Submit(
        venue=VENUE,
        symbol=SYMBOL,
        child_id=child_id,
        side=Side.BUY,
        qty=1_000,
        price=6_000_000,
        tif=Tif.IOC,
        post_only=False,
        deadline_ns=later_ns,
        good_till_ns=later_ns,
    )


async def post(http: aiohttp.ClientSession, url: str, client_id: str) -> None:
    """The same order by hand: the least that a signed request is."""
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.01"}
    terms |= {"price": "60000", "newClientOrderId": client_id, "timestamp": str(time.time_ns() // 1_000_000)}
    body = urlencode(terms)
    signature = hmac.new(Key().secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": Key().key, "Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(
        f"{url}/api/v3/order", data=f"{body}&signature={signature}", headers=headers
    ) as answer:
        await answer.read()
        assert answer.status == 200, await answer.text()


async def cancels(url: str, folder: Path) -> dict[str, float]:
    """How long a cancel waits behind orders that were there before it."""
    venue = CcxtVenue(VENUE, BINANCE_SPOT.config(url, folder, "5s"), CLOCK)
    desk = Desk({VENUE: venue}, Counter(), lambda _: "")
    up = asyncio.Event()

    def deliver(said: Any) -> None:
        if isinstance(said, p.SessionState) and said.state is p.Session.UP:
            desk.call(p.MassStatus(venue=VENUE, since_ns=CLOCK.now_ns()))
        if isinstance(said, p.SessionState) and said.state is p.Session.RECONCILED:
            up.set()

    async def may_send() -> bool:
        return True

    await desk.start(deliver, CLOCK.now_ns, may_send)
    await up.wait()
    left: asyncio.Future[float]
    quirk = venue._quirk
    send = quirk.cancel

    async def leaving(*arguments: Any) -> Any:
        left.set_result(time.perf_counter())
        return await send(*arguments)

    quirk.cancel = leaving  # type: ignore[method-assign, assignment]
    waited_s = []
    for attempt in range(CANCELS):
        left = asyncio.get_running_loop().create_future()
        for number in range(QUEUED):
            desk.call(order(f"q{attempt}x{number}"))
        begin_s = time.perf_counter()
        desk.call(p.Cancel(venue=VENUE, symbol=SYMBOL, child_id=f"q{attempt}x0"))
        waited_s.append(await left - begin_s)
        await until(lambda: not desk.in_flight)
    await desk.stop()
    return {
        "cancel_behind_100_p50_ms": round(1e3 * sorted(waited_s)[CANCELS // 2], 2),
        "cancel_behind_100_max_ms": round(1e3 * max(waited_s), 2),
    }


if __name__ == "__main__":
    rig.main(run)
