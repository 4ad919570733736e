"""What a count of holdings costs the gateway, in its core alone: `python -m tests.bench.holdings [--json]`.

`orders_per_s`: children a second from command to end (submitting, a fill, filled), without and with it.
`holdings_us_per_order`: all that is done for it in one child's life, alone. `check_us`: of that the look before a
send.
"""

from __future__ import annotations

import gc
import time
from decimal import Decimal
from typing import Any

import msgspec

from bestex import messages as m
from bestex.clock import MS
from bestex.messages import Side
from services.gateway import port as p
from services.gateway.controls.wanted import Wanted
from tests.bench import rig
from tests.property.gateway_world import CONTROLS
from tests.unit.gateway.bench import CAPABILITIES, CONFIG, VENUE, Bench, child_new, fill

ORDERS = 200
ROUNDS = 60  # the best of each counts, short and in turns, so that both meet a machine that does nothing else
CHECKS = 200
HOLDS = msgspec.structs.replace(CAPABILITIES, holdings=True)


def run() -> dict[str, Any]:
    free, counted = [], []
    for _ in range(ROUNDS):
        free.append(orders_per_s(CAPABILITIES))
        counted.append(orders_per_s(HOLDS))
    return {
        "orders_per_s": round(max(free)),
        "orders_per_s_with_holdings": round(max(counted)),
        "holdings_us_per_order": round(min(us_per_order() for _ in range(ROUNDS)), 1),
        "check_us": round(min(check_us() for _ in range(ROUNDS)), 1),
    }


def bench_of(capabilities: p.Capabilities) -> Bench:
    bench = Bench(msgspec.structs.replace(CONFIG, limits=CONTROLS), capabilities)
    bench.hear(p.SessionState(VENUE, p.Session.UP))
    plenty = {"USDT": Decimal(10**12), "BTC": Decimal(10**9)}
    word = p.VenueHoldings(venue=VENUE, asked_ns=0, answered_ns=0, balances=plenty, positions={})
    bench.hear(word, p.VenuePulled(VENUE, 0), p.SessionState(VENUE, p.Session.RECONCILED))
    return bench


def orders_per_s(capabilities: p.Capabilities) -> float:
    core = bench_of(capabilities).core
    now_ns = 1_700_000_000_000_000_000
    inputs = []
    for number in range(ORDERS):
        side = Side.SELL if number % 2 else Side.BUY
        more = {"side": side, "parent_id": f"p{number}"}
        made = fill(f"t{number}", 1_000, child_id=f"c{number}")
        trade = msgspec.structs.replace(made, venue_ns=now_ns + number * MS)
        inputs.append((child_new(f"c{number}", now_ns, **more), trade))
    gc.collect()
    begin_s = time.perf_counter()
    for number, messages in enumerate(inputs):
        for message in messages:
            for out in core.decide(message, now_ns + number * MS):
                event = getattr(out, "event", None)
                if event is not None:
                    core.apply(event)
    return ORDERS / (time.perf_counter() - begin_s)


def check_us() -> float:
    core = bench_of(HOLDS).core
    (instrument,) = core.instruments.all
    wanted = Wanted.new(child_new(), instrument)
    begin_s = time.perf_counter()
    for _ in range(CHECKS):
        core.holdings.check(wanted, 0)
    return (time.perf_counter() - begin_s) / CHECKS * 1e6


def us_per_order() -> float:
    """What a child's submission, fill and end ask of the holdings."""
    bench = bench_of(HOLDS)
    (instrument,) = bench.core.instruments.all
    bench.hear(child_new("c0", bench.now), fill("t0", 500, child_id="c0"))
    child, holdings = bench.core.memory.children["c0"], bench.core.holdings
    made = next(event for event in bench.journal if isinstance(event, m.Fill))
    wanted = Wanted.new(child_new(), instrument)
    begin_s = time.perf_counter()
    for _ in range(CHECKS):
        holdings.check(wanted, 0)
        child.cum_qty = 0
        holdings.moved(child)
        child.cum_qty = 500
        holdings.filled(made)
        holdings.moved(child)
        holdings.moved(child)
    return (time.perf_counter() - begin_s) / CHECKS * 1e6


if __name__ == "__main__":
    rig.main(run)
