"""The best placement of all, overbooking allowed: the sample-average program of Cont and Kukanov.

With a_k = lambda_o - (h+r_k), w_k the queue penalty and Lambda = lambda_u + lambda_o + theta the mean cost is

    E[v] = (h+f+theta+lambda_o) M + sum (theta+w_k) L_k + sum a_k E[fill_k] + Lambda E[(S-A)+] - lambda_o S.

The last mean is convex; a_k E[fill_k] is concave, since lambda_o > h + max r. So the program is **no linear
program**: the linear one may refuse a fill that it does not want, which no venue allows, and its optimum is a
lower bound. The two agree where nothing overbooks, and in the limit lambda_o = h + r_k. (In the setting of the
paper's table with three venues its optimum is -.096 cents a share, its placement in truth costs -.051, and the
best placement -.075; the paper publishes -.07.)
Where the outflows are not negatively dependent, each stationary point inside is a minimum: the Hessian is
Lambda times a matrix of second moments on A = S, plus on the diagonal

    density of xi_k at Q_k + L_k, times (Lambda P(A<S | xi_k = Q_k + L_k) - a_k),

and the first-order condition for L_k makes the bracket at least theta / P(xi_k > Q_k + L_k). That is why
descent from one start is enough but for the lumps of a small sample.

Method: every kink is replaced by a parabola over a band, which is narrowed step by step, and Newton's method
with bounds runs in each band (finite smoothing, as Madsen and Nielsen solve linear programs). Then M is set to
its exact optimum for these L. The start, the exact optimum without overbooking, is kept if nothing is better.
"""

from __future__ import annotations

import numpy as np

from services.router.models.cont_kukanov import Array, Problem, Solution, mean_cost, placement_of
from services.router.models.outflow import sample_index
from services.router.models.within import steepest_first

# Widths of the bands, in standard deviations of what passes us. The first is wide enough to see past the lumps
# of a few hundred samples, the last narrow enough for 1e-4 of the cost; a factor of four or five between them
# keeps the next optimum within a few steps.
BANDS = (0.2, 0.05, 0.01, 0.002)
STEPS_MAX = 8  # in each band; three or four are usual
STEP_BANDS_MAX = 4.0  # the curvature is known a band wide, so a step goes no further than a few of them
TRIES_MAX = (
    4  # lengths along Newton's direction; then as many along the scaled gradient, which always descends
)
SHORTER = 0.4  # what a step that was too long is multiplied with
DEVIATION_MIN = 1e-3  # of S: a venue whose outflow hardly varies still has a band
CURVATURE_MIN = 1e-3  # of Lambda / S: where no kink is near, the cost is linear and a step would be endless
GAIN_MIN = 1e-5  # of Lambda S, times the band: less than that is not worth another step
NEVER = 3.0  # times S: beyond every bound and every band


def optimum(problem: Problem, outflows: Array) -> Solution:
    """The optimum over the scenarios, shape (N, K), with 0 <= M <= S and 0 <= L_k <= S - M.

    Deterministic. Its cost is at most that of `within.optimum`. The terms must pass `check`.
    """
    passed = np.maximum(outflows - problem.queues, 0.0).T.copy()
    ascending = np.sort(passed, axis=1)
    start = steepest_first(problem, ascending)
    placement = placement_of(start)
    solution = Solution(placement, mean_cost(problem, placement, outflows))
    if not problem.venues:
        return solution
    point = _descend(problem, passed, start)
    point[0] = _best_market(problem, passed, point[1:])
    point[1:] = np.minimum(point[1:], problem.quantity - point[0])
    placement = placement_of(point)
    found = Solution(placement, mean_cost(problem, placement, outflows))
    return found if found.cost < solution.cost else solution


def _best_market(problem: Problem, passed: Array, limits: Array) -> float:
    """The best M for these L: M is a quantile of what the limit orders leave, by the first-order condition."""
    left = problem.quantity - np.minimum(passed, limits[:, None]).sum(axis=0)
    over = problem.half_spread + problem.fee + problem.impact + problem.over
    short = over / (problem.under + problem.over + problem.impact)
    index = sample_index(1.0 - short, len(left))
    return min(max(float(np.partition(left, index)[index]), 0.0), problem.quantity)


def _descend(problem: Problem, passed: Array, start: Array) -> Array:
    """From `start` to a minimum of the smoothed cost in each band. `passed` as (K, N); a new point (K + 1,)."""
    quantity = problem.quantity
    deviations = np.maximum(np.minimum(passed, quantity).std(axis=1), DEVIATION_MIN * quantity)
    deviations = np.concatenate([[np.sqrt(deviations @ deviations)], deviations])
    smoothed = _Smoothed(problem, passed)
    gain_min = GAIN_MIN * smoothed.penalties * quantity
    point = start
    for band in BANDS:
        smoothed.widths = band * deviations
        cost = smoothed.cost(point)
        for _ in range(STEPS_MAX):
            before = cost
            point, cost = _step(smoothed, point, cost)
            if before - cost < gain_min * band:
                break
    return point.copy()


