"""Market data of a venue of ccxt: from frames of a loopback websocket to `md.*` on a real nats-server, by the
collector's own process, against loops of ccxt's `watch_order_book` and `watch_trades`:
`python -m tests.bench.venues_data [--json]`.

Each exchange floods first ours, then the loops, with the same messages (`venues_feeder`), as fast as they are taken,
and then 10,000 a second. `cpu_us` is the processor time of the collector for one message; `full_core_per_s` what
that makes of a core of its own, on a machine where others are at work. `shown`: what of the messages the loops were
given at all; ccxt applies the rest, and its loops never see it.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from nats.aio.msg import Msg

from bestex import codec, subjects
from bestex.messages import MarketTrade, VenueBook
from bestex.units import from_units
from tests.bench import rig
from tests.bench.rig import Rig
from tests.bench.venues_feeder import MARK, RIGS

WARM_UP = 3_000
FLOOD = 30_000
PACED = 30_000
PACED_PER_S = 10_000
RUN_S_MAX = 60.0
SECONDS_MAX = 220.0


def run() -> dict[str, Any]:
    return rig.run_async(measure(), SECONDS_MAX)


async def measure() -> dict[str, Any]:
    result: dict[str, Any] = {}
    for venue in RIGS:
        name = venue.partition("_")[0]
        ours, floor = await measure_ours(venue), await measure_ccxt(venue)
        result |= {f"{name}_{key}": value for key, value in {**ours, **floor}.items()}
        shown = floor["ccxt_full_core_per_s"] * floor["ccxt_shown"]
        result[f"{name}_times_ccxt_shows"] = round(ours["full_core_per_s"] / shown, 2)
        result[f"{name}_times_ccxt"] = round(ours["full_core_per_s"] / floor["ccxt_full_core_per_s"], 2)
        result[f"{name}_cpu_of_ccxt_at_10k"] = round(
            ours["cpu_share_at_10k"] / floor["ccxt_cpu_share_at_10k"], 2
        )
    return result


def config_text(venue: str, url: str) -> str:
    one = RIGS[venue]
    return f"""
        [venues.{venue}]
        adapter = "ccxt"
        mode = "live"
        url = "{url}"
        options = {{ late_s = {RUN_S_MAX} }}
        [instruments."BTC/USDT"]
        price_scale = {one.price_scale + 1}
        qty_scale = {one.qty_scale}
        [instruments."BTC/USDT".venues]
        {venue} = {{ symbol = "{one.symbol}", {one.listing} }}
    """


async def feeder(bench: Rig, venue: str) -> tuple[subprocess.Popen[bytes], str]:
    process = bench.spawn("tests.bench.venues_feeder", venue, answers=True)
    return process, str(await rig.answer(process))


async def measure_ours(venue: str) -> dict[str, Any]:
    async with Rig(config_text(venue, "http://127.0.0.1:1")) as bench:
        feeding, url = await feeder(bench, venue)
        (bench.folder / "bestex.toml").write_text(config_text(venue, url))
        heard = Counter[str]()
        marks = Marks()

        async def take(message: Msg) -> None:
            kind = message.subject.split(".")[3]
            heard[kind] += 1
            if marks.are_awaited:
                marks.look(kind, message.data)

        await bench.client.subscribe(f"{subjects.ROOT}.md.*.{venue}.*", cb=take)
        await bench.client.flush()
        collector = await bench.service("collector", venue)
        sent = 0

        async def taken(count: int) -> None:
            nonlocal sent
            sent += count
            await rig.until(lambda: _is(heard.total() >= sent), RUN_S_MAX, 0.02)

        await rig.until(lambda: first(feeding, heard), RUN_S_MAX, 0.1)
        rig.tell(feeding, "mark")
        _, marks.trade = await rig.answer(feeding)
        await rig.until(lambda: _is(marks.are_heard), RUN_S_MAX, 0.02)  # and so all that was sent before
        marks.are_awaited = False
        heard.clear()
        figures = await both(feeding, collector, taken)
        assert heard.total() == sent, f"{sent} messages made {heard}"
        return figures


class Marks:
    """What a `mark` of the feeder becomes. `trade`: the number of its trade, as soon as it is known."""

    def __init__(self) -> None:
        self.are_awaited, self.trade = True, 0
        self._trades: set[str] = set()
        self._updates = 0  # of the two, those that were heard

    def look(self, kind: str, data: bytes) -> None:
        if kind == "trade":
            self._trades.add(codec.from_msgpack(data, MarketTrade).trade_id)
        elif self._updates:
            self._updates = 2
        else:
            book = codec.from_msgpack(data, VenueBook)
            best = from_units(book.bid_px[0], book.price_scale) if book.bid_px else 0
            self._updates = int(best == Decimal(MARK))

    @property
    def are_heard(self) -> bool:
        return self._updates == 2 and str(self.trade) in self._trades


async def _is(truth: bool) -> bool:
    return truth


async def first(feeding: subprocess.Popen[bytes], heard: Counter[str]) -> bool:
    """Whether the collector hears both; a venue that says nothing tells nobody that he is connected."""
    rig.tell(feeding, "4 0")
    await rig.answer(feeding)
    return heard["book"] > 0 and heard["trade"] > 0


async def both(
    feeding: subprocess.Popen[bytes],
    process: subprocess.Popen[bytes],
    taken: Callable[[int], Awaitable[None]],
) -> dict[str, Any]:
    async def sent(count: int, per_s: int) -> tuple[float, float]:
        """Seconds of the clock and of the processor."""
        began, used = time.monotonic(), rig.cpu_seconds(process.pid)
        rig.tell(feeding, f"{count} {per_s}")
        await rig.answer(feeding)
        await taken(count)
        return time.monotonic() - began, rig.cpu_seconds(process.pid) - used

    await sent(WARM_UP, 0)
    wall, used = await sent(FLOOD, 0)
    paced_wall, paced_used = await sent(PACED, PACED_PER_S)
    return {
        "per_s": round(FLOOD / wall),
        "cpu_us": round(1e6 * used / FLOOD, 1),
        "full_core_per_s": round(FLOOD / used),
        "per_s_at_10k": round(PACED / paced_wall),
        "cpu_share_at_10k": round(paced_used / PACED * PACED_PER_S, 3),
    }


async def measure_ccxt(venue: str) -> dict[str, Any]:
    async with Rig(config_text(venue, "http://127.0.0.1:1")) as bench:
        feeding, url = await feeder(bench, venue)
        loops = bench.spawn("tests.bench.venues_ccxt", venue, url, answers=True)
        ready = asyncio.create_task(rig.answer(loops))
        while not ready.done():
            rig.tell(feeding, "4 0")
            await rig.answer(feeding)
            await asyncio.wait({ready}, timeout=0.1)
        assert await ready == "ready"

        async def seen() -> dict[str, int]:
            rig.tell(loops, "?")
            said: dict[str, int] = await rig.answer(loops)
            return said

        rig.tell(feeding, "mark")
        marked = await rig.answer(feeding)

        async def drained() -> bool:
            """Whether all that was sent until now is worked off, and shown; the trades may be subscribed to last."""
            nonlocal marked
            now = await seen()
            if [now["update"], now["trade"]] == marked:
                return True
            if not now["trade"]:
                rig.tell(feeding, "mark")
                marked = await rig.answer(feeding)
            return False

        await rig.until(drained, RUN_S_MAX, 0.1)
        sent = (await seen())["applied"]

        async def taken(count: int) -> None:
            nonlocal sent
            sent += count

            async def there() -> bool:
                return (await seen())["applied"] >= sent

            await rig.until(there, RUN_S_MAX, 0.05)

        before = await seen()
        figures = await both(feeding, loops, taken)
        after = await seen()
        count = WARM_UP + FLOOD + PACED
        shown = after["books"] + after["trades"] - before["books"] - before["trades"]
        return {f"ccxt_{key}": value for key, value in figures.items()} | {
            "ccxt_shown": round(shown / count, 3),
            "ccxt_books_shown": round((after["books"] - before["books"]) / (count * 3 / 4), 3),
        }


if __name__ == "__main__":
    rig.main(run)
