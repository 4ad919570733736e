"""How likely an order that joins a queue is filled in time.

What leaves the front of a queue until then is taken as lognormal with the mean and the variance that were observed,
so that the expected fill has a closed form, the one of a call spread (Black 1976): E[(xi - K)+].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bestex.messages import QueueStats

Array = NDArray[np.float64]

SURE_SECONDS = 30.0  # so much observation halves the distance between nothing known and what was seen
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class QueueModel:
    """An order would join behind `ahead`; until its time `mean` leaves, with standard deviation `deviation`: in
    quantity units, the mean above zero."""

    ahead: float
    mean: float
    deviation: float

    @classmethod
    def of(cls, queue: QueueStats | None, ahead: int, seconds: float, unit: float) -> QueueModel | None:
        """From what was observed, for so many seconds from now; `unit` is one quantity unit in base. What rests on
        little observation is taken as slower than it was seen. None where nothing leaves, or nothing is known."""
        if queue is None or queue.outflow <= 0 or seconds <= 0:
            return None
        trust = queue.seconds / (queue.seconds + SURE_SECONDS)
        mean = queue.outflow * seconds * trust / unit
        deviation = max(queue.outflow_sd * sqrt(seconds) / unit, mean * LEAST_SPREAD)
        return cls(float(ahead), mean, deviation)

    @property
    def _terms(self) -> tuple[float, float]:
        """Mean and standard deviation of the logarithm."""
        variance = log(1 + (self.deviation / self.mean) ** 2)
        return log(self.mean) - variance / 2, sqrt(variance)

    def reached(self, qty: float) -> float:
        """The probability that the whole queue ahead and `qty` of the order have left."""
        at = self.ahead + qty
        if at <= 0:
            return 1.0
        middle, spread = self._terms
        return 1 - _NORMAL.cdf((log(at) - middle) / spread)

    def until(self, chance: float) -> float:
        """The quantity of which the last unit is filled with this probability; 0 where even the first is not."""
        if chance >= 1:
            return 0.0
        if chance <= 0:
            return float("inf")
        return max(self.quantile(1 - chance) - self.ahead, 0.0)

    def quantile(self, chance: float) -> float:
        """The outflow that is not passed with this chance, inside (0, 1)."""
        middle, spread = self._terms
        return exp(middle + spread * _NORMAL.inv_cdf(chance))

    def outflows(self, deviations: Array) -> Array:
        """The outflow at each of these deviations of its logarithm from the mean, in standard deviations."""
        middle, spread = self._terms
        return np.exp(middle + spread * deviations)

    def expected(self, qty: float) -> float:
        """How much of an order of `qty` is filled in the mean."""
        return self._beyond(self.ahead) - self._beyond(self.ahead + qty)

    def _beyond(self, at: float) -> float:
        """E[(xi - at)+]."""
        if at <= 0:
            return self.mean - at
        middle, spread = self._terms
        d = (middle + spread * spread - log(at)) / spread
        return self.mean * _NORMAL.cdf(d) - at * _NORMAL.cdf(d - spread)


LEAST_SPREAD = 0.1  # of the mean: nothing leaves like a clock
