"""From all streams to all anomalies: one pass that sorts events to their histories, then what must agree.

Histories are checked on their own as their events come, in the order of their stream; what one writer says is
compared with what another says at the end, because streams have no order among each other. Memory is bounded
per order: the facts of a history, not its messages.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bestex import codec, sim_wire, subjects
from bestex import messages as m
from bestex.audit.children import ChildHistory
from bestex.audit.exposure import check_exposure
from bestex.audit.halts import Halts
from bestex.audit.parents import ParentHistory
from bestex.audit.reading import Misplaced, read
from bestex.audit.report import AuditReport, Findings, Record, Witness
from bestex.audit.requests import Requests
from bestex.audit.slices import Command, SliceHistory, check_settled
from bestex.audit.venues import read_journals
from bestex.audit.writers import Writers
from bestex.clock import SECOND

# Their subjects keep a few values each, so what is missing between was dropped by design.
LIMITED = frozenset({subjects.METRICS, subjects.CONTROL})
# The defaults' `limits.max_book_age`, and `market_data.max_clock_skew` between the two clocks that tell an age.
BOOK_AGE_NS = (3 + 5) * SECOND
TCA = f"{subjects.ROOT}.metrics.tca."
# Who works, and what accounts hold, in each role's own stream: part of no order.
OF_NO_ORDER = tuple(f"{subjects.ROOT}.{head}." for head in ("epoch", "holdings"))

Key = tuple[str, str]


class Auditor:
    """`take` every record, each stream in its order, then `finish`. No decision trades on an older book than
    `book_age_ns`."""

    def __init__(self, book_age_ns: int = BOOK_AGE_NS) -> None:
        self._findings = Findings()
        self._book_age_ns = book_age_ns
        self._requests = Requests(self._findings, self._truncated)
        self._writers = Writers(self._findings)
        self._halts = Halts(self._findings)
        self._first: dict[str, int] = {}
        self._last: dict[str, Witness] = {}
        self._records = 0
        self._fills: dict[str, Witness] = {}
        self._parents: dict[Key, ParentHistory] = {}
        self._accepted: dict[str, ParentHistory] = {}
        self._slices: dict[tuple[str, str, int], SliceHistory] = {}
        self._children: dict[str, ChildHistory] = {}
        self._commands: dict[str, Command] = {}
        self._cancels: dict[str, tuple[m.ChildCancel, Witness]] = {}
        self._replaces: dict[str, tuple[m.ChildReplace, Witness]] = {}
        self._reports: dict[str, tuple[m.TcaReport, Witness]] = {}

    def _truncated(self, stream: str) -> bool:
        """Whether the stream has forgotten its beginning: then a missing beginning proves nothing."""
        return self._first.get(stream, 1) > 1

    # -- one record ------------------------------------------------------------------------------------------

    def take(self, record: Record) -> None:
        self._records += record.stream != subjects.METRICS  # those are about the others
        witness = Witness(record.stream, record.seq, record.subject, record.at_ns)
        self._sequence(record.stream, witness)
        if record.stream == subjects.ORDERS:
            self._requests.take(record, witness)
        elif record.stream == subjects.CONTROL:
            self._halts.take(record, witness)
        elif record.stream == subjects.METRICS:
            self._report(record, witness)
        elif not record.subject.startswith(OF_NO_ORDER):
            try:
                message = read(record.stream, record.subject, record.data)
            except ValueError as error:
                self._findings.add(1, "unreadable", f"{record.subject}: {error}", witness)
            except Misplaced as error:
                self._findings.add(7, "misplaced", str(error), witness)
            else:
                self._writers.take(record, witness)
                self._sort(message, witness)

    def _report(self, record: Record, witness: Witness) -> None:
        """The last report of an order counts; other metrics are sums over many."""
        if record.subject.startswith(TCA):
            report = codec.from_json(record.data, m.TcaReport)
            self._reports[report.parent_id] = report, witness

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

    def _sort(self, message: Any, witness: Witness) -> None:
        match message:
            case m.ExecEvent():
                self._child(message.child_id, message.venue).take(message, witness)
            case m.Fill():
                before = self._fills.setdefault(witness.subject, witness)
                if before is not witness:
                    self._findings.add(6, "fill_twice", f"fill {message.fill_id} twice", before, witness)
                else:
                    self._child(message.child_id, message.venue).fill(message, witness)
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
                _, known = self._cancels.setdefault(message.child_id, (message, witness))
                if known is not witness:
                    text = f"the cancel of child {message.child_id} was ordered twice"
                    self._findings.add(7, "cancel_twice", text, known, witness)
            case m.ChildReplace():
                self._replaces.setdefault(message.child_id, (message, witness))

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
            found = self._slices[key] = SliceHistory(
                self._findings, name, truncated=truncated, book_age_ns=self._book_age_ns
            )
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
        self._requests.check(self._parents.values(), self._accepted, complete=complete)
        for parent in self._parents.values():
            parent.finish(complete=complete)
            self._check_report(parent)
        self._check_slices(complete=complete)
        self._check_commands(complete=complete)
        venues = read_journals(self._findings, journals)
        for child_id, child in self._children.items():
            command = self._commands.get(child_id)
            venue = venues.get(child.venue)
            child.finish(
                command.message if command else None,
                command.witness if command else None,
                self._replaces.get(child_id),
                venue_ended_ns=venue.ended_ns(child_id) if venue is not None else None,
                route_truncated=self._truncated(subjects.ROUTE),
                complete=complete,
            )
        check_exposure(self._findings, self._parents, self._children.values())
        self._halts.check(self._children.values())
        checked = self._counts()
        for name, journal in venues.items():
            journal.finish(
                {key: child for key, child in self._children.items() if child.venue == name},
                self._commands,
                truncated=self._truncated(subjects.exec_stream(name)),
                complete=complete,
            )
            checked["venue orders"] = checked.get("venue orders", 0) + len(journal.orders)
            trades = sum(len(order.trades) for order in journal.orders.values())
            checked["venue trades"] = checked.get("venue trades", 0) + trades
        findings = self._findings
        return AuditReport(checked, tuple(findings.anomalies), findings.count, complete)

    def _check_report(self, parent: ParentHistory) -> None:
        """What a report says was filled and paid is what the order says."""
        done, (report, witness) = parent.done, self._reports.get(parent.name, (None, None))
        if done is None or report is None or parent.partial:
            return
        if (report.cum_qty, report.fees) != (done.cum_qty, done.fees):
            text = (
                f"parent {parent.name}: reported {report.cum_qty} filled and {report.fees} fees, "
                f"it ended with {done.cum_qty} and {done.fees}"
            )
            self._findings.add(6, "report_differs", text, parent.done_witness, witness)

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
                self._replaces,
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
            for event, _ in route.cancelling()
            for child_id in event.children
        }
        changed = {
            (one.child_id, one.qty, one.price)
            for route in self._slices.values()
            for change, _ in route.repriced
            for one in change.children
        }
        for child_id, (replace, witness) in self._replaces.items():
            if (child_id, replace.qty, replace.price) not in changed and not self._truncated(subjects.ROUTE):
                text = f"the change of child {child_id} was ordered, but never decided so"
                self._findings.add(7, "replace_without_decision", text, witness)
        for child_id, (cancel, witness) in self._cancels.items():
            self._check_cancel(cancel, witness, decided=child_id in decided, complete=complete)

    def _check_cancel(
        self, cancel: m.ChildCancel, witness: Witness, *, decided: bool, complete: bool
    ) -> None:
        child_id = cancel.child_id
        if not decided and not self._truncated(subjects.ROUTE):
            text = f"the cancel of child {child_id} was ordered, but never decided"
            self._findings.add(7, "cancel_without_decision", text, witness)
        command = self._commands.get(child_id)
        if command is not None and (cancel.venue, cancel.symbol) != (
            command.message.venue,
            command.message.symbol,
        ):
            text = (
                f"the cancel of child {child_id} went to {cancel.venue}, the child to {command.message.venue}"
            )
            self._findings.add(11, "cancel_elsewhere", text, command.witness, witness)
        child = self._children.get(child_id)
        if complete and child is not None:
            child.check_cancel(witness)

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
    book_age_ns: int = BOOK_AGE_NS,
) -> AuditReport:
    """Check promises 1 to 8 and 11 on `records`, each stream in its order, and on the venues' own journals.

    `complete` says that nothing is in flight any more: then everything must have been answered and have ended.
    """
    auditor = Auditor(book_age_ns)
    with _everything_is_kept():
        for record in records:
            auditor.take(record)
        return auditor.finish(venue_journals or {}, complete=complete)


@contextmanager
def _everything_is_kept() -> Iterator[None]:
    """An audit makes no cycles and lets go of nothing before its end: looking for garbage takes a quarter of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _follows(child: m.ChildNew, decision: m.RouteDecided, leg: m.Leg) -> bool:
    """Whether the command says what the decision said."""
    of_leg = all(getattr(child, term) == getattr(leg, term) for term in _LEG_TERMS)
    return of_leg and all(getattr(child, term) == getattr(decision, term) for term in _DECISION_TERMS)


_LEG_TERMS = (
    "venue",
    "qty",
    "price",
    "tif",
    "post_only",
    "send_at",
    "display_qty",
    "min_fill_qty",
    "conditional",
)
_DECISION_TERMS = (
    *("symbol", "parent_id", "slice_no", "side", "expires_at", "good_till", "account", "algo"),
    "build",
)
