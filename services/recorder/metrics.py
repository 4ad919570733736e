"""What Prometheus sees of the platform through the recorder. Never an order's id as a label."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from bestex import messages as m

BPS_BUCKETS = (-50.0, -20.0, -10.0, -5.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)

EVENTS = Counter("bestex_recorder_events_total", "Messages stored for the first time.", ["stream"])
REDELIVERED = Counter("bestex_recorder_redelivered_total", "Messages that were stored already.", ["stream"])
UNREADABLE = Counter("bestex_recorder_unreadable_total", "Stored messages that are not as the table says.")
LAG = Gauge("bestex_recorder_lag_messages", "Messages of the stream that are not yet stored.", ["stream"])
COMMIT = Histogram("bestex_recorder_commit_seconds", "One batch: from its first row to the commit.")

PARENTS = Counter("bestex_parents_total", "Parent orders by how they began.", ["algo", "outcome"])
PARENTS_DONE = Counter("bestex_parents_done_total", "Parent orders that ended.", ["reason"])
CHILDREN = Counter("bestex_children_total", "Child orders by execution event.", ["venue", "event"])
FILLS = Counter("bestex_fills_total", "Fills.", ["venue", "symbol", "liquidity"])
NOTIONAL = Counter("bestex_fill_notional_quote_total", "Filled notional, in quote.", ["venue", "symbol"])
# A gauge, because rebates make it go down.
FEES = Gauge("bestex_fees_quote", "Fees less rebates since this recorder started.", ["venue", "symbol"])
HELD = Gauge("bestex_account_held", "The venue's last word on an account.", ["venue", "account", "name"])
DIFFERENCES = Counter(
    "bestex_holdings_differences_total",
    "What venues' accounts held otherwise than our fills say. Explained: by perpetuals, or by other processes.",
    ["venue", "account", "explained"],
)
SLIPPAGE = Histogram(
    "bestex_arrival_slippage_bps", "Cost against the mid on arrival.", ["algo"], buckets=BPS_BUCKETS
)
SHORTFALL = Histogram(
    "bestex_shortfall_bps", "Implementation shortfall with fees.", ["algo"], buckets=BPS_BUCKETS
)


def observe(message: Any) -> None:
    """Count an event that was stored for the first time."""
    match message:
        case m.ParentAccepted():
            PARENTS.labels(message.order.algo, "accepted").inc()
        case m.ParentRejected(request="new"):
            PARENTS.labels("", "rejected").inc()
        case m.ParentDone():
            PARENTS_DONE.labels(message.reason.value).inc()
        case m.ExecEvent():
            CHILDREN.labels(message.venue, type(message).__struct_config__.tag).inc()
        case m.Fill():
            FILLS.labels(message.venue, message.symbol, message.liquidity).inc()
            NOTIONAL.labels(message.venue, message.symbol).inc(float(message.qty * message.price))
            FEES.labels(message.venue, message.symbol).inc(float(message.fee))
        case m.HoldingsEvent():
            for name, amount in message.amounts.items():
                HELD.labels(message.venue, message.account, name).set(float(amount))
            if isinstance(message, m.HoldingsAdjusted):
                explained = "no" if message.code is not None else "yes"
                DIFFERENCES.labels(message.venue, message.account, explained).inc()


def observe_report(report: m.TcaReport) -> None:
    """Count a parent's first analysis."""
    if report.arrival_slippage_bps is not None:
        SLIPPAGE.labels(report.algo).observe(report.arrival_slippage_bps)
    if report.shortfall_bps is not None:
        SHORTFALL.labels(report.algo).observe(report.shortfall_bps)
