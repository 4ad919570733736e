"""The sample-average program as others solve it: the slow oracles of the model's own solvers."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from services.router.models.cont_kukanov import Array, Placement, Problem, placement_of


def _columns(
    problem: Problem, outflows: Array, extra: int = 0
) -> tuple[Array, Array, sparse.csr_matrix, Array]:
    """Cost, upper bounds and rows of: M, L (K), fills (N K), under (N), over (N), and `extra` columns of nothing.

    Rows, each at most its bound: fill - L <= 0; S - A - under <= 0; A - S - over <= 0; M + L_k <= S.
    """
    count, venues = outflows.shape
    quantity = problem.quantity
    passed = np.maximum(outflows - problem.queues, 0.0)
    cost = np.concatenate(
        [
            [problem.half_spread + problem.fee + problem.impact],
            problem.resting_costs,
            -np.tile(problem.half_spread + problem.rebates, count) / count,
            np.full(count, (problem.under + problem.impact) / count),
            np.full(count, problem.over / count),
            np.zeros(extra),
        ]
    )
    upper = np.concatenate(
        [np.full(1 + venues, quantity), passed.ravel(), np.full(2 * count, np.inf), np.ones(extra)]
    )
    ones, nothing = np.ones((count, 1)), sparse.csr_matrix
    limits = sparse.kron(np.ones((count, 1)), sparse.eye(venues))
    fills = sparse.kron(sparse.eye(count), np.ones((1, venues)))
    each, more = sparse.eye(count), nothing((count, extra))
    none, blank = nothing((count, venues)), nothing((count, count))
    per_fill = count * venues
    rows = [
        [nothing((per_fill, 1)), -limits, sparse.eye(per_fill), nothing((per_fill, 2 * count + extra))],
        [-ones, none, -fills, -each, blank, more],
        [ones, none, fills, blank, -each, more],
        [np.ones((venues, 1)), sparse.eye(venues), nothing((venues, per_fill + 2 * count + extra))],
    ]
    bounds = np.concatenate(
        [np.zeros(per_fill), np.full(count, -quantity), np.full(count, quantity), np.full(venues, quantity)]
    )
    return cost, upper, sparse.vstack([sparse.hstack(row) for row in rows]).tocsr(), bounds


def linear(problem: Problem, outflows: Array, *, within: bool) -> tuple[Placement, float]:
    """The linear program, in which a fill may be refused; `within` adds M + sum L <= S. Placement and cost."""
    cost, upper, rows, bounds = _columns(problem, outflows)
    if within:
        sent = np.zeros((1, len(cost)))
        sent[0, : 1 + outflows.shape[1]] = 1.0
        rows, bounds = sparse.vstack([rows, sent]).tocsr(), np.append(bounds, problem.quantity)
    found = linprog(cost, rows, bounds, bounds=np.stack([np.zeros(len(cost)), upper], axis=1), method="highs")
    assert found.success, found.message
    return placement_of(found.x[: 1 + outflows.shape[1]]), float(found.fun)


def exact(problem: Problem, outflows: Array) -> tuple[Placement, float]:
    """The global optimum: a binary for each fill says whether it is all of L or all that passes."""
    count, venues = outflows.shape
    per_fill = count * venues
    passed = np.maximum(outflows - problem.queues, 0.0).ravel()
    cost, upper, rows, bounds = _columns(problem, outflows, per_fill)
    limits = sparse.kron(np.ones((count, 1)), sparse.eye(venues))
    before, after = sparse.csr_matrix((per_fill, 1)), sparse.csr_matrix((per_fill, 2 * count))
    whole = [before, limits, -sparse.eye(per_fill), after, -problem.quantity * sparse.eye(per_fill)]
    part = [before, 0 * limits, -sparse.eye(per_fill), after, sparse.diags(passed)]
    found = milp(
        cost,
        constraints=LinearConstraint(
            sparse.vstack([rows, sparse.hstack(whole), sparse.hstack(part)]).tocsr(),
            -np.inf,
            np.concatenate([bounds, np.zeros(2 * per_fill)]),
        ),
        bounds=Bounds(np.zeros(len(cost)), upper),
        integrality=np.concatenate([np.zeros(len(cost) - per_fill), np.ones(per_fill)]),
        options={"mip_rel_gap": 1e-9},
    )
    assert found.success, found.message
    return placement_of(found.x[: 1 + venues]), float(found.fun)
