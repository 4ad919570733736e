"""How far a slice may go, and the planned curve as users see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bestex.clock import Time
from bestex.instruments import FEE_ONE, Instrument
from bestex.messages import SchedulePoint, Side
from services.scheduler.algos.base import Target


def collar(mid_half_units: int, slippage: float, side: Side, limit: int | None) -> int:
    """The worst price of a slice: the mid and the slippage allowed, or the order's limit if that is closer."""
    doubled: int = mid_half_units * (FEE_ONE + side.sign * round(slippage * FEE_ONE))
    worst = doubled // (2 * FEE_ONE) if side is Side.BUY else -(-doubled // (2 * FEE_ONE))
    if limit is None:
        return max(worst, 1)
    return min(worst, limit) if side is Side.BUY else max(worst, limit)


def with_schedule(event: Any, targets: Sequence[Target], instrument: Instrument) -> Any:
    """The event with the planned curve in it."""
    points = [SchedulePoint(Time(target.at_ns), instrument.qty(target.qty)) for target in targets]
    return msgspec.structs.replace(event, schedule=points)
