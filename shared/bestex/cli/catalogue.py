"""`bestex algos` and `bestex strategies`: what can be named in an order, with every parameter."""

from __future__ import annotations

from typing import Any

import msgspec

from bestex import codec, plugins
from bestex.cli.common import COMMON, Common, console, known, print_json, table


def algos(name: str = "", /, *, common: Common = COMMON) -> None:
    """The execution algorithms; with a name, its parameters too.

    bestex algos            all of them, with the idea of each
    bestex algos twap       one of them, with every parameter
    bestex algos --json     all of them, with every parameter
    """
    _show("algorithm", plugins.ALGOS, name, common)


def strategies(name: str = "", /, *, common: Common = COMMON) -> None:
    """The routing strategies; with a name, its parameters too.

    bestex strategies             all of them, with the idea of each
    bestex strategies sweep       one of them, with every parameter
    bestex strategies --json      all of them, with every parameter
    """
    _show("strategy", plugins.STRATEGIES, name, common)


def parameters(registry: dict[str, str], name: str) -> dict[str, dict[str, str]]:
    """Each parameter's type, range, default (as it would be written) and sentence."""
    kind = plugins.load(registry, name)
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType), "parameters are a struct"
    return {field.encode_name: _describe(field) for field in info.fields}


def _describe(field: msgspec.inspect.Field) -> dict[str, str]:
    default = field.default if field.default is not msgspec.NODEFAULT else None
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    required = field.required
    shown = "" if required or default is None else str(codec.to_builtins(default))
    kind, said = field.type, _sentence(field.type)
    return {"type": _type_name(kind), "range": _range(kind), "default": shown, "text": said}


def _sentence(info: Any) -> str:
    """The parameter's description, wherever in its type it stands."""
    match info:
        case msgspec.inspect.Metadata(extra_json_schema={"description": said}):
            return str(said)
        case msgspec.inspect.Metadata(type=inner):
            return _sentence(inner)
        case msgspec.inspect.UnionType(types=types):
            return next(filter(None, map(_sentence, types)), "")
    return ""


_BOUNDS = (("ge", "{:g} or more"), ("gt", "above {:g}"), ("le", "at most {:g}"), ("lt", "below {:g}"))


def _range(info: Any) -> str:
    """The bounds in words: as the parameter says them, else those of its type; empty where there are none."""
    match info:
        case msgspec.inspect.Metadata(extra={"range": said}):
            return str(said)
        case msgspec.inspect.UnionType(types=types):
            return next(filter(None, map(_range, types)), "")
        case msgspec.inspect.Metadata(type=inner):
            return _range(inner)
    bounds = ((text, getattr(info, name, None)) for name, text in _BOUNDS)
    return ", ".join(text.format(bound) for text, bound in bounds if bound is not None)


def _type_name(info: Any) -> str:
    match info:
        case msgspec.inspect.UnionType(types=types):
            names = [_type_name(one) for one in types if not isinstance(one, msgspec.inspect.NoneType)]
            return " or ".join(names)
        case msgspec.inspect.CustomType(cls=cls) | msgspec.inspect.EnumType(cls=cls):
            return str(cls.__name__).lower()
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(str(value) for value in values)
        case msgspec.inspect.ListType(item_type=item):
            return f"list of {_type_name(item)}"
        case msgspec.inspect.Metadata(type=inner):
            return _type_name(inner)
    return type(info).__name__.removesuffix("Type").lower()


def _show(kind: str, registry: dict[str, str], name: str, common: Common) -> None:
    chosen = [known(kind, name, registry)] if name else sorted(registry)
    found: dict[str, Any] = {
        one: {
            "text": (plugins.load(registry, one).__doc__ or "").strip().partition("\n")[0],
            "parameters": parameters(registry, one),
        }
        for one in chosen
    }
    if common.json:
        print_json(found)
        return
    out = console()
    for one, entry in found.items():
        out.print(f"{one}  {entry['text']}", soft_wrap=True)
        if name:
            rows = table("parameter", "type", "range", "default", "what it does")
            for parameter, described in entry["parameters"].items():
                rows.add_row(parameter, *described.values())
            out.print(rows)
