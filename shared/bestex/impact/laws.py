"""Closed laws of market impact: how far an order moves the price, from its size, the volume and the volatility.

Sizes, volumes and shares outstanding are in one unit, whichever: only their ratios count. Volatility is that of
a day, in basis points; impact comes back in basis points of the price, positive against whoever trades. A size
of 0 has no impact; a negative one, or a volume or time that is not above 0, is an assertion: a caller's bug.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]


class SquareRoot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Impact = Y x sigma x (Q/V)^delta, delta near one half, Y of order one, whatever the market and the time taken.

    Tóth, Lempérière, Deremble, de Lataillade, Kockelkoren and Bouchaud (2011), "Anomalous price impact and the
    critical nature of liquidity in financial markets", Phys. Rev. X 1, 021006; Almgren et al. (2005) found .6.
    """

    prefactor: Annotated[float, Meta(gt=0, le=100)] = 1.0
    exponent: Annotated[float, Meta(gt=0, le=1)] = 0.5

    def peak_bps(self, qty: float, daily_volume: float, daily_sigma_bps: float) -> float:
        """How far the price has moved when the whole of `qty` has been traded."""
        _check(qty, daily_volume, daily_sigma_bps)
        peak: float = self.prefactor * daily_sigma_bps * (qty / daily_volume) ** self.exponent
        return peak

    def cost_bps(self, qty: float, daily_volume: float, daily_sigma_bps: float) -> float:
        """What that costs on average: the mean of the impact along the way, peak / (1 + delta)."""
        return self.peak_bps(qty, daily_volume, daily_sigma_bps) / (1 + self.exponent)


class Almgren(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Permanent and temporary impact of an order of X over a time of T days in a market that trades V a day.

    I/sigma = gamma (X/V) (Theta/V)^delta and K/sigma = eta (X/(V T))^beta; the order costs J = I/2 + K. Almgren,
    Thum, Hauptmann and Li (2005), "Direct estimation of equity market impact", Risk 18(7): gamma and eta of
    29,509 US orders. They hold for what has shares outstanding (Theta); elsewhere only K can be said.
    """

    gamma: Positive = 0.314
    eta: Positive = 0.142
    delta: Annotated[float, Meta(ge=0)] = 0.25
    beta: Positive = 0.6

    def permanent_bps(self, qty: float, daily_volume: float, outstanding: float, sigma_bps: float) -> float:
        """I: how far the price stays moved for good."""
        _check(qty, daily_volume, sigma_bps)
        assert outstanding > 0, "an instrument without shares outstanding has no such figure"
        turnover: float = (outstanding / daily_volume) ** self.delta
        return self.gamma * sigma_bps * qty / daily_volume * turnover

    def temporary_bps(self, qty: float, daily_volume: float, days: float, sigma_bps: float) -> float:
        """K: what trading at this pace costs, and what is gone when it ends. `days` of a trading day."""
        _check(qty, daily_volume, sigma_bps)
        assert days > 0, "an order takes some time"
        pace: float = (qty / (daily_volume * days)) ** self.beta
        return self.eta * sigma_bps * pace

    def cost_bps(
        self, qty: float, daily_volume: float, outstanding: float, days: float, sigma_bps: float
    ) -> float:
        """J: the order's expected cost against its arrival price."""
        permanent = self.permanent_bps(qty, daily_volume, outstanding, sigma_bps)
        return permanent / 2 + self.temporary_bps(qty, daily_volume, days, sigma_bps)


def _check(qty: float, volume: float, sigma_bps: float) -> None:
    assert qty >= 0, "a size has no sign here"
    assert volume > 0, "without volume there is nothing to compare with"
    assert sigma_bps >= 0, "a volatility has no sign"
