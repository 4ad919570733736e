"""What a gateway knows by its journal, and the same as bytes, for a checkpoint.

The bytes are Python's own (pickle): they are made and read by one build under one configuration, and hold objects
that know one another. Only types of this platform are read back from them.
"""

from __future__ import annotations

import io
import pickle
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bestex.errors import ConfigError
from bestex.instruments import Instrument, Instruments
from bestex.messages import ExecSubmitting
from services.gateway.claims import Claims, is_contested, is_of_no_order, order_of
from services.gateway.orders import Child
from services.gateway.port import Capabilities, VenueSaid

ENDED_KEPT = 10_000  # ended children that late fills are still matched to: hours of a busy venue
KNOWN_IDS = 100_000  # far more commands than the bus leaves unacknowledged, so none comes twice unrecognised

_OURS = ("bestex.", "services.gateway.")
_OTHERS = {("collections", "deque"), ("collections", "OrderedDict"), ("decimal", "Decimal")}


@dataclass(slots=True)
class Memory:
    """`open`: by venue, those of `children` that have not ended. `known`: every id that was answered, the oldest
    first. `orphans`: open children of instruments that the configuration does not have any more. `claims`: by venue,
    of those that take no client ids."""

    open: dict[str, dict[str, Child]]
    last_fill_ns: dict[str, int]
    children: dict[str, Child] = field(default_factory=dict)
    ended: deque[str] = field(default_factory=deque)
    known: dict[str, None] = field(default_factory=dict)
    orphans: dict[str, ExecSubmitting] = field(default_factory=dict)
    claims: dict[str, Claims] = field(default_factory=dict)

    @classmethod
    def of(cls, venues: Mapping[str, Capabilities]) -> Memory:
        claims = {name: Claims() for name, venue in venues.items() if not venue.client_id_length}
        return cls({name: {} for name in venues}, dict.fromkeys(venues, 0), claims=claims)

    def know(self, child_id: str) -> None:
        self.known[child_id] = None
        if len(self.known) > KNOWN_IDS:
            del self.known[next(iter(self.known))]

    def submit(self, child: Child) -> None:
        self.children[child.child_id] = self.open[child.venue][child.child_id] = child

    def claim(self, child: Child, venue_order_id: str, at_ns: int) -> None:
        if (claims := self.claims.get(child.venue)) is not None:
            claims.claim(child, venue_order_id, at_ns)

    def concerned(self, child: Child, said: VenueSaid) -> Child | None:
        """Whom the venue's word about `child` concerns; None where it proves nothing, and is asked for again."""
        claims = self.claims.get(child.venue)
        if claims is None:
            return child
        owner = claims.owner(order_of(said))
        if owner and owner != child.child_id:
            return self.children.get(owner)
        doubtful = is_of_no_order(child, said) or is_contested(child, said, self.open[child.venue].values())
        return None if doubtful else child

    def end(self, child: Child, at_ns: int) -> None:
        if (claims := self.claims.get(child.venue)) is not None:
            claims.end(child, at_ns)
        del self.open[child.venue][child.child_id]
        self.ended.append(child.child_id)
        if len(self.ended) > ENDED_KEPT:
            del self.children[self.ended.popleft()]

    def check_orphans(self) -> None:
        """ConfigError where there are any."""
        if self.orphans:
            names = ", ".join(sorted({event.symbol for event in self.orphans.values()}))
            raise ConfigError(f"open orders in {names}, which the configuration does not have any more")

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