def _step(smoothed: _Smoothed, point: Array, cost: float) -> tuple[Array, float]:
    """One step of Newton's method between the bounds; the same point where no step lowers the cost."""
    slope, curvature = smoothed.derivatives()
    held = ((point <= 0.0) & (slope > 0.0)) | ((point >= smoothed.quantity) & (slope < 0.0))
    if held.any():
        curvature[held] = 0.0
        curvature[held, held] = 1.0
        slope[held] = 0.0
    newton = np.linalg.solve(curvature, -slope)
    for direction in (newton, -slope / curvature.diagonal()):
        reach = float(np.abs(direction / smoothed.widths).max())
        length = STEP_BANDS_MAX / max(reach, STEP_BANDS_MAX)
        for _ in range(TRIES_MAX):
            tried = np.minimum(np.maximum(point + length * direction, 0.0), smoothed.quantity)
            tried_cost = smoothed.cost(tried)
            if tried_cost < cost:
                return tried, tried_cost
            length *= SHORTER
    return point, cost


class _Smoothed:
    """The mean cost with every kink a parabola, and its derivatives. `widths` (K + 1,) are half the bands' widths.

    `cost` keeps what `derivatives` needs, so that is of the point whose cost was asked for last. The cost is
    up to a constant, and minima with M + L_k > S are allowed: lowering L_k to S - M costs no more.
    """

    def __init__(self, problem: Problem, passed: Array) -> None:
        self.quantity = problem.quantity
        self.penalties = problem.under + problem.over + problem.impact
        self.widths = np.ones(len(passed) + 1)
        self._count = passed.shape[1]
        # An outflow of nothing never fills and one of S always does: neither may lie in a band.
        none = passed <= 0.0
        self._passed = np.where(passed >= self.quantity, NEVER * self.quantity, passed)
        self._passed[none] = -NEVER * self.quantity
        self._wanted = self.quantity - NEVER * self.quantity * none.sum(axis=0)
        self._linear = np.concatenate(
            [[problem.half_spread + problem.fee + problem.impact + problem.over], problem.resting_costs]
        )
        self._concave = problem.over - (problem.half_spread + problem.rebates)
        # First row 1 (the market order), below the smoothed 1{xi_k > Q_k + L_k}.
        self._reached = np.ones((len(passed) + 1, self._count))
        self._short = np.zeros(self._count)

    def cost(self, point: Array) -> float:
        width, widths = float(self.widths[0]), self.widths[1:, None]
        limits = point[1:, None]
        reached = self._reached[1:]
        np.subtract(self._passed, limits, out=reached)
        reached *= 0.5 / widths
        reached += 0.5
        np.maximum(reached, 0.0, out=reached)
        np.minimum(reached, 1.0, out=reached)
        filled = 1.0 - reached
        filled *= filled
        filled *= -widths
        filled += np.minimum(self._passed + widths, limits)
        missing = self._wanted - point[0] - filled.sum(axis=0)
        short = np.minimum(np.maximum(missing * (0.5 / width) + 0.5, 0.0), 1.0)
        under = np.maximum(missing - width, 0.0) + width * short * short
        self._short = short
        means = float(self._concave @ filled.sum(axis=1)) + self.penalties * float(under.sum())
        return float(self._linear @ point + means / self._count)

    def derivatives(self) -> tuple[Array, Array]:
        """Gradient (K + 1,) and a positive definite Hessian (K + 1, K + 1): negative curvature is left out."""
        reached, short, per = self._reached, self._short, self.penalties / self._count
        slope = self._linear - per * (reached @ short)
        slope[1:] += self._concave * (reached[1:].sum(axis=1) / self._count)
        in_band = (short > 0.0) & (short < 1.0)
        near = reached[:, in_band]
        hessian: Array = (near @ near.T) * (0.5 * per / self.widths[0])
        diagonal = np.full(len(slope), CURVATURE_MIN * self.penalties / self.quantity)
        kinks = (reached[1:] > 0.0) & (reached[1:] < 1.0)
        bent = self.penalties * (kinks @ short) - self._concave * kinks.sum(axis=1)
        diagonal[1:] += np.maximum(bent, 0.0) * (0.5 / self._count / self.widths[1:])
        hessian[np.diag_indices_from(hessian)] += diagonal
        return slope, hessian
