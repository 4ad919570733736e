"""A slice's route: decisions under what is left, the children that follow from them, and the sums at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex.audit.children import ChildHistory
from bestex.audit.parents import SliceOrder
from bestex.audit.report import Findings, Witness
from bestex.errors import Code
from bestex.ids import child_id
from bestex.subjects import event_name
from bestex.units import total


@dataclass(slots=True)
class Command:
    """A child order as the router published it."""

    message: m.ChildNew
    witness: Witness


class SliceHistory:
    """`take` the events of one slice in stream order, then `finish` with everything that it must agree with."""

    def __init__(self, findings: Findings, name: str, *, truncated: bool, book_age_ns: int) -> None:
        self.name = name
        self.partial = False
        self._book_age_ns = book_age_ns
        self.decisions: list[tuple[m.RouteDecided, Witness]] = []
        self.done: m.RouteDone | None = None
        self.first: Witness | None = None
        self.done_witness: Witness | None = None
        self.recalled: tuple[m.RouteRecalled, Witness] | None = None
        self.withdrawn: list[tuple[m.RouteWithdrawn, Witness]] = []
        self.repriced: list[tuple[m.RouteRepriced, Witness]] = []
        self._truncated = truncated
        self._findings = findings

    def _wrong(self, promise: int, code: str, text: str, *witnesses: Witness | None) -> None:
        self._findings.add(promise, code, f"slice {self.name}: {text}", *witnesses)

    def take(self, event: Any, witness: Witness) -> None:
        if self.first is None:
            self.first = witness
            self.partial = isinstance(event, m.RouteRerouted) and self._truncated
        if self.done is not None:
            self._wrong(7, "after_the_end", f"{event_name(event)} after its end", self.done_witness, witness)
            return
        match event:
            case m.RouteDecided():
                self._decide(event, witness)
            case m.RouteRecalled():
                if self.recalled is not None:
                    self._wrong(7, "recalled_twice", "recalled twice", self.recalled[1], witness)
                self.recalled = event, witness
            case m.RouteWithdrawn():
                if self.recalled is not None:
                    text = "withdrawn after its recall"
                    self._wrong(7, "withdrawn_after_recall", text, self.recalled[1], witness)
                self.withdrawn.append((event, witness))
            case m.RouteRepriced():
                self.repriced.append((event, witness))
            case m.RouteDone():
                self.done, self.done_witness = event, witness

    def _decide(self, event: m.RouteDecided, witness: Witness) -> None:
        before = self.decisions[-1] if self.decisions else None
        again = isinstance(event, m.RouteRerouted)
        if before is None and (again or event.decision_no) and not self._truncated:
            self._wrong(1, "decision_missing", f"begins with decision {event.decision_no}", witness)
        elif before is not None and (not again or event.decision_no <= before[0].decision_no):
            self._wrong(7, "decided_twice", f"decision {event.decision_no} comes again", before[1], witness)
        elif before is not None and event.decision_no != before[0].decision_no + 1:
            text = f"decision {event.decision_no} follows {before[0].decision_no}"
            self._wrong(1, "decision_missing", text, before[1], witness)
        if self.recalled is not None:
            self._wrong(8, "routed_after_recall", "routed after its recall", self.recalled[1], witness)
        # What only rests, rests at the order's own limit and needs no book.
        if any(leg.tif in (m.Tif.IOC, m.Tif.FOK) for leg in event.legs):
            age_ns = event.at - (event.book_at or 0)
            if age_ns > self._book_age_ns:
                text = f"decision {event.decision_no} at {event.at} on a book of {event.book_at or 'no time'}"
                self._wrong(8, "book_too_old", text, witness)
        legs = total(*(leg.qty for leg in event.legs))
        if legs > event.qty or any(leg.qty <= 0 for leg in event.legs):
            self._wrong(3, "legs_exceed", f"legs of {legs} for a quantity of {event.qty}", witness)
        for number, leg in enumerate(event.legs):
            if leg.child_id != child_id(
                event.symbol, event.parent_id, event.slice_no, event.decision_no, number
            ):
                text = f"leg {number} of decision {event.decision_no} is called {leg.child_id}"
                self._wrong(2, "child_id", text, witness)
        self.decisions.append((event, witness))

    def finish(
        self,
        order: SliceOrder | None,
        commands: Mapping[str, Command],
        cancels: Mapping[str, tuple[m.ChildCancel, Witness]],
        replaces: Mapping[str, tuple[m.ChildReplace, Witness]],
        children: Mapping[str, ChildHistory],
        *,
        sched_truncated: bool,
        complete: bool,
    ) -> None:
        if order is None and not sched_truncated:
            self._wrong(2, "route_without_slice", "routed, but no scheduler asked for it", self.first)
        if self.partial:
            return
        if self.recalled is not None and order is not None and order.recalled is None:
            event, witness = self.recalled
            if event.reason is not Code.EXPIRED:
                text = f"recalled as {event.reason}, but no scheduler asked for it"
                self._wrong(7, "recall_without_request", text, order.witness, witness)
        if complete and self.done is None:
            self._wrong(11, "slice_not_ended", "its route never ended", self.first)
        if self.done is not None or complete:
            self._published(commands, cancels, replaces)
        self._reserved(order, children)
        if self.done is not None:
            self._sums(self.done, order, children)

    def _published(
        self,
        commands: Mapping[str, Command],
        cancels: Mapping[str, tuple[m.ChildCancel, Witness]],
        replaces: Mapping[str, tuple[m.ChildReplace, Witness]],
    ) -> None:
        for event, witness in self.decisions:
            for leg in event.legs:
                if leg.child_id not in commands:
                    self._wrong(1, "child_not_published", f"child {leg.child_id} was decided only", witness)
        for change, witness in self.repriced:
            for one in change.children:
                if one.child_id not in replaces:
                    text = f"the change of child {one.child_id} was decided only"
                    self._wrong(1, "replace_not_published", text, witness)
        for recall, witness in self.cancelling():
            for child in recall.children:
                if child not in cancels:
                    text = f"the cancel of child {child} was decided only"
                    self._wrong(1, "cancel_not_published", text, witness)

    def cancelling(self) -> list[tuple[m.RouteRecalled | m.RouteWithdrawn, Witness]]:
        """The decisions to cancel children."""
        return [*self.withdrawn, *([self.recalled] if self.recalled is not None else [])]

    def _reserved(self, order: SliceOrder | None, children: Mapping[str, ChildHistory]) -> None:
        """No decision routes more than the slice has left, with all that may still fill set aside."""
        legs: list[m.Leg] = []
        for event, witness in self.decisions:
            qty = order.event.qty if order is not None else self.decisions[0][0].qty
            if order is not None and not _serves(event, order.event):
                text = f"decision {event.decision_no} is for another slice than was asked for"
                self._wrong(3, "slice_differs", text, order.witness, witness)
            taken = Decimal(0)
            for leg in legs:
                child = children.get(leg.child_id)
                taken = total(taken, leg.qty if child is None else child.held_at(witness.at_ns, leg.qty))
            new = total(*(leg.qty for leg in event.legs))
            if total(taken, max(new, event.qty)) > qty:
                text = (
                    f"decision {event.decision_no}: {event.qty} more with {taken} of {qty} filled or at work"
                )
                self._wrong(3, "over_routed", text, order.witness if order else None, witness)
            if order is not None:
                self._within(event, witness, order)
            legs.extend(event.legs)
        for change, witness in self.repriced:
            limit, side = (order.event.limit_price, order.event.side) if order is not None else (None, None)
            for one in change.children:
                if limit is not None and side is not None and (one.price - limit) * side.sign > 0:
                    text = f"child {one.child_id} is to rest at {one.price}, beyond the slice's {limit}"
                    self._wrong(3, "leg_beyond_limit", text, order.witness if order else None, witness)

    def _within(self, event: m.RouteDecided, witness: Witness, order: SliceOrder) -> None:
        """A decision keeps to its slice: its limit, its venues, its time."""
        asked = order.event
        for leg in event.legs:
            limit = asked.limit_price
            if limit is not None and (leg.price - limit) * event.side.sign > 0:
                text = f"child {leg.child_id} at {leg.price}, beyond the slice's {limit}"
                self._wrong(3, "leg_beyond_limit", text, order.witness, witness)
            if asked.venues is not None and leg.venue not in asked.venues:
                text = f"child {leg.child_id} at {leg.venue}, which the order does not allow"
                self._wrong(3, "leg_elsewhere", text, order.witness, witness)
        if event.legs and event.at >= asked.expires_at:
            text = f"routed at {event.at}, expired at {asked.expires_at}"
            self._wrong(8, "routed_stale", text, order.witness, witness)
        if event.legs and max(event.expires_at, event.good_till) > asked.expires_at:
            text = f"its children may live until {max(event.expires_at, event.good_till)}"
            self._wrong(8, "children_outlive", text, order.witness, witness)

    def _sums(
        self, done: m.RouteDone, order: SliceOrder | None, children: Mapping[str, ChildHistory]
    ) -> None:
        own = [children.get(leg.child_id) for event, _ in self.decisions for leg in event.legs]
        for child in own:
            if child is None or child.partial:
                return  # reported as a child that never ended, or older than its stream
            assert self.done_witness is not None, "a route that is done has its end"
            if child.end is None or child.end_at_ns > self.done_witness.at_ns:
                text = f"given back while child {child.child_id} was at work"
                self._wrong(3, "released_early", text, child.last, self.done_witness)
        ends = [child.end for child in own if child is not None and child.end is not None]
        sums = (
            total(*(end.cum_qty for end in ends)),
            total(*(end.notional for end in ends)),
            total(*(end.fees for end in ends)),
        )
        said = (done.filled_qty, done.notional, done.fees)
        if said != sums:
            self._wrong(6, "slice_sums", f"says {_show(said)}, its children {_show(sums)}", self.done_witness)
        if done.filled_qty > done.qty:
            self._wrong(3, "slice_overfilled", f"{done.filled_qty} of {done.qty}", self.done_witness)
        if order is not None and order.event.qty != done.qty:
            text = f"was {order.event.qty}, ends as {done.qty}"
            self._wrong(3, "slice_differs", text, order.witness, self.done_witness)
        wanted = Code.FILLED if done.filled_qty == done.qty else self.recalled and self.recalled[0].reason
        if (wanted or done.reason) is not done.reason or (done.reason is Code.FILLED) is not (
            wanted is Code.FILLED
        ):
            text = f"ends as {done.reason} with {done.filled_qty} of {done.qty}"
            self._wrong(11, "wrong_reason", text, self.recalled and self.recalled[1], self.done_witness)
        if done.children and done.children != len(own):
            self._wrong(6, "slice_sums", f"says {done.children} children of {len(own)}", self.done_witness)


def check_settled(
    findings: Findings, name: str, order: SliceOrder, route: SliceHistory | None, *, complete: bool
) -> None:
    """The scheduler's account of a slice against the router's."""
    said, done = order.settled, route.done if route is not None else None
    if said is None:
        if complete and done is None:
            findings.add(11, "slice_not_ended", f"slice {name}: nobody ended it", order.witness)
        return
    if done is None:
        text = f"slice {name}: settled, but its route never ended"
        findings.add(6, "settled_without_end", text, order.settled_witness)
        return
    if said.reason is not done.reason:
        text = f"slice {name}: settled as {said.reason}, its route ended as {done.reason}"
        findings.add(11, "wrong_reason", text, route.done_witness if route else None, order.settled_witness)
    ours, theirs = (
        (said.filled_qty, said.notional, said.fees),
        (done.filled_qty, done.notional, done.fees),
    )
    if ours != theirs:
        text = f"slice {name}: settled with {_show(ours)}, its route ended with {_show(theirs)}"
        findings.add(6, "settled_differs", text, route.done_witness if route else None, order.settled_witness)


def _serves(decision: m.RouteDecided, order: m.ParentSliced) -> bool:
    """Whether a decision is for this slice; the first one carries it whole."""
    return (decision.side, decision.account, decision.algo) == (order.side, order.account, order.algo) and (
        decision.slice is None or decision.slice == order
    )


def _show(sums: tuple[Decimal, Decimal, Decimal]) -> str:
    return f"{sums[0]} filled, notional {sums[1]}, fees {sums[2]}"
