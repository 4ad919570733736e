"""The trajectory of least expected cost plus risk. Almgren and Chriss (2000), "Optimal execution of portfolio
transactions", Journal of Risk 3.

X is to be traded by T in N steps of tau. Trading at a pace v moves the price by gamma v for good and costs
epsilon + eta v while it lasts; the price wanders by sigma per square root of time. E + lambda V is least along

    x_j = X sinh(kappa (T - t_j)) / sinh(kappa T),  2 (cosh(kappa tau) - 1) / tau^2 = kappa~^2 = lambda sigma^2 / eta~

with eta~ = eta - gamma tau / 2; the left side is (2 sinh(kappa tau / 2) / tau)^2, which keeps its digits.
Times are in one unit (the paper's: days), prices and quantities each in another; sigma is price per square root of
time, eta price per quantity a time, gamma price per quantity, lambda 1 / cash.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import asinh, exp, expm1, inf, sinh, sqrt


@dataclass(frozen=True, slots=True)
class Setting:
    """`qty` X, `time` T, `steps` N, `volatility` sigma, `temporary` eta, `permanent` gamma, `spread` epsilon: half of
    the quoted one."""

    qty: float
    time: float
    steps: int
    volatility: float
    temporary: float
    permanent: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        assert self.qty >= 0, "a size has no sign here"
        assert self.time > 0, "an order takes some time"
        assert self.steps >= 1, "an order takes some steps"
        assert min(self.volatility, self.temporary, self.permanent, self.spread) >= 0, (
            "costs have no sign here"
        )

    @property
    def step(self) -> float:
        """tau."""
        return self.time / self.steps

    @property
    def net_temporary(self) -> float:
        """eta~: what is temporary beyond what a step's own permanent impact costs anyway."""
        return self.temporary - self.permanent * self.step / 2

    def kappa(self, risk_aversion: float) -> float:
        """How fast what is held decays, per time; infinite where waiting saves nothing, so that all goes at once."""
        if risk_aversion == 0 or self.volatility == 0:
            return 0.0
        if self.net_temporary <= 0:
            return inf
        tilde = self.volatility * sqrt(risk_aversion / self.net_temporary)
        return 2 * asinh(tilde * self.step / 2) / self.step

    def half_life(self, risk_aversion: float) -> float:
        """1 / kappa: the time in which what is held falls to 1/e of it, whatever the deadline. The paper's word."""
        kappa = self.kappa(risk_aversion)
        return 1 / kappa if kappa else inf

    def risk_aversion(self, kappa: float) -> float:
        """The lambda that leads to this kappa."""
        assert self.volatility > 0, "without risk there is no aversion to it"
        tilde = 2 * sinh(kappa * self.step / 2) / self.step
        return tilde**2 * self.net_temporary / self.volatility**2

    def holdings(self, kappa: float) -> list[float]:
        """x_0 = X to x_N = 0: N + 1 of them, falling."""
        return [self.qty * left for left in trajectory(self.steps, kappa * self.time)]

    def expected_cost(self, holdings: Sequence[float]) -> float:
        """E, in cash: gamma X^2 / 2 + epsilon X + (eta~ / tau) sum n_k^2."""
        trades = sum((before - after) ** 2 for before, after in pairwise(holdings))
        fixed = self.permanent * self.qty**2 / 2 + self.spread * self.qty
        return fixed + self.net_temporary / self.step * trades

    def variance(self, holdings: Sequence[float]) -> float:
        """V, in cash squared: sigma^2 tau sum x_k^2 over what is held after each step."""
        return self.volatility**2 * self.step * sum(held**2 for held in holdings[1:])

    def frontier(self, risk_aversions: Iterable[float]) -> list[tuple[float, float]]:
        """The efficient frontier: the least expected cost for each risk, as (E, square root of V)."""
        paths = (self.holdings(self.kappa(each)) for each in risk_aversions)
        return [(self.expected_cost(path), sqrt(self.variance(path))) for path in paths]


def trajectory(steps: int, decay: float) -> list[float]:
    """sinh(kappa (T - t_j)) / sinh(kappa T) for j = 0 to `steps`, from 1 to 0, where kappa T is `decay`: a straight
    line for 0, all with the first step for infinity. Written so that nothing overflows."""
    assert decay >= 0, "what is held never grows"
    return [held(decay, j / steps) for j in range(steps + 1)]


def held(decay: float, gone: float) -> float:
    """The trajectory when so much of the time, from 0 to 1, is gone."""
    if decay == 0:
        return 1 - gone
    if decay == inf:
        return 0.0 if gone else 1.0
    return exp(-decay * gone) * expm1(-2 * decay * (1 - gone)) / expm1(-2 * decay)
