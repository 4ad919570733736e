"""What is simulated: some orders, what users do to them, and what goes wrong. A function of a seed."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any, get_args

import msgspec

from bestex import plugins
from tests.faults.simulation.faults import (
    AnyFault,
    BusCrash,
    ClockJump,
    Cut,
    Freeze,
    Kill,
    Lag,
    LineFault,
    RequestFault,
    RequestWhat,
    SessionCut,
    UserEventFault,
    UserEventWhat,
)

VENUES = ("venue_a", "venue_b")
SYMBOL = "ABC/USD"
PRICE = Decimal(100)

CONFIG = """
[venues.venue_a]
priority = 1
native_replace = true
native_iceberg = true
options = { deposits = { ABC = "16", USD = "1600" } }  # little: at times an order is refused for it
[venues.venue_b]
priority = 2
native_replace = true

[instruments."ABC/USD"]
price_scale = 2
qty_scale = 2
start_price = "100"

[instruments."ABC/USD".venues]
venue_a = { tick = "0.01", lot = "0.01", min_notional = "5", taker_bps = "2", maker_bps = "0.5" }
venue_b = { tick = "0.05", lot = "0.05", min_notional = "10", taker_bps = "1", maker_bps = "-0.2" }

[execution]
timeout = "2s"
max_slippage = "1%"
retry_pause = "500ms"

[splitting]
min_split_size = "10"
"""

BUSY_MS = 6_000  # orders and faults fall into this time; after that everything must come to its end
PROCESSES = ("collector", "aggregator", "router", "gateway", "scheduler")
WRITERS = ("router", "gateway", "scheduler")
REQUEST_FAULTS: tuple[RequestWhat, ...] = get_args(RequestWhat)
USER_EVENT_FAULTS: tuple[UserEventWhat, ...] = get_args(UserEventWhat)
STEPS_MAX = 110  # nine of ten processes take fewer
REQUESTS_MAX, USER_EVENTS_MAX = 14, 5  # of one venue; most scenarios have as many
FAULTS_MAX = 6

# What an algorithm needs besides a duration to be at work within the busy time.
PARAMS: dict[str, dict[str, Any]] = {
    "twap": {"interval": "1s"},
    "vwap": {"interval": "1s"},
    "sniper": {"threshold": "40%", "cooldown": "500ms"},
    "liquidity": {"interval": "1s", "share": "30%"},
    "iceberg": {"display_share": "20%", "refresh": "100ms", "repost_after": "500ms"},
    "peg": {"interval": "200ms"},
    "block": {"interval": "1s"},
    "pov": {"rate": "50%", "force_completion": True},
    "is": {"interval": "500ms", "replan": "500ms"},
}
RESTING = frozenset({"limit"})


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a user publishes at `at_ms`: a new order, or a request about one."""

    at_ms: int
    verb: str
    parent_id: str
    algo: str
    body: dict[str, Any]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    seed: int
    acts: tuple[Act, ...]
    faults: tuple[AnyFault, ...] = ()


def order(rng: Random, parent_id: str, algo: str, strategy: str, at_ms: int) -> Act:
    duration = rng.choice((2, 3, 4))
    params = {"duration": f"{duration}s", **PARAMS.get(algo, {})}
    side = rng.choice(("buy", "sell"))
    body: dict[str, Any] = {
        "side": side,
        "qty": str(Decimal(rng.randint(20, 1_200)) / 20),
        "parent_id": parent_id,
        "params": params,
        "strategy": strategy,
    }
    if algo in RESTING or rng.random() < 0.2:
        away = Decimal(rng.randint(-20, 30)) / 100
        body["limit_price"] = str(PRICE - away if side == "buy" else PRICE + away)
    return Act(at_ms=at_ms, verb="new", parent_id=parent_id, algo=algo, body=body)


def requests(rng: Random, new: Act) -> list[Act]:
    """What the user does to the order later: mostly nothing."""
    acts = []
    at_ms = new.at_ms
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        at_ms += rng.randint(1, 2_500)
        verb = rng.choice(("cancel", "pause", "resume", "modify", "modify", "new"))
        body: dict[str, Any] = {}
        if verb == "modify":
            body = {"qty": str(Decimal(rng.randint(20, 1_600)) / 20)}
        elif verb == "new":
            body = new.body  # sent again, by somebody who heard no answer
        acts.append(Act(at_ms=at_ms, verb=verb, parent_id=new.parent_id, algo=new.algo, body=body))
        if verb == "pause":
            at_ms += rng.randint(1, 2_000)
            acts.append(Act(at_ms=at_ms, verb="resume", parent_id=new.parent_id, algo=new.algo, body={}))
    return acts


