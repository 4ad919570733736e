"""How far a slice may go, and the planned curve as users see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bestex.clock import Time
from bestex.instruments import FEE_ONE, Instrument
from bestex.ladder import Ladder
from bestex.messages import ConsolidatedBook, SchedulePoint, Side
from services.scheduler.algos.base import Target


def collar(mid_half_units: int, slippage: float, side: Side, limit: int | None) -> int:
    """The worst price of a slice: the mid and the slippage allowed, or the order's limit if that is closer."""
    doubled: int = mid_half_units * (FEE_ONE + side.sign * round(slippage * FEE_ONE))
    worst = doubled // (2 * FEE_ONE) if side is Side.BUY else -(-doubled // (2 * FEE_ONE))
    if limit is None:
        return max(worst, 1)
    return min(worst, limit) if side is Side.BUY else max(worst, limit)


def mid_of(instrument: Instrument, books: Mapping[str, ConsolidatedBook]) -> int | None:
    """The consolidated mid in half price units, from live venues; None where there is none."""
    book = books.get(instrument.symbol)
    return None if book is None else Ladder(book).mid_half_units


def with_schedule(event: Any, targets: Sequence[Target], instrument: Instrument) -> Any:
    """The event with the planned curve in it."""
    points = [SchedulePoint(Time(target.at_ns), instrument.qty(target.qty)) for target in targets]
    return msgspec.structs.replace(event, schedule=points)
