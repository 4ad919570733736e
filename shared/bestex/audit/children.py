"""A child's execution history and its fills: allowed transitions, exact sums, limits, time."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from bestex import messages as m
from bestex.audit.report import Findings, Witness
from bestex.clock import MINUTE, SECOND, Time
from bestex.subjects import event_name
from bestex.units import total

# Bytes that left at the deadline have arrived after a margin of 5 s, or never will; the two endpoints that must
# agree on an absence are asked 1 s apart.
ABSENCE_NS = 6 * SECOND
# A gateway cancels what has outlived its time at once. Where none lives, the venue's dead-man switch does, half a
# minute later; where there is none, the next gateway must first come back.
GOOD_TILL_ALLOWANCE_NS = MINUTE
CANCEL_ALLOWANCE_NS = MINUTE
_AT_ONCE = (m.Tif.IOC, m.Tif.FOK)

_ENDS = {"filled", "canceled", "expired"}
_ASKED = {"canceling", "cancel_rejected", "replace_rejected"}
_FIRMING = {"invited", "firmed", "firm_rejected"}

# What may follow what. A request or its refusal (`_ASKED`) leaves the child where it was.
ALLOWED: dict[str, set[str]] = {
    "": {"submitting", "rejected"},
    "submitting": {"accepted", "unknown", "rejected", *_ENDS, *_ASKED},
    "unknown": {"accepted", "rejected", *_ENDS, *_ASKED},
    "accepted": {"replacing", "replaced", *_FIRMING, *_ENDS, *_ASKED},
}
_STAYS = {*_ASKED, *_FIRMING, "replacing", "replaced"}


class Traded(NamedTuple):
    """One fill, and where it is written."""

    qty: Decimal
    price: Decimal
    fee: Decimal
    witness: Witness


class ChildHistory:
    """`take` the events and fills of one child in stream order, then `finish`."""

    def __init__(self, findings: Findings, child_id: str, venue: str, *, truncated: bool) -> None:
        self.child_id = child_id
        self.venue = venue
        self.partial = False
        self.submitting: m.ExecSubmitting | None = None
        self.submitting_witness: Witness | None = None
        self.accepted = False
        self.replacing: list[tuple[m.ExecReplacing, Witness]] = []
        self.firmed_up: list[tuple[m.ExecInvited, Witness]] = []  # where a request was to leave
        self._invitations: dict[str, Witness] = {}
        self.end: m.ExecEnded | None = None
        self.end_at_ns = 0
        self.end_witness: Witness | None = None
        self.last: Witness | None = None
        self.trades: dict[str, Traded] = {}
        self._truncated = truncated
        self._findings = findings
        self._state = ""
        self._cum = Decimal(0)
        self._notional = Decimal(0)
        self._fees = Decimal(0)
        self._qty = self._qty_most = Decimal(0)
        self.owner: tuple[str, str, int] | None = None
        self._raised: list[tuple[int, Decimal, Witness]] = []  # beyond what it was submitted with
        self._canceling = False
        self._prices: list[Decimal] = []  # every limit that it may have had at the venue

    def _wrong(self, promise: int, code: str, text: str, *witnesses: Witness | None) -> None:
        self._findings.add(promise, code, f"child {self.child_id} at {self.venue}: {text}", *witnesses)

    def held_at(self, at_ns: int, decided: Decimal) -> Decimal:
        """What of the parent's quantity it held at that time: all it may fill, or what it filled if ended."""
        if self.end is not None and self.end_at_ns <= at_ns:
            return self._cum
        return max(decided, self._qty_most)

    def weights(self) -> Iterator[tuple[int, Decimal, Decimal, Witness]]:
        """When, by how much and where its part of its parent grew or shrank: filled or at the venue, and at the
        venue."""
        if self.submitting is not None and self.submitting_witness is not None:
            qty = self.submitting.qty
            yield self.submitting_witness.at_ns, qty, qty, self.submitting_witness
        for at_ns, qty, witness in self._raised:
            yield at_ns, qty, qty, witness
        if self.end is not None and self.end_witness is not None:
            yield self.end_at_ns, self.end.cum_qty - self._qty_most, -self._qty_most, self.end_witness

    # -- events --------------------------------------------------------------------------------------------

    def _owned(self, message: m.ExecEvent | m.Fill, witness: Witness) -> None:
        """All that is said of a child is said for one slice of one parent."""
        owner = message.symbol, message.parent_id, message.slice_no
        if self.owner is None:
            self.owner = owner
        elif owner != self.owner:
            text = f"belongs to slice {self.owner[1]}/{self.owner[2]}, then to {owner[1]}/{owner[2]}"
            self._wrong(6, "owner_differs", text, self.submitting_witness, witness)
        if message.venue != self.venue:
            self._wrong(2, "child_at_two_venues", f"and at {message.venue}", self.last, witness)

    def take(self, event: Any, witness: Witness) -> None:
        self._owned(event, witness)
        tag = event_name(event)
        if not self._state and tag not in ALLOWED[""]:
            self.partial = True
            if not self._truncated:
                self._wrong(4, "not_written_before_send", f"begins with {tag}", witness)
        if self.partial:
            self._state = self._state or "accepted"
            self.last = witness
            if event.ends:
                self.end, self.end_at_ns, self.end_witness = event, witness.at_ns, witness
            return
        if self.end is not None:
            self._wrong(7, "after_the_end", f"{tag} after its end", self.last, witness)
            return
        self._transition(tag, event, witness)
        match event:
            case m.ExecSubmitting() if self.submitting is None:
                self.submitting, self.submitting_witness = event, witness
                self._qty = self._qty_most = event.qty
                self._prices = [event.price]
            case m.ExecAccepted():
                self.accepted = True
            case m.ExecCanceling():
                self._canceling = True
            case m.ExecReplacing() | m.ExecReplaced():
                self._replace(event, witness)
            case m.ExecInvited():
                self._invited(event, witness)
            case m.ExecEnded():
                self._ended(event, witness)
        self.last = witness

    def _transition(self, tag: str, event: Any, witness: Witness) -> None:
        if tag == "submitting" and self.submitting is not None:
            self._wrong(4, "submitted_twice", "sent twice", self.submitting_witness, witness)
        elif tag == "rejected" and self.accepted:
            self._wrong(5, "rejected_at_work", "rejected after it was at work", self.last, witness)
        elif tag not in ALLOWED[self._state]:
            self._wrong(7, "transition", f"{tag} after {self._state or 'nothing'}", self.last, witness)
        elif tag == "rejected" and self._state == "unknown" and event.evidence not in ("refused", "absent"):
            text = (
                f"unknown, then rejected with {event.code}, for neither its absence nor the venue's refusal"
            )
            self._wrong(5, "unknown_called_rejected", text, self.last, witness)
        if tag not in _STAYS and not event.ends:
            self._state = tag

    def _replace(self, event: m.ExecReplacing | m.ExecReplaced, witness: Witness) -> None:
        self._prices.append(event.price)
        if event.qty > self._qty_most:
            self._raised.append((witness.at_ns, event.qty - self._qty_most, witness))
            self._qty_most = event.qty
        if isinstance(event, m.ExecReplaced):
            self._qty = event.qty
        else:
            self.replacing.append((event, witness))

    def _invited(self, event: m.ExecInvited, witness: Witness) -> None:
        sent, known = self.submitting, self._invitations.setdefault(event.invitation, witness)
        if known is not witness:
            self._wrong(4, "invitation_twice", f"answers {event.invitation} twice", known, witness)
        if event.deadline is None or sent is None:
            return
        self.firmed_up.append((event, witness))
        if not sent.conditional:
            self._wrong(2, "firmed_unasked", "is firm, and is firmed up", self.submitting_witness, witness)
        if event.deadline > sent.good_till:
            text = f"may be firmed up until {event.deadline}, good till {sent.good_till}"
            self._wrong(8, "deadline_too_late", text, self.submitting_witness, witness)

    def _ended(self, event: m.ExecEnded, witness: Witness) -> None:
        self.end, self.end_at_ns, self.end_witness = event, witness.at_ns, witness
        sums, said = (self._cum, self._notional, self._fees), (event.cum_qty, event.notional, event.fees)
        if sums != said:
            text = (
                f"ends with {said[0]} filled, notional {said[1]}, fees {said[2]}; its fills sum to "
                f"{sums[0]}, {sums[1]}, {sums[2]}"
            )
            self._wrong(6, "child_sums", text, self.last, witness)
        if isinstance(event, m.ExecFilled) and event.cum_qty < self._qty:
            self._wrong(6, "filled_short", f"filled with {event.cum_qty} of {self._qty}", witness)
        if isinstance(event, m.ExecRejected) and event.cum_qty:
            self._wrong(5, "rejected_with_fills", f"rejected with {event.cum_qty} filled", witness)
        sent = self.submitting
        if sent is None:
            return
        if event.evidence == "absent" and event.at < sent.deadline + ABSENCE_NS:
            text = f"called absent at {event.at}, might have arrived until after {sent.deadline}"
            self._wrong(5, "absent_too_early", text, self.submitting_witness, witness)

    def fill(self, fill: m.Fill, witness: Witness) -> None:
        self._owned(fill, witness)
        known = self.trades.get(fill.trade_id)
        if known is not None:
            self._wrong(6, "trade_twice", f"trade {fill.trade_id} twice", known.witness, witness)
            return
        self.trades[fill.trade_id] = Traded(fill.qty, fill.price, fill.fee, witness)
        if self.partial:
            return
        if self.submitting is None:
            if self._truncated:
                self.partial = True
            else:
                self._wrong(4, "not_written_before_send", "filled, but never written down as sent", witness)
            return
        if self.submitting.conditional and not self.firmed_up:
            self._wrong(4, "traded_unfirmed", f"trade {fill.trade_id} before it was to bind", witness)
        before, self._cum = self._cum, total(self._cum, fill.qty)
        if self.end is not None:
            text = f"trade {fill.trade_id} is not in the sums of its end"
            self._wrong(6, "late_fill", text, self.last, witness)
            self._raised.append((witness.at_ns, fill.qty, witness))
        elif self._cum > self._qty_most:
            beyond = self._cum - max(before, self._qty_most)
            self._raised.append((witness.at_ns, beyond, witness))
        flag = "overfill" if self._cum > self._qty_most else "late" if self.end is not None else ""
        if fill.flag != flag:
            text = f"trade {fill.trade_id} is marked {fill.flag or 'as usual'}, it is {flag or 'as usual'}"
            self._wrong(6, "flag_differs", text, self.last, witness)
        self._notional = total(self._notional, fill.qty * fill.price)
        self._fees = total(self._fees, fill.fee)
        if fill.side is not self.submitting.side or fill.qty <= 0:
            self._wrong(6, "fill_differs", f"a {fill.side} of {fill.qty}", self.submitting_witness, witness)
        if self._cum > self._qty_most:
            self._wrong(3, "child_overfilled", f"{self._cum} of {self._qty_most}", self.last, witness)
        if all((fill.price - price) * fill.side.sign > 0 for price in self._prices):
            text = f"filled at {fill.price}, its limit is {self._prices[-1]}"
            self._wrong(3, "fill_beyond_limit", text, self.submitting_witness, witness)
        self.last = witness

    # -- against its command -------------------------------------------------------------------------------

    def finish(
        self,
        command: m.ChildNew | None,
        command_witness: Witness | None,
        replace: tuple[m.ChildReplace, Witness] | None,
        *,
        venue_ended_ns: int | None,
        route_truncated: bool,
        complete: bool,
    ) -> None:
        """`venue_ended_ns`: when it ended by the venue's own journal; None where that is not known."""
        self._outlived(venue_ended_ns)
        if complete and self.end is None:
            self._wrong(11, "child_not_ended", "never ended", self.last)
        if command is None:
            if not route_truncated:
                self._wrong(2, "child_without_command", "executed without a command", self.last)
            return
        if self.owner is not None and (self.venue, *self.owner) != (
            command.venue,
            command.symbol,
            command.parent_id,
            command.slice_no,
        ):
            text = f"ordered for {command.parent_id}/{command.slice_no} at {command.venue}"
            self._wrong(2, "sent_differs", text, command_witness, self.last)
        self._replaced_as_ordered(replace)
        sent = self.submitting
        if sent is None:
            return
        if not same_order(sent, command):
            text = f"sent as {show_order(sent)}, ordered as {show_order(command)}"
            self._wrong(2, "sent_differs", text, command_witness, self.submitting_witness)
        if sent.at > command.expires_at:
            text = f"submitted at {sent.at}, expired at {command.expires_at}"
            self._wrong(8, "sent_stale", text, command_witness, self.submitting_witness)
        if sent.deadline > command.expires_at:
            text = f"may leave until {sent.deadline}, expires at {command.expires_at}"
            self._wrong(8, "deadline_too_late", text, command_witness, self.submitting_witness)

    def _outlived(self, venue_ended_ns: int | None) -> None:
        """What counts is how long the venue worked it, and not when the gateway learned of its end; that stands in
        where the venue's journal is not at hand."""
        sent, end = self.submitting, self.end
        if sent is None or end is None or sent.tif in _AT_ONCE or self._canceling:
            return
        until = Time(end.at if venue_ended_ns is None else venue_ended_ns)
        if until > sent.good_till + GOOD_TILL_ALLOWANCE_NS:
            text = f"at work until {until}, good till {sent.good_till}, and nobody canceled it"
            self._wrong(8, "worked_past_its_time", text, self.submitting_witness, self.end_witness)

    def check_cancel(self, ordered: Witness) -> None:
        """A cancel that was ordered is asked of the venue; only an end makes it needless."""
        if self._canceling or self.partial or self.submitting is None or self.end is None:
            return
        if self.end_at_ns > ordered.at_ns + CANCEL_ALLOWANCE_NS:
            text = "worked on long after its cancel was ordered, which nobody asked of the venue"
            self._wrong(11, "cancel_ignored", text, ordered, self.end_witness)

    def _replaced_as_ordered(self, command: tuple[m.ChildReplace, Witness] | None) -> None:
        for number, (event, witness) in enumerate(self.replacing):
            if number or command is None:
                known = self.replacing[0][1] if number else self.submitting_witness
                self._wrong(2, "replace_without_command", "nobody ordered this replace", known, witness)
                continue
            order, order_witness = command
            if (event.qty, event.price) != (order.qty, order.price):
                text = f"replaced by {event.qty} at {event.price}, ordered {order.qty} at {order.price}"
                self._wrong(2, "replace_differs", text, order_witness, witness)
            if event.at > order.expires_at or event.deadline > order.expires_at:
                text = f"replaced at {event.at}, expired at {order.expires_at}"
                self._wrong(8, "sent_stale", text, order_witness, witness)


_TERMS = (
    *(
        "side",
        "qty",
        "price",
        "tif",
        "post_only",
        "display_qty",
        "min_fill_qty",
        "conditional",
        "parent_id",
        "slice_no",
        "venue",
        "symbol",
        "account",
    ),
    *("good_till", "algo", "send_at"),
)


def same_order(a: m.ExecSubmitting | m.ChildNew, b: m.ExecSubmitting | m.ChildNew) -> bool:
    return all(getattr(a, term) == getattr(b, term) for term in _TERMS)


def show_order(order: m.ExecSubmitting | m.ChildNew) -> str:
    return f"{order.side} {order.qty} at {order.price} {order.tif} for {order.parent_id}/{order.slice_no}"
