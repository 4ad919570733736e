"""Impact that decays: what trades did to the price, some time after, and the schedule that makes the best of it.

Each trade moves the price at once, and what it moved decays along a kernel G with G(0) = 1; the moves of all
past trades add up. Obizhaeva and Wang (2013), "Optimal trading strategy and supply/demand dynamics", J. Financial
Markets 16, for the exponential; Bouchaud, Gefen, Potters and Wyart (2004), "Fluctuations and response in
financial markets", Quantitative Finance 4, for the power law. Superposition is linear in size: with an exponential
kernel only that leaves no round trip that earns (Gatheral 2010, "No-dynamic-arbitrage and market impact").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from bestex.units import split

_WEIGHT = 1 << 53  # a share as an integer weight, at the precision of a float

Nanoseconds = Annotated[int, Meta(gt=0)]


class Trade(NamedTuple):
    """A past child: `qty` signed, + bought, in any unit."""

    at_ns: int
    qty: int


class Kernel(Protocol):
    """What remains of an impact after some time: 1 at once, never growing, never below 0."""

    def left(self, elapsed_ns: int) -> float: ...


class Exponential(msgspec.Struct, frozen=True, kw_only=True):
    """G(t) = 2^(-t / half life): a book that refills at a constant rate, rho = ln 2 / half life."""

    half_life_ns: Nanoseconds

    def left(self, elapsed_ns: int) -> float:
        left: float = 0.5 ** (elapsed_ns / self.half_life_ns)
        return left


class PowerLaw(msgspec.Struct, frozen=True, kw_only=True):
    """G(t) = (1 + t/t0)^(-beta): no scale of its own beyond the cutoff t0, below which nothing has decayed yet."""

    beta: Annotated[float, Meta(gt=0)] = 0.5
    cutoff_ns: Nanoseconds

    def left(self, elapsed_ns: int) -> float:
        left: float = (1 + elapsed_ns / self.cutoff_ns) ** -self.beta
        return left


class Permanent(msgspec.Struct, frozen=True):
    """G(t) = 1: nothing ever decays."""

    def left(self, elapsed_ns: int) -> float:
        assert elapsed_ns >= 0, "an impact follows its trade"
        return 1.0


class Transient(msgspec.Struct, frozen=True, kw_only=True):
    """A price that trades push by `bps_per_unit` each, and that comes back along `kernel`."""

    kernel: Kernel
    bps_per_unit: Annotated[float, Meta(ge=0)]

    def displacement_bps(self, trades: Iterable[Trade], now_ns: int) -> float:
        """How far the price stands from where it would be, + upwards; trades after `now_ns` have not happened."""
        return self.bps_per_unit * sum(
            trade.qty * self.kernel.left(now_ns - trade.at_ns) for trade in trades if trade.at_ns <= now_ns
        )

    def cost_bps_qty(self, trades: Sequence[Trade], own: float = 0.5) -> float:
        """What `trades` (in time order) pay for their own impact together, in bps x quantity.

        Each pays what is left of those before it, and `own` of its own move: one half where it walks through a
        book (Obizhaeva and Wang), all of it where it pays the price that it has moved to (Bertsimas and Lo).
        """
        cost = 0.0
        for index, trade in enumerate(trades):
            before = self.displacement_bps(trades[:index], trade.at_ns)
            cost += trade.qty * (before + own * self.bps_per_unit * trade.qty)
        return cost


def obizhaeva_wang(count: int, left: float) -> list[float]:
    """The shares of `count` equidistant trades that cost least where impact decays to `left` from one to the next.

    At times 0 to N tau, so of N + 1 trades: the first and the last 1/((N-1)(1-a)+2), each one between (1-a) times
    that, with a = e^(-rho tau) = `left` in [0, 1). Obizhaeva and Wang (2013). The shares sum to 1.
    """
    assert count >= 1, "something is to be traded"
    assert 0 <= left < 1, "where nothing decays, time does not matter"
    if count == 1:
        return [1.0]
    between = count - 2
    edge = 1 / (between * (1 - left) + 2)
    return [edge, *[(1 - left) * edge] * between, edge]


def equal_shares(count: int) -> list[float]:
    """The best shares where each trade pays all of a linear impact that never decays: equal ones.

    Bertsimas and Lo (1998), "Optimal control of execution costs", J. Financial Markets 1.
    """
    assert count >= 1, "something is to be traded"
    return [1 / count] * count


def in_lots(total: int, shares: Sequence[float], lot: int) -> list[int]:
    """`total` by `shares` in whole lots; the parts sum to `total` exactly."""
    return split(total, [round(share * _WEIGHT) for share in shares], lot)
