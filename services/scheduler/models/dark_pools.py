"""How much to send to which dark pool, learned from what came back.

A pool tells only what it filled: where that was all that was sent there, more might have been had, and how much is
not known (the answer is censored). Two ways to learn from that:

- `Tails`: the Kaplan-Meier estimate of P(at least s available) of each pool, and `allocate`, which gives each unit to
  the pool with the greatest estimated chance of filling it (Ganchev, Kearns, Nevmyvaka and Wortman, "Censored
  exploration and the dark pool problem", UAI 2009, CACM 2010). For known tails that is optimal. Beyond what was seen
  the estimate is optimistic: a unit that was never asked for is as likely as the one before it.
- `Gradient`: shares that grow by a factor exp(rate) wherever all that was sent was filled, so that more might be, and
  are normalised (Agarwal, Bartlett and Dama, "Optimal allocation strategies for the dark pool problem", AISTATS
  2010). It assumes no distribution: against the best fixed shares of T steps of volume V in K pools its regret is at
  most 3 V sqrt(T ln K) with `rate_for(K, T)`. A little of all is spread evenly again at each step (Herbster and
  Warmuth 1998), so that a pool that was given up can come back.

Quantities are counts of any unit, the same for all pools.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace
from math import exp, log, sqrt
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

FEW_RATE = 0.3  # the gradient's where some tens of trials are all there will be: rate_for(4, 15)

Tail = npt.NDArray[np.floating]


class Trial(NamedTuple):
    """So much was sent to a pool, and so much of it filled."""

    sent: int
    filled: int


class Tails:
    """One pool. Sizes up to `most`. `forget`: by how much every trial makes the ones before it count less."""

    __slots__ = ("_asked", "_gone", "_kept", "_most")

    def __init__(self, most: int, forget: float = 0.0) -> None:
        assert 0 <= forget < 1, "what is learned is not all forgotten at once"
        self._most = most
        self._kept = 1.0 - forget
        # By s: the trials that asked for more than s and got at least s, and those of them that got just s.
        self._asked = np.zeros(most)
        self._gone = np.zeros(most)

    def learn(self, trial: Trial) -> None:
        """A trial of nothing teaches nothing."""
        sent, filled = min(trial.sent, self._most), min(trial.filled, self._most)
        assert 0 <= filled <= sent, "no more is filled than was sent"
        if not sent:
            return
        self._asked *= self._kept
        self._gone *= self._kept
        self._asked[: min(filled + 1, sent)] += 1.0
        if filled < sent:
            self._gone[filled] += 1.0

    def tail(self) -> Tail:
        """P(at least s available) for s = 1 .. most; falling. Of each size one more trial counts that went on, so
        that nothing is written off that was tried a few times only."""
        tail: Tail = np.cumprod(1.0 - self._gone / (self._asked + 1.0))
        return tail


def allocate(tails: Sequence[Tail], total: int) -> list[int]:
    """Each of `total` units to the pool with the greatest chance for it; a tie to the one that has the least so far.
    A pool takes no more than its tail is long; what none takes is left out."""
    given = [0] * len(tails)
    heap = [(-float(tail[0]), 0, i) for i, tail in enumerate(tails) if len(tail)]
    heapify(heap)
    for _ in range(total):
        if not heap or heap[0][0] > 0:
            break
        i = heap[0][2]
        given[i] += 1
        ahead = given[i] < len(tails[i])
        heapreplace(heap, (-float(tails[i][given[i]]) if ahead else 1.0, given[i], i))
    return given


def expected_fill(tails: Sequence[Tail], parts: Sequence[int]) -> float:
    """What such parts fill on average where these are the true tails."""
    return float(sum(tail[:part].sum() for tail, part in zip(tails, parts, strict=True)))


def rate_for(pools: int, steps: int) -> float:
    """The rate with which the bound holds for so many steps."""
    return sqrt(log(max(pools, 2)) / steps)


def regret_bound(volume: float, pools: int, steps: int) -> float:
    return 3.0 * volume * sqrt(steps * log(pools))


class Gradient:
    """Shares of several pools, each step `spread` of the whole evenly. `rate`: how fast they move."""

    __slots__ = ("_rate", "_spread", "shares")

    def __init__(self, pools: int, rate: float, spread: float = 0.0) -> None:
        assert pools > 0, "there is somewhere to go"
        self._rate = rate
        self._spread = spread
        self.shares = [1.0 / pools] * pools

    def learn(self, whole: Sequence[bool | None]) -> None:
        """By pool, whether all was filled that was sent there; None where nothing was sent."""
        factor = exp(self._rate)
        grown = [share * factor if one else share for share, one in zip(self.shares, whole, strict=True)]
        total, even = sum(grown), self._spread / len(grown)
        self.shares = [(1.0 - self._spread) * share / total + even for share in grown]

    def divide(self, total: int) -> list[int]:
        """Whole units that sum to `total`: rounded down, and the rest to the greatest remainders."""
        exact = [share * total for share in self.shares]
        given = [int(part) for part in exact]
        order = sorted(range(len(exact)), key=lambda i: (given[i] - exact[i], i))
        for i in order[: total - sum(given)]:
            given[i] += 1
        return given


class Told(NamedTuple):
    """What one order found at the pool of that number."""

    pool: int
    sent: int
    filled: int


def division(
    learning: Literal["censored", "gradient"], told: Sequence[Told], pools: int, total: int, forget: float
) -> list[int]:
    """How much of `total` to have at each of the pools, by what was found there so far, oldest first. Sums to it.

    `forget`: by how much each trial of a pool makes those before it count less, or what of the shares is spread
    again.
    """
    if learning == "gradient":
        model = Gradient(pools, FEW_RATE, forget)
        for one in told:
            model.learn([one.filled == one.sent if i == one.pool else None for i in range(pools)])
        return model.divide(total)
    estimates = [Tails(total, forget) for _ in range(pools)]
    for one in told:
        estimates[one.pool].learn(Trial(one.sent, one.filled))
    return allocate([estimate.tail() for estimate in estimates], total)
