"""What a model needs to know of a market, from what there is: each figure with where it comes from."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from bestex.clock import DAY, SECOND
from bestex.messages import Side
from services.scheduler.market import Market
from services.scheduler.models.almgren_chriss import Setting

DEPTH_BPS = 10  # how deep the book is looked into: as deep as the platform's statistics
BPS = 10_000
_ROOT_OF_A_DAY = sqrt(DAY / SECOND)


class Estimate(NamedTuple):
    """`source` is a word for people."""

    value: float
    source: str


class Estimates(NamedTuple):
    """What a trajectory is made of: the mid in quote per base, the volatility of a day as a share, eta in quote per
    base for each base a day, the quoted spread. None for what is not known."""

    price: float | None
    volatility: Estimate | None
    temporary: Estimate | None
    spread_bps: float

    def setting(self, qty: float, days: float, steps: int, permanent: float) -> Setting | None:
        """Of `qty` base in so many days; None where something is missing."""
        if self.price is None or self.volatility is None or self.temporary is None:
            return None
        return Setting(
            qty=qty,
            time=days,
            steps=steps,
            volatility=self.volatility.value * self.price,
            temporary=self.temporary.value,
            permanent=permanent,
            spread=self.spread_bps / 2 / BPS * self.price,
        )

    def words(self, setting: Setting | None, kappa: float) -> str:
        """For people: the estimates, and where all are known what the order costs by them, and give or take what."""
        words = []
        if self.volatility is not None:
            words.append(f"volatility {self.volatility.value:.3%} a day ({self.volatility.source})")
        if self.temporary is not None:
            words.append(f"impact {self.temporary.value:.3g} for a base a day ({self.temporary.source})")
        if setting is not None and setting.permanent:
            words.append(f"permanent impact {setting.permanent:.3g} for a base (given)")
        if setting is not None and self.price is not None and setting.qty:
            path, unit = setting.holdings(kappa), BPS / (setting.qty * self.price)
            cost, risk = setting.expected_cost(path) * unit, sqrt(setting.variance(path)) * unit
            words.append(f"expected cost {cost:.3g} bps, give or take {risk:.3g}")
        return ", ".join(words) or "the market is not known"


def mid(market: Market) -> float | None:
    """In quote per base."""
    half = market.mid_half
    return None if not half else half / 2 / 10.0**market.instrument.price_scale


def daily_volatility(market: Market) -> Estimate | None:
    """The standard deviation of a day's return, as a share: that of the last seconds' mids, carried on by the square
    root of time; else what is configured. None where neither is known."""
    live, impact = market.volatility_bps, market.impact
    if live:
        return Estimate(live / BPS * _ROOT_OF_A_DAY, "live")
    if impact is not None and impact.daily_volatility is not None:
        return Estimate(float(impact.daily_volatility), "configured")
    return None


def temporary_impact(
    market: Market, side: Side, qty: float, days: float, step_days: float
) -> Estimate | None:
    """eta of a linear law, in quote per base for each base a day: what trading `qty` in `days` costs while it lasts.

    Where the symbol's daily volume and volatility are configured: the line through Almgren's K (2005) at the order's
    mean pace. Else from the book: a slice that walks a book of even depth D per price pays half of its own way, qty /
    2D, and the book is full again when the next one comes after `step_days`. None where the book shows nothing.
    """
    price, impact = mid(market), market.impact
    if price is None or qty <= 0:
        return None
    if impact is not None and impact.daily_volume is not None and impact.daily_volatility is not None:
        sigma_bps = float(impact.daily_volatility) * BPS
        bps = impact.almgren.temporary_bps(qty, float(impact.daily_volume), days, sigma_bps)
        return Estimate(price * bps / BPS * days / qty, "by volume")
    depth = market.depth(side, DEPTH_BPS) / 10.0**market.instrument.qty_scale
    if not depth:
        return None
    return Estimate(price * DEPTH_BPS / BPS / (2 * depth) * step_days, "by depth")
