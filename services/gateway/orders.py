"""One child at one venue: where it stands, and what may happen next. Rebuilt from its history alone.

                                    +-- accepted --> WORKING --+
    submitting --> SUBMITTING ------+                  ^       +-- filled, canceled, expired --> ENDED
                       |            +-- filled, canceled, expired, rejected --> ENDED
                    unknown                            |
                       v                               |
                    UNKNOWN ------- accepted ----------+
                       +-- filled, canceled, expired, rejected (absent) --> ENDED

A wanted cancel and a pending replace stand beside the status, because neither changes what the venue has. A
fill changes no status: what has filled is a sum, and only an event ends a child.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bestex import messages as m
from bestex.clock import Time
from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.messages import Side, Tif
from bestex.units import total


class Status(StrEnum):
    SUBMITTING = "submitting"  # written down; sent, or about to be
    UNKNOWN = "unknown"  # nobody knows whether the venue has it
    WORKING = "working"
    ENDED = "ended"


S, U, W, E = Status

AFTER: dict[tuple[Status, type[m.ExecEvent]], Status] = {
    (S, m.ExecAccepted): W,
    (S, m.ExecUnknown): U,
    (S, m.ExecCanceling): S,
    (S, m.ExecReplaceRejected): S,
    (S, m.ExecRejected): E,
    (S, m.ExecFilled): E,
    (S, m.ExecCanceled): E,
    (S, m.ExecExpired): E,
    (U, m.ExecAccepted): W,
    (U, m.ExecCanceling): U,
    (U, m.ExecCancelRejected): U,
    (U, m.ExecReplaceRejected): U,
    (U, m.ExecRejected): E,
    (U, m.ExecFilled): E,
    (U, m.ExecCanceled): E,
    (U, m.ExecExpired): E,
    (W, m.ExecCanceling): W,
    (W, m.ExecCancelRejected): W,
    (W, m.ExecReplacing): W,
    (W, m.ExecReplaced): W,
    (W, m.ExecReplaceRejected): W,
    (W, m.ExecInvited): W,
    (W, m.ExecFirmed): W,
    (W, m.ExecFirmRejected): W,
    (W, m.ExecFilled): E,
    (W, m.ExecCanceled): E,
    (W, m.ExecExpired): E,
}


@dataclass(frozen=True, slots=True)
class Replacing:
    qty: int
    price: int
    deadline_ns: int


@dataclass(slots=True)
class Child:
    """Quantities and prices in the instrument's units; `notional` in price units x quantity units. `conditional`: it
    does not bind, as far as is known; `invitation` is the last one that was answered, and while a firm-up is under
    way it may leave until `firm_by_ns`, else 0."""

    child_id: str
    parent_id: str
    slice_no: int
    venue: str
    instrument: Instrument
    side: Side
    qty: int
    price: int
    tif: Tif
    post_only: bool
    account: str
    algo: str
    submitted_at: Time
    deadline: Time
    good_till: Time
    parent_qty: int = 0
    status: Status = Status.SUBMITTING
    venue_order_id: str = ""
    cancel: Code | None = None
    cancel_refused: bool = False
    replacing: Replacing | None = None
    replaced_once: bool = False
    conditional: bool = False
    paper: bool = False
    invitation: str = ""
    firm_by_ns: int = 0
    trades: dict[str, int] = field(default_factory=dict)
    cum_qty: int = 0
    notional: int = 0
    fees: Decimal = Decimal(0)

    @classmethod
    def submitting(cls, event: m.ExecSubmitting, instrument: Instrument) -> Child:
        return cls(
            child_id=event.child_id,
            parent_id=event.parent_id,
            slice_no=event.slice_no,
            venue=event.venue,
            instrument=instrument,
            side=event.side,
            qty=instrument.qty_units(event.qty),
            price=instrument.price_units(event.price),
            tif=event.tif,
            post_only=event.post_only,
            account=event.account,
            algo=event.algo,
            submitted_at=event.at,
            deadline=event.deadline,
            good_till=event.good_till,
            parent_qty=instrument.qty_units(event.parent_qty),
            conditional=event.conditional,
            paper=event.paper,
        )

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    @property
    def ended(self) -> bool:
        return self.status is Status.ENDED

    @property
    def firming(self) -> bool:
        """Whether a firm-up was sent, or was to be, and its outcome is not known."""
        return self.firm_by_ns > 0

    @property
    def qty_max(self) -> int:
        """The most that the venue may be working, a replace that may have been done included."""
        return max(self.qty, self.replacing.qty) if self.replacing else self.qty

    @property
    def reserved(self) -> int:
        """What may still fill: unknown children reserve it all, ended ones nothing."""
        return 0 if self.ended else max(0, self.qty_max - self.cum_qty)

    @property
    def price_max(self) -> int:
        """The highest price that it may stand at, a replace that may have been done included."""
        return max(self.price, self.replacing.price) if self.replacing else self.price

    @property
    def reserved_value(self) -> int:
        """What may still fill at the highest price, in price units x quantity units."""
        return self.reserved * self.price_max

    def advance(self, event: m.ExecEvent) -> None:
        """Make one event of the history part of the child. KeyError for one that must not follow: a bug."""
        self.status = AFTER[self.status, type(event)]
        match event:
            case m.ExecAccepted():
                self.venue_order_id = event.venue_order_id
            case m.ExecCanceling():
                self.cancel = event.reason
            case m.ExecCancelRejected():
                self.cancel_refused = True
            case m.ExecReplacing():
                self.replaced_once = True
                self.replacing = Replacing(
                    self.instrument.qty_units(event.qty),
                    self.instrument.price_units(event.price),
                    event.deadline,
                )
            case m.ExecReplaced():
                self.qty = self.instrument.qty_units(event.qty)
                self.price = self.instrument.price_units(event.price)
                self.venue_order_id = event.venue_order_id or self.venue_order_id
                self.replacing = None
            case m.ExecReplaceRejected():
                self.replaced_once = True
                self.replacing = None
            case m.ExecInvited():
                self.invitation = event.invitation
                self.firm_by_ns = int(event.deadline or self.firm_by_ns)
            case m.ExecFirmed():
                self.conditional, self.firm_by_ns = False, 0
            case m.ExecFirmRejected():
                self.firm_by_ns = 0
            case m.ExecEnded():
                self.venue_order_id = self.venue_order_id or event.venue_order_id
            case _:
                pass

    def count(self, fill: m.Fill) -> bool:
        """Add one trade to the sums, once; False where it had been."""
        if fill.trade_id in self.trades:
            return False
        qty = self.instrument.qty_units(fill.qty)
        self.trades[fill.trade_id] = qty
        self.cum_qty += qty
        self.notional += qty * self.instrument.price_units(fill.price)
        self.fees = total(self.fees, fill.fee)
        self.venue_order_id = self.venue_order_id or fill.venue_order_id
        return True