KINDS = {
    **{"kill": 6, "freeze": 3, "clock": 1, "cut": 2, "bus": 2},
    **{"line": 8, "request": 5, "user_event": 4, "session": 2, "lag": 2},
}


def draw(
    seed: int, kinds: tuple[str, ...] = tuple(KINDS), algos: tuple[str, ...] = tuple(plugins.ALGOS)
) -> Scenario:
    """The scenario of a seed, with faults of these kinds and orders of these algorithms only."""
    rng = Random(seed)
    acts: list[Act] = []
    for number in range(rng.choice((1, 1, 2, 3))):
        algo = rng.choice(algos)
        strategy = rng.choice(tuple(plugins.STRATEGIES))
        new = order(rng, f"p{number}", algo, strategy, rng.randint(300, 2_000))
        acts += [new, *requests(rng, new)]
    faults = tuple(_fault(rng, kinds) for _ in range(rng.randint(0, FAULTS_MAX)))
    return Scenario(seed=seed, acts=tuple(sorted(acts, key=lambda act: act.at_ms)), faults=faults)


def _fault(rng: Random, kinds: tuple[str, ...]) -> AnyFault:
    at_ms = rng.randint(100, BUSY_MS)
    process = rng.choice(WRITERS) if rng.random() < 0.9 else rng.choice(PROCESSES)
    venue = rng.choice(VENUES)
    kind = rng.choices(kinds, [KINDS[kind] for kind in kinds])[0]
    match kind:
        case "kill":
            step, down_ms = rng.randint(0, STEPS_MAX), rng.choice((100, 1_000, 3_000))
            return Kill(process=process, step=step, after=rng.random() < 0.5, down_ms=down_ms)
        case "freeze":
            for_ms = rng.choice((200, 1_000, 4_000, 12_000))
            successor = process in WRITERS and for_ms >= 1_000 and rng.random() < 0.5
            if rng.random() < 0.5:
                step = rng.randint(0, STEPS_MAX)
                return Freeze(process=process, step=step, for_ms=for_ms, successor=successor)
            return Freeze(process=process, at_ms=at_ms, for_ms=for_ms, successor=successor)
        case "clock":
            # A gateway whose clock is behind takes old commands for fresh; only a venue's own look at the deadline
            # would stop what it sends, and one of the venues here has none.
            back_ms = -200 if process == "gateway" else -3_000
            return ClockJump(process=process, at_ms=at_ms, by_ms=rng.choice((back_ms, -200, 500, 3_000)))
        case "cut":
            return Cut(process=process, at_ms=at_ms, for_ms=rng.choice((5, 300, 3_000)))
        case "bus":
            return BusCrash(
                at_ms=at_ms, for_ms=rng.choice((50, 500, 3_000)), forgotten_acks=rng.randint(0, 4)
            )
        case "line":
            what = rng.choice(("dropped", "late", "overtaken", "twice"))
            return LineFault(
                process=process,
                number=rng.randint(1, STEPS_MAX),
                inward=rng.random() < 0.5,
                dropped=what == "dropped",
                delay_ms=rng.choice((20, 400, 2_500)) if what in ("late", "overtaken") else 0,
                overtaken=what == "overtaken",
                copies=int(what == "twice"),
            )
        case "request":
            asked = rng.choice(REQUEST_FAULTS)
            delay_ms = rng.choice((500, 1_500, 3_000))
            number = rng.randint(1, REQUESTS_MAX)
            return RequestFault(venue=venue, number=number, what=asked, delay_ms=delay_ms)
        case "user_event":
            heard = rng.choice(USER_EVENT_FAULTS)
            delay_ms = rng.choice((100, 1_500, 5_000))
            return UserEventFault(
                venue=venue, number=rng.randint(1, USER_EVENTS_MAX), what=heard, delay_ms=delay_ms
            )
        case "session":
            return SessionCut(venue=venue, at_ms=at_ms, for_ms=rng.choice((100, 1_500, 6_000)))
    return Lag(venue=venue, at_ms=at_ms, for_ms=rng.choice((2_000, 10_000)), by_ms=rng.choice((200, 900)))
