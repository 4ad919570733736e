"""The statistics behind a calibration: resampling, and a slope."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bestex.impact.figures import Figure

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

REPLICATES = 400  # a 90 % interval's ends to about a tenth of its width
CONFIDENCE = 0.9
SEED = 20_111  # of the resampling alone: the same data give the same intervals


def blocks(count: int, length: int, random: np.random.Generator) -> Indices:
    """`count` indices in runs of `length` that stood together, so that what is near stays near.

    The moving block bootstrap: Künsch (1989), "The jackknife and the bootstrap for general stationary
    observations", Annals of Statistics 17.
    """
    length = max(1, min(length, count))
    starts = random.integers(0, count - length + 1, -(-count // length))
    indices: Indices = (starts[:, None] + np.arange(length)[None, :]).ravel()[:count]
    return indices


def bootstrap(
    statistic: Callable[[Indices], float], count: int, block: int, replicates: int = REPLICATES
) -> Figure:
    """`statistic` of all `count` observations, with its spread over resampled ones; replicates that are NaN are
    left out."""
    random = np.random.default_rng(SEED)
    drawn = np.array([statistic(blocks(count, block, random)) for _ in range(replicates)])
    drawn = drawn[np.isfinite(drawn)]
    value = statistic(np.arange(count))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail)) if len(drawn) else (np.nan, np.nan)
    return Figure(
        value=float(value),
        standard_error=float(np.std(drawn, ddof=1)) if len(drawn) > 1 else float("nan"),
        low=float(low),
        high=float(high),
        count=count,
    )


def through_origin(x: Floats, y: Floats) -> float:
    """The least-squares slope of y on x without an intercept; NaN where all x are 0."""
    square = float(x @ x)
    return float(x @ y) / square if square else float("nan")
