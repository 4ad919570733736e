"""The parameters of an algorithm or of a routing strategy, read off its struct.

Whatever shows or checks them for people and their programs (the commands, the tickets, signatures and stubs) begins
here, so that a new one needs its struct and its line in the registry and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from bestex import codec, plugins
from bestex.clock import Time
from bestex.human import Duration, Ratio


@dataclass(frozen=True, slots=True)
class Parameter:
    """`info` is msgspec's description of the type, without None and without what is only said of it; `low` and
    `high` are its bounds as (bound, whether it may be reached). `choices`: the words of which it is one, in the order
    in which they were written; empty where anything else may stand. `default` is None where it is left out, and also
    where it is `required`. `own`: of this algorithm or strategy, and not of all of them. `search`: where to look for
    better values ("1s:60s:log"), and `when`: with which value of another one it matters at all ("slices=0"); both as
    the struct says them (`Meta(extra={"search": ..., "when": ...})`), empty where it does not."""

    name: str
    info: inspect.Type
    required: bool
    optional: bool
    default: Any
    text: str
    range: str
    type_name: str
    own: bool
    choices: tuple[str, ...] = ()
    low: tuple[float, bool] | None = None
    high: tuple[float, bool] | None = None
    search: str = ""
    when: str = ""

    @property
    def kind(self) -> type | None:
        """Duration, Ratio, Time or an enum where it is one; Decimal, bool, int, float, str; None for all else."""
        match self.info:
            case inspect.CustomType(cls=cls) | inspect.EnumType(cls=cls):
                return cls
        return next((cls for info, cls in _PLAIN.items() if isinstance(self.info, info)), None)

    @property
    def written(self) -> Any:
        """The default as it would travel; None where there is none."""
        return None if self.default is None else codec.to_builtins(self.default)

    @property
    def default_text(self) -> str:
        """The default as a person writes it; empty where there is none."""
        written = self.written
        return str(written).lower() if isinstance(written, bool) else "" if written is None else str(written)


_PLAIN: dict[type[inspect.Type], type] = {
    inspect.BoolType: bool,
    inspect.IntType: int,
    inspect.FloatType: float,
    inspect.StrType: str,
    inspect.DecimalType: Decimal,
}


def of(registry: dict[str, str], name: str) -> list[Parameter]:
    """Its own first, then those that all of the registry take. UsageError for an unknown name."""
    kind = plugins.load(registry, name)
    hints = get_type_hints(kind, include_extras=True)
    bases = [base for base in kind.__mro__ if issubclass(base, msgspec.Struct) and base is not msgspec.Struct]
    shared = set(bases[-1].__struct_fields__) if len(bases) > 1 else set()
    said = [{field.encode_name: _sentence(field.type) for field in _fields(base)} for base in bases]
    found = [
        _parameter(
            field,
            _choices(hints[field.name]),
            # A class that only changes a default need not say again what the parameter is.
            next((texts[field.encode_name] for texts in said if texts.get(field.encode_name)), ""),
            own=field.encode_name not in shared,
        )
        for field in _fields(kind)
    ]
    return sorted(found, key=lambda parameter: not parameter.own)


def sentence(registry: dict[str, str], name: str) -> str:
    """The docstring's first paragraph in one line."""
    text = plugins.load(registry, name).__doc__ or ""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _fields(kind: type) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType), "parameters are a struct"
    return info.fields


