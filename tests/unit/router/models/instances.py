"""The paper's example and random slices: terms that pass `check`, and outflows that move together."""

from __future__ import annotations

from typing import Literal

import numpy as np

from services.router.models.cont_kukanov import Array, Problem, VenueTerms, check
from services.router.models.outflow import Exponential, Outflow, Poisson, common_factor, independent

QUANTITY = 1_000.0

Kind = Literal["poisson", "exponential", "lognormal"]
KINDS: tuple[Kind, ...] = ("poisson", "exponential", "lognormal")


def table_one(venues: int) -> Problem:
    """The setting of the paper's Table 1."""
    return Problem(
        quantity=QUANTITY,
        half_spread=0.02,
        fee=0.003,
        impact=0.0005,
        under=0.05,
        over=0.05,
        venues=(VenueTerms(queue=2_000, rebate=0.002),) * venues,
    )


def table_one_outflows(venues: int, count: int, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    return common_factor(Poisson(2_200), [Poisson(2_200)] * venues, 0.6, count, rng)


def random_slice(seed: int, venues: int, count: int, *, barely_over: bool = False) -> tuple[Problem, Array]:
    """Terms and scenarios of any kind, from independent to nearly the same at every venue.

    `barely_over`: equal rebates and a lambda_o that is h + r up to a rounding. There the cost is convex.
    """
    rng = np.random.default_rng(seed)
    half_spread, fee = rng.uniform(0.005, 0.03), rng.uniform(-0.002, 0.004)
    rebates = np.full(venues, rng.uniform(0, 0.003)) if barely_over else rng.uniform(-0.001, 0.004, venues)
    most = half_spread + max(rebates)
    queues = rng.uniform(0, 3_000, venues)
    problem = Problem(
        quantity=QUANTITY,
        half_spread=half_spread,
        fee=fee,
        impact=float(rng.choice([0.0, 0.0005, 0.002])),
        under=half_spread + fee + rng.uniform(0.002, 0.1),
        over=most * (1 + 1e-12) if barely_over else max(most, -half_spread - fee) * rng.uniform(1.02, 3),
        venues=tuple(map(VenueTerms, queues.tolist(), rebates.tolist())),
    )
    check(problem)
    means = np.maximum(queues + rng.uniform(-500, 1_500, venues), 200)
    return problem, _outflows(rng, KINDS[rng.integers(len(KINDS))], means, rng.uniform(), count)


def _outflows(rng: np.random.Generator, kind: Kind, means: Array, share: float, count: int) -> Array:
    if kind == "lognormal":
        common, own = rng.standard_normal((count, 1)), rng.standard_normal((count, len(means)))
        moves: Array = np.exp(0.8 * (share * common + np.sqrt(1 - share**2) * own))
        return means * moves
    law = Poisson if kind == "poisson" else Exponential
    own_laws: list[Outflow] = [law(float(mean)) for mean in means]
    return common_factor(law(float(means.mean())), own_laws, share, count, rng)


def interior_slice(seed: int, venues: int, count: int) -> tuple[Problem, Array]:
    """Terms and independent smooth outflows whose optimum lies inside all bounds: the paper's two conditions."""
    rng = np.random.default_rng(seed)
    problem = table_one(venues)
    laws = [Poisson(float(rng.uniform(2_150, 2_250))) for _ in range(venues)]
    return problem, independent(laws, count, rng)
