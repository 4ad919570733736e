"""Where an order stands in its queue when others cancel and the feed tells the level's total alone.

A level shrinks by trades, which come from the front and are known, and by cancels, of which nobody knows where they
stood. Each model answers one question: which share of what was canceled stood behind the order. With `f` before it
and `b` behind it (hftbacktest 2, `backtest/models/queue.rs`, after Rigtorp, "Estimating order queue position", 2013,
and question 3782 of quant.stackexchange):

    risk_averse   1                                   the order moves by trades alone (the default)
    power         b^n / (b^n + f^n)                   PowerProbQueueFunc; n = 1: cancels are spread evenly
    power2        b^n / (b + f)^n                     PowerProbQueueFunc2
    power3        1 - (f / (f + b))^n                 PowerProbQueueFunc3
    log           ln(1+b) / (ln(1+b) + ln(1+f))       LogProbQueueFunc, sizes in base
    log2          ln(1+b) / ln(1+b+f)                 LogProbQueueFunc2, sizes in base

and of our own, for bounds and for venues of which more is known:

    optimistic    0                                   whoever is before us goes first
    share         1 - ahead_share                     a share that was measured, whatever the sizes
    aged          b / (b + f 2^(-age/half_life))      who has waited long stays: the longer the order stands, the
                                                      older are those before it

What is estimated behind and is not there is taken from the front: f - (1-p) c + min(b - p c, 0) for c canceled, and
never more than the level still shows. In whole units, rounded up: against the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log1p

from bestex.config_fills import VenueFills

ROUNDED = 1e-9  # of a unit: what arithmetic in floats leaves beyond a whole one


@dataclass(frozen=True, slots=True)
class QueueModel:
    """`unit` is one of base in quantity units: `log` and `log2` are of sizes in base."""

    settings: VenueFills
    unit: int = 1

    def behind(self, front: float, back: float, age_ns: int) -> float:
        """The share of what is canceled that stood behind; 1 where nobody stands anywhere."""
        of = self.settings
        if front <= 0:
            return 1.0
        match of.queue:
            case "optimistic":
                return 0.0
            case "share":
                return 1 - of.ahead_share
            case "power":
                return float(back**of.exponent / (back**of.exponent + front**of.exponent))
            case "power2":
                return float((back / (back + front)) ** of.exponent)
            case "power3":
                return float(1 - (front / (front + back)) ** of.exponent)
            case "log":
                behind, before = log1p(back / self.unit), log1p(front / self.unit)
                return behind / (behind + before)
            case "log2":
                return log1p(back / self.unit) / log1p((back + front) / self.unit)
            case "aged":
                stays = front * 0.5 ** (age_ns / of.half_life)
                return float(back / (back + stays)) if back + stays > 0 else 1.0
        return 1.0

    def ahead(self, front: int, before: int, canceled: int, age_ns: int) -> int:
        """What stands before an order after `canceled` has gone; the level held `before`, `front` of it before the
        order, which has stood there for `age_ns`."""
        back = max(before - front, 0)
        behind = self.behind(front, back, age_ns)
        estimate = front - (1 - behind) * canceled + min(back - behind * canceled, 0.0)
        return max(ceil(estimate - ROUNDED), 0)


def queue_model(settings: VenueFills, unit: int) -> QueueModel | None:
    """None for the rule that a level keeps by itself."""
    return None if settings.queue == "risk_averse" else QueueModel(settings, unit)
