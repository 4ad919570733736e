"""The router of the honest exercise: Cont and Kukanov's placement at every decision, on what is known then.

Every cost is cash per share against the mid price of all venues, in price units as floats. What may be done with the
open quantity S is, in the terms of `services.router.models.cont_kukanov`,

- to take at a displayed ask: a venue without a queue whose outflow is what it displays, in every scenario, and where
  a fill "earns" minus the ask, minus the fee, plus the mid;
- to rest at a venue's best bid: behind what it displays, with outflows as they were seen in the windows of the same
  length that had ended by then (`Grid.outflow`), and where a fill earns the mid, minus the bid, plus the rebate;
- to leave it for the next decision: the model's market order, at the price lambda_under of being short.

Over these `within.optimum`'s method is exact. So lambda_under is the most above the mid that a share is taken for
now, theta what every share sent costs besides, filled or not, and lambda_over what a share too many costs: where it
is low enough, lots are added at the best queue while the mean cost falls, so that more rests than is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.backtester.lab.l1.child import Child
from services.backtester.lab.l1.grid import Grid
from services.backtester.lab.l1.quotes import NEVER
from services.router.models.cont_kukanov import (
    Placement,
    Problem,
    VenueTerms,
    gradient,
    mean_cost,
    placement_of,
)
from services.router.models.lots import to_lots
from services.router.models.within import steepest_first

Floats = NDArray[np.float64]

SCENARIOS = 96  # the newest windows of outflow that count: with steps of 10 s, a quarter of an hour
SCENARIOS_MIN = 12  # of fewer nothing is known, and nothing rests
OVERBOOKED_LOTS_MAX = 64  # added one by one
LEAST = 1e-9  # of a price unit: what the model needs above an equality


@dataclass(frozen=True)
class Parameters:
    """In price units: lambda_over, lambda_under and theta of the model."""

    over: float
    under: float
    theta: float


@dataclass(frozen=True)
class Queue:
    """Where an order may rest: the venue, what a fill earns, what is ahead, outflows of the scenarios."""

    place: int
    earned: float
    ahead: float
    outflows: Floats
    passed: Floats  # (outflows - ahead)+, ascending


class Router:
    """Decides for children of one grid. `lot` in units: what rests is a multiple of it."""

    def __init__(
        self, grid: Grid, parameters: Parameters, lot: int, known: dict[tuple[int, int], list[Queue]]
    ) -> None:
        self._grid, self._parameters, self._lot = grid, parameters, lot
        self._known = (
            known  # of a time and the steps left, which no parameter changes: shared between routers
        )

    def __call__(self, child: Child, at: int) -> None:
        mid = float(self._grid.mid[at])
        if np.isnan(mid):
            return
        asks = child.asks(at)
        steps = child.end - at
        queues = self._known.get((at, steps))
        if queues is None:
            queues = self._known[at, steps] = queues_at(self._grid, at, steps)
        ours = {rest.place for rest in child.resting}
        free = [queue for queue in queues if queue.place not in ours]
        takes, rests = place(
            child.open,
            [(price - mid, size) for price, _, size in asks],
            free,
            self._parameters,
            self._lot,
            alone=not child.resting,
        )
        for (_, venue, _), qty in zip(asks, takes, strict=True):
            if qty:
                child.take(at, venue, qty)
        for queue, qty in zip(free, rests, strict=True):
            if qty:
                child.rest(at, queue.place, qty)


def queues_at(grid: Grid, at: int, steps: int) -> list[Queue]:
    """Where an order may rest at `at` for `steps` steps, by what was seen until then; where a fill would be no better
    than the mid, none."""
    if not grid.quotes.rests or np.isnan(grid.mid[at]):
        return []
    newest = at - steps  # the last that joined early enough to have ended
    seen = grid.outflow[max(newest - SCENARIOS + 1, 0) : max(newest + 1, 0), :, steps - 1]
    if len(seen) < SCENARIOS_MIN:
        return []
    # A probe that filled whole saw more pass than anybody rests. And one scenario more, in which nothing leaves: what
    # has always been so is not certain.
    bounded = np.concatenate([np.minimum(seen, float(NEVER)), np.zeros((1, seen.shape[1]))])
    mid = float(grid.mid[at])
    made = []
    for place, (bid, size, rebate) in enumerate(
        zip(grid.bid[at], grid.bid_size[at], grid.rebate[at], strict=True)
    ):
        earned = mid - float(bid) + float(rebate)
        if bid > -NEVER and earned > 0:
            outflows = bounded[:, place]
            made.append(
                Queue(place, earned, float(size), outflows, np.sort(np.maximum(outflows - size, 0.0)))
            )
    return made


def place(
    qty: int,
    asks: Sequence[tuple[float, int]],
    queues: Sequence[Queue],
    parameters: Parameters,
    lot: int,
    *,
    alone: bool,
) -> tuple[list[int], list[int]]:
    """How much to take of each ask (price with fee against the mid, size; cheapest first), and to rest in each queue.

    Penalties below the least that the model allows are raised to it. `alone`: nothing of the child rests already, so
    that it may overbook.
    """
    earned = max((queue.earned for queue in queues), default=0.0)
    under = max(parameters.under, LEAST)
    over = max(parameters.over, earned + LEAST)
    count = len(queues[0].outflows) if queues else 1
    problem = Problem(
        quantity=float(qty),
        half_spread=0.0,
        fee=under,  # the "market order" is what is left for later
        under=under,
        over=over,
        impact=parameters.theta,
        venues=(
            *(VenueTerms(0.0, -price) for price, _ in asks),
            *(VenueTerms(queue.ahead, queue.earned) for queue in queues),
        ),
    )
    passed = np.empty((len(asks) + len(queues), count))
    for number, (_, size) in enumerate(asks):
        passed[number] = size
    for number, queue in enumerate(queues, len(asks)):
        passed[number] = queue.passed
    left, *parts = map(float, steepest_first(problem, passed))
    split = Placement(left + sum(parts[: len(asks)]), tuple(parts[len(asks) :]))
    lots = to_lots(split, qty, 1, [lot] * len(queues), overbook=False)
    rests = list(lots.limits)
    # What rounding took from the queues is left for later, or taken where all the rest is.
    wanted = round(sum(parts[: len(asks)]))
    taken = lots.market if left < 0.5 else min(wanted, lots.market)
    takes = []
    for price, size in asks:
        part = min(taken, size) if price < under else 0
        takes.append(part)
        taken -= part
    if alone and queues and left < 0.5:
        rests = _overbooked(problem, passed, asks, queues, takes, rests, lot)
    return takes, rests


def _overbooked(
    problem: Problem,
    passed: Floats,
    asks: Sequence[tuple[float, int]],
    queues: Sequence[Queue],
    takes: list[int],
    rests: list[int],
    lot: int,
) -> list[int]:
    """More rests while its mean cost falls, lot by lot where it falls most; no queue holds more than S less what is
    taken."""
    outflows = np.concatenate(
        [passed[: len(asks)].T, np.stack([queue.outflows for queue in queues], axis=1)], axis=1
    )
    room = int(problem.quantity) - sum(takes)
    cost: float | None = None
    for _ in range(OVERBOOKED_LOTS_MAX):
        point = placement_of([0.0, *map(float, takes), *map(float, rests)])
        slopes = gradient(problem, point, outflows)[1 + len(asks) :].tolist()
        fitting = [number for number in range(len(rests)) if rests[number] + lot <= room]
        best = min(fitting, key=lambda number: slopes[number], default=None)
        if best is None or slopes[best] >= 0:
            break
        cost = mean_cost(problem, point, outflows) if cost is None else cost
        more = [qty + lot * (number == best) for number, qty in enumerate(rests)]
        tried = mean_cost(problem, placement_of([0.0, *map(float, takes), *map(float, more)]), outflows)
        if tried >= cost:
            break
        rests, cost = more, tried
    return rests
