"""From a raw frame at the collector to the consolidated book at a subscriber: `python -m tests.bench.books`.

The collector's and the aggregator's own processes, a real nats-server, and recorded Binance frames in the order
of their receipt. `updates_per_s`: as fast as it goes, every update to its book. `p50_us`, `p99_us`: at a paced
rate, from before the frame is parsed until the book that it made is at the subscriber.

The floor is bare nats-py with uvloop in the same run: the same number of processes, the same bytes.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.msg import Msg

from bestex import codec, subjects
from bestex.clock import SECOND
from bestex.feed import instruments_of
from bestex.importers.binance import BinanceRecording
from bestex.messages import ConsolidatedBook
from bestex.replay_config import config_text
from services.aggregator.core import AggregatorCore
from services.collector.core import CollectorCore
from tests.bench import rig
from tests.bench.books_collector import ENV_FRAMES
from tests.bench.books_floor import OUT
from tests.bench.rig import Rig

WARM_UP = 2_000
UPDATES = 30_000  # some seconds of work; their bytes fit into every buffer on the way, so none is dropped
PACED = 2_500
PACED_PER_S = 500  # a busy venue pair; far from saturation
SILENCE_S = 0.5  # nothing arrives any more
RUN_S_MAX = 30.0
FLOOD_AGES = {"stale_after": "120s", "down_after": "120s"}  # a flood queues; ages must not thin it out

Arrivals = list[tuple[int, bytes]]


def run() -> dict[str, Any]:
    """Rates per second and latencies in us; {"skipped": why} where there are no recordings."""
    folder = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
    files = sorted(folder.glob("*.gz"))
    if not files:
        return {"skipped": f"no recorded frames in {folder}; name the folder of the data in BESTEX_DATA"}
    return rig.run_async(measure(files))


async def measure(files: list[Path]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bestex-frames-") as folder:
        frames = [depth_frames(path, Path(folder) / f"{path.stem}.txt") for path in files]
        return await compare(frames)


async def compare(frames: list[Path]) -> dict[str, Any]:
    instruments = instruments_of(BinanceRecording(frames).streams)
    venues = {listing.venue: ["live"] for instrument in instruments for listing in instrument.listings}
    ages = "\n".join(f'{key} = "{value}"' for key, value in FLOOD_AGES.items())
    async with Rig(f"{config_text(instruments, venues)}\n[market_data]\n{ages}\n") as bench:
        platform = await measure_platform(bench, frames)
        floor = await measure_floor(bench, frames)
        share = platform["updates_per_s"] / floor["floor_updates_per_s"]
        ratio = platform["p50_us"] / floor["floor_p50_us"]
        return {
            **platform,
            **floor,
            "rate_of_floor": round(share, 3),
            "p50_of_floor": round(ratio, 2),
            "updates": UPDATES,
            "paced_per_s": PACED_PER_S,
        }


def depth_frames(path: Path, out: Path) -> Path:
    """The book's frames alone, unpacked: a live feed arrives unpacked, and as subscribed."""
    with gzip.open(path, "rb") as lines, out.open("wb") as kept:
        kept.writelines(line for line in lines if b'"depthUpdate"' in line or b'"lastUpdateId"' in line)
    return out


class Subscriber:
    """Keeps what arrives with its time; whatever else is to be known is found out afterwards."""

    def __init__(self) -> None:
        self.arrivals: Arrivals = []

    async def take(self, message: Msg) -> None:
        self.arrivals.append((time.time_ns(), message.data))

    async def collect(self, count: int) -> Arrivals:
        """All that came until `count` were there and then nothing for a while."""

        async def all_there() -> bool:
            enough = len(self.arrivals) >= count
            return enough and time.time_ns() - self.arrivals[-1][0] > SILENCE_S * SECOND

        await rig.until(all_there, RUN_S_MAX)
        taken, self.arrivals = self.arrivals, []
        return taken


