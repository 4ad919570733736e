"""What the controls look at: an order as it would be sent, in the instrument's units, and their word on it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.messages import ChildNew, Side, Tif
from services.gateway.orders import Child


class Refusal(NamedTuple):
    code: Code
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A new child, or a child as a replace would make it (`replaces`).

    `more` and `more_value` are what it adds to what may still fill: all of a new child, and of a replace only
    what goes beyond the child as it is. `parent_qty` is the parent's whole quantity, 0 where it is not known.
    """

    child_id: str
    parent_id: str
    slice_no: int
    venue: str
    account: str
    algo: str
    instrument: Instrument
    side: Side
    tif: Tif
    qty: int
    price: int
    more: int
    more_value: int
    parent_qty: int
    replaces: bool = False

    @classmethod
    def new(cls, order: ChildNew, instrument: Instrument) -> Wanted:
        """UnitError for terms that are off the instrument's units."""
        qty, price = instrument.qty_units(order.qty), instrument.price_units(order.price)
        return cls(
            child_id=order.child_id,
            parent_id=order.parent_id,
            slice_no=order.slice_no,
            venue=order.venue,
            account=order.account,
            algo=order.algo,
            instrument=instrument,
            side=order.side,
            tif=order.tif,
            qty=qty,
            price=price,
            more=qty,
            more_value=qty * price,
            parent_qty=instrument.qty_units(order.parent_qty),
        )

    @classmethod
    def replacing(cls, child: Child, qty: int, price: int) -> Wanted:
        open_qty = max(child.qty_max, qty) - child.cum_qty
        return cls(
            child_id=child.child_id,
            parent_id=child.parent_id,
            slice_no=child.slice_no,
            venue=child.venue,
            account=child.account,
            algo=child.algo,
            instrument=child.instrument,
            side=child.side,
            tif=child.tif,
            qty=qty,
            price=price,
            more=open_qty - child.reserved,
            more_value=max(0, open_qty * max(child.price_max, price) - child.reserved_value),
            parent_qty=child.parent_qty,
            replaces=True,
        )

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    def shown(self, qty: int) -> Decimal:
        return self.instrument.qty(qty)
