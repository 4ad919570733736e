"""Penalties for whoever names none: how urgent it is says what being short of a unit costs.

A user knows how likely a resting unit may go unfilled before they would rather pay for it now. In the closed
form for one venue that chance is q = F(Q + L) = (2h + f + r) / (lambda_u + h + r + theta), so lambda_u follows
from it. A unit too many is undone by taking, which costs the half spread and the fee, after the price has
moved against the fill by about what the fill seemed to earn: mark-outs of passive fills are about that large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.router.models.cont_kukanov import Assumption, AssumptionError


class Urgency(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    IMMEDIATE = "immediate"


# The chance that the last unit that rests goes unfilled. At low urgency nine in ten may: there is time to come
# back. At an even chance neither way is preferred. At one in a hundred nearly all is taken, and a limit order is
# left only where its queue is as good as gone.
MISSED_CHANCE = {Urgency.LOW: 0.9, Urgency.MEDIUM: 0.5, Urgency.HIGH: 0.2, Urgency.IMMEDIATE: 0.01}


@dataclass(frozen=True, slots=True)
class Penalties:
    """`under` is lambda_u, `over` lambda_o; cash per unit relative to the mid price."""

    under: float
    over: float


def penalties(urgency: Urgency, half_spread: float, fee: float, rebates: Sequence[float]) -> Penalties:
    """Penalties that satisfy the paper's assumptions; all arguments in cash per unit, `rebates` one a venue.

    Without impact the closed form with the best rebate has exactly the chance of `MISSED_CHANCE`; impact, or a
    lower rebate, has a lower one. A taker's rebate above the half spread (h + f < 0) counts as nothing saved.
    AssumptionError where no penalty can help: a fill at a limit must beat the mid price at every venue.
    """
    least, most = half_spread + min(rebates, default=0.0), half_spread + max(rebates, default=0.0)
    if not least > 0:
        raise AssumptionError(Assumption.RESTING_EARNS)
    taking = half_spread + fee
    saved = max(taking, 0.0) + most
    undone = max(taking, most, -taking)
    return Penalties(under=saved / MISSED_CHANCE[urgency] - most, over=undone + most)