async def measure_platform(bench: Rig, frames: list[Path]) -> dict[str, Any]:
    aggregator = await bench.service("aggregator")
    os.environ[ENV_FRAMES] = os.pathsep.join(map(str, frames))
    collector = await bench.started(bench.spawn("tests.bench.books_collector"))
    subscriber = Subscriber()
    await bench.client.subscribe(f"{subjects.ROOT}.book.*", cb=subscriber.take)
    await bench.client.flush()

    async def updates(count: int, per_s: int) -> tuple[list[int], float]:
        """Each update's latency, and the rate from the first frame to the last book."""
        began_ns = time.time_ns()
        rig.tell(collector, f"{count} {per_s}")
        books = caused(await subscriber.collect(count), began_ns)
        assert len(books) == count, f"{count} updates made {len(books)} books"
        began, ended = min(recv for recv, _ in books), max(at for _, at in books)
        return [at - recv for recv, at in books], count * SECOND / (ended - began)

    await updates(WARM_UP, 0)
    before = [rig.cpu_seconds(p.pid) for p in (collector, aggregator)]
    _, rate = await updates(UPDATES, 0)
    used = [rig.cpu_seconds(p.pid) - cpu for p, cpu in zip((collector, aggregator), before, strict=True)]
    latencies, _ = await updates(PACED, PACED_PER_S)
    bench.end(collector)
    bench.end(aggregator)
    return {
        "updates_per_s": round(rate),
        **rig.quantiles_us(latencies),
        "collector_cpu_us": round(used[0] / UPDATES * 1e6, 1),
        "aggregator_cpu_us": round(used[1] / UPDATES * 1e6, 1),
    }


def caused(arrivals: Arrivals, began_ns: int) -> list[tuple[int, int]]:
    """(receive time of the update, arrival) of each book that an update made: one column of it is new. Others
    repeat a book that was quiet."""
    found: list[tuple[int, int]] = []
    before: dict[tuple[str, str], int] = {}
    for at_ns, data in arrivals:
        book = codec.from_msgpack(data, ConsolidatedBook)
        for column in book.venues:
            key = book.symbol, column.venue
            if column.recv_ns >= began_ns and column.recv_ns != before.get(key):
                before[key] = column.recv_ns
                found.append((column.recv_ns, at_ns))
    return found


async def measure_floor(bench: Rig, frames: list[Path]) -> dict[str, Any]:
    count = WARM_UP + UPDATES + PACED
    books, consolidated = bench.folder / "in.msgpack", bench.folder / "out.msgpack"
    pairs = same_bytes(bench, frames, count)
    books.write_bytes(msgspec.msgpack.encode([book for book, _ in pairs]))
    consolidated.write_bytes(msgspec.msgpack.encode([book for _, book in pairs]))
    relay = await standing(bench, "relay", consolidated)
    publisher = await standing(bench, "publish", books)
    subscriber = Subscriber()
    await bench.client.subscribe(OUT, cb=subscriber.take)
    await bench.client.flush()

    async def messages(count: int, per_s: int) -> tuple[list[int], float]:
        rig.tell(publisher, f"{count} {per_s}")
        sent = await rig.answer(publisher)
        arrived = [at_ns for at_ns, _ in await subscriber.collect(count)]
        assert len(arrived) == count, f"{count} messages became {len(arrived)}"
        latencies = [at - began for began, at in zip(sent, arrived, strict=True)]
        return latencies, count * SECOND / (arrived[-1] - sent[0])

    await messages(WARM_UP, 0)
    _, rate = await messages(UPDATES, 0)
    latencies, _ = await messages(PACED, PACED_PER_S)
    bench.end(publisher)
    bench.end(relay)
    return {"floor_updates_per_s": round(rate), **rig.quantiles_us(latencies, "floor_")}


async def standing(bench: Rig, role: str, file: Path) -> subprocess.Popen[bytes]:
    process = bench.spawn("tests.bench.books_floor", role, str(file), answers=True)
    assert await rig.answer(process) == "ready", f"the floor's {role} did not start"
    return process


def same_bytes(bench: Rig, frames: list[Path], count: int) -> list[tuple[bytes, bytes]]:
    """What the collector and the aggregator publish for the same frames, by the same cores in this process."""
    market_data = bench.config.market_data
    collector = CollectorCore(market_data.levels, market_data.down_after)
    aggregator = AggregatorCore(bench.config.make_instruments(), market_data)
    pairs: list[tuple[bytes, bytes]] = []
    for event in BinanceRecording(frames):
        ((_, book),) = emitted(collector.decide(event, event.recv_ns))
        made = emitted(aggregator.decide(book, event.recv_ns))
        pairs += [(codec.to_msgpack(book), codec.to_msgpack(message)) for _, message in made]
        if len(pairs) >= count:
            break
    return pairs[:count]


def emitted(effects: Any) -> list[tuple[str, Any]]:
    return [(effect.subject, effect.message) for effect in effects if hasattr(effect, "message")]


if __name__ == "__main__":
    rig.main(run)
