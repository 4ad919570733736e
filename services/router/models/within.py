"""The best placement that cannot trade more than the slice: M + sum L = S. Exact.

Where no more than S is ever out, nothing is over, and what is missing is the sum of what each limit order
misses. The cost of Cont and Kukanov then falls apart into the venues,

    E[v] = (h+f+theta) S + sum over k of E[(w_k + lambda_u + theta - (h+f)) L_k - (lambda_u+theta+h+r_k) fill_k],

w_k the queue penalty: a sum of convex functions of L_k alone under sum L <= S. Every one is piecewise linear
over its venue's sorted outflows, so the optimum takes the steepest pieces of all venues first until S is used
up. Only each venue's own law matters; how venues move together does not. With one venue this is the closed
form. A router that keeps the promise never to overfill wants this optimum.
"""

from __future__ import annotations

import numpy as np

from services.router.models.cont_kukanov import Array, Problem, Solution, mean_cost, placement_of


def optimum(problem: Problem, outflows: Array) -> Solution:
    """The optimum over the scenarios, shape (N, K), among placements with M + sum L = S."""
    passed = np.sort(np.maximum(outflows - problem.queues, 0.0).T, axis=1)
    placement = placement_of(steepest_first(problem, passed))
    return Solution(placement, mean_cost(problem, placement, outflows))


def steepest_first(problem: Problem, passed: Array) -> Array:
    """The point (M, L_1..L_K). `passed` is (xi - Q)+ of each venue, ascending, shape (K, N)."""
    venues, count = passed.shape
    if not venues:
        return np.array([problem.quantity])
    resting = problem.resting_costs + problem.under - (problem.half_spread + problem.fee)
    filling = problem.under + problem.impact + problem.half_spread + problem.rebates
    still_reached = (count - np.arange(count)) / count
    slopes = (resting[:, None] - filling[:, None] * still_reached).ravel()
    lengths = np.diff(np.minimum(passed, problem.quantity), axis=1, prepend=0.0).ravel()
    # A venue's slopes ascend, and a stable sort keeps equal ones in order: no piece comes before its turn.
    order = np.argsort(slopes, kind="stable")
    order = order[: int(np.searchsorted(slopes[order], 0.0))]
    wanted = lengths[order]
    room = problem.quantity - (np.cumsum(wanted) - wanted)
    limits = np.bincount(order // count, weights=np.clip(room, 0.0, wanted), minlength=venues)
    return np.concatenate([[max(problem.quantity - float(limits.sum()), 0.0)], limits])
