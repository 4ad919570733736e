"""A parent's history on its own: sums, open quantity, order of events."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bestex import messages as m
from bestex.audit.report import Findings, Witness
from bestex.errors import Code
from bestex.subjects import event_name
from bestex.units import total

# Which request an event answers; a refusal names it itself.
_ANSWERS: dict[type[m.ParentEvent], str] = {
    m.ParentAccepted: "new",
    m.ParentPaused: "pause",
    m.ParentResumed: "resume",
    m.ParentModified: "modify",
    m.ParentCanceling: "cancel",
}

AVERAGE_TOLERANCE = Decimal("0.000001")  # averages are rounded 6 digits beyond the instrument's price


@dataclass(slots=True)
class SliceOrder:
    """A slice as the scheduler sees it."""

    event: m.ParentSliced
    witness: Witness
    recalled: Witness | None = None
    settled: m.ParentSettled | None = None
    settled_witness: Witness | None = None


class ParentHistory:
    """`take` the events of one parent in stream order, then `finish`."""

    def __init__(self, findings: Findings, name: str, *, truncated: bool) -> None:
        self.name = name
        self.partial = False  # its beginning is older than the stream
        self.accepted: m.ParentAccepted | None = None
        self.accepted_witness: Witness | None = None
        self.done: m.ParentDone | None = None
        self.done_witness: Witness | None = None
        self.canceling = False
        self.slices: dict[int, SliceOrder] = {}
        self.modified: dict[
            int, tuple[m.ParentModified, m.ParentOrder, Witness]
        ] = {}  # with the order before
        self.answers: list[tuple[int, str, Witness]] = []  # the user's message, what it was answered with
        self._truncated = truncated
        self._findings = findings
        self._order: m.ParentOrder | None = None
        self._wanted: list[tuple[int, Decimal]] = []
        self._paused = False
        self._ceiling = Decimal(0)
        self._cum = Decimal(0)
        self._open = Decimal(0)
        self._notional = Decimal(0)
        self._fees = Decimal(0)
        self._last: Witness | None = None

    def _wrong(self, promise: int, code: str, text: str, *witnesses: Witness | None) -> None:
        self._findings.add(promise, code, f"parent {self.name}: {text}", *witnesses)

    def wanted_at(self, at_ns: int) -> Decimal:
        """The order's quantity as it was in force when the stream's clock showed that time."""
        found = Decimal(0)
        for since_ns, qty in self._wanted:
            if since_ns > at_ns:
                break
            found = qty
        return found

    def take(self, event: Any, witness: Witness) -> None:
        if getattr(event, "order_seq", 0):
            self.answers.append((event.order_seq, _ANSWERS.get(type(event)) or event.request, witness))
        if self.partial or isinstance(event, m.ParentRejected):
            return  # a refusal changes nothing, and may come from a scheduler that does not know the order
        if self.accepted is None and not isinstance(event, m.ParentAccepted):
            self.partial = True
            if not self._truncated:
                self._wrong(1, "no_acceptance", f"{event_name(event)} before any acceptance", witness)
            return
        if self.done is not None:
            self._wrong(7, "after_the_end", f"{event_name(event)} after its end", self._last, witness)
            return
        match event:
            case m.ParentAccepted():
                self._accept(event, witness)
            case m.ParentSliced():
                self._slice(event, witness)
            case m.ParentSettled():
                self._settle(event, witness)
            case m.ParentRecalled():
                self._recall(event, witness)
            case m.ParentPaused() | m.ParentResumed():
                paused = isinstance(event, m.ParentPaused)
                if paused == self._paused:
                    self._wrong(7, "pause_order", f"{event_name(event)} twice in a row", self._last, witness)
                self._paused = paused
            case m.ParentModified():
                self._modify(event, witness)
            case m.ParentSwitched():
                self._order = event.order
            case m.ParentCanceling():
                if self.canceling:
                    self._wrong(7, "canceled_twice", "a second cancel was taken", self._last, witness)
                self.canceling = True
            case m.ParentDone():
                self._end(event, witness)
        self._sums(event, witness)
        self._last = witness

    def _accept(self, event: m.ParentAccepted, witness: Witness) -> None:
        if self.accepted is not None:
            self._wrong(7, "accepted_twice", "accepted twice", self.accepted_witness, witness)
            return
        self.accepted, self.accepted_witness, self._order = event, witness, event.order
        self._ceiling = event.order.qty
        self._wanted.append((witness.at_ns, event.order.qty))

    def _modify(self, event: m.ParentModified, witness: Witness) -> None:
        assert self._order is not None, "an accepted parent has an order"
        self.modified[event.order_seq] = event, self._order, witness
        self._order = event.order
        # What went out before less was wanted may still fill until it has come back.
        self._ceiling = max(event.order.qty, total(self._cum, self._open))
        self._wanted.append((witness.at_ns, event.order.qty))

    def _slice(self, event: m.ParentSliced, witness: Witness) -> None:
        number, order = event.slice_no, self._order
        assert order is not None, "an accepted parent has an order"
        if number in self.slices:
            self._wrong(7, "slice_twice", f"slice {number} twice", self.slices[number].witness, witness)
            return
        if number != len(self.slices) + 1:
            self._wrong(1, "slice_missing", f"slice {number} follows {len(self.slices)}", self._last, witness)
        terms = event.side, event.account, event.algo or order.algo
        # An algorithm may name some of the order's venues for a slice, never others.
        among = order.venues is None or (event.venues is not None and set(event.venues) <= set(order.venues))
        if terms != (order.side, order.account, order.algo) or not among or event.qty <= 0:
            text = f"slice {number}: {event.side} {event.qty} for {event.account} of {event.algo}"
            self._wrong(3, "slice_wrong", text, self.accepted_witness, witness)
        if _beyond(event.side, event.limit_price, order.limit_price):
            self._wrong(
                3,
                "slice_beyond_limit",
                f"slice {number} may trade at {event.limit_price}, the order at {order.limit_price}",
                witness,
            )
        if self.canceling or self._paused:
            state = "canceling" if self.canceling else "paused"
            self._wrong(8, "sliced_while_held", f"slice {number} while {state}", self._last, witness)
        self.slices[number] = SliceOrder(event, witness)
        self._open = total(self._open, event.qty)
        self._ceiling = order.qty

    def _recall(self, event: m.ParentRecalled, witness: Witness) -> None:
        item = self.slices.get(event.slice_no)
        if item is None:
            self._wrong(7, "unknown_slice", f"slice {event.slice_no} recalled, never made", witness)
            return
        if item.recalled is not None:
            text = f"slice {event.slice_no} recalled twice"
            self._wrong(7, "recalled_twice", text, item.recalled, witness)
        item.recalled = witness

    def _settle(self, event: m.ParentSettled, witness: Witness) -> None:
        item = self.slices.get(event.slice_no)
        if item is None:
            self._wrong(7, "unknown_slice", f"slice {event.slice_no} settled, never made", witness)
            return
        if item.settled is not None:
            self._wrong(
                7, "settled_twice", f"slice {event.slice_no} settled twice", item.settled_witness, witness
            )
            return
        if not 0 <= event.filled_qty <= item.event.qty:
            text = f"slice {event.slice_no} of {item.event.qty} filled {event.filled_qty}"
            self._wrong(3, "slice_overfilled", text, item.witness, witness)
        item.settled, item.settled_witness = event, witness
        self._open = total(self._open, -item.event.qty)
        self._cum = total(self._cum, event.filled_qty)
        self._notional = total(self._notional, event.notional)
        self._fees = total(self._fees, event.fees)

    def _end(self, event: m.ParentDone, witness: Witness) -> None:
        self.done, self.done_witness = event, witness
        for number, item in self.slices.items():
            if item.settled is None:
                self._wrong(3, "ended_with_open_slice", f"slice {number} is open", item.witness, witness)
        if (event.notional, event.fees) != (self._notional, self._fees):
            text = (
                f"ends with notional {event.notional} and fees {event.fees}; its slices sum to "
                f"{self._notional} and {self._fees}"
            )
            self._wrong(6, "parent_sums", text, witness)
        assert self._order is not None, "an accepted parent has an order"
        if (event.reason is Code.FILLED) != (self._cum >= self._order.qty):
            text = f"ends as {event.reason} with {self._cum} of {self._order.qty}"
            self._wrong(11, "wrong_reason", text, witness)
        elif event.reason is not Code.FILLED and (event.reason is Code.CANCELED) != self.canceling:
            text = f"ends as {event.reason}, and {'a' if self.canceling else 'no'} cancel was taken"
            self._wrong(11, "wrong_reason", text, self._last, witness)

    def _sums(self, event: Any, witness: Witness) -> None:
        """What every event says of the whole, against the events so far."""
        assert self._order is not None, "an accepted parent has an order"
        committed = total(self._cum, self._open)
        qty = max(self._order.qty, min(committed, self._ceiling))
        if event.cum_qty != self._cum:
            text = f"{event_name(event)} says {event.cum_qty} filled, its slices {self._cum}"
            self._wrong(6, "cum_differs", text, self._last, witness)
        if total(event.cum_qty, event.leaves_qty) != qty:
            text = f"{event_name(event)}: {event.cum_qty} filled and {event.leaves_qty} left of {qty}"
            self._wrong(3, "leaves_differ", text, witness)
        if self._cum:
            average = event.avg_px or Decimal(0)
            if abs(average - self._notional / self._cum) > AVERAGE_TOLERANCE:
                text = f"average {event.avg_px}, but notional {self._notional} over {self._cum}"
                self._wrong(6, "average_differs", text, witness)
        if committed > qty:
            text = f"{self._cum} filled and {self._open} open exceed {qty}"
            self._wrong(3, "overfill", text, self._last, witness)

    def finish(self, *, complete: bool) -> None:
        if complete and self.accepted is not None and self.done is None:
            self._wrong(11, "parent_not_ended", "never ended", self._last)


def _beyond(side: m.Side, limit: Decimal | None, outer: Decimal | None) -> bool:
    """Whether `limit` allows a worse price than `outer` does."""
    if outer is None:
        return False
    return limit is None or (limit - outer) * side.sign > 0
