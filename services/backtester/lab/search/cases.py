"""The scenarios of a search, and the price of one set of parameters on one of them."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from bestex import ids
from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.messages import Side
from services.backtester.lab import pool
from services.backtester.lab.scenario import Placed, Scenario, cost_bps, run
from services.backtester.lab.search.folds import Slot
from services.backtester.lab.search.space import Space
from services.backtester.lab.search.spec import Spec
from services.backtester.lab.windows import Dataset, Span, Window, windows

CASES = 30  # where the spec does not say how often: enough to tell, few enough for minutes; they may overlap
CASES_MAX = 5_000
TAIL_NS = 12 * SECOND  # after an order's duration: its completion, and the venues' last answers
REFUSED_BPS = 10_000.0  # of parameters that an order may not have: as bad as losing all of it
POINTS_KEPT = 4_096  # decoded points that a worker remembers


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One order to be worked with whatever parameters are tried."""

    number: int
    window: Window
    at_ns: int
    side: Side
    qty: Decimal
    seed: int

    @property
    def slot(self) -> Slot:
        return Slot(self.number, self.window.begin_ns, self.window.end_ns)


class Given(NamedTuple):
    """What every evaluation needs."""

    cases: tuple[Case, ...]
    space: Space
    symbol: str
    duration: str
    config_text: str


class Task(NamedTuple):
    """`point`: parameters as they travel, as JSON; "{}" is the default. `case` is a number."""

    point: str
    case: int


class Score(NamedTuple):
    """Implementation shortfall in bps, how much was filled, and why there is no more to say."""

    cost: float
    filled: float
    trouble: str = ""


def point_text(point: dict[str, Any]) -> str:
    """The same for the same point."""
    return json.dumps(point, sort_keys=True, separators=(",", ":"))


def make_cases(spec: Spec, dataset: Dataset) -> list[Case]:
    """In order of time. Sides take turns where both are asked for, and so do sizes. UsageError where the data are too
    short for two of them."""
    first_ns = dataset.begin_ns + spec.warm_up
    last_ns = dataset.end_ns - spec.duration - TAIL_NS
    room_ns = last_ns - first_ns
    every_ns = int(spec.every) if spec.every else max(room_ns // CASES, SECOND)
    if room_ns < every_ns:
        raise UsageError(
            f"{(dataset.end_ns - dataset.begin_ns) / SECOND:.0f} s of market are too short for orders of "
            f"{spec.duration} with {spec.warm_up} before and {TAIL_NS // SECOND} s after each"
        )
    starts = range(first_ns, last_ns + 1, every_ns)
    if len(starts) > CASES_MAX:
        raise UsageError(f"{len(starts)} starts are more than {CASES_MAX}: take a longer --every")
    spans = [Span(at_ns - spec.warm_up, at_ns + spec.duration + TAIL_NS) for at_ns in starts]
    sides = [Side.BUY, Side.SELL] if spec.side == "both" else [Side(spec.side)]
    return [
        Case(
            number=number,
            window=window,
            at_ns=at_ns,
            side=sides[number % len(sides)],
            qty=spec.qty[number // len(sides) % len(spec.qty)],
            seed=ids.seed(spec.symbol, "case", spec.seed, number),
        )
        for number, (at_ns, window) in enumerate(zip(starts, windows(dataset, spans), strict=True))
    ]


def evaluate(task: Task) -> Score:
    """Pure, given what the pool was given."""
    given: Given = pool.shared()
    case = given.cases[task.case]
    fields = given.space.order_fields(_point(task.point))
    order = m.ParentOrder(
        symbol=given.symbol,
        side=case.side,
        qty=case.qty,
        **{**fields, "params": {**fields["params"], "duration": given.duration}},
    )
    scenario = Scenario(
        window=case.window,
        placed=(Placed(order=order, at_ns=case.at_ns),),
        config_text=given.config_text,
        seed=case.seed,
    )
    [outcome] = run(scenario)
    found = cost_bps(outcome)
    if found is None or outcome.summary is None:
        return Score(REFUSED_BPS, 0.0, f"{outcome.refused}: {outcome.text}" if outcome.refused else "no book")
    return Score(found, outcome.summary.fill_rate)


@lru_cache(POINTS_KEPT)
def _point(text: str) -> dict[str, Any]:
    point: dict[str, Any] = json.loads(text)
    return point
