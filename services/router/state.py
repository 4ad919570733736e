"""One slice at work: what it was, what its children did, what is left."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.instruments import Instrument, Listing
from bestex.units import total

# A venue that gave one of these will give it again within the slice's time: the rest goes elsewhere.
_AVOID_AFTER = frozenset(
    {
        Code.NOT_READY,
        Code.VENUE_REJECTED,
        Code.INSUFFICIENT_FUNDS,
        Code.HOLDINGS_DIFFER,
        Code.UNKNOWN_SYMBOL,
        Code.VENUE_DOWN,
        Code.TIMEOUT,
        Code.NOT_SENT,
        Code.RESTRICTED,
        Code.PARENT_CAP,
        Code.REPEATED_ORDER,
        Code.REJECTED_REPEATEDLY,
        Code.INVALID_PARAMETER,
    }
)

# One that gave one of these may take the order a little later: the rest goes elsewhere meanwhile, so that a
# refusal does not bring the next one at once. (A halt is heard here too, and needs neither.)
_PAUSE_AFTER = frozenset(
    {
        Code.RATE_LIMITED,
        Code.MARKET_CLOSED,
        Code.MIXED_FLEET,
        Code.NO_REFERENCE,
        Code.PRICE_COLLAR,
        Code.POSITION_LIMIT,
        Code.OPEN_VALUE_LIMIT,
        Code.NOT_HELD,
        Code.SELF_TRADE,
        Code.DUPLICATE_TERMS,
    }
)
PAUSE_NS = 2 * SECOND  # a slice of the usual ten seconds asks such a venue five times at most


def key_of(symbol: str, parent_id: str, slice_no: int) -> str:
    return f"{symbol} {parent_id} {slice_no}"


@dataclass(slots=True)
class Child:
    venue: str
    qty: int
    price: int
    rests: bool
    replaced: bool = False
    canceled: bool = False


class SliceState:
    """Quantities in the instrument's units. `open` are children without an end, unknown ones included. `failed`: how
    its strategy failed."""

    __slots__ = (
        "avoid",
        "children",
        "decided_ns",
        "decisions",
        "ended_ns",
        "expires_ns",
        "failed",
        "fees",
        "filled",
        "filled_before",
        "instrument",
        "last_price",
        "limit",
        "misses",
        "notional",
        "open",
        "pauses",
        "qty",
        "recalled",
        "review_ns",
        "slice",
        "used",
        "why",
        "withdrawn",
    )

    def __init__(self, sliced: m.ParentSliced, instrument: Instrument) -> None:
        self.slice = sliced
        self.instrument = instrument
        self.qty = instrument.qty_units(sliced.qty)
        self.limit = None if sliced.limit_price is None else instrument.price_units(sliced.limit_price)
        self.expires_ns: int = sliced.expires_at
        self.children: dict[str, Child] = {}
        self.open: set[str] = set()
        self.filled = 0
        self.notional = Decimal(0)
        self.fees = Decimal(0)
        self.decisions = 0
        self.misses = 0
        self.filled_before = 0
        self.recalled: Code | None = None
        self.review_ns = 0
        self.decided_ns = 0
        self.withdrawn = False
        self.avoid: dict[str, str] = {}
        self.pauses: dict[str, tuple[int, str]] = {}
        self.used: dict[str, int] = {}
        self.ended_ns = 0
        self.last_price = self.limit or 0
        self.why = ""
        self.failed = ""

    @property
    def left(self) -> int:
        """What is neither filled nor with a venue, unknown children included with the venue."""
        return self.qty - self.filled - sum(self.children[child_id].qty for child_id in self.open)

    @property
    def display(self) -> int:
        """The most of it that a book may show; 0 for all."""
        qty = self.slice.display_qty
        return 0 if qty is None else self.instrument.qty_units(qty)

    @property
    def dark(self) -> frozenset[str]:
        """The venues of a slice that is for the dark: it names dark ones alone, and may rest at a limit. They show
        nothing that a strategy could choose them by, so they are chosen by name."""
        named = frozenset(self.slice.venues or ())
        found = {one.venue for one in self.instrument.listings if one.kind == "dark"}
        may_rest = self.slice.tif is m.Tif.GTC and self.limit is not None
        return named if named <= found and may_rest else frozenset()

    @property
    def choosable(self) -> list[Listing]:
        """What a strategy chooses from: all but those."""
        dark = self.dark
        return [listing for listing in self.instrument.listings if listing.venue not in dark]

    def may_rest_at(self, reached: Collection[str]) -> set[str]:
        """Of the venues whose books are heard, those that the slice allows; and the dark ones that it names."""
        named = self.slice.venues
        return {*self.dark, *(venue for venue in reached if named is None or venue in named)}

    @property
    def min_fill(self) -> int:
        """What is to be traded at once at least, in the dark; in units."""
        least = self.slice.min_fill_qty
        return 0 if least is None else self.instrument.qty_units(least)

    @property
    def resting(self) -> list[str]:
        """The open children that rest, by their ids."""
        return sorted(child_id for child_id in self.open if self.children[child_id].rests)

    def avoided(self, now_ns: int) -> dict[str, str]:
        """The venues that refused of late, each with its reason."""
        paused = {venue: why for venue, (until_ns, why) in self.pauses.items() if now_ns < until_ns}
        return {**paused, **self.avoid}

    def base(self, now_ns: int) -> dict[str, Any]:
        return {
            "symbol": self.slice.symbol,
            "parent_id": self.slice.parent_id,
            "slice_no": self.slice.slice_no,
            "at": Time(now_ns),
        }

    def decided(self, event: m.RouteDecided) -> None:
        """A decision's legs are with their venues from now on.

        In recovery the ends of earlier children are heard after all decisions, so `left` is below the truth
        until then, and may be below zero.
        """
        self.decisions = event.decision_no + 1
        self.filled_before = self.filled
        self.withdrawn = False
        self.failed = event.failed
        if event.legs:
            # What rests from before is looked at as it was to be, where nothing new rests.
            self.review_ns = event.review_at or (self.review_ns if self.resting else 0)
            self.decided_ns = int(event.at)
        for leg in event.legs:
            qty = self.instrument.qty_units(leg.qty)
            price = self.last_price = self.instrument.price_units(leg.price)
            self.children[leg.child_id] = Child(leg.venue, qty, price, leg.tif is not m.Tif.IOC)
            self.open.add(leg.child_id)
        self.why = "; ".join(f"{left.venue} {left.reason}" for left in event.left_out)
        self.ended_ns = event.at if not event.legs else self.ended_ns

    def repriced(self, event: m.RouteRepriced) -> None:
        """What rests is to stand at other prices. Where its venue refuses, the next look finds it behind."""
        for one in event.children:
            child = self.children[one.child_id]
            child.price, child.replaced = self.instrument.price_units(one.price), True
        self.review_ns = int(event.review_at)

    def hear_end(self, end: m.ExecEnded) -> bool:
        """A child ended. False where it had before: then nothing changes."""
        if end.child_id not in self.open:
            return False
        child = self.children[end.child_id]
        filled = self.instrument.qty_units(end.cum_qty)
        self.open.remove(end.child_id)
        self.filled += filled
        self.notional = total(self.notional, end.notional)
        self.fees = total(self.fees, end.fees)
        self.used[child.venue] = self.used.get(child.venue, 0) + filled
        self.ended_ns = max(self.ended_ns, end.at)
        if not self.open:
            # A decision of several legs is one try, however many of them came back empty.
            again = self.withdrawn or _is_halted(end)
            self.misses = 0 if self.filled > self.filled_before else self.misses + (not again)
        if isinstance(end, m.ExecRejected):
            why = f"{end.code}: {end.text}"
            if end.code in _AVOID_AFTER:
                self.avoid[child.venue] = why
            elif end.code in _PAUSE_AFTER:
                self.pauses[child.venue] = end.at + PAUSE_NS, why
        return True


def _is_halted(end: m.ExecEnded) -> bool:
    """A halt is no try of ours that failed."""
    return isinstance(end, m.ExecRejected) and end.code is Code.HALTED
