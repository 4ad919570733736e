"""Which build of bestex this is: its version and a hash of every message's shape.

Scheduler, router and gateway each write theirs into what they hand on, and a gateway sends only what its own
build decided. Two builds that differ in a message do not understand each other, though every message decodes:
fields that one does not know are dropped, and a control that rests on such a field would be off.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import msgspec

from bestex import errors, messages, subjects

HASH_LENGTH = 10  # hex digits: 40 bits tell apart the builds that may ever meet


def package_version() -> str:
    try:
        return version("bestex")
    except PackageNotFoundError:
        return "0.0.0"  # run from a source tree that was never installed


@lru_cache(maxsize=1)
def build() -> str:
    """`<version>+<hash>`: the same wherever the same code runs, whatever the Python."""
    shape = hashlib.blake2b("\n".join(lines(messages)).encode()).hexdigest()
    return f"{package_version()}+{shape[:HASH_LENGTH]}"


def lines(module: ModuleType) -> Iterator[str]:
    """The shapes of the messages of `module`, the codes and the subjects, a line each, in a fixed order."""
    for name, kind in sorted(vars(module).items()):
        if not isinstance(kind, type) or kind.__module__ != module.__name__:
            continue
        if issubclass(kind, msgspec.Struct):
            yield f"{name} {_wire(kind)}"
        elif issubclass(kind, StrEnum):
            yield f"{name} {[str(member) for member in kind]}"
    yield f"Code {sorted(errors.Code)}"
    for row in subjects.TABLE:
        yield f"{row.pattern} {row.plane} {row.stream} {row.writer}"


def _wire(kind: type[msgspec.Struct]) -> str:
    """What of a struct can be seen on the wire. Annotations are taken as they are written: what `typing` makes
    of them differs from one Python to the next."""
    config = kind.__struct_config__
    annotations: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        annotations |= inspect.get_annotations(base) if issubclass(base, msgspec.Struct) else {}
    fields = [
        f"{field.encode_name}: {annotations[field.name]}{_default(field)}"
        for field in msgspec.structs.fields(kind)
    ]
    flags = config.tag_field, config.tag, config.array_like, config.forbid_unknown_fields
    return f"{flags} {fields}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    """What a field is where it was left out: a part of its meaning."""
    if field.required:
        return ""
    made = field.default_factory
    return f" = {field.default!r}" if made is msgspec.NODEFAULT else f" = {getattr(made, '__name__', made)}()"
