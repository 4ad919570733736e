"""From a published parent to its child at the venue, and to the fill at the client: `python -m tests.bench.orders`.

The whole platform on a real nats-server with `sync_interval: always`, every service a process of its own, two
simulated venues that answer without delay. Serial: one market parent at a time, one child each. Sustained: many
parents in flight, a new one for each that ends.

The floor, in the same run, is a chain of as many processes that make the same durable publishes, as large, with
compare-and-set and standing pulls, and decide nothing (`orders_floor`). Which publishes those are is checked
against what the platform stored.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from bestex import bus, ids, subjects
from bestex import messages as m
from bestex.client import Client
from bestex.clock import SECOND
from bestex.messages import BookStatus, ConsolidatedBook
from bestex.parent import Parent
from bestex.reading import Kept
from bestex.sim_journal import journal_path, read_journal
from bestex.sim_wire import JournalEntry
from bestex.tail import Tail
from bestex.tape import decode_bus
from tests.bench import orders_floor, parents, rig
from tests.bench.rig import Rig

SYMBOL = "BTC/USDT"
QTY = "0.0001"  # one child: the best level of either venue holds far more
WARM_UP = 20
SERIAL = 200
IN_FLIGHT = 64
SUSTAINED_S = 6.0
SETTLE_S = 1.0  # of the sustained run's beginning are not counted
BOOK_S_MAX = 10.0

CONFIG = """
[venues.sim_a]
[venues.sim_b]

[instruments."BTC/USDT"]
price_scale = 2
qty_scale = 5
start_price = "60000"

[instruments."BTC/USDT".venues]
sim_a = { tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "2", maker_bps = "0.5" }
sim_b = { tick = "0.01", lot = "0.00001", min_notional = "5", taker_bps = "2.5", maker_bps = "0" }

[execution]
retry_pause = "0s"

[exchange]
latency = "0s"
"""


class Sent(NamedTuple):
    """One order: when it was published, and when its first child's fill was at the client; 0 where none came."""

    name: str
    at_ns: int
    filled_ns: int


One = Callable[[int], Awaitable[Sent]]


def run() -> dict[str, Any]:
    """Latencies in us, rates per second, memory in bytes."""
    return {**rig.run_async(measure()), **parents.run()}


async def measure() -> dict[str, Any]:
    async with Rig(CONFIG) as bench:
        platform, sizes = await measure_platform(bench)
        floor = await measure_floor(bench, sizes)
        ratios = {
            f"{what}p50_of_floor": round(platform[f"{what}p50_us"] / floor[f"floor_{what}p50_us"], 2)
            for what in ("", "fill_")
        }
        return {**platform, **floor, **ratios, "serial": SERIAL, "in_flight": IN_FLIGHT}


async def serially(count: int, one: One) -> list[Sent]:
    return [await one(number) for number in range(count)]


async def sustained(one: One) -> list[Sent]:
    """Always IN_FLIGHT at work, for SUSTAINED_S."""
    numbers, all_sent = itertools.count(), []
    end_ns = time.time_ns() + int(SUSTAINED_S * SECOND)

    async def worker() -> None:
        while time.time_ns() < end_ns:
            all_sent.append(await one(next(numbers)))

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return all_sent


def figures(
    serial: list[Sent], many: list[Sent], at_venue: dict[str, int], children: Sequence[int], prefix: str = ""
) -> dict[str, float]:
    """`at_venue`: when the first child of each order came to the venue; `children`: when any child did."""
    first, last = min(sent.at_ns for sent in many) + int(SETTLE_S * SECOND), max(sent.at_ns for sent in many)
    counted = sum(first <= at_ns < last for at_ns in children)
    return {
        **rig.quantiles_us([at_venue[sent.name] - sent.at_ns for sent in serial], prefix),
        **rig.quantiles_us([s.filled_ns - s.at_ns for s in serial if s.filled_ns], f"{prefix}fill_"),
        f"{prefix}children_per_s": round(counted * SECOND / (last - first)),
    }


# -- the platform --------------------------------------------------------------------------------------------


async def measure_platform(bench: Rig) -> tuple[dict[str, Any], dict[str, int]]:
    """Its figures, and the size of each message of the chain."""
    services = "collector", "aggregator", "router", "gateway", "scheduler"
    processes = [await bench.exchange(), *[await bench.service(service) for service in services]]
    await both_venues_live(bench)
    last: deque[m.Fill] = deque(maxlen=1)
    async with Client(bench.url, bench.config) as client:

        async def one(number: int) -> Sent:
            at_ns = time.time_ns()
            parent = await client.submit(SYMBOL, "buy" if number % 2 else "sell", QTY, algo="market")
            filled_ns = await first_fill(parent)
            client.forget(parent)
            last.extend(parent.fills)
            return Sent(parent.parent_id, at_ns, filled_ns)

        await serially(WARM_UP, one)
        serial = await serially(SERIAL, one)
        sizes = await chain_of(bench, last[-1])
        before = [rig.cpu_seconds(process.pid) for process in processes]
        many = await sustained(one)
        used = [rig.cpu_seconds(process.pid) - cpu for process, cpu in zip(processes, before, strict=True)]
    for process in reversed(processes):
        bench.end(process)
    children = children_at_venue(bench)
    at_venue = {
        sent.name: children[child]
        for sent in (*serial, *many)
        if (child := first_child(sent.name)) in children
    }
    return {
        **figures(serial, many, at_venue, list(children.values())),
        # The market moved before the child came, so the rest was routed again.
        "serial_missed": sum(not sent.filled_ns for sent in serial),
        "sustained_missed": round(sum(not sent.filled_ns for sent in many) / len(many), 3),
        **{
            f"{name_of(process)}_cpu_us": round(cpu / len(many) * 1e6)
            for process, cpu in zip(processes, used, strict=True)
        },
    }, sizes


