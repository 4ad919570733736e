"""Order entry at a venue of ccxt, against bare aiohttp: `python -m tests.bench.venues [--json]`.

`order_*`: a round trip of a new order at an emulated Binance in a process of its own, one after the other, over its
socket for orders; `rest_*` over REST. `floor*`: the same by hand, in turns, so that all meet the same machine.
`cancel_*`: a hundred orders wait at the gateway's desk, and a cancel comes behind them: how long until its request
goes out. `binance_*`, `bybit_*`: market data (`venues_data`).
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
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import msgspec
import orjson
import structlog

from bestex.children import die_with_parent
from bestex.clock import SECOND
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.desk import Desk
from services.gateway.venues.ccxt.adapter import CcxtVenue
from tests.bench import rig, venues_data
from tests.contract.rigs import BINANCE_SPOT, CLOCK
from tests.emulators.server import Key
from tests.waiting import until

ROUNDS = 250  # four ways, each of weight 4, within the 6,000 of a minute
WARM = 30
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
        with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent()) as process:
            try:
                assert process.stdout is not None
                url = str(json.loads(process.stdout.readline())["url"])
                orders = rig.run_async(measure(url, folder), SECONDS_MAX)
            finally:
                process.terminate()
    return orders | venues_data.run()


async def measure(url: str, folder: Path) -> dict[str, Any]:
    """Orders by both ways, and by hand by both, in turns."""
    venues = {way: await connected(url, folder / way, way) for way in ("websocket", "rest")}
    taken: dict[str, list[float]] = {name: [] for name in ("order", "rest", "floor", "floor_socket")}
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws-api/v3", compress=0) as socket:
        for number in range(WARM + ROUNDS):
            acts: dict[str, Callable[[], Any]] = {
                "floor": lambda n=number: post(http, url, f"bare{n}"),  # type: ignore[misc]
                "rest": lambda n=number: sent(venues["rest"], order(f"rest{n}")),  # type: ignore[misc]
                "floor_socket": lambda n=number: place(socket, f"frame{n}"),  # type: ignore[misc]
                "order": lambda n=number: sent(venues["websocket"], order(f"line{n}")),  # type: ignore[misc]
            }
            for name, act in acts.items():
                taken[name].append(await timed(act))
    for venue in venues.values():
        await venue.disconnect()
    found = {
        name: figure for way, times in taken.items() for name, figure in figures(way, times[WARM:]).items()
    }
    return {**found, **await cancels(url, folder)}


async def connected(url: str, folder: Path, way: str) -> CcxtVenue:
    venue = CcxtVenue(VENUE, replace(BINANCE_SPOT, entry=way).config(url, folder, "5s"), CLOCK)
    # Its real limits are eight orders a second; counting them costs the same.
    rates = tuple(msgspec.structs.replace(rate, weight=1e9) for rate in venue.capabilities.rates)
    venue._quirk.capabilities = msgspec.structs.replace(venue.capabilities, rates=rates)  # type: ignore[misc]
    up = asyncio.Event()
    await venue.connect(lambda said: up.set() if isinstance(said, p.SessionState) else None, CLOCK.now_ns)
    await up.wait()
    return venue


async def sent(venue: CcxtVenue, one: p.Submit) -> None:
    """As the desk does it: with the wait for the venue's limits, which let it pass."""
    assert not await venue.admit(one)
    [said] = await venue.submit(one)
    assert isinstance(said, p.VenueClosed), said


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


def order(child_id: str, patience_ns: int = 60 * SECOND) -> p.Submit:
    later_ns = CLOCK.now_ns() + patience_ns
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


async def place(socket: aiohttp.ClientWebSocketResponse, client_id: str) -> None:
    """The same as one frame."""
    terms: dict[str, str] = {"apiKey": Key().key, **worded(client_id)}
    payload = "&".join(f"{name}={terms[name]}" for name in sorted(terms))
    terms["signature"] = hmac.new(Key().secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    frame = {"id": client_id, "method": "order.place", "params": terms}
    await socket.send_str(orjson.dumps(frame).decode())
    answer = orjson.loads((await socket.receive()).data)
    assert answer["status"] == 200, answer


def worded(client_id: str) -> dict[str, str]:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.01"}
    return terms | {
        "price": "60000",
        "newClientOrderId": client_id,
        "timestamp": str(time.time_ns() // 1_000_000),
    }


async def post(http: aiohttp.ClientSession, url: str, client_id: str) -> None:
    """The same order by hand: the least that a signed request is."""
    body = urlencode(worded(client_id))
    signature = hmac.new(Key().secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    headers = {"X-MBX-APIKEY": Key().key, "Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(
        f"{url}/api/v3/order", data=f"{body}&signature={signature}", headers=headers
    ) as answer:
        await answer.read()
        assert answer.status == 200, await answer.text()


async def cancels(url: str, folder: Path) -> dict[str, float]:
    """How long a cancel waits behind orders that were there before it; most of these wait for the venue's limits."""
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
    entry = venue._entry
    send = entry.cancel

    async def leaving(*arguments: Any) -> Any:
        left.set_result(time.perf_counter())
        return await send(*arguments)

    entry.cancel = leaving  # type: ignore[method-assign, assignment]
    waited_s = []
    for attempt in range(CANCELS):
        left = asyncio.get_running_loop().create_future()
        for number in range(QUEUED):
            desk.call(order(f"q{attempt}x{number}", SECOND // 4))
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
