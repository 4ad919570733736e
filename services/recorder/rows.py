"""Rows for the recorder's database, each made of one event."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from bestex import messages as m
from bestex.clock import Time

Value = str | int | float | None


class Upsert(NamedTuple):
    table: str
    key: dict[str, Value]
    values: dict[str, Value]


class Due(NamedTuple):
    """If this parent has ended, its cost analysis is to be made again."""

    parent_id: str
    symbol: str


Row = Upsert | Due


def order(order: m.ParentOrder) -> dict[str, Any]:
    return {
        "algo": order.algo,
        "side": order.side,
        "qty": order.qty,
        "limit_price": order.limit_price,
        "strategy": order.strategy,
        "account": order.account,
    }


def of_slice(event: m.ParentSliced) -> Upsert:
    key: dict[str, Value] = {
        "parent_id": event.parent_id,
        "symbol": event.symbol,
        "slice_no": event.slice_no,
    }
    values = {
        "qty": event.qty,
        "limit_price": event.limit_price,
        "strategy": event.strategy,
        "due_at": event.due_at,
        "expires_at": event.expires_at,
    }
    return Upsert("slices", key, plain(values))


def route(event: m.RouteEvent) -> list[Row]:
    key: dict[str, Value] = {
        "parent_id": event.parent_id,
        "symbol": event.symbol,
        "slice_no": event.slice_no,
    }
    match event:
        case m.RouteRerouted():
            values: dict[str, Any] = {"decisions": event.decision_no}
        case m.RouteDecided():
            values = {
                "decided_at": event.at,
                "decisions": event.decision_no,
                "expected_px": event.expected_px,
                "mid_px": event.mid_px,
            }
        case m.RouteDone():
            values = {
                "done_at": event.at,
                "filled_qty": event.filled_qty,
                "notional": event.notional,
                "fees": event.fees,
                "reason": event.reason,
                "text": event.text or None,
            }
        case _:
            return []
    return [Upsert("slices", key, plain(values))]


def child_command(command: m.ChildNew) -> Upsert:
    values = {
        "venue": command.venue,
        "symbol": command.symbol,
        "parent_id": command.parent_id,
        "slice_no": command.slice_no,
        "side": command.side,
        "qty": command.qty,
        "price": command.price,
        "tif": command.tif,
        "post_only": command.post_only,
        "expires_at": command.expires_at,
    }
    return Upsert("children", {"child_id": command.child_id}, plain(values))


def plain(values: dict[str, Any]) -> dict[str, Value]:
    """As the database holds them; what is None says nothing, and so overwrites nothing."""
    plain: dict[str, Value] = {}
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, Decimal):
            plain[key] = format(value, "f")
        elif isinstance(value, bool):
            plain[key] = int(value)
        elif isinstance(value, Time | str):
            plain[key] = str(value)
        else:
            plain[key] = value
    return plain