def _choices(hint: Any) -> tuple[str, ...]:
    """Read off the annotation, because msgspec sorts what it describes."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return tuple(str(one.value) for one in hint)
    inner = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    found = [_choices(one) for one in inner if one is not type(None)]
    return found[0] if len(found) == 1 else ()


def _parameter(field: inspect.Field, choices: tuple[str, ...], text: str, *, own: bool) -> Parameter:
    default = None if field.default is msgspec.NODEFAULT else field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    info = _core(field.type)
    return Parameter(
        name=field.encode_name,
        info=info,
        required=field.required,
        optional=_may_be_none(field.type),
        default=default,
        text=text,
        range=_range(field.type),
        type_name=" or ".join(choices) or _type_name(field.type),
        own=own,
        choices=choices,
        low=_bound(info, "ge", "gt"),
        high=_bound(info, "le", "lt"),
        search=_extra(field.type, "search"),
        when=_extra(field.type, "when"),
    )


def _core(info: Any) -> inspect.Type:
    """The type itself, without None beside it and without metadata."""
    match info:
        case inspect.Metadata(type=inner):
            return _core(inner)
        case inspect.UnionType(types=types):
            others = [one for one in types if not isinstance(one, inspect.NoneType)]
            if len(others) == 1:
                return _core(others[0])
    assert isinstance(info, inspect.Type), "msgspec describes every type"
    return info


def _may_be_none(info: Any) -> bool:
    match info:
        case inspect.Metadata(type=inner):
            return _may_be_none(inner)
        case inspect.UnionType(types=types):
            return any(isinstance(one, inspect.NoneType) for one in types)
    return False


def _bound(info: inspect.Type, reached: str, beyond: str) -> tuple[float, bool] | None:
    for name in (reached, beyond):
        value = getattr(info, name, None)
        if value is not None:
            return value, name == reached
    return None


def _sentence(info: Any) -> str:
    """The parameter's description, wherever in its type it stands."""
    match info:
        case inspect.Metadata(extra_json_schema={"description": said}):
            return str(said)
        case inspect.Metadata(type=inner):
            return _sentence(inner)
        case inspect.UnionType(types=types):
            return next(filter(None, map(_sentence, types)), "")
    return ""


def _extra(info: Any, key: str) -> str:
    """What is said of the parameter beside its description, wherever in its type it stands."""
    match info:
        case inspect.Metadata(type=inner, extra=extra):
            return str((extra or {}).get(key, "")) or _extra(inner, key)
        case inspect.UnionType(types=types):
            return next(filter(None, (_extra(one, key) for one in types)), "")
    return ""


_BOUNDS = (("ge", "{:g} or more"), ("gt", "above {:g}"), ("le", "at most {:g}"), ("lt", "below {:g}"))


def _range(info: Any) -> str:
    """The bounds in words: as the parameter says them, else those of its type; empty where there are none."""
    match info:
        case inspect.Metadata(extra={"range": said}):
            return str(said)
        case inspect.UnionType(types=types):
            return next(filter(None, map(_range, types)), "")
        case inspect.Metadata(type=inner):
            return _range(inner)
    bounds = ((text, getattr(info, name, None)) for name, text in _BOUNDS)
    return ", ".join(text.format(bound) for text, bound in bounds if bound is not None)


def _type_name(info: Any) -> str:
    match info:
        case inspect.UnionType(types=types):
            names = [_type_name(one) for one in types if not isinstance(one, inspect.NoneType)]
            return " or ".join(names)
        case inspect.CustomType(cls=cls) | inspect.EnumType(cls=cls):
            return str(cls.__name__).lower()
        case inspect.ListType(item_type=item):
            return f"list of {_type_name(item)}"
        case inspect.Metadata(type=inner):
            return _type_name(inner)
    return type(info).__name__.removesuffix("Type").lower()


def annotation(parameter: Parameter) -> str:
    """What may be written for it in Python, as source text."""
    found = _HINTS.get(parameter.kind) if parameter.kind in _HINTS else None
    if parameter.choices:
        found = f"Literal[{', '.join(map(repr, parameter.choices))}]"
    found = found or "Any"
    return f"{found} | None" if parameter.optional and found != "Any" else found


_HINTS: dict[type | None, str] = {
    Duration: "str | float",
    Ratio: "str | float",
    Time: "str | datetime",
    Decimal: "Decimal | str | int",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
}
