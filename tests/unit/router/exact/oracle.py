"""The same question put to a mixed-integer program (HiGHS through `scipy.optimize.milp`): slow, and independent."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from services.router.exact.offer import Offer


def milp_cost(offers: Sequence[Offer], qty: int, splits_max: int) -> float | None:
    """The least cost, as `cheapest` counts it; None where the quantity cannot be placed.

    Per venue: its levels (how much of each), its lots (whole), and whether it is used. Prices are taken from the best
    one on, so that the numbers stay small; what that leaves out is the same for every split.
    """
    base = min(offer.nets[0] for offer in offers)
    width = sum(len(offer.nets) + 2 for offer in offers)
    costs, high, whole = np.zeros(width), np.zeros(width), np.zeros(width)
    rows, lows, highs = [], [], []
    all_qty, all_used = np.zeros(width), np.zeros(width)
    at = 0
    for offer in offers:
        levels = slice(at, at + len(offer.nets))
        lots, used = at + len(offer.nets), at + len(offer.nets) + 1
        costs[levels] = [net - base for net in offer.nets]
        high[levels] = offer.sizes
        costs[used], high[lots], high[used] = offer.ticket, offer.most // offer.lot, 1
        whole[[lots, used]] = 1
        all_qty[levels], all_used[used] = 1, 1
        same, least, most = np.zeros(width), np.zeros(width), np.zeros(width)
        same[levels], same[lots] = 1, -offer.lot
        least[lots], least[used] = offer.lot, -offer.least
        most[lots], most[used] = offer.lot, -offer.most
        rows += [same, least, most]
        lows += [0, 0, -np.inf]
        highs += [0, np.inf, 0]
        at = used + 1
    rows += [all_qty, all_used]
    lows += [qty, 0]
    highs += [qty, splits_max]
    scale = max(costs.max(), 1)
    found = milp(
        costs / scale,
        integrality=whole,
        bounds=Bounds(np.zeros(width), high),
        constraints=LinearConstraint(np.array(rows), lows, highs),
        options={"mip_rel_gap": 0, "presolve": True},
    )
    return None if found.x is None else base * qty + found.fun * scale
