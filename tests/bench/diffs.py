"""Depth diffs applied to a book, per second: `python -m tests.bench.diffs [--json]`.

`diffs_per_s` starts from integers; `from_text_per_s` from (price, quantity) strings as parsed JSON has them;
`with_top_per_s` reads the best 20 levels of both sides after every diff, as a publisher does. After each diff
of the first two, the best bid and ask are read, so that no work is put off unseen. The floor is the bare
`dict.update` of the same integers, which keeps no order at all.

The changes are those of a recorded USD-M perpetual, regrouped into n bids + n asks a diff, on the book of the
recording's snapshot; without the recordings, a seeded imitation of their mix. They are parsed afresh in small
batches outside the timing, because a feed's strings are new each time and warm in the cache.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bestex.depth import DepthBook, LevelReader

SIZES = (1, 5, 20, 100)
CCXT_PRO = {1: 58_000, 5: 32_000, 20: 10_800, 100: 4_300}
AIM = 10  # times ccxt.pro
BATCH_LEVELS = 8_000  # parsed at once: about what stays in the second-level cache
MAX_LEVELS = 80_000  # of each side and run: half a second each
REPEATS = 3
TOP = 20
RECORDING = "binance/usdm_btcusdt_20240808.gz"

Text = list[tuple[str, str]]
Units = list[tuple[int, int]]


def recorded() -> tuple[Text, Text, Text, Text] | None:
    """Snapshot bids and asks, then all changes of bids and asks after it."""
    path = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / RECORDING
    if not path.is_file():
        return None
    snapshot: dict[str, Any] = {}
    bids: Text = []
    asks: Text = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            frame = json.loads(line.partition(" ")[2])
            if "lastUpdateId" in frame:
                snapshot = frame
            elif snapshot and frame["data"]["e"] == "depthUpdate":
                bids += frame["data"]["b"]
                asks += frame["data"]["a"]
    return snapshot["bids"], snapshot["asks"], bids, asks


def imitated() -> tuple[Text, Text, Text, Text]:
    """Around 60 % amended, 20 % new, 20 % removed, most of them near the touch, sizes from a few thousand."""
    rng = random.Random(1)

    def side(sign: int) -> tuple[Text, Text]:
        def level(ticks: int, qty: int) -> tuple[str, str]:
            return f"{(618_000 - sign * ticks) / 10:.2f}", f"{qty / 1000:.3f}"

        book = [level(n, rng.randint(1, 5000)) for n in range(1, 2001, 2)]
        changes = [
            level(1 + int(rng.expovariate(1 / 150)), 0 if rng.random() < 0.22 else rng.randint(1, 5000))
            for _ in range(MAX_LEVELS)
        ]
        return book, changes

    (bids, new_bids), (asks, new_asks) = side(1), side(-1)
    return bids, asks, new_bids, new_asks


def measure(n: int, data: tuple[Text, Text, Text, Text]) -> dict[str, float]:
    bids, asks, bid_changes, ask_changes = data
    total = min(len(bid_changes), len(ask_changes), MAX_LEVELS) // n
    batch = max(1, BATCH_LEVELS // (2 * n))

    def rate(units: bool, act: Callable[[DepthBook, LevelReader, list[Any]], None]) -> float:
        best = float("inf")
        for _ in range(REPEATS):
            reader, book = LevelReader(1, 3), DepthBook()
            book.replace(reader.read(bids), reader.read(asks))
            spent = 0.0
            for first in range(0, total, batch):
                starts = range(first * n, min(first + batch, total) * n, n)
                diffs = [(bid_changes[i : i + n], ask_changes[i : i + n]) for i in starts]
                fresh = json.loads(json.dumps(diffs))
                if units:
                    fresh = [(reader.read(b), reader.read(a)) for b, a in fresh]
                began = time.perf_counter()
                act(book, reader, fresh)
                spent += time.perf_counter() - began
            best = min(best, spent)
        return total / best

    plain: dict[int, int] = {}
    return {
        "diffs_per_s": rate(True, apply_units),
        "from_text_per_s": rate(False, apply_text),
        "with_top_per_s": rate(True, apply_and_read_top),
        "floor_per_s": rate(True, lambda _book, _reader, diffs: update_plain(plain, diffs)),
    }


def apply_units(book: DepthBook, _: LevelReader, diffs: list[tuple[Units, Units]]) -> None:
    bids, asks = book.bids, book.asks
    for bid_changes, ask_changes in diffs:
        book.apply(bid_changes, ask_changes)
        bids.best()
        asks.best()


def apply_text(book: DepthBook, reader: LevelReader, diffs: list[tuple[Text, Text]]) -> None:
    bids, asks, read = book.bids, book.asks, reader.read
    for bid_changes, ask_changes in diffs:
        book.apply(read(bid_changes), read(ask_changes))
        bids.best()
        asks.best()


def apply_and_read_top(book: DepthBook, _: LevelReader, diffs: list[tuple[Units, Units]]) -> None:
    for bid_changes, ask_changes in diffs:
        book.apply(bid_changes, ask_changes)
        book.top(TOP)


def update_plain(levels: dict[int, int], diffs: list[tuple[Units, Units]]) -> None:
    for bid_changes, ask_changes in diffs:
        levels.update(bid_changes)
        levels.update(ask_changes)


def run() -> dict[str, Any]:
    """Per second, keyed by "n+n", for each of the four ways, with the aim and where the changes came from."""
    data = recorded()
    result: dict[str, Any] = {"source": RECORDING if data else "imitated"}
    for n in SIZES:
        for name, rate in measure(n, data or imitated()).items():
            result.setdefault(name, {})[f"{n}+{n}"] = round(rate)
    result["aim_per_s"] = {f"{n}+{n}": AIM * CCXT_PRO[n] for n in SIZES}
    return result


def main() -> None:
    result = run()
    if "--json" in sys.argv[1:]:
        print(json.dumps(result))
        return
    print(f"depth diffs per second, {result.pop('source')}")
    print(f"{'':16}" + "".join(f"{f'{n}+{n}':>12}" for n in SIZES))
    for name, rates in result.items():
        print(f"{name:16}" + "".join(f"{rate:12,}" for rate in rates.values()))


if __name__ == "__main__":
    main()
