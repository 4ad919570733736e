"""What has filled and what may still fill, per parent and per account, venue and symbol: a function of the journal.

Every change of a child is told by `moved`, every trade by `filled`; the sums are what the caps and limits are
checked against. Unknown children reserve all of their rest, because they may be at the venue.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bestex import messages as m
from bestex.instruments import Instrument
from bestex.messages import Side
from services.gateway.orders import Child

PARENTS_KEPT = 100_000  # parents without an open child: days of trading, 300 bytes each

PLACES_KEPT = 10_000  # accounts x venues x symbols; beyond that, those that hold nothing are dropped

ParentKey = tuple[str, str]


class Place(NamedTuple):
    account: str
    venue: str
    symbol: str


@dataclass(slots=True)
class ParentSums:
    """`qty` is the parent's whole quantity as its newest slice said it."""

    filled: int = 0
    reserved: int = 0
    children: int = 0
    qty: int = 0
    slice_no: int = 0

    def cap(self, slice_no: int, parent_qty: int) -> int:
        """What the parent may fill in all: the word of the newest slice, which a modify may have changed."""
        return parent_qty if slice_no >= self.slice_no else self.qty


@dataclass(slots=True)
class PlaceSums:
    """`position` is what was bought less what was sold; `buys`, `sells` and `value` may still fill."""

    position: int = 0
    buys: int = 0
    sells: int = 0
    value: int = 0

    @property
    def is_flat(self) -> bool:
        return not (self.position or self.buys or self.sells)


class _Reserved(NamedTuple):
    qty: int
    value: int


class Ledger:
    def __init__(self) -> None:
        self.parents: OrderedDict[ParentKey, ParentSums] = OrderedDict()
        self.places: dict[Place, PlaceSums] = {}
        self._open: dict[str, _Reserved] = {}

    def submitted(self, child: Child) -> None:
        parent = self._parent((child.symbol, child.parent_id))
        parent.children += 1
        parent.qty = parent.cap(child.slice_no, child.parent_qty)
        parent.slice_no = max(parent.slice_no, child.slice_no)
        self.moved(child)

    def moved(self, child: Child) -> None:
        """The child may have changed: what it reserves is counted anew."""
        before = self._open.get(child.child_id, _Reserved(0, 0))
        after = _Reserved(child.reserved, child.reserved_value)
        if after.qty:
            self._open[child.child_id] = after
        else:
            self._open.pop(child.child_id, None)
        if after == before:
            return
        more = after.qty - before.qty
        self._parent((child.symbol, child.parent_id)).reserved += more
        place = self._place(Place(child.account, child.venue, child.symbol))
        place.value += after.value - before.value
        if child.side is Side.BUY:
            place.buys += more
        else:
            place.sells += more

    def filled(self, fill: m.Fill, instrument: Instrument) -> None:
        """A trade, whatever has become of its child."""
        qty = instrument.qty_units(fill.qty)
        self._parent((fill.symbol, fill.parent_id)).filled += qty
        self._place(Place(fill.account, fill.venue, fill.symbol)).position += fill.side.sign * qty

    def parent(self, symbol: str, parent_id: str) -> ParentSums:
        """The sums of a parent; nothing where it is not known."""
        return self.parents.get((symbol, parent_id)) or ParentSums()

    def matching(self, account: str, venue: str, symbol: str) -> Iterator[tuple[Place, PlaceSums]]:
        """The sums of every place that is named; an empty name stands for all."""
        for place, sums in self.places.items():
            if account in ("", place.account) and venue in ("", place.venue) and symbol in ("", place.symbol):
                yield place, sums

    def _parent(self, key: ParentKey) -> ParentSums:
        found = self.parents.get(key)
        if found is None:
            found = self.parents[key] = ParentSums()
            if len(self.parents) > PARENTS_KEPT:
                idle = next(
                    (one for one, sums in self.parents.items() if not sums.reserved and one != key), None
                )
                if idle is not None:
                    del self.parents[idle]
        else:
            self.parents.move_to_end(key)
        return found

    def _place(self, place: Place) -> PlaceSums:
        found = self.places.get(place)
        if found is None:
            found = self.places[place] = PlaceSums()
            if len(self.places) > PLACES_KEPT:
                flat = next((key for key, sums in self.places.items() if sums.is_flat and key != place), None)
                if flat is not None:
                    del self.places[flat]
        return found
