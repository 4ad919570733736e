"""What a gateway knows by its journal, and the same as bytes, for a checkpoint.

The bytes are Python's own (pickle): they are made and read by one build under one configuration, and hold objects
that know one another. Only types of this platform are read back from them.
"""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bestex.instruments import Instrument, Instruments
from bestex.messages import ExecSubmitting
from services.gateway.orders import Child

ENDED_KEPT = 10_000  # ended children that late fills are still matched to: hours of a busy venue
KNOWN_IDS = 100_000  # far more commands than the bus leaves unacknowledged, so none comes twice unrecognised

_OURS = ("bestex.", "services.gateway.")
_OTHERS = {("collections", "deque"), ("collections", "OrderedDict"), ("decimal", "Decimal")}


@dataclass(slots=True)
class Memory:
    """`open`: by venue, those of `children` that have not ended. `known`: every id that was answered, the oldest
    first. `orphans`: open children of instruments that the configuration does not have any more."""

    open: dict[str, dict[str, Child]]
    last_fill_ns: dict[str, int]
    children: dict[str, Child] = field(default_factory=dict)
    ended: deque[str] = field(default_factory=deque)
    known: dict[str, None] = field(default_factory=dict)
    orphans: dict[str, ExecSubmitting] = field(default_factory=dict)

    @classmethod
    def of(cls, venues: Iterable[str]) -> Memory:
        names = list(venues)
        return cls({name: {} for name in names}, dict.fromkeys(names, 0))

    def know(self, child_id: str) -> None:
        self.known[child_id] = None
        if len(self.known) > KNOWN_IDS:
            del self.known[next(iter(self.known))]

    def submit(self, child: Child) -> None:
        self.children[child.child_id] = self.open[child.venue][child.child_id] = child

    def end(self, child: Child) -> None:
        del self.open[child.venue][child.child_id]
        self.ended.append(child.child_id)
        if len(self.ended) > ENDED_KEPT:
            del self.children[self.ended.popleft()]

    def all_open(self) -> list[Child]:
        return [child for children in self.open.values() for child in children.values()]


def to_bytes(state: Any) -> bytes:
    out = io.BytesIO()
    _Pickler(out, protocol=5).dump(state)
    return out.getvalue()


def from_bytes(data: bytes, instruments: Instruments) -> Any:
    """Raises pickle.UnpicklingError for what does not belong there."""
    return _Unpickler(data, instruments).load()


class _Pickler(pickle.Pickler):
    def persistent_id(self, value: Any) -> str | None:
        """Instruments are the configuration's, and only named."""
        return value.symbol if isinstance(value, Instrument) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, instruments: Instruments) -> None:
        super().__init__(io.BytesIO(data))
        self._instruments = instruments

    def persistent_load(self, symbol: Any) -> Instrument:
        return self._instruments.by_symbol[symbol]

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(_OURS) or (module, name) in _OTHERS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")
