"""How far a slice may go."""

from __future__ import annotations

from bestex.instruments import FEE_ONE
from bestex.messages import Side


def collar(mid_half_units: int, slippage: float, side: Side, limit: int | None) -> int:
    """The worst price of a slice: the mid and the slippage allowed, or the order's limit if that is closer."""
    doubled: int = mid_half_units * (FEE_ONE + side.sign * round(slippage * FEE_ONE))
    worst = doubled // (2 * FEE_ONE) if side is Side.BUY else -(-doubled // (2 * FEE_ONE))
    return max(worst, 1) if limit is None else _closer(side, worst, limit)


def closer(side: Side, one: int | None, other: int | None) -> int | None:
    """The limit that lets pay less, of those that there are."""
    if one is None or other is None:
        return other if one is None else one
    return _closer(side, one, other)


def _closer(side: Side, one: int, other: int) -> int:
    return min(one, other) if side is Side.BUY else max(one, other)
