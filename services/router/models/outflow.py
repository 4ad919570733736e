"""How much leaves a queue until the slice ends: the distribution of the outflow xi, in units.

One venue needs a cumulative distribution and its inverse; many venues need joint scenarios, an array of shape
(N, K), because venues' outflows move together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, floor, lgamma, log, log1p, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

POISSON_DEVIATIONS = 12  # past so many standard deviations no probability is left that a float could show
POISSON_TABLES_MAX = 64  # means seen at once: one a venue and a few regimes
STEP_ROUNDING = 1e-9  # of a sample's probability: 0.29 * 100 must be the 29th of a hundred samples


class Outflow(Protocol):
    """The law of one venue's outflow."""

    def cdf(self, quantity: float) -> float:
        """P(xi <= quantity)."""

    def quantile(self, chance: float) -> float:
        """The least quantity whose cdf is at least `chance`, for a chance inside (0, 1)."""

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Independent outflows, shape (count,)."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """The law without memory; `mean` in units, positive."""

    mean: float

    def cdf(self, quantity: float) -> float:
        return 1.0 - exp(-quantity / self.mean) if quantity > 0 else 0.0

    def quantile(self, chance: float) -> float:
        return -self.mean * log1p(-chance)

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        return rng.exponential(self.mean, count)


@dataclass(frozen=True, slots=True)
class Poisson:
    """A count of units that leave one by one; `mean` in units, positive. The paper's examples use it."""

    mean: float

    def cdf(self, quantity: float) -> float:
        first, cumulative = _poisson_table(self.mean)
        index = min(floor(quantity) - first, len(cumulative) - 1)
        return float(cumulative[index]) if index >= 0 else 0.0

    def quantile(self, chance: float) -> float:
        first, cumulative = _poisson_table(self.mean)
        return float(first + min(int(np.searchsorted(cumulative, chance)), len(cumulative) - 1))

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        return rng.poisson(self.mean, count).astype(np.float64)


@lru_cache(maxsize=POISSON_TABLES_MAX)
def _poisson_table(mean: float) -> tuple[int, Array]:
    """The least count with any probability, and the cdf from there on. It is never written to."""
    width = POISSON_DEVIATIONS * sqrt(mean) + POISSON_DEVIATIONS
    first = max(floor(mean - width), 0)
    counts = np.arange(first + 1, ceil(mean + width) + 1)
    start = first * log(mean) - mean - lgamma(first + 1)
    logs = start + np.concatenate([[0.0], np.cumsum(np.log(mean / counts))])
    cumulative: Array = np.minimum(np.cumsum(np.exp(logs)), 1.0)
    return first, cumulative


@dataclass(frozen=True, slots=True)
class Empirical:
    """Outflows as they were seen, each as likely as the others; `samples` ascending, shape (n,), n > 0."""

    samples: Array

    @classmethod
    def of(cls, values: Sequence[float] | Array) -> Empirical:
        """ValueError where there is nothing to learn from."""
        samples = np.sort(np.asarray(values, dtype=np.float64))
        if not samples.size:
            raise ValueError("an empirical outflow needs at least one sample")
        return cls(samples)

    def cdf(self, quantity: float) -> float:
        return float(np.searchsorted(self.samples, quantity, side="right")) / len(self.samples)

    def quantile(self, chance: float) -> float:
        return float(self.samples[sample_index(chance, len(self.samples))])

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        return rng.choice(self.samples, count)


def sample_index(chance: float, count: int) -> int:
    """The index of the `chance` quantile in `count` ascending samples."""
    return min(max(ceil(chance * count - STEP_ROUNDING) - 1, 0), count - 1)


def independent(outflows: Sequence[Outflow], count: int, rng: np.random.Generator) -> Array:
    """Scenarios of venues that know nothing of each other, shape (count, K)."""
    return np.stack([outflow.sample(count, rng) for outflow in outflows], axis=1)


def common_factor(
    common: Outflow, own: Sequence[Outflow], share: float, count: int, rng: np.random.Generator
) -> Array:
    """Scenarios that move together, xi_k = share xi_0 + (1 - share) eps_k as in the paper; shape (count, K)."""
    together = common.sample(count, rng)[:, None]
    return share * together + (1.0 - share) * independent(own, count, rng)
