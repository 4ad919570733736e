"""What callers of the SDK write, made exact; UsageError with what to write instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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


def order(
    symbol: str,
    side: m.Side | str,
    qty: Decimal | str | int,
    algo: Any,
    *,
    limit_price: Decimal | str | None,
    params: Mapping[str, Any],
    strategy_params: Mapping[str, Any] | None,
    venues: Sequence[str] | None,
    trigger: m.Trigger | Mapping[str, Any] | None,
    otherwise: m.Alternative | Mapping[str, Any] | None,
    **plain: Any,
) -> m.ParentOrder:
    """`algo`: a name, or an algorithm with its parameters. `plain`: what an order takes as text."""
    if not isinstance(algo, str):
        params = {**codec.to_builtins(algo), **params}
        algo = algo.name
    return m.ParentOrder(
        symbol=symbol,
        side=side_of(side),
        qty=decimal("qty", qty),
        algo=algo,
        limit_price=None if limit_price is None else decimal("limit_price", limit_price),
        params=dict(params),
        strategy_params=dict(strategy_params or {}),
        venues=None if venues is None else list(venues),
        trigger=trigger_of(trigger) if isinstance(trigger, Mapping) else trigger,
        otherwise=alternative(otherwise) if isinstance(otherwise, Mapping) else otherwise,
        **plain,
    )


def trigger_of(settings: Mapping[str, Any]) -> m.Trigger:
    """A price to wait for, of its fields as people write them: {"price": "61000", "by": "bid"}."""
    for name in settings:
        if name not in m.Trigger.__struct_fields__:
            known = ", ".join(m.Trigger.__struct_fields__)
            raise UsageError(f"a trigger has no {name}; there are {known}")
    try:
        found: m.Trigger = codec.convert({name: str(text) for name, text in settings.items()}, m.Trigger)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"trigger: {error}") from None
    return found


def alternative(settings: Mapping[str, Any]) -> m.Alternative:
    """What an order does otherwise: `algo`, `limit_price`, its trigger's fields, and else parameters of `algo`."""
    rest = dict(settings)
    algo = str(rest.pop("algo", "market"))
    limit = rest.pop("limit_price", None)
    reached = {name: rest.pop(name) for name in m.Trigger.__struct_fields__ if name in rest}
    return m.Alternative(
        trigger=trigger_of(reached),
        algo=algo,
        params=rest,
        limit_price=None if limit is None else decimal("limit_price", str(limit)),
    )


def side_of(text: m.Side | str) -> m.Side:
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
