"""Transaction cost analysis of one parent: what it cost, in the parts of `bestex.shortfall`.

Basis points are of q P0 (slippage, fees) and Q P0 (shortfall).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Literal

from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, TcaReport
from bestex.shortfall import AVERAGE, bps, shortfall
from bestex.units import EXACT, total

MID_AT_ACCEPTANCE = "mid of the consolidated book at acceptance"
MID_AT_START = "mid of the consolidated book at its start"
MID_RECORDED = "mid of the recorded book at acceptance"
MID_RECORDED_AT_START = "mid of the recorded book at its start"
NO_ARRIVAL = "no book at acceptance"


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill of the parent, in decimals of base and quote."""

    qty: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Literal["maker", "taker", "unknown"]


@dataclass(frozen=True, slots=True)
class Execution:
    """A parent that has ended, its fills, and the mids that it is measured against."""

    parent_id: str
    symbol: str
    algo: str
    side: Side
    qty: Decimal
    accepted_at: Time
    done_at: Time
    reason: Code
    children: int
    trades: Sequence[Trade]
    arrival_px: Decimal | None
    arrival_source: str = MID_AT_ACCEPTANCE
    release_px: Decimal | None = None
    end_px: Decimal | None = None


def analyse(e: Execution, at: Time) -> TcaReport:
    """The report of an execution. Positive costs are costs, on both sides."""
    with localcontext(EXACT):
        filled = total(*(trade.qty for trade in e.trades))
        notional = total(*(trade.qty * trade.price for trade in e.trades))
        fees = total(*(trade.fee for trade in e.trades))
        maker = total(*(trade.qty for trade in e.trades if trade.liquidity == "maker"))
        found = slippage_bps = shortfall_bps = None
        arrival = e.arrival_px
        if arrival is not None:
            found = shortfall(
                e.side, e.qty, filled, notional, fees, arrival=arrival, release=e.release_px, end=e.end_px
            )
            slippage_bps = bps(found.delay + found.trading, filled * arrival)
            shortfall_bps = bps(found.total, e.qty * arrival)
    return TcaReport(
        parent_id=e.parent_id,
        symbol=e.symbol,
        algo=e.algo,
        side=e.side,
        at=at,
        qty=e.qty,
        cum_qty=filled,
        avg_px=AVERAGE.divide(notional, filled) if filled else None,
        arrival_px=arrival,
        arrival_source=e.arrival_source if arrival is not None else NO_ARRIVAL,
        arrival_slippage_bps=slippage_bps,
        fees=fees,
        fee_bps=bps(fees, notional),
        fill_rate=float(filled / e.qty) if e.qty else 0.0,
        maker_share=float(maker / filled) if filled else 0.0,
        children=e.children,
        fills=len(e.trades),
        duration_s=(e.done_at - e.accepted_at) / SECOND,
        reason=e.reason,
        release_px=e.release_px,
        end_px=e.end_px,
        delay_cost=None if found is None else found.delay,
        trading_cost=None if found is None else found.trading,
        opportunity_cost=None if found is None else found.opportunity,
        shortfall=None if found is None else found.total,
        shortfall_bps=shortfall_bps,
    )
