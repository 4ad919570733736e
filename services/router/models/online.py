"""The paper's stochastic approximation: one outflow a step, and the mean of the iterates is the placement.

    X_n = X_{n-1} - gamma g(X_{n-1}, xi_n),    u = -(lambda_u + theta) 1{A < S} + lambda_o 1{A > S},
    g_0 = h + f + theta + u,    g_k = theta + 1{xi_k > Q_k + L_k} (-(h + r_k) + u),
    gamma = sqrt(K) S [N (h+f+theta+lambda_u+lambda_o)^2 + N sum (h+r_k+theta+lambda_u+lambda_o)^2]^(-1/2).

It needs no law of the outflows, only what is seen, and its error falls with the root of N. Nothing keeps the
iterates above zero, as in the paper; `clipped` moves a placement into the bounds between which the optimum lies.
"""

from __future__ import annotations

from math import sqrt

from services.router.models.cont_kukanov import Array, Placement, Problem, placement_of


def step_size(problem: Problem, steps: int) -> float:
    """gamma, in units squared per cash: it turns a gradient, cash per unit, into units."""
    penalties = problem.impact + problem.under + problem.over
    of_market = problem.half_spread + problem.fee + penalties
    of_limits = sum((problem.half_spread + venue.rebate + penalties) ** 2 for venue in problem.venues)
    return sqrt(len(problem.venues)) * problem.quantity / sqrt(steps * (of_market**2 + of_limits))


def learn(problem: Problem, start: Placement, outflows: Array) -> Placement:
    """The mean of the N iterates after `start`, one for each row of `outflows`, shape (N, K), N > 0.

    Each iterate needs the one before it, and K is small: plain floats are faster here than arrays.
    """
    gamma, quantity = step_size(problem, len(outflows)), problem.quantity
    short, long = -(problem.under + problem.impact), problem.over
    of_market = problem.half_spread + problem.fee + problem.impact
    resting: list[float] = problem.resting_costs.tolist()
    earned: list[float] = (problem.half_spread + problem.rebates).tolist()
    rows: list[list[float]] = (outflows - problem.queues).tolist()
    market, limits = start.market, list(start.limits)
    sums = [0.0] * (len(limits) + 1)
    venues = range(len(limits))
    for row in rows:
        total = market
        for k in venues:
            total += max(row[k], 0.0) - max(row[k] - limits[k], 0.0)
        penalty = short if total < quantity else long if total > quantity else 0.0
        market -= gamma * (of_market + penalty)
        sums[0] += market
        for k in venues:
            reached = row[k] > limits[k]
            limits[k] -= gamma * (resting[k] + (penalty - earned[k] if reached else 0.0))
            sums[k + 1] += limits[k]
    return placement_of([total / len(rows) for total in sums])


def clipped(problem: Problem, placement: Placement) -> Placement:
    """The placement between the bounds of the optimum: 0 <= M <= S and 0 <= L_k <= S - M."""
    market = min(max(placement.market, 0.0), problem.quantity)
    room = problem.quantity - market
    return Placement(market, tuple(min(max(limit, 0.0), room) for limit in placement.limits))
