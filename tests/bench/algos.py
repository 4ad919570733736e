"""Decisions a second of every algorithm, and how late a busy scheduler is: `python -m tests.bench.algos [--json]`.

`decisions_per_s`: one core alone, without a bus, works PARENTS orders of each example to their end; a decision is a
look at an order, or a result that is taken, its facts applied, and the time is the processor's. The market stands
still but is heard ten times a second, slices come back filled at once. `accepted_per_s`: orders, read as bytes.

`lateness_*`: a scheduler's own process on a real bus (`sync_interval: always`) works WORKING parents of one slice in
INTERVAL_S each, SLICES_PER_S slices a second in all, whose results come back at once. Lateness is from the planned
time of a slice to the time of its event.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import time
from collections import Counter
from decimal import Decimal
from importlib import resources
from typing import Any

from bestex import codec, config, subjects
from bestex import messages as m
from bestex.clock import MS, SECOND, Time
from bestex.core import Fact, RawOrder, Wake, Wakeup
from bestex.errors import Code
from services.scheduler.core import SchedulerCore
from services.scheduler.service import build
from tests.bench import rig
from tests.bench.rig import Rig
from tests.unit.scheduler.examples import EXAMPLES
from tests.unit.scheduler.play import Moment, book_of, stats_of

PARENTS = 100  # of each example: enough for a second's work, few enough for all examples in half a minute
SECONDS = 110  # an example's life
TICK_NS = 100 * MS
START_NS = 1_700_000_000 * SECOND

WORKING = 10_000
INTERVAL_S = 10
SLICES_PER_S = WORKING // INTERVAL_S
MEASURED_S = 20
LATENESS_S_MAX = 150.0
BATCH = 100


def run() -> dict[str, Any]:
    rates = {algo: rates_per_s(algo) for algo in EXAMPLES}
    lateness = rig.run_async(measure_lateness(), LATENESS_S_MAX)
    return {
        "decisions_per_s": {algo: decided for algo, (decided, _) in rates.items()},
        "accepted_per_s": {algo: accepted for algo, (_, accepted) in rates.items()},
        "slowest_per_s": min(decided for decided, _ in rates.values()),
        **lateness,
    }


# -- decisions -------------------------------------------------------------------------------------------------


def rates_per_s(algo: str) -> tuple[int, int]:
    """Decisions and acceptances a second, of all examples of the algorithm together."""
    decisions = orders = 0
    deciding_s = accepting_s = 0.0
    for example in EXAMPLES[algo]:
        inputs, looks = recorded(algo, example)
        core = fresh()
        first = next(i for i, (message, _) in enumerate(inputs) if isinstance(message, RawOrder))
        rest = first + PARENTS
        spend(core, inputs[:first])
        accepting_s += spend(core, inputs[first:rest])
        deciding_s += spend(core, inputs[rest:])
        orders += PARENTS
        decisions += looks + sum(isinstance(message, m.RouteDone) for message, _ in inputs)
    return round(decisions / deciding_s), round(orders / accepting_s)


def spend(core: SchedulerCore, inputs: list[tuple[Any, int]]) -> float:
    """Seconds of the processor that these inputs take."""
    begin_s = time.process_time()
    for message, now_ns in inputs:
        for out in core.decide(message, now_ns):
            if isinstance(out, Fact):
                core.apply(out.event)
    return time.process_time() - begin_s


def fresh() -> SchedulerCore:
    core = build(config.load(None, {}), ()).core
    assert isinstance(core, SchedulerCore)
    return core


def recorded(algo: str, example: dict[str, Any]) -> tuple[list[tuple[Any, int]], int]:
    """The inputs of a whole life of PARENTS orders, and how often an order was looked at."""
    core = fresh()
    looks = 0
    look = core._working.look

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return look(*arguments)

    core._working.look = counted  # type: ignore[method-assign, assignment]
    inputs: list[tuple[Any, int]] = []
    wakes: list[tuple[int, str]] = []
    due: dict[str, int] = {}
    back: list[m.RouteDone] = []

    def feed(message: Any, now_ns: int) -> None:
        inputs.append((message, now_ns))
        outputs = core.decide(message, now_ns)
        effects = [effect for out in outputs if isinstance(out, Fact) for effect in core.apply(out.event)]
        for out in (*outputs, *effects):
            if isinstance(out, Wake):
                due[out.key] = out.at_ns
                heapq.heappush(wakes, (out.at_ns, out.key))
            elif isinstance(out, Fact) and isinstance(out.event, m.ParentSliced):
                back.append(filled(out.event, now_ns))

    feed(book_of(Moment(), START_NS), START_NS)
    feed(stats_of(Moment(), START_NS), START_NS)
    for number in range(PARENTS):
        feed(order(algo, example, number), START_NS)
    for tick in range(1, SECONDS * SECOND // TICK_NS):
        now_ns = START_NS + tick * TICK_NS
        while wakes and wakes[0][0] <= now_ns:
            at_ns, key = heapq.heappop(wakes)
            if at_ns and due.get(key) == at_ns:
                del due[key]
                feed(Wakeup(key), max(at_ns, now_ns - TICK_NS))
        came, back[:] = back[:], []
        for done in came:
            feed(done, now_ns)
        moment = Moment(traded=tick * 10**5)
        feed(book_of(moment, now_ns), now_ns)
        if now_ns % SECOND == 0:
            feed(stats_of(moment, now_ns), now_ns)
    return inputs, looks


def order(algo: str, example: dict[str, Any], number: int) -> RawOrder:
    own = ("limit_price", "strategy", "venues")
    body = {
        "side": "buy",
        "qty": "1",
        "parent_id": f"p{number}",
        **{name: example[name] for name in own if name in example},
        "params": {name: value for name, value in example.items() if name not in own},
    }
    return RawOrder(subjects.order("new", algo, "BTC/USDT"), json.dumps(body).encode(), number + 1)


def filled(sliced: m.ParentSliced, now_ns: int) -> m.RouteDone:
    return m.RouteDone(
        symbol=sliced.symbol,
        parent_id=sliced.parent_id,
        slice_no=sliced.slice_no,
        at=Time(now_ns),
        qty=sliced.qty,
        filled_qty=sliced.qty,
        notional=sliced.qty * 60_000,
        fees=Decimal(0),
        reason=Code.FILLED,
    )


# -- lateness --------------------------------------------------------------------------------------------------


async def measure_lateness() -> dict[str, Any]:
    async with Rig((resources.files("bestex") / "default.toml").read_text()) as bench:
        service = await bench.service("scheduler")
        client = bench.client
        market = asyncio.create_task(play_market(client))
        late: list[int] = []
        begins: dict[str, int] = {}
        counted = Counter[str]()

        async def on_sliced(message: Any) -> None:
            event = codec.from_json(message.data, m.ParentSliced)
            now_ns = time.time_ns()
            begin_ns = begins[event.parent_id]
            planned_ns = begin_ns + (event.slice_no - 1) * INTERVAL_S * SECOND
            if counting:
                late.append(event.at - planned_ns)
                counted["slices"] += 1
            done = filled(event, now_ns)
            subject = subjects.route(event.symbol, event.parent_id, event.slice_no, "done")
            await client.publish(subject, codec.to_json(done))

        async def on_accepted(message: Any) -> None:
            event = codec.from_json(message.data, m.ParentAccepted)
            begins[event.parent_id] = int(event.start_at)

        counting = False
        await client.subscribe(f"{subjects.ROOT}.parent.*.*.accepted", cb=on_accepted)
        await client.subscribe(f"{subjects.ROOT}.parent.*.*.sliced", cb=on_sliced)
        try:
            await hand_in(client)
            counting = True
            cpu_s, begin_s = rig.cpu_seconds(service.pid), time.monotonic()
            await asyncio.sleep(MEASURED_S)
            counting = False
            took_s = time.monotonic() - begin_s
            return {
                "working": len(begins),
                "slices_per_s": round(counted["slices"] / took_s),
                "lateness_p50_ms": round(rig.quantile(late, 0.5) / MS, 2),
                "lateness_p99_ms": round(rig.quantile(late, 0.99) / MS, 2),
                "scheduler_cpu": round((rig.cpu_seconds(service.pid) - cpu_s) / took_s, 2),
            }
        finally:
            market.cancel()


async def hand_in(client: Any) -> None:
    """WORKING orders, evenly over one interval, so that their slices are spread over it too."""
    begin_s = time.monotonic()
    for first in range(0, WORKING, BATCH):
        for number in range(first, first + BATCH):
            order = m.ParentOrder(
                side=m.Side.BUY,
                qty=Decimal("0.1"),
                parent_id=f"w{number}",
                params={"duration": "10m", "interval": f"{INTERVAL_S}s", "randomize": 0},
            )
            subject = subjects.order("new", "twap", "BTC/USDT")
            await client.publish(subject, codec.to_json(order))
        ahead_s = begin_s + INTERVAL_S * (first + BATCH) / WORKING - time.monotonic()
        await asyncio.sleep(max(ahead_s, 0))


async def play_market(client: Any) -> None:
    """The aggregator's part: a book that stands still, ten times a second, and its statistics."""
    tick = 0
    while True:
        now_ns = time.time_ns()
        moment = Moment(traded=tick * 10**5)
        book = codec.to_msgpack(book_of(moment, now_ns))
        await client.publish(subjects.book("BTC/USDT"), book)
        if tick % 10 == 0:
            await client.publish(subjects.stats("BTC/USDT"), codec.to_json(stats_of(moment, now_ns)))
        tick += 1
        await asyncio.sleep(TICK_NS / SECOND)


if __name__ == "__main__":
    rig.main(run)
