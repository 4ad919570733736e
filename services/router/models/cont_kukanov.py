"""Cont and Kukanov, "Optimal order placement in limit order markets" (arXiv 1210.1625): terms and costs.

A slice of S units is placed once and judged at its end: M by market order, L_k as a limit order at venue k
behind Q_k units, and a random outflow xi_k leaves that queue and then fills us. The limit order at k fills

    fill_k = (xi_k - Q_k)+ - (xi_k - Q_k - L_k)+,        A = M + sum of the fills,

and the slice costs, relative to the mid price (the paper's v(X, xi)),

    v = (h+f) M - sum (h+r_k) fill_k + theta (M + sum L_k + (S-A)+) + lambda_u (S-A)+ + lambda_o (A-S)+.

Units: a quantity is in units of the instrument, as floats; a price term (h, f, r, theta, lambda) is cash per
unit, against the mid price. A cost is cash for the whole slice. Outflows are arrays of shape (N, K): N
scenarios, K venues in the order of `Problem.venues`.

Without the queue penalty the model is the paper's. A placement may overbook: M + sum L > S, so that more than
S may trade. `within.py` finds the best placement that cannot, `overbooked.py` the best of all; `one_venue` is
the closed form, and `online.py` learns from one outflow after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from services.router.models.outflow import Outflow

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """One venue where an order may rest.

    `queue` is Q_k in units ahead of us, `rebate` is r_k in cash per unit filled there (negative: a fee).

    `queue_penalty` is not in the paper and not its theta: it is the requirements' theta_queue, what a unit that
    rests costs, in cash per unit, times the share of the queue that stands ahead of the slice, Q / (Q + S).
    """

    queue: float
    rebate: float
    queue_penalty: float = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """A slice and its terms. `quantity` is S in units; all else is cash per unit, relative to the mid price.

    `half_spread` h; `fee` f for taking; `impact` theta, on all that is sent, and on what must be sent again at
    the end; `under` lambda_u, the penalty for a unit too few; `over` lambda_o, for a unit too many.
    """

    quantity: float
    half_spread: float
    fee: float
    under: float
    over: float
    venues: tuple[VenueTerms, ...]
    impact: float = 0.0

    @property
    def queues(self) -> Array:
        """Q, shape (K,)."""
        return np.array([venue.queue for venue in self.venues], dtype=np.float64)

    @property
    def rebates(self) -> Array:
        """r, shape (K,)."""
        return np.array([venue.rebate for venue in self.venues], dtype=np.float64)

    @property
    def resting_costs(self) -> Array:
        """What a unit costs because it rests, filled or not: theta and the queue penalty; shape (K,)."""
        return np.array([self.impact + queue_cost(self, venue) for venue in self.venues], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Placement:
    """X: `market` is M, `limits` are L_1..L_K, in units."""

    market: float
    limits: tuple[float, ...]

    @property
    def total(self) -> float:
        return self.market + sum(self.limits)


@dataclass(frozen=True, slots=True)
class Solution:
    """A placement and its mean cost over the scenarios it was found on, cash for the whole slice."""

    placement: Placement
    cost: float


class Assumption(StrEnum):
    """What the paper assumes of the terms, and what the formulas need besides."""

    SIZES = "the quantity is positive, queues and impact are not negative, and all terms are finite"
    RESTING_EARNS = "min r + h > 0: a fill at a limit beats the mid price"
    UNDER_HURTS = "lambda_u > h + f: to be short of a unit costs more than to take it"
    OVER_HURTS_RESTING = "lambda_o > h + max r: a unit too many costs more than its fill at a limit earns"
    OVER_HURTS_TAKING = "lambda_o > -(h + f): a unit too many costs more than taking it earns"


class AssumptionError(ValueError):
    """Terms under which the model has no sensible optimum. `assumption` says which one does not hold."""

    def __init__(self, assumption: Assumption) -> None:
        super().__init__(f"the terms violate: {assumption}")
        self.assumption = assumption


def check(problem: Problem) -> None:
    """AssumptionError with the first assumption that does not hold; a NaN violates one as well."""
    h, rebates = problem.half_spread, [venue.rebate for venue in problem.venues]
    terms = [problem.quantity, h, problem.fee, problem.under, problem.over, problem.impact, *rebates]
    not_negative = [problem.impact]
    for venue in problem.venues:
        not_negative += [venue.queue, venue.queue_penalty]
    holds = {
        Assumption.SIZES: all(map(isfinite, terms + not_negative))
        and problem.quantity > 0
        and min(not_negative) >= 0,
        Assumption.RESTING_EARNS: min(rebates, default=0.0) + h > 0,
        Assumption.UNDER_HURTS: problem.under > h + problem.fee,
        Assumption.OVER_HURTS_RESTING: problem.over > h + max(rebates, default=0.0),
        Assumption.OVER_HURTS_TAKING: problem.over > -(h + problem.fee),
    }
    for assumption, held in holds.items():
        if not held:
            raise AssumptionError(assumption)


def queue_cost(problem: Problem, venue: VenueTerms) -> float:
    """The queue penalty of one unit that rests at `venue`, cash per unit."""
    return venue.queue_penalty * venue.queue / (venue.queue + problem.quantity)


def fills(problem: Problem, placement: Placement, outflows: Array) -> Array:
    """What each limit order fills in each scenario, units, shape (N, K)."""
    passed = np.maximum(outflows - problem.queues, 0.0)
    filled: Array = np.minimum(passed, np.array(placement.limits))
    return filled


def costs(problem: Problem, placement: Placement, outflows: Array) -> Array:
    """v of each scenario, cash for the whole slice, shape (N,)."""
    filled = fills(problem, placement, outflows)
    missing = problem.quantity - placement.market - filled.sum(axis=1)
    under, over = np.maximum(missing, 0.0), np.maximum(-missing, 0.0)
    sent = problem.impact * placement.market + problem.resting_costs @ np.array(placement.limits)
    taken = (problem.half_spread + problem.fee) * placement.market
    earned = filled @ (problem.half_spread + problem.rebates)
    cost: Array = taken + sent - earned + (problem.impact + problem.under) * under + problem.over * over
    return cost


def mean_cost(problem: Problem, placement: Placement, outflows: Array) -> float:
    """E[v] over the scenarios, cash for the whole slice."""
    return float(costs(problem, placement, outflows).mean())


def market_cost(problem: Problem) -> float:
    """What the whole slice costs by market order, in every scenario: (h + f + theta) S."""
    return (problem.half_spread + problem.fee + problem.impact) * problem.quantity


def gradient(problem: Problem, placement: Placement, outflows: Array) -> Array:
    """The mean of g(X, xi), the step of the paper's stochastic algorithm, cash per unit; shape (K + 1,), M first.

    In the kinks (A = S, xi_k = Q_k + L_k) it is one of the subgradients, as in the paper.
    """
    limits = np.array(placement.limits)
    reached = outflows > problem.queues + limits
    total = placement.market + fills(problem, placement, outflows).sum(axis=1)
    short, long = total < problem.quantity, total > problem.quantity
    penalty = problem.over * long - (problem.under + problem.impact) * short
    earned = problem.half_spread + problem.rebates
    of_limits = problem.resting_costs + (reached * (penalty[:, None] - earned)).mean(axis=0)
    of_market = problem.half_spread + problem.fee + problem.impact + penalty.mean()
    return np.concatenate([[of_market], of_limits])


def one_venue(problem: Problem, outflow: Outflow) -> Placement:
    """The optimum for a single venue in closed form: F(Q + L) = q, M = S - L, where

        q = (2h + f + r) / (lambda_u + h + r + theta).

    L is kept in [0, S], which is the paper's two cases at the edge: all limit where F(Q + S) <= q, that is
    lambda_u <= (2h+f+r) / F(Q+S) - (h+r+theta), and all market where F(Q) >= q. A queue penalty lowers the
    numerator. ValueError where the problem does not have one venue.
    """
    (venue,) = problem.venues
    earned = problem.half_spread + venue.rebate
    saved = problem.half_spread + problem.fee + earned - queue_cost(problem, venue)
    chance = saved / (problem.under + earned + problem.impact)
    if chance <= 0.0:
        limit = 0.0
    elif chance >= 1.0:
        limit = problem.quantity
    else:
        limit = min(max(outflow.quantile(chance) - venue.queue, 0.0), problem.quantity)
    return Placement(problem.quantity - limit, (limit,))


def short_chance(problem: Problem) -> float:
    """P(A < S) at an optimum with M inside its bounds."""
    over = problem.over
    return (problem.half_spread + problem.fee + over + problem.impact) / (
        problem.under + over + problem.impact
    )


def short_chance_given(problem: Problem, venue: int, reached: float) -> float:
    """P(A < S | xi_j > Q_j + L_j) at an optimum with L_j inside its bounds.

    `reached` is P(xi_j > Q_j + L_j).
    """
    earned = problem.half_spread + problem.venues[venue].rebate
    resting = problem.impact + queue_cost(problem, problem.venues[venue])
    return (resting / reached + problem.over - earned) / (problem.under + problem.over + problem.impact)


def placement_of(point: Sequence[float] | Array) -> Placement:
    """A vector (M, L_1..L_K) as a placement."""
    market, *limits = map(float, point)
    return Placement(market, tuple(limits))
