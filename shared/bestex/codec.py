"""Bytes to typed messages and back. JSON on the durable plane, MessagePack on the live plane."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, TypeVar, get_args

import msgspec

from bestex import messages
from bestex.clock import Time, parse_time, rfc3339
from bestex.human import Duration, Ratio

M = TypeVar("M")


def _encode_hook(value: object) -> object:
    if isinstance(value, Time):
        return rfc3339(value)
    if isinstance(value, Duration | Ratio):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot travel in a message")


def _decode_hook(kind: type, value: Any) -> object:
    if kind is Time:
        if not isinstance(value, str):
            raise ValueError("a time is RFC 3339 text such as 2026-11-20T21:24:50Z")
        return parse_time(value)
    if kind is Duration:
        return Duration.parse(value)
    if kind is Ratio:
        return Ratio.parse(value)
    raise TypeError(f"no decoder for {kind.__name__}")


_json = msgspec.json.Encoder(enc_hook=_encode_hook, decimal_format="string")
_msgpack = msgspec.msgpack.Encoder(enc_hook=_encode_hook, decimal_format="string")


def _decimal_fields() -> frozenset[str]:
    return frozenset(
        field.name
        for kind in vars(messages).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        for field in msgspec.structs.fields(kind)
        if Decimal in (field.type, *get_args(field.type))
    )


# Python, and so msgspec, writes a decimal below 1e-6, and one that came as 1e5, with an exponent. Only decimals
# are rewritten, known by their fields' names: an id or a note may look like one.
_EXPONENT = re.compile(
    rb'("(?:%b)":)"(-?\d+(?:\.\d+)?E[+-]\d{1,3})"' % "|".join(sorted(_decimal_fields())).encode()
)


def to_json(message: object) -> bytes:
    """Decimals are text of plain digits, as every reader of any language understands them."""
    data = _json.encode(message)
    if b"E-" in data or b"E+" in data:
        data = _EXPONENT.sub(_without_exponent, data)
    return data


def _without_exponent(found: re.Match[bytes]) -> bytes:
    return found[1] + b'"%b"' % format(Decimal(found[2].decode()), "f").encode()


def to_msgpack(message: object) -> bytes:
    return _msgpack.encode(message)


_json_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_msgpack_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}


def json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of a type, made once."""
    if kind not in _json_decoders:
        _json_decoders[kind] = msgspec.json.Decoder(kind, dec_hook=_decode_hook)
    return _json_decoders[kind]


def msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """The decoder of a type, made once."""
    if kind not in _msgpack_decoders:
        _msgpack_decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=_decode_hook)
    return _msgpack_decoders[kind]


def from_json(data: bytes, kind: type[M]) -> M:
    """Raises msgspec.ValidationError or DecodeError; RecursionError where the nesting is absurdly deep."""
    message: M = json_decoder(kind).decode(data)
    return message


def from_msgpack(data: bytes, kind: type[M]) -> M:
    message: M = msgpack_decoder(kind).decode(data)
    return message


def convert(value: object, kind: type[M], *, strict: bool = True) -> M:
    """Plain dicts (TOML, parameters) to a typed struct. Raises msgspec.ValidationError with the path."""
    return msgspec.convert(value, kind, dec_hook=_decode_hook, strict=strict)


def to_builtins(value: object) -> Any:
    """The plain dict that would travel as JSON."""
    return msgspec.to_builtins(value, enc_hook=_encode_hook)
