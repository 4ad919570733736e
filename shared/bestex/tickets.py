"""Order tickets for other user interfaces, made from the algorithms' structs: as JSON Schema; `fixatdl.py` makes the
other form.

What validates against a schema of these has the form of an order that may be published on
`bestex.v1.order.new.<algo>.<symbol>`; whether its values make sense together the scheduler says, and its market.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bestex import parameters, plugins
from bestex.clock import Time
from bestex.human import Duration, Ratio
from bestex.messages import ParentOrder

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DURATION = r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$|^\d+(\.\d+)?$"
RATIO = r"^-?\d+(\.\d+)?(%|bps)?$"

_UNITS: dict[type, dict[str, Any]] = {
    Duration: {"type": "string", "pattern": DURATION, "examples": ["250ms", "90s", "1h30m"]},
    Ratio: {"type": "string", "pattern": RATIO, "examples": ["40%", "10bps", "0.4"]},
    Time: {"type": "string", "format": "date-time", "examples": ["2026-11-20T21:24:50Z"]},
}
_SAID = {
    Duration: 'A time span such as "90s", "5m" or "1h30m".',
    Ratio: 'A share such as "40%", "10bps" or "0.4".',
    Time: "A time with its zone, RFC 3339.",
}
_ORDER = {
    "symbol": "What to trade, such as BTC/USDT.",
    "side": "buy or sell.",
    "qty": "How much, in the base currency; a decimal as text.",
    "algo": "The execution algorithm.",
    "parent_id": "1 to 32 of A-Z a-z 0-9 _ -; made where it is left out. Sent again, it is taken once.",
    "limit_price": "Never pay more (buy) or get less (sell) than this price.",
    "params": "The algorithm's parameters.",
    "strategy": "The routing strategy.",
    "strategy_params": "The routing strategy's parameters.",
    "venues": "Only these venues.",
    "account": "The account that it is for.",
    "expires_at": "When the request itself is void.",
    "note": "Free text.",
}


def json_schema(algo: str) -> dict[str, Any]:
    """The schema of an order of this algorithm. UsageError for an unknown one."""
    order = _schema(ParentOrder)
    properties = order["properties"]
    for name, said in _ORDER.items():
        properties[name]["description"] = said
    del properties["symbol"]["default"]  # a subject may stand for it, a ticket names it
    properties["algo"] = {"const": algo, "description": _ORDER["algo"]}
    properties["params"] = _params(algo)
    needs_limit = getattr(plugins.load(plugins.ALGOS, algo), "needs_limit", False)
    if needs_limit:
        properties["limit_price"] = {
            "type": "string",
            "format": "decimal",
            "description": _ORDER["limit_price"],
        }
    return {
        "$schema": DIALECT,
        "title": algo,
        "description": parameters.sentence(plugins.ALGOS, algo),
        "type": "object",
        "properties": properties,
        "required": ["symbol", "side", "qty", "algo", *(["limit_price"] if needs_limit else [])],
        "additionalProperties": False,
    }


def _params(algo: str) -> dict[str, Any]:
    """msgspec writes a default only where JSON has it, so the struct is made again with defaults as people write
    them; and says of each parameter what the class says, or the class above it."""
    known = parameters.of(plugins.ALGOS, algo)
    hints = msgspec.structs.fields(plugins.load(plugins.ALGOS, algo))
    types = {field.encode_name: field.type for field in hints}
    plain = msgspec.defstruct(
        algo,
        [
            (one.name, Annotated[types[one.name], Meta(description=_said(one))])
            if one.required
            else (one.name, Annotated[types[one.name], Meta(description=_said(one))], one.written)
            for one in known
        ],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    schema = _schema(plain)
    for one in known:
        if one.choices:  # msgspec sorts them; people read low before high
            _reorder(schema["properties"][one.name], list(one.choices))
    schema["description"] = parameters.sentence(plugins.ALGOS, algo)
    return schema


def _reorder(schema: dict[str, Any], choices: list[str]) -> None:
    for part in (schema, *schema.get("anyOf", ())):
        if "enum" in part:
            part["enum"] = choices


def _said(one: parameters.Parameter) -> str:
    unit = _SAID.get(one.kind, "") if one.kind is not None else ""
    return " ".join(text for text in (one.text, unit) if text)


def _schema(kind: Any) -> dict[str, Any]:
    """Of a struct, with what it refers to in its place. Decimals are text, which keeps every digit."""
    schema = msgspec.json.schema(kind, schema_hook=_unit)
    there = schema.get("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                found = {**there[part["$ref"].rpartition("/")[2]], **part}
                return inline({key: value for key, value in found.items() if key != "$ref"})
            return {key: inline(value) for key, value in part.items() if key != "$defs"}
        return [inline(one) for one in part] if isinstance(part, list) else part

    found: dict[str, Any] = inline(schema)
    return found


def _unit(kind: type) -> dict[str, Any]:
    return dict(_UNITS[kind])
