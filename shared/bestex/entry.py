"""What callers of the SDK write, made exact; UsageError with what to write instead."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from bestex import codec, ids
from bestex import messages as m
from bestex.errors import UsageError


def is_same(order: m.ParentOrder, accepted: m.ParentOrder) -> bool:
    """Whether an order is the accepted one sent again; the scheduler asks the same of what it reads."""
    if ids.token(order.symbol) != ids.token(accepted.symbol):
        return False
    order = msgspec.structs.replace(order, symbol=accepted.symbol)

    def as_read(one: m.ParentOrder) -> Any:
        return json.loads(codec.to_json(one), parse_float=lambda text: str(Decimal(text)))

    return bool(as_read(order) == as_read(accepted))


def side(text: m.Side | str) -> m.Side:
    try:
        return m.Side(str(text).lower())
    except ValueError:
        raise UsageError(f"{text!r} is no side; write buy or sell") from None


def decimal(name: str, value: Decimal | str | int) -> Decimal:
    """Floats are refused: 0.1 + 0.2 is not a quantity."""
    if isinstance(value, float):
        raise UsageError(f'{name}: write "{value}" or Decimal("{value}"), a float is not exact')
    try:
        return Decimal(value)
    except InvalidOperation:
        raise UsageError(f"{name}: {value!r} is no number") from None
