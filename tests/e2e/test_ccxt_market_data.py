"""Two emulated exchanges, a collector and an aggregator as processes, a real bus: what it says of the market."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, codec, streams, subjects
from bestex import config as configuration
from bestex.bus_address import ENV_URL
from bestex.clock import SECOND
from bestex.messages import BookStatus, ConsolidatedBook, Stats, VenueColumn
from bestex.ports import free_port
from bestex.process import ENV_HTTP_PORT
from tests.contract.rigs import BINANCE_SPOT, BYBIT_PERP
from tests.emulators.server import Emulator, serve
from tests.unit.collector.test_ccxt_venues import EMPTY, Place, Top
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
STOP_S = 20.0
AHEAD_NS = 3 * SECOND // 2  # Binance's clock
QUOTE_S = 0.02
VENUES = BINANCE_SPOT, BYBIT_PERP

CONFIG = """
data_dir = "{folder}"
[venues.binance_spot]
adapter = "ccxt"
mode = "live"
url = "{binance}"
[venues.bybit_perp]
adapter = "ccxt"
mode = "live"
url = "{bybit}"
[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 6
[instruments."BTC/USDT".venues]
binance_spot = {{ {spot} }}
bybit_perp = {{ symbol = "BTC/USDT:USDT", {perp} }}
"""


class Market:
    """What the bus says, and what it may say."""

    def __init__(self, places: dict[str, Place]) -> None:
        self.places = places
        self.books: list[ConsolidatedBook] = []
        self.stats: list[Stats] = []

    async def book(self, message: Msg) -> None:
        self.books.append(codec.from_msgpack(message.data, ConsolidatedBook))

    async def stat(self, message: Msg) -> None:
        self.stats.append(codec.from_json(message.data, Stats))

    def column(self, venue: str) -> VenueColumn | None:
        return (
            next((one for one in self.books[-1].venues if one.venue == venue), None) if self.books else None
        )

    def all_are(self, status: BookStatus) -> Callable[[], bool]:
        def holds() -> bool:
            columns = [self.column(venue) for venue in self.places]
            return all(one is not None and one.status is status for one in columns)

        return holds

    def never_wrong(self) -> bool:
        told = {(one.venue, top_of(one)) for book in self.books for one in book.venues}
        return all(top in self.places[venue].was for venue, top in told)

    async def trade_on(self) -> None:
        while True:
            for place in self.places.values():
                place.quote(1)
            await asyncio.sleep(QUOTE_S)


def top_of(column: VenueColumn) -> Top:
    bids = tuple(zip(column.bid_px, column.bid_qty, strict=True))
    asks = tuple(zip(column.ask_px, column.ask_qty, strict=True))
    return bids, asks


async def started(
    service: str, *names: str, url: str, config: Path, http: int = 0
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"services.{service}", *names, "--config", str(config)),
        env={
            **os.environ,
            ENV_URL: url,
            ENV_HTTP_PORT: str(http),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


@asynccontextmanager
async def ended_with_the_test(processes: list[asyncio.subprocess.Process]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


def metric(port: int, name: str, venue: str) -> float | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    head = f'{name}{{venue="{venue}"}} '
    return next((float(line.removeprefix(head)) for line in lines if line.startswith(head)), None)


async def test_books_reach_the_bus_right_or_not_at_all_through_cuts_and_kills(
    nats_url: str, tmp_path: Path
) -> None:
    binance: Emulator = BINANCE_SPOT.make(tmp_path / "binance", market="none")
    bybit: Emulator = BYBIT_PERP.make(tmp_path / "bybit", market="none")
    binance.skew_ns = AHEAD_NS
    async with serve(binance), serve(bybit):
        file = tmp_path / "bestex.toml"
        terms = {"spot": BINANCE_SPOT.listing, "perp": BYBIT_PERP.listing}
        file.write_text(CONFIG.format(folder=tmp_path, binance=binance.url, bybit=bybit.url, **terms))
        config = configuration.load(file)
        emulators = zip(VENUES, (binance, bybit), strict=True)
        market = Market({rig.venue: Place(rig, emulator, config) for rig, emulator in emulators})
        client = await bus.connect(nats_url, "test")
        await streams.apply(client, config)
        await client.subscribe(subjects.book("BTC/USDT"), cb=market.book)
        await client.subscribe(subjects.stats("BTC/USDT"), cb=market.stat)
        trading = asyncio.create_task(market.trade_on())
        try:
            await through_everything(client, market, nats_url, file)
        finally:
            trading.cancel()
            await asyncio.gather(trading, return_exceptions=True)
            await client.close()


async def through_everything(client: Client, market: Market, url: str, file: Path) -> None:
    port = free_port()
    names = tuple(market.places)
    processes = [await started("aggregator", url=url, config=file)]
    async with ended_with_the_test(processes):
        processes.append(await started("collector", *names, url=url, config=file, http=port))
        live = market.all_are(BookStatus.LIVE)
        await until(live)

        # A perpetual's mark price and funding are among the figures; the clocks are known.
        await until(lambda: any(one.funding_rate == 0.0001 for s in market.stats for one in s.venues))

        async def clock_is_known() -> bool:
            ahead = await asyncio.to_thread(metric, port, "bestex_feed_clock_ahead_seconds", "binance_spot")
            return ahead is not None and abs(ahead - AHEAD_NS / SECOND) < 0.5

        await until(clock_is_known)

        # A connection that is cut: unknown, and then known again, in the same process.
        seen = len(market.books)
        market.places["binance_spot"].emulator.cut(user=False)
        await until(lambda: any(top_of(one) == EMPTY for book in market.books[seen:] for one in book.venues))
        await until(live)

        # A collector that is killed leaves no live book behind, and one that is started begins anew.
        processes[1].kill()
        await processes[1].wait()
        await until(market.all_are(BookStatus.DOWN))
        processes.append(await started("collector", *names, url=url, config=file))
        await until(live)
        assert market.never_wrong()
        assert all(len(place.was) > 10 for place in market.places.values())

        for process in processes[:1] + processes[2:]:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), STOP_S) == 0
    await client.flush()
