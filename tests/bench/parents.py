"""Memory of a working parent in the scheduler, with 10,000 of them: `python -m tests.bench.parents [--json]`.

`bytes_per_parent`: the growth of a process that holds nothing but a SchedulerCore with 10,000 TWAP parents, one
slice of each at work. `process_bytes_per_parent`: the same for the scheduler's own process on a real bus, which
also keeps each history's last sequence and the timers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from decimal import Decimal
from importlib import resources
from typing import Any

from nats.aio.client import Client

from bestex import bus, codec, config, subjects
from bestex import messages as m
from bestex.clock import Time
from bestex.core import Fact, RawOrder, Wakeup
from services.scheduler.service import build
from tests.bench import rig
from tests.bench.rig import Rig

PARENTS = 10_000
WARM_UP = 200  # whatever grows once has grown
BATCH = 200  # orders published at once
STORED_S_MAX = 10.0
SYMBOL = "BTC/USDT"
PARAMS = {"duration": "1h", "interval": "5m"}
HOLD = "hold"  # the argument with which this module is the process that is measured


def run() -> dict[str, Any]:
    alone = subprocess.run(
        [sys.executable, "-m", "tests.bench.parents", HOLD],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    return {
        "bytes_per_parent": json.loads(alone.stdout),
        "process_bytes_per_parent": rig.run_async(measure_process())["bytes"],
        "parents": PARENTS,
    }


def body(number: int) -> bytes:
    order = m.ParentOrder(side=m.Side.BUY, qty=Decimal("1"), parent_id=f"parent-{number}", params=PARAMS)
    return codec.to_json(order)


def book(now_ns: int) -> m.ConsolidatedBook:
    column = m.VenueColumn(
        "sim_a", m.BookStatus.LIVE, 0, now_ns, now_ns, [59_999_00], [10**8], [60_001_00], [10**8]
    )
    return m.ConsolidatedBook(SYMBOL, 1, now_ns, 2, 5, False, False, [column])


def hold() -> int:
    """Bytes of resident memory that each of PARENTS parents has added."""
    core = build(config.load(None, {}), ()).core
    now_ns = Time(time.time_ns())
    subject = subjects.order("new", "twap", SYMBOL)
    core.decide(book(now_ns), now_ns)

    def work(number: int) -> None:
        inputs: list[Any] = [RawOrder(subject, body(number), number + 1), Wakeup(f"parent-{number}")]
        for message in inputs:
            (fact,) = core.decide(message, now_ns)
            assert isinstance(fact, Fact), "an acceptance, then a slice"
            core.apply(fact.event)

    for number in range(WARM_UP):
        work(number)
    gc.collect()
    before = rig.resident_bytes()
    for number in range(WARM_UP, WARM_UP + PARENTS):
        work(number)
    gc.collect()
    return (rig.resident_bytes() - before) // PARENTS


async def measure_process() -> dict[str, int]:
    text = resources.files("bestex").joinpath("default.toml").read_text()
    async with Rig(text) as bench:
        scheduler = await bench.service("scheduler")
        await bench.client.publish(subjects.book(SYMBOL), codec.to_msgpack(book(time.time_ns())))
        await submit(bench.client, range(WARM_UP))
        before = rig.resident_bytes(scheduler.pid)
        await submit(bench.client, range(WARM_UP, WARM_UP + PARENTS))
        return {"bytes": (rig.resident_bytes(scheduler.pid) - before) // PARENTS}


async def submit(client: Client, numbers: range) -> None:
    """Batch by batch, each when all before it have been accepted and sliced: a queue would count as memory."""
    subject = subjects.order("new", "twap", SYMBOL)
    for first in range(numbers.start, numbers.stop, BATCH):
        batch = range(first, min(first + BATCH, numbers.stop))

        async def all_sliced(stop: int = batch.stop) -> bool:
            info = await bus.api(client, f"STREAM.INFO.{subjects.SCHED}", {})
            return bool(info["state"]["last_seq"] >= 2 * stop)

        await asyncio.gather(*(bus.publish(client, subject, body(number)) for number in batch))
        await rig.until(all_sliced, STORED_S_MAX)


if __name__ == "__main__":
    if sys.argv[1:] == [HOLD]:
        print(json.dumps(hold()))
    else:
        rig.main(run)
