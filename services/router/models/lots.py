"""A placement in lots: whole multiples that sum to the slice, by the largest remainder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bestex.units import floor_to
from services.router.models.cont_kukanov import Placement

FLOAT_SLACK = 1e-9  # relative: parts that were floats may sum to a little more than the slice


@dataclass(frozen=True, slots=True)
class LotPlacement:
    """`market` and `limits` in whole units of the instrument, each a multiple of its lot."""

    market: int
    limits: tuple[int, ...]

    @property
    def total(self) -> int:
        return self.market + sum(self.limits)


def to_lots(
    placement: Placement, quantity: int, market_lot: int, limit_lots: Sequence[int], *, overbook: bool
) -> LotPlacement:
    """The placement on its lots, with 0 <= M <= S, 0 <= L_k <= S - M, S = `quantity`; deterministic.

    Without `overbook` the sum is at most S, and S wherever the lots found room; with it, the placement's own
    sum, or S where that is more. Each part is rounded down; then the part whose remainder is the largest share
    of its lot gets a lot first, the market order before venues and venues in their order on a tie. What is left
    then goes in whole lots to whoever it fits. With `overbook`, a last lot may pass the sum to reach S.
    ValueError where a placement overbooks and may not.
    """
    if not overbook and placement.total > quantity * (1.0 + FLOAT_SLACK):
        raise ValueError(f"a placement of {placement.total:g} units overbooks a slice of {quantity}")
    market = min(max(placement.market, 0.0), float(quantity))
    wanted = [market, *(min(max(limit, 0.0), quantity - market) for limit in placement.limits)]
    lots = [market_lot, *limit_lots]
    parts = [floor_to(int(part), lot) for part, lot in zip(wanted, lots, strict=True)]
    target = max(quantity, round(placement.total)) if overbook else quantity
    order = sorted(range(len(parts)), key=lambda part: (parts[part] - wanted[part]) / lots[part])
    for part in order:
        if parts[part] < wanted[part] and lots[part] <= min(
            target - sum(parts), _room(parts, part, quantity)
        ):
            parts[part] += lots[part]
    for part in order:
        parts[part] += floor_to(max(min(target - sum(parts), _room(parts, part, quantity)), 0), lots[part])
    if overbook and sum(parts) < quantity:
        fitting = [part for part in order if lots[part] <= _room(parts, part, quantity)]
        if fitting:
            parts[min(fitting, key=lambda part: lots[part])] += min(lots[part] for part in fitting)
    return LotPlacement(parts[0], tuple(parts[1:]))


def _room(parts: Sequence[int], part: int, quantity: int) -> int:
    """How much more this part may hold: no venue together with the market order may trade more than S."""
    if part == 0:
        return quantity - parts[0] - max(parts[1:], default=0)
    return quantity - parts[0] - parts[part]
