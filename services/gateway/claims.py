"""Whose an order is at a venue that takes no client ids.

There a child whose submission brought no answer can only be known by its terms, and several children may have the
same. So an order belongs to the first child that was known to have it, for as long as the venue may speak of it:
what is said of it later is said of that child, and nobody else is offered it. A function of the journal, like the
children.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from bestex.clock import DAY
from services.gateway import port as p
from services.gateway.orders import Child, Status

KEPT_NS = (
    DAY  # no venue without client ids speaks of the orders of an earlier day, nor counts them anew within one
)
ENDED_MAX = 100_000  # orders of ended children: more than such a venue takes of one account in a day

_Kind = tuple[str, str]  # the venue's own symbol, the side: what a child never changes


class _Ended(NamedTuple):
    at_ns: int
    kind: _Kind
    venue_order_id: str


class Claims:
    """The orders of one venue that are known to be somebody's."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}  # child ids by order
        self._orders: dict[_Kind, dict[str, str]] = {}  # the same, by what they may be taken for
        self._open: dict[str, list[str]] = {}  # orders by child; several where a replace makes a new one
        self._ended: deque[_Ended] = deque()

    def owner(self, venue_order_id: str) -> str:
        """The child that has the order; empty where none is known to."""
        return self._owners.get(venue_order_id, "")

    def others(self, child: Child) -> tuple[str, ...]:
        """The orders that are not this child's, though they may look like it."""
        orders = self._orders.get(_kind(child), {})
        return tuple(order for order, owner in orders.items() if owner != child.child_id)

    def claim(self, child: Child, venue_order_id: str, at_ns: int) -> None:
        """The first one has it. To be said while the child is as the event at `at_ns` left it."""
        if venue_order_id and venue_order_id not in self._owners:
            self._owners[venue_order_id] = child.child_id
            self._orders.setdefault(_kind(child), {})[venue_order_id] = child.child_id
            if child.ended:
                self._keep(_Ended(at_ns, _kind(child), venue_order_id))
            else:
                self._open.setdefault(child.child_id, []).append(venue_order_id)

    def end(self, child: Child, at_ns: int) -> None:
        """From now on its orders are kept for a day."""
        for venue_order_id in self._open.pop(child.child_id, ()):
            self._keep(_Ended(at_ns, _kind(child), venue_order_id))

    def _keep(self, ended: _Ended) -> None:
        self._ended.append(ended)
        while self._ended[0].at_ns + KEPT_NS < ended.at_ns or len(self._ended) > ENDED_MAX:
            gone = self._ended.popleft()
            del self._owners[gone.venue_order_id]
            del self._orders[gone.kind][gone.venue_order_id]


def _kind(child: Child) -> _Kind:
    listing = child.instrument.listing(child.venue)
    return (listing.symbol if listing is not None else child.symbol, child.side)


def order_of(said: p.VenueSaid) -> str:
    """The venue's id of the order that this is said of; empty where it is not said."""
    return str(getattr(said, "venue_order_id", ""))


def is_of_no_order(child: Child, said: p.VenueSaid) -> bool:
    """Evidence that may be any order's, for a child that is known by its terms alone."""
    if child.status is not Status.UNKNOWN or child.venue_order_id or order_of(said):
        return False
    found = isinstance(said, p.VenueRejected) and said.found
    return found or isinstance(said, p.VenueAccepted | p.VenueClosed | p.VenueFill)


def is_contested(child: Child, said: p.VenueSaid, open_children: Iterable[Child]) -> bool:
    """Whether the order that was found for a child in doubt may be another one's, whose answer is on its way."""
    if child.status is not Status.UNKNOWN or child.venue_order_id or not order_of(said):
        return False
    return any(
        other is not child and _kind(other) == _kind(child) and _may_look_like(other, child)
        for other in open_children
    )


def _may_look_like(other: Child, child: Child) -> bool:
    """Whether it may have an order of the child's terms that is not known to be its own yet."""
    if other.tif is not child.tif:
        return False
    if other.status is Status.SUBMITTING:
        return (other.qty, other.price) == (child.qty, child.price)
    to = other.replacing
    return to is not None and (to.qty, to.price) == (child.qty, child.price)
