"""How long a route takes: `python -m tests.bench.route [--instances N] [--json]`.

`sweep_*` is the strategy's decision on 10 venues x 50 levels, where fees alone decide; `sweep_hard_*` the same books
with tickets, minimums, two lots and four splits at most; `ck_*` Cont-Kukanov over five queues; `plan_p50_us` a whole
`plan` request on the first, from its bytes to its answer's. `milp_*` is the floor to compare with: the same questions
put to HiGHS. `instances` random questions, in which everything may bind, are asked of both: `worse_max_bps` is by how
much the program was cheaper at most, `gap_bps_*` what was left unproven.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bestex import codec, config, plugins
from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import Config
from bestex.ladder import Ladder
from bestex.messages import Side
from services.router import plan
from services.router.exact.offers import offers_of
from services.router.exact.search import cheapest
from services.router.strategies.base import RouteTask, Terms
from services.router.strategies.cont_kukanov import ContKukanov
from services.router.strategies.sweep import Sweep
from tests.unit.router.exact.instances import draw
from tests.unit.router.exact.oracle import milp_cost

VENUES, LEVELS = 10, 50
CK_VENUES = 5
BOOKS = 200
MILPS = 40  # of those: each takes as long as all of ours
NOW = 1_700_000_000 * SECOND
MID, SIZE = 60_000_00, 40_000  # cents; 1e-5 of the base
DEPTHS = (0.02, 0.3)  # the quantity, as a share of all that is displayed
SPLITS = 4
BPS = 10_000
QUANTILES = {"p50": 0.5, "p99": 0.99}


def configured(*, hard: bool) -> Config:
    lines = ["[splitting]", 'min_split_size = "0"', '[instruments."X/Y"]', "price_scale = 2", "qty_scale = 5"]
    lines.append('[instruments."X/Y".venues]')
    for number in range(VENUES):
        lot = "0.001" if hard and number % 2 else "0.00001"
        more = f', min_notional = "{20 * number}", ticket_fee = "{number % 3}"' if hard else ""
        lines.append(f'v{number} = {{ tick = "0.01", lot = "{lot}", taker_bps = "{5 + number % 4}"{more} }}')
    lines += [f"[venues.v{number}]" for number in range(VENUES)]
    return config.parse("\n".join(lines))


def book(rng: random.Random) -> m.ConsolidatedBook:
    """Levels some ticks apart, deeper away from the touch, as crypto books are."""
    columns = []
    for number in range(VENUES):
        bid, ask = MID - rng.randint(1, 300), MID + rng.randint(1, 300)
        bids, asks, bid_sizes, ask_sizes = [], [], [], []
        for level in range(LEVELS):
            bid, ask = bid - rng.randint(1, 200), ask + rng.randint(1, 200)
            bids.append(bid)
            asks.append(ask)
            bid_sizes.append(rng.randint(1, SIZE * (1 + level // 5)))
            ask_sizes.append(rng.randint(1, SIZE * (1 + level // 5)))
        columns.append(
            m.VenueColumn(f"v{number}", m.BookStatus.LIVE, 0, NOW, NOW, bids, bid_sizes, asks, ask_sizes)
        )
    return m.ConsolidatedBook("X/Y", 1, NOW, 2, 5, False, False, columns)


def task_of(settings: Config, shown: m.ConsolidatedBook, side: Side, qty: int, splits: int) -> RouteTask:
    listings = settings.make_instruments().by_symbol["X/Y"].listings
    terms = {listing.venue: Terms(listing, 10, qty) for listing in listings}
    return RouteTask(side, qty, None, Ladder(shown), terms, splits, 0)


def timed(act: Callable[[], Any]) -> float:
    """Microseconds."""
    began = time.perf_counter_ns()
    act()
    return (time.perf_counter_ns() - began) / 1_000


def quantiles(name: str, times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {f"{name}_{q}_us": round(ordered[int(len(ordered) * at)], 1) for q, at in QUANTILES.items()}


def quantity(rng: random.Random, shown: m.ConsolidatedBook, side: Side, lot: int) -> int:
    there = Ladder(shown).total_qty(side)
    return int(there * rng.uniform(*DEPTHS)) // lot * lot


def routes(*, hard: bool) -> dict[str, float]:
    rng, settings, sweep = random.Random(1), configured(hard=hard), Sweep()
    ours, program = [], []
    for number in range(BOOKS):
        shown, side = book(rng), rng.choice(list(Side))
        task = task_of(settings, shown, side, quantity(rng, shown, side, 1), SPLITS if hard else VENUES)
        ours.append(timed(lambda task=task: sweep.route(task)))  # type: ignore[misc]
        if number < MILPS:
            offers = offers_of(task, alone=False)
            program.append(timed(lambda o=offers, t=task: milp_cost(o, t.qty, t.max_splits)))  # type: ignore[misc]
    name = "_hard" if hard else ""
    return quantiles(f"sweep{name}", ours) | quantiles(f"milp{name}", program)


def plans() -> dict[str, float]:
    rng, settings = random.Random(2), configured(hard=False)
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    instruments = settings.make_instruments()
    times = []
    for _ in range(BOOKS):
        shown, side = book(rng), rng.choice(list(Side))
        qty = instruments.by_symbol["X/Y"].qty(quantity(rng, shown, side, 1))
        request = codec.to_json(m.PlanRequest(symbol="X/Y", side=side, qty=qty, strategy="sweep"))
        market = plan.Market(instruments, settings, strategies, {"X/Y": shown})
        times.append(timed(lambda r=request, k=market: plan.answer(r, NOW, market=k)))  # type: ignore[misc]
    return {"plan_p50_us": quantiles("plan", times)["plan_p50_us"]}


def posting() -> dict[str, float]:
    """Cont-Kukanov with five venues' queues, the route whole."""
    rng, settings, strategy = random.Random(3), configured(hard=False), ContKukanov()
    times = []
    for _ in range(BOOKS):
        shown, side = book(rng), rng.choice(list(Side))
        few = msgspec.structs.replace(shown, venues=shown.venues[:CK_VENUES])
        queues = [
            m.QueueStats(
                outflow=rng.uniform(0.05, 1), outflow_sd=rng.uniform(0.1, 1), traded=0.1, seconds=500
            )
            for _ in few.venues
        ]
        known = [
            m.VenueStats(venue=c.venue, status=c.status, age_ms=1.0, bid_queue=queue, ask_queue=queue)
            for c, queue in zip(few.venues, queues, strict=True)
        ]
        task = replace(
            task_of(settings, few, side, quantity(rng, few, side, 1) // 10, VENUES),
            now_ns=NOW,
            until_ns=NOW + 10 * SECOND,
            stats=m.Stats(symbol="X/Y", at=Time(NOW), volatility_bps=0.5, venues=known),
            qty_unit=1e-5,
        )
        times.append(timed(lambda task=task: strategy.route(task)))  # type: ignore[misc]
    return quantiles("ck", times)


def compared(count: int) -> dict[str, float]:
    gaps, worse, times, placed = [], [], [], 0
    for seed in range(count):
        asked = draw(seed)
        began = time.perf_counter_ns()
        found = cheapest(asked.offers, asked.qty, asked.splits_max)
        times.append((time.perf_counter_ns() - began) / 1_000)
        best = milp_cost(asked.offers, asked.qty, asked.splits_max)
        assert (found is None) == (best is None), f"instance {seed}: whether it can be placed"
        if found is None or best is None:
            continue
        placed += 1
        gaps.append((found.cost - found.bound) / abs(found.cost) * BPS)
        worse.append((found.cost - best) / abs(best) * BPS)
    gaps.sort()
    return {
        "instances": count,
        "placed": placed,
        "worse_max_bps": round(max(worse), 6),
        "gap_bps_p50": gaps[len(gaps) // 2],
        "gap_bps_max": gaps[-1],
        "unproven": sum(gap > 0 for gap in gaps),
        **quantiles("instances", times),
    }


def run(instances: int = 500) -> dict[str, Any]:
    result = routes(hard=False) | routes(hard=True) | posting() | plans() | compared(instances)
    result["times_faster_than_milp"] = round(result["milp_p50_us"] / result["sweep_p50_us"])
    result["times_faster_than_milp_hard"] = round(result["milp_hard_p50_us"] / result["sweep_hard_p50_us"])
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench.route", description=__doc__)
    parser.add_argument("--instances", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = run(given.instances)
    print(json.dumps(figures) if given.json else msgspec.json.format(json.dumps(figures), indent=2))
