"""What an order of some size is expected to move the price by, from what is configured or else from the book."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bestex.impact.settings import ImpactSettings
from bestex.impact.venues import BPS, take
from bestex.ladder import Ladder
from bestex.messages import Side

LAW, BOOK = "square_root", "book"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """`model` is LAW where volume and volatility are configured, and BOOK where the displayed levels had to do."""

    bps: float
    model: str


def expected_impact(
    settings: ImpactSettings, ladder: Ladder, side: Side, parts: Mapping[str, int], qty_scale: int
) -> Expected | None:
    """How far the route `parts` (quantity units by venue) moves the mid, in bps; None where nothing tells.

    The configured square-root law where it knows the symbol's day; it covers what follows the trade, the refill
    too. Else what the route takes out of the displayed book at once: the mid of all venues after it against that
    before. The book shows less than there is and forgets what comes back, so that is no forecast of the next
    minutes (Weber and Rosenow 2005, "Order book approach to price impact", measured it some four times as large).
    """
    taken = sum(parts.values())
    if not taken:
        return None
    if settings.daily_volume is not None and settings.daily_volatility is not None:
        qty, volume = taken / 10**qty_scale, float(settings.daily_volume)
        bps = settings.law.peak_bps(qty, volume, float(settings.daily_volatility) * BPS)
        return Expected(bps=bps, model=LAW)
    moved = displayed_move_bps(ladder, side, parts)
    return None if moved is None else Expected(bps=moved, model=BOOK)


def displayed_move_bps(ladder: Ladder, side: Side, parts: Mapping[str, int]) -> float | None:
    """How far the consolidated mid stands away when `parts` are gone from it; None where no mid is left."""
    before = ladder.mid_half_units
    if not before or ladder.best_bid is None or ladder.best_ask is None:
        return None
    buy = side is Side.BUY
    left = []
    for _, column in ladder.columns:
        prices, sizes = (column.ask_px, column.ask_qty) if buy else (column.bid_px, column.bid_qty)
        taking = take(prices, sizes, parts.get(column.venue, 0))
        if taking is not None and taking.after is not None:
            left.append(taking.after - column.basis)
    if not left:
        return None
    after = ladder.best_bid + min(left) if buy else ladder.best_ask + max(left)
    return side.sign * (after - before) / before * BPS