def name_of(process: subprocess.Popen[bytes]) -> str:
    return str(process.args[2]).removeprefix("services.")  # type: ignore[index]


async def both_venues_live(bench: Rig) -> None:
    live = asyncio.Event()

    async def take(message: Any) -> None:
        book = decode_bus(message.subject, message.data, 0)
        assert isinstance(book, ConsolidatedBook)
        if all(column.status is BookStatus.LIVE for column in book.venues):
            live.set()

    subscription = await bench.client.subscribe(f"{subjects.ROOT}.book.*", cb=take)
    await asyncio.wait_for(live.wait(), BOOK_S_MAX)
    await subscription.unsubscribe()


async def first_fill(parent: Parent) -> int:
    """When the client had the first child's fill, once the parent has ended; 0 where that child had none."""
    filled_ns = 0
    async for event in parent:
        if isinstance(event, m.Fill) and event.child_id == first_child(parent.parent_id):
            filled_ns = filled_ns or time.time_ns()
    return filled_ns


def children_at_venue(bench: Rig) -> dict[str, int]:
    """When the venue took each child, by its id."""
    created: dict[str, int] = {}
    for venue in bench.config.enabled_venues():
        for line in read_journal(journal_path(bench.config.data_dir, venue)):
            if isinstance(line, JournalEntry):
                created.update((order.client_id, order.created_ns) for order in line.orders)
    return created


def first_child(parent_id: str) -> str:
    """A child's id is a function of where it came from."""
    return ids.child_id(SYMBOL, parent_id, slice_no=1, decision_no=0, leg_no=0)


async def chain_of(bench: Rig, fill: m.Fill) -> dict[str, int]:
    """Bytes of each message on the way of a lone parent to its fill, which must be those of the floor: each
    stage's are neighbours in their stream, so nothing else was stored in between."""
    parent_id, child_id, venue = fill.parent_id, fill.child_id, fill.venue
    sizes: dict[str, int] = {}
    for stream, stage in {
        subjects.SCHED: {name: subjects.parent(SYMBOL, parent_id, name) for name in ("accepted", "sliced")},
        subjects.ROUTE: {
            "decided": subjects.route(SYMBOL, parent_id, 1, "decided"),
            "new": subjects.child(venue, SYMBOL, child_id, "new"),
        },
        subjects.exec_stream(venue): {
            "submitting": subjects.execution(venue, SYMBOL, child_id, "submitting"),
            "fill": subjects.fill(venue, SYMBOL, fill.fill_id),
        },
    }.items():
        previous = 0
        for name, subject in stage.items():
            stored = await bus.read_last(bench.client, stream, subject)
            assert stored is not None, f"{subject} is not there"
            assert previous in (0, stored.seq - 1), f"{stream} holds something before {subject}"
            sizes[name], previous = len(stored.data), stored.seq
    return sizes


# -- the floor -----------------------------------------------------------------------------------------------


async def measure_floor(bench: Rig, sizes: dict[str, int]) -> dict[str, Any]:
    await orders_floor.make_streams(bench.client)
    venue = bench.spawn("tests.bench.orders_floor", "venue", answers=True)
    port = await rig.answer(venue)
    for stage in orders_floor.stages(sizes, port).values():
        process = bench.spawn(
            "tests.bench.orders_floor", "stage", msgspec.json.encode(stage).decode(), answers=True
        )
        assert await rig.answer(process) == "ready", "a stage of the floor did not start"
    fills: dict[str, asyncio.Future[int]] = {}

    def hear(delivery: Kept) -> None:
        fills[delivery.subject.split(".")[2]].set_result(time.time_ns())

    def fail(error: Exception) -> None:
        raise error

    tail = Tail(bench.client, "F_EXEC", [f"{orders_floor.ROOT}.fill.>"], hear, fail)
    await tail.start()
    order = m.ParentOrder(symbol=SYMBOL, side=m.Side.BUY, qty=Decimal(QTY), algo="market")
    body = orders_floor.Write("order", "new", len(msgspec.json.encode(order)))
    runs = itertools.count()

    async def one(_: int) -> Sent:
        name = f"o{next(runs)}"
        fills[name] = asyncio.get_running_loop().create_future()
        at_ns = time.time_ns()
        await bus.publish(bench.client, body.subject(name), bytes(body.size))
        return Sent(name, at_ns, await fills[name])

    await serially(WARM_UP, one)
    serial = await serially(SERIAL, one)
    many = await sustained(one)
    await tail.stop()
    rig.tell(venue, "")
    at_venue = await rig.answer(venue)
    return figures(serial, many, at_venue, list(at_venue.values()), "floor_")


if __name__ == "__main__":
    rig.main(run)
