"""Where a parent stands, folded from its history, and what its execution cost."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from bestex import messages as m
from bestex.clock import Time


class State(StrEnum):
    SUBMITTED = "submitted"
    WORKING = "working"
    PAUSED = "paused"
    CANCELING = "canceling"
    DONE = "done"
    REJECTED = "rejected"

    @property
    def is_terminal(self) -> bool:
        return self in (State.DONE, State.REJECTED)


class ParentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` and `text` say why it ended or was refused. Prices and quantities are in quote and base."""

    parent_id: str
    symbol: str
    state: State = State.SUBMITTED
    side: m.Side | None = None
    algo: str = ""
    qty: Decimal = Decimal(0)
    cum_qty: Decimal = Decimal(0)
    leaves_qty: Decimal = Decimal(0)
    avg_px: Decimal | None = None
    arrival_px: Decimal | None = None
    notional: Decimal | None = None
    fees: Decimal | None = None
    slices: int = 0
    reason: str = ""
    text: str = ""
    accepted_at: Time | None = None
    end_at: Time | None = None
    at: Time | None = None

    @property
    def fill_rate(self) -> float:
        return float(self.cum_qty / self.qty) if self.qty else 0.0

    @property
    def arrival_slippage_bps(self) -> float | None:
        """Cost against the arrival price in basis points: positive is worse for us, on both sides."""
        return None if self.side is None else cost_bps(self.side, self.avg_px, self.arrival_px)


def cost_bps(side: m.Side, average: Decimal | None, benchmark: Decimal | float | None) -> float | None:
    """Cost of an average price against a benchmark, in basis points: positive is worse for us, on both sides."""
    if average is None or not benchmark:
        return None
    if isinstance(benchmark, float):
        return side.sign * (float(average) - benchmark) / benchmark * 1e4
    return side.sign * float((average - benchmark) / benchmark) * 1e4


def fold(status: ParentStatus, event: Any) -> ParentStatus:
    """The status after one more event of the parent's history."""
    if isinstance(event, m.ParentRejected):
        if status.state is not State.SUBMITTED:
            return status  # a refused request changes nothing
        return msgspec.structs.replace(
            status, state=State.REJECTED, reason=str(event.code), text=event.text, at=event.at
        )
    now = msgspec.structs.replace(
        status, at=event.at, cum_qty=event.cum_qty, leaves_qty=event.leaves_qty, avg_px=event.avg_px
    )
    change: dict[str, Any] = {}
    match event:
        case m.ParentAccepted(order=order):
            change = {
                "state": State.WORKING,
                "side": order.side,
                "algo": order.algo,
                "qty": order.qty,
                "arrival_px": event.arrival_px,
                "accepted_at": event.at,
                "end_at": event.end_at,
                "text": event.reason,
            }
        case m.ParentStarted():
            change = {"arrival_px": event.arrival_px, "end_at": event.end_at or status.end_at}
        case m.ParentSliced():
            change = {"slices": event.slice_no}  # the first one is 1
        case m.ParentPaused():
            change = {"state": State.PAUSED, "reason": str(event.code or ""), "text": event.text}
        case m.ParentResumed():
            change = {"state": State.WORKING, "reason": "", "text": event.text}
        case m.ParentModified(order=order):
            change = {"qty": order.qty, "algo": order.algo, "end_at": event.end_at}
        case m.ParentCanceling():
            change = {"state": State.CANCELING, "text": event.text}
        case m.ParentDone():
            change = {
                "state": State.DONE,
                "reason": str(event.reason),
                "text": event.text,
                "notional": event.notional,
                "fees": event.fees,
            }
    return msgspec.structs.replace(now, **change)


def status_of(events: Iterable[Any]) -> dict[str, ParentStatus]:
    """The status of every parent in `events`, which are in the order of their stream.

    The last event of each kind is enough: later ones carry the sums of the earlier.
    """
    found: dict[str, ParentStatus] = {}
    for event in events:
        before = found.get(event.parent_id)
        if before is None:
            before = ParentStatus(parent_id=event.parent_id, symbol=event.symbol)
        found[event.parent_id] = fold(before, event)
    return found
