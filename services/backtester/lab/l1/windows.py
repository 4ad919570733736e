"""Which parts of a file children are worked in, and what each came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestex.clock import MINUTE, MS, SECOND
from services.backtester.lab.l1.child import BASELINES, Child, Decide, Taken
from services.backtester.lab.l1.grid import Grid
from services.backtester.lab.l1.quotes import Level1
from services.backtester.lab.l1.router import Parameters, Queue, Router

Floats = NDArray[np.float64]

STEPS = 6  # decisions of a child before its horizon
HORIZON_NS = MINUTE
WINDOWS_WANTED = 20  # a short file has shorter horizons, so that there is something to compare
STEP_MIN_NS = MS
CHILDREN_MAX = 250  # of a parent: more parts than that say nothing new about where each should go
EPISODES_MAX = 240  # windows that parameters are fitted on: 0.2 s a trial


@dataclass(frozen=True)
class Result:
    """What a child came to. `cost` is what it paid, price units times quantity units, with what it could not fill at
    the dearest ask at the end; `arrival` and `end` are mids, and `price` per unit is the average paid."""

    qty: int
    cost: float
    arrival: float
    end: float

    @property
    def price(self) -> float:
        return self.cost / self.qty

    @property
    def bps(self) -> float:
        """Against the mid at the first decision; positive is cost."""
        return (self.price - self.arrival) / abs(self.arrival) * 1e4

    @property
    def drift_bps(self) -> float:
        return (self.end - self.arrival) / abs(self.arrival) * 1e4


def horizon_of(quotes: Level1) -> int:
    """A minute, or as much less as it takes for the file to hold `WINDOWS_WANTED`; ns."""
    span_ns = int(quotes.at_ns[-1] - quotes.at_ns[0])
    wanted = min(HORIZON_NS, max(span_ns // WINDOWS_WANTED, STEP_MIN_NS * STEPS))
    return max(wanted - wanted % (SECOND * STEPS), min(wanted, SECOND * STEPS))


def windows(grid: Grid) -> list[int]:
    """First grid times of all windows that follow each other and in which there is a market: an ask and a mid at the
    first time, and some row until the last."""
    found = []
    for first in range(0, grid.last - grid.steps + 1, grid.steps):
        lives = bool((grid.row[first + grid.steps] > grid.row[first]).any())
        if lives and not np.isnan(grid.mid[first]):
            found.append(first)
    return found


def evenly(items: Sequence[int], count: int) -> list[int]:
    """`count` of the items at most, spread over all."""
    if len(items) <= count:
        return list(items)
    return [items[number * len(items) // count] for number in range(count)]


def parent(grid: Grid, decide: Decide, qty: int, firsts: Sequence[int], lot: int) -> list[Child]:
    """A parent's children one after the other; what one could not fill is added to the next. What was taken stays
    taken from one to the next. Where no window fits, all is one child from the first time with a market on."""
    taken = Taken(grid)
    if not firsts:
        begins = np.flatnonzero(~np.isnan(grid.mid))
        first = int(begins[0]) if len(begins) else 0
        child = Child(grid, taken, first, min(first + grid.steps, grid.last), qty)
        child.work(decide)
        return [child]
    done, carried = [], 0
    for first, part in zip(firsts, parts(qty, len(firsts), lot), strict=True):
        child = Child(grid, taken, first, first + grid.steps, part + carried)
        child.work(decide)
        carried = child.unfilled
        done.append(child)
    return done


def parts(qty: int, count: int, lot: int) -> list[int]:
    """Whole lots as evenly as they go, the first ones more; what is no lot goes with the last."""
    lots, odd = divmod(qty, lot)
    each, more = divmod(lots, count)
    made = [(each + (number < more)) * lot for number in range(count)]
    made[-1] += odd
    assert sum(made) == qty, "parts sum to the whole"
    return made


class Episodes:
    """Children of the same quantity, each in a world of its own, in which what others took never happened."""

    def __init__(self, grid: Grid, firsts: Sequence[int], qty: int, lot: int) -> None:
        self.grid, self.firsts, self.qty, self.lot = grid, list(firsts), qty, lot
        self._known: dict[tuple[int, int], list[Queue]] = {}
        self.baselines = {name: self.results(decide) for name, decide in BASELINES.items()}
        self.drift = np.array([result.drift_bps for result in self.baselines["sweep"]])

    def __len__(self) -> int:
        return len(self.firsts)

    def router(self, parameters: Parameters) -> Router:
        return Router(self.grid, parameters, self.lot, self._known)

    def results(self, decide: Decide, which: Sequence[int] | None = None) -> list[Result]:
        """Of the episodes with these numbers, in their order; of all by default."""
        numbers = range(len(self.firsts)) if which is None else which
        return [self._result(self.firsts[number], decide) for number in numbers]

    def _result(self, first: int, decide: Decide) -> Result:
        grid, end = self.grid, first + self.grid.steps
        child = Child(grid, Taken(grid), first, end, self.qty)
        child.work(decide)
        arrival = float(grid.mid[first])
        mid = float(grid.mid[end])
        return Result(
            qty=self.qty,
            cost=child.cash + child.unfilled * _dearest(grid, end, arrival),
            arrival=arrival,
            end=arrival if np.isnan(mid) else mid,
        )


def _dearest(grid: Grid, at: int, arrival: float) -> float:
    """The dearest ask with its fee; the mid at the start where nobody asks."""
    shown = grid.ask_size[at] > 0
    return float((grid.ask[at] + grid.fee[at])[shown].max()) if shown.any() else arrival


def costs_bps(results: Sequence[Result]) -> Floats:
    return np.array([result.bps for result in results], dtype=np.float64)


def savings_bps(baseline: Sequence[Result], router: Sequence[Result]) -> Floats:
    """(baseline average - router average) / baseline average x 10,000 of each child; positive is better, also for
    sales."""
    return np.array(
        [
            (ours.price - other.price) / -abs(other.price) * 1e4
            for other, ours in zip(baseline, router, strict=True)
        ],
        dtype=np.float64,
    )
