"""Where the router puts a quantity: the model's optimum, and what each parameter does to it."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from bestex.clock import SECOND
from services.backtester.lab.l1.child import Child, Taken
from services.backtester.lab.l1.grid import make
from services.backtester.lab.l1.quotes import Terms, read
from services.backtester.lab.l1.router import SCENARIOS_MIN, Parameters, Queue, Router, place, queues_at
from services.router.models.cont_kukanov import Placement, Problem, VenueTerms, mean_cost
from tests.unit.backtester.lab.l1 import level1

RNG = np.random.default_rng(7)
LOT = 100


def queue(
    number: int, earned: float, ahead: float, outflows: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Queue:
    return Queue(number, earned, ahead, outflows, np.sort(np.maximum(outflows - ahead, 0.0)))


QUEUES = [
    queue(0, 1.0, 300.0, RNG.exponential(500.0, 40)),
    queue(1, 1.2, 800.0, RNG.exponential(900.0, 40)),
]
ASKS = [(1.1, 200), (2.1, 500)]


def cost_of(
    parameters: Parameters, qty: int, takes: list[int], rests: list[int], queues: list[Queue] = QUEUES
) -> float:
    """The paper's cost of a placement: what is taken costs its price, the rest is missing."""
    venues = tuple(VenueTerms(one.ahead, one.earned) for one in queues)
    taken = sum(takes)
    problem = Problem(
        quantity=float(qty - taken),
        half_spread=0.0,
        fee=0.0,
        under=parameters.under,
        over=parameters.over,
        venues=venues,
        impact=parameters.theta,
    )
    prices = sum(price * part for (price, _), part in zip(ASKS, takes, strict=True))
    outflows = np.stack([one.outflows for one in queues], axis=1)
    passive = mean_cost(problem, Placement(0.0, tuple(map(float, rests))), outflows)
    return prices + parameters.theta * taken + passive


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(over, under, theta)
        for over, under, theta in product((3.0, 100.0), (0.8, 1.5, 2.5, 20.0), (0.0, 0.3, 3.0))
    ],
)
def test_no_placement_in_lots_costs_less(parameters: Parameters) -> None:
    qty = 600
    takes, rests = place(qty, ASKS, QUEUES, parameters, LOT, alone=True)
    ours = cost_of(parameters, qty, takes, rests)
    steps = range(0, qty + 1, LOT)
    best = min(
        cost_of(parameters, qty, [first, second], [one, other])
        for first, second, one, other in product(range(0, 201, LOT), range(0, 501, LOT), steps, steps)
        if first + second <= qty and max(one, other) <= qty - first - second
    )
    assert sum(takes) <= qty
    assert all(part <= size for part, (_, size) in zip(takes, ASKS, strict=True))
    # What rests is whole lots, and more than fits is added lot by lot: within a twentieth of the best there is.
    assert ours <= best + 0.05 * abs(best)


def test_each_parameter_changes_what_is_done() -> None:
    base = Parameters(over=100.0, under=1.5, theta=0.0)
    done = place(600, ASKS, QUEUES, base, LOT, alone=True)
    changed = {
        "under": place(600, ASKS, QUEUES, Parameters(100.0, 20.0, 0.0), LOT, alone=True),
        "theta": place(600, ASKS, QUEUES, Parameters(100.0, 1.5, 5.0), LOT, alone=True),
        "over": place(600, ASKS, QUEUES, Parameters(1.3, 1.5, 0.0), LOT, alone=True),
    }
    assert all(found != done for found in changed.values())
    assert sum(changed["under"][0]) > sum(done[0])  # it hurts to be short: more is taken
    assert sum(changed["theta"][1]) < sum(done[1])  # sending costs: less rests
    assert sum(changed["over"][1]) > 600 - sum(
        changed["over"][0]
    )  # too many hardly hurts: more rests than is needed


def test_what_costs_more_than_being_short_is_left_for_later() -> None:
    takes, rests = place(1000, ASKS, [], Parameters(100.0, 1.5, 0.0), LOT, alone=True)
    assert (takes, rests) == ([200, 0], [])
    takes, _ = place(1000, ASKS, [], Parameters(100.0, 50.0, 0.0), LOT, alone=True)
    assert takes == [200, 500]


def test_nothing_rests_while_nothing_is_known_of_outflows(tmp_path: Path) -> None:
    grid = make(read(level1.day(tmp_path / "day.csv", 1, 0.1), 1, Terms()), 5 * SECOND, 3, 0.01)
    assert queues_at(grid, SCENARIOS_MIN, 3) == []
    assert queues_at(grid, SCENARIOS_MIN + 3, 3) != []


def test_a_decision_knows_nothing_of_what_comes_after_it(tmp_path: Path) -> None:
    """The same decisions on the file and on the file cut right after the decision."""
    path = level1.day(tmp_path / "day.csv", 4, 0.2)
    lines = path.read_text().splitlines()
    long = make(read(path, 1, Terms()), 10 * SECOND, 6, 0.01)
    at = 40
    cut = tmp_path / "cut.csv"
    kept = [line for line in lines[1:] if int(line.split(",")[0]) <= int(long.at_ns[at])]
    cut.write_text("\n".join([lines[0], *kept]) + "\n")
    short = make(read(cut, 1, Terms()), 10 * SECOND, 6, 0.01)
    assert long.last > at + 6
    assert len(kept) < len(lines) - 1
    decided = []
    for grid in (long, short):
        child = Child(grid, Taken(grid), at, at + 6, 2_000)
        Router(grid, Parameters(5.0, 2.0, 0.01), LOT, {})(child, at)
        decided.append((child.fills, [(rest.place, rest.price, rest.qty) for rest in child.resting]))
    assert decided[0] == decided[1]
    assert decided[0][1]
