"""One parent worked by one combination, in a session of its own; runs in a worker process."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bestex.messages import Fill
from bestex.shortfall import Costs, PricedTrade, Rest, decompose
from services.backtester.lab.compare.analysis import Worked
from services.backtester.lab.compare.quotes import Quotes
from services.backtester.lab.scenario import Outcome, Scenario, run
from services.backtester.session import VirtualSession


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`scenario` holds the one parent. `variant` is the combination's name."""

    variant: str
    scenario: Scenario


def work(job: Job) -> Worked:
    """Raises as `scenario.run`."""
    [placed] = job.scenario.placed
    order, start_ns = placed.order, placed.at_ns
    quotes, held = Quotes(order.symbol), list[VirtualSession]()

    def attach(session: VirtualSession) -> None:
        session.world.listeners.append(quotes.hear)
        held.append(session)

    [outcome] = run(job.scenario, attach)
    summary = outcome.summary
    volatility_bps = quotes.volatility_bps(start_ns, start_ns - job.scenario.window.begin_ns)
    if summary is None:
        return Worked(
            variant=job.variant,
            start_ns=start_ns,
            side=order.side,
            size=order.qty,
            reason=outcome.refused,
            text=outcome.text,
            volatility_bps=volatility_bps,
        )
    fills = held[0].execution(outcome.parent_id).fills
    filled = summary.total_quantity
    rested = sum((fill.qty for fill in fills if fill.liquidity == "maker"), Decimal(0))
    return Worked(
        variant=job.variant,
        start_ns=start_ns,
        side=order.side,
        size=order.qty,
        reason=summary.reason,
        text=summary.text,
        fill_rate=summary.fill_rate,
        maker_share=float(rested / filled) if filled else 0.0,
        duration_s=summary.duration_s,
        slices=summary.num_slices,
        fills=len(fills),
        avg_px=summary.avg_fill_price,
        arrival_px=quotes.mid(start_ns),
        costs=_costs(outcome, fills, quotes, start_ns),
        beyond=Decimal(0) if outcome.left is None else outcome.left.beyond,
        volatility_bps=volatility_bps,
    )


def _costs(outcome: Outcome, fills: list[Fill], quotes: Quotes, start_ns: int) -> Costs | None:
    """None where there was no book on arrival, or none at the end with something left."""
    summary, arrival = outcome.summary, quotes.mid(start_ns)
    assert summary is not None, "only what was worked has a cost"
    has_rest = summary.total_quantity < summary.order_quantity
    if arrival is None or (has_rest and outcome.left is None):
        return None
    rest = None
    if has_rest and outcome.left is not None:
        rest = Rest(outcome.left.notional, outcome.left.fees)
    trades = [
        PricedTrade(fill.qty, fill.price, fill.fee, fill.liquidity, quotes.touch(fill.venue_at, fill.venue))
        for fill in fills
    ]
    return decompose(summary.side, summary.order_quantity, trades, arrival=arrival, rest=rest)
