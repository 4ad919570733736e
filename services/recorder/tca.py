"""Transaction cost analysis of one parent: what it cost, in parts that sum.

Implementation shortfall (Perold 1988, "The Implementation Shortfall: Paper versus Reality") with the parts of
Wagner and Edwards (1993). With sign s (+1 buy), quantity Q of which q filled for the notional N, and the mids
P0 on arrival (at acceptance, or at a later start), P1 when the first child was decided, P2 at the end:

    delay        s q (P1 - P0)
    trading      s (N - q P1)
    opportunity  s (Q - q) (P2 - P0)
    shortfall    delay + trading + opportunity + fees  =  s (N - q P0) + s (Q - q)(P2 - P0) + fees

Where P1 is not known all of the slippage is trading; where P2 is not known the opportunity is not counted.
Everything is exact in decimals of quote; basis points are of q P0 (slippage, fees) and Q P0 (shortfall).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Literal

from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Side, TcaReport
from bestex.units import EXACT, total

BPS = 10_000
AVERAGE = Context(prec=28)  # a quotient has no last digit: this many are more than anybody reads

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
        delay = trading = opportunity = shortfall = None
        slippage_bps = shortfall_bps = None
        arrival = e.arrival_px
        if arrival is not None:
            release = arrival if e.release_px is None else e.release_px
            end = arrival if e.end_px is None else e.end_px
            delay = e.side.sign * filled * (release - arrival)
            trading = e.side.sign * (notional - filled * release)
            opportunity = e.side.sign * max(e.qty - filled, Decimal(0)) * (end - arrival)
            shortfall = delay + trading + opportunity + fees
            slippage_bps = _bps(delay + trading, filled * arrival)
            shortfall_bps = _bps(shortfall, e.qty * arrival)
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
        fee_bps=_bps(fees, notional),
        fill_rate=float(filled / e.qty) if e.qty else 0.0,
        maker_share=float(maker / filled) if filled else 0.0,
        children=e.children,
        fills=len(e.trades),
        duration_s=(e.done_at - e.accepted_at) / SECOND,
        reason=e.reason,
        release_px=e.release_px,
        end_px=e.end_px,
        delay_cost=delay,
        trading_cost=trading,
        opportunity_cost=opportunity,
        shortfall=shortfall,
        shortfall_bps=shortfall_bps,
    )


def _bps(cost: Decimal, base: Decimal) -> float | None:
    return float(AVERAGE.divide(cost, base)) * BPS if base else None
