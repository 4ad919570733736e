"""From all streams to all anomalies: one pass that sorts events to their histories, then what must agree.

Histories are checked on their own as their events come, in the order of their stream; what one writer says is
compared with what another says at the end, because streams have no order among each other. Memory is bounded
per order: the facts of a history, not its messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from bestex import codec, sim_wire, subjects
from bestex import messages as m
from bestex.audit.children import ChildHistory
from bestex.audit.parents import ParentHistory
from bestex.audit.report import AuditReport, Findings, Record, Witness
from bestex.audit.slices import Command, SliceHistory, check_settled
from bestex.audit.venues import check_journals
from bestex.ids import parent_id_of_message
from bestex.journal import stream_of

# Their subjects keep a few values each, so what is missing between was dropped by design.
LIMITED = frozenset({subjects.METRICS, subjects.CONTROL})

Key = tuple[str, str]


@dataclass(slots=True)
class _Request:
    """What a user wrote."""

    witness: Witness
    verb: str
    parent_id: str
    body: dict[str, Any]


class Auditor:
    """`take` every record, each stream in its order, then `finish`."""

    def __init__(self) -> None:
        self._findings = Findings()
        self._first: dict[str, int] = {}
        self._last: dict[str, Witness] = {}
        self._records = 0
        self._fills: dict[str, Witness] = {}
        self._requests: dict[int, _Request] = {}
        self._parents: dict[Key, ParentHistory] = {}
        self._accepted: dict[str, ParentHistory] = {}
        self._slices: dict[tuple[str, str, int], SliceHistory] = {}
        self._children: dict[str, ChildHistory] = {}
        self._commands: dict[str, Command] = {}
        self._cancels: dict[str, Witness] = {}

    def _truncated(self, stream: str) -> bool:
        """Whether the stream has forgotten its beginning: then a missing beginning proves nothing."""
        return self._first.get(stream, 1) > 1

    # -- one record ------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        self._records += 1
        witness = Witness(record.stream, record.seq, record.subject, record.at_ns)
        self._sequence(record.stream, witness)
        if record.stream in LIMITED:
            return
        if record.stream == subjects.ORDERS:
            self._request(record, witness)
            return
        try:
            message = codec.from_json(record.data, subjects.kind_of(record.subject).message)
        except (KeyError, IndexError, ValueError, msgspec.MsgspecError) as error:
            self._findings.add(1, "unreadable", f"{record.subject}: {error}", witness)
            return
        if _subject_of(message) != record.subject or stream_of(record.subject) != record.stream:
            text = f"{record.subject} holds what belongs to {_subject_of(message)}"
            self._findings.add(7, "misplaced", text, witness)
            return
        self._sort(message, witness)

    def _sequence(self, stream: str, witness: Witness) -> None:
        last = self._last.get(stream)
        self._first.setdefault(stream, witness.seq)
        self._last[stream] = witness
        if last is None or stream in LIMITED or witness.seq == last.seq + 1:
            return
        if witness.seq <= last.seq:
            text = f"{stream} goes from {last.seq} back to {witness.seq}"
        else:
            text = f"{stream} has nothing between {last.seq} and {witness.seq}"
        self._findings.add(1, "stream_gap", text, last, witness)

    def _request(self, record: Record, witness: Witness) -> None:
        tokens = record.subject.split(".")
        try:
            body = json.loads(record.data or b"{}", parse_float=Decimal)
        except (ValueError, RecursionError):
            body = {}  # the scheduler refuses it; the audit only wants an answer
        if not isinstance(body, dict):
            body = {}
        verb = tokens[3] if len(tokens) > 3 else ""
        named = body.get("parent_id") if verb == "new" else tokens[6] if len(tokens) > 6 else ""
        parent_id = named if isinstance(named, str) and named else parent_id_of_message(record.seq)
        kept = {key: body[key] for key in ("side", "qty") if key in body}
        self._requests[record.seq] = _Request(witness, verb, parent_id, kept)

    def _sort(self, message: Any, witness: Witness) -> None:
        match message:
            case m.ParentEvent():
                parent = self._parent((message.symbol, message.parent_id))
                parent.take(message, witness)
                if isinstance(message, m.ParentAccepted):
                    self._accept(parent, message, witness)
            case m.RouteEvent():
                self._slice((message.symbol, message.parent_id, message.slice_no)).take(message, witness)
            case m.ChildNew():
                self._command(message, witness)
            case m.ChildCancel():
                known = self._cancels.setdefault(message.child_id, witness)
                if known is not witness:
                    text = f"the cancel of child {message.child_id} was ordered twice"
                    self._findings.add(7, "cancel_twice", text, known, witness)
            case m.ExecEvent():
                self._child(message.child_id, message.venue).take(message, witness)
            case m.Fill():
                before = self._fills.setdefault(witness.subject, witness)
                if before is not witness:
                    self._findings.add(6, "fill_twice", f"fill {message.fill_id} twice", before, witness)
                else:
                    self._child(message.child_id, message.venue).fill(message, witness)

    def _accept(self, parent: ParentHistory, event: m.ParentAccepted, witness: Witness) -> None:
        other = self._accepted.setdefault(event.parent_id, parent)
        if other is not parent:
            text = f"parent {event.parent_id} was accepted for two symbols"
            self._findings.add(2, "parent_twice", text, other.accepted_witness, witness)

    def _command(self, message: m.ChildNew, witness: Witness) -> None:
        known = self._commands.get(message.child_id)
        if known is not None:
            text = f"child {message.child_id} was ordered twice"
            self._findings.add(2, "child_twice", text, known.witness, witness)
            return
        self._commands[message.child_id] = Command(message, witness)

    def _parent(self, key: Key) -> ParentHistory:
        found = self._parents.get(key)
        if found is None:
            truncated = self._truncated(subjects.SCHED)
            found = self._parents[key] = ParentHistory(self._findings, key[1], truncated=truncated)
        return found

    def _slice(self, key: tuple[str, str, int]) -> SliceHistory:
        found = self._slices.get(key)
        if found is None:
            name, truncated = f"{key[1]}/{key[2]}", self._truncated(subjects.ROUTE)
            found = self._slices[key] = SliceHistory(self._findings, name, truncated=truncated)
        return found

    def _child(self, child_id: str, venue: str) -> ChildHistory:
        found = self._children.get(child_id)
        if found is None:
            truncated = self._truncated(subjects.exec_stream(venue))
            found = ChildHistory(self._findings, child_id, venue, truncated=truncated)
            self._children[child_id] = found
        return found

    # -- what must agree ---------------------------------------------------------------------------------------

    def finish(
        self, journals: Mapping[str, Iterable[sim_wire.JournalLine]], *, complete: bool
    ) -> AuditReport:
        self._check_requests(complete=complete)
        for parent in self._parents.values():
            parent.finish(complete=complete)
        self._check_slices(complete=complete)
        self._check_commands(complete=complete)
        for child_id, child in self._children.items():
            command = self._commands.get(child_id)
            child.finish(
                command.message if command else None,
                command.witness if command else None,
                route_truncated=self._truncated(subjects.ROUTE),
                complete=complete,
            )
        checked = self._counts()
        for venue, journal in check_journals(self._findings, journals).items():
            journal.finish(
                {key: child for key, child in self._children.items() if child.venue == venue},
                self._commands,
                truncated=self._truncated(subjects.exec_stream(venue)),
                complete=complete,
            )
            checked["venue orders"] = checked.get("venue orders", 0) + len(journal.orders)
            trades = sum(len(order.trades) for order in journal.orders.values())
            checked["venue trades"] = checked.get("venue trades", 0) + trades
        findings = self._findings
        return AuditReport(checked, tuple(findings.anomalies), findings.count, complete)

    def _check_requests(self, *, complete: bool) -> None:
        answered: dict[int, Witness] = {}
        for parent in self._parents.values():
            for seq, witness in parent.answers:
                before = answered.setdefault(seq, witness)
                if before is not witness:
                    text = f"the user's message {seq} was answered twice"
                    self._findings.add(7, "answered_twice", text, before, witness)
                if seq not in self._requests and not self._truncated(subjects.ORDERS):
                    text = f"answers the user's message {seq}, which is not there"
                    self._findings.add(1, "request_missing", text, witness)
            self._check_accepted(parent)
            for seq, (event, witness) in parent.modified.items():
                request = self._requests.get(seq)
                wanted = None if request is None else request.body.get("qty")
                if request is not None and wanted is not None and _decimal(wanted) != event.order.qty:
                    text = f"parent {parent.name}: modified to {event.order.qty}, the user wrote {wanted}"
                    self._findings.add(3, "order_differs", text, request.witness, witness)
        if complete:
            for seq, request in self._requests.items():
                if seq not in answered and not self._excused(request):
                    text = f"the user's {request.verb} of {request.parent_id} was never answered"
                    self._findings.add(1, "unanswered", text, request.witness)

    def _check_accepted(self, parent: ParentHistory) -> None:
        accepted = parent.accepted
        request = self._requests.get(accepted.order_seq) if accepted is not None else None
        if accepted is None or request is None:
            return
        order = accepted.order
        if request.verb != "new" or not _says(request, order):
            text = (
                f"parent {parent.name}: accepted as {order.side} {order.qty}, the user wrote {request.body}"
            )
            self._findings.add(3, "order_differs", text, request.witness, parent.accepted_witness)

    def _excused(self, request: _Request) -> bool:
        """The same order sent again under its id is a retry, and needs no second answer."""
        if request.verb != "new":
            return self._truncated(subjects.SCHED)
        known = self._accepted.get(request.parent_id)
        order = known.accepted.order if known is not None and known.accepted is not None else None
        return order is not None and _says(request, order)

    def _check_slices(self, *, complete: bool) -> None:
        route_truncated = self._truncated(subjects.ROUTE)
        for (symbol, parent_id), parent in self._parents.items():
            for number, order in parent.slices.items():
                route = self._slices.get((symbol, parent_id, number))
                if route is not None or not route_truncated:
                    name = f"{parent_id}/{number}"
                    check_settled(self._findings, name, order, route, complete=complete)
        for (symbol, parent_id, number), route in self._slices.items():
            owner = self._parents.get((symbol, parent_id))
            route.finish(
                owner.slices.get(number) if owner is not None else None,
                self._commands,
                self._cancels,
                self._children,
                sched_truncated=self._truncated(subjects.SCHED) or (owner is not None and owner.partial),
                complete=complete,
            )

    def _check_commands(self, *, complete: bool) -> None:
        """Children are exactly those of the decisions, as decided, and each has been executed."""
        legs = {
            leg.child_id: (event, leg, witness)
            for route in self._slices.values()
            for event, witness in route.decisions
            for leg in event.legs
        }
        for child_id, command in self._commands.items():
            if child_id not in legs:
                if not self._truncated(subjects.ROUTE):
                    text = f"child {child_id} was ordered, but never decided"
                    self._findings.add(2, "child_without_decision", text, command.witness)
                continue
            event, leg, witness = legs[child_id]
            if not _follows(command.message, event, leg):
                text = f"child {child_id} is not ordered as it was decided"
                self._findings.add(2, "child_differs", text, witness, command.witness)
            executed = child_id in self._children
            stream = subjects.exec_stream(command.message.venue)
            if complete and not executed and not self._truncated(stream):
                text = f"child {child_id} was ordered, and nothing came of it"
                self._findings.add(11, "child_not_ended", text, command.witness)

        decided = {
            child_id
            for route in self._slices.values()
            if route.recalled is not None
            for child_id in route.recalled[0].children
        }
        for child_id, witness in self._cancels.items():
            if child_id not in decided and not self._truncated(subjects.ROUTE):
                text = f"the cancel of child {child_id} was ordered, but never decided"
                self._findings.add(7, "cancel_without_decision", text, witness)

    def _counts(self) -> dict[str, int]:
        histories: list[ParentHistory | SliceHistory | ChildHistory]
        histories = [*self._parents.values(), *self._slices.values(), *self._children.values()]
        return {
            "messages": self._records,
            "parents": sum(parent.accepted is not None for parent in self._parents.values()),
            "slices": len(self._slices),
            "children": len(self._children),
            "fills": len(self._fills),
            "partial histories": sum(history.partial for history in histories),
        }


def audit(
    records: Iterable[Record],
    venue_journals: Mapping[str, Iterable[sim_wire.JournalLine]] | None = None,
    *,
    complete: bool = False,
) -> AuditReport:
    """Check promises 1 to 8 and 11 on `records`, each stream in its order, and on the venues' own journals.

    `complete` says that nothing is in flight any more: then everything must have been answered and have ended.
    """
    auditor = Auditor()
    for record in records:
        auditor.take(record)
    return auditor.finish(venue_journals or {}, complete=complete)


def _follows(child: m.ChildNew, decision: m.RouteDecided, leg: m.Leg) -> bool:
    """Whether the command says what the decision said."""
    of_leg = all(getattr(child, term) == getattr(leg, term) for term in _LEG_TERMS)
    return of_leg and all(getattr(child, term) == getattr(decision, term) for term in _DECISION_TERMS)


_LEG_TERMS = ("venue", "qty", "price", "tif", "post_only")
_DECISION_TERMS = (
    "symbol",
    "parent_id",
    "slice_no",
    "side",
    "expires_at",
    "good_till",
    "account",
    "algo",
    "build",
)


def _subject_of(message: Any) -> str:
    """Where a message belongs."""
    match message:
        case m.ParentEvent():
            return subjects.parent(message.symbol, message.parent_id, subjects.event_name(message))
        case m.RouteEvent():
            name = subjects.event_name(message)
            return subjects.route(message.symbol, message.parent_id, message.slice_no, name)
        case m.ExecEvent():
            name = subjects.event_name(message)
            return subjects.execution(message.venue, message.symbol, message.child_id, name)
        case m.Fill():
            return subjects.fill(message.venue, message.symbol, message.fill_id)
        case m.ChildNew():
            return subjects.child(message.venue, message.symbol, message.child_id, "new")
        case m.ChildCancel():
            return subjects.child(message.venue, message.symbol, message.child_id, "cancel")
        case m.ChildReplace():
            return subjects.child(message.venue, message.symbol, message.child_id, "replace")
    raise TypeError(f"{type(message).__name__} is no durable message")


def _says(request: _Request, order: m.ParentOrder) -> bool:
    """Whether the user asked for this order."""
    return request.body.get("side") == order.side and _decimal(request.body.get("qty")) == order.qty


def _decimal(value: object) -> Decimal | None:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return None
