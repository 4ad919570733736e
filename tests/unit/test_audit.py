"""The audit finds nothing in a correct history, and the right broken promise in every wrong one."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex import subjects
from bestex.audit import AuditReport, audit
from bestex.errors import Code
from bestex.messages import Side
from tests.unit.history import ID, PARENT, SYMBOL, at, events, journals, records
from tests.unit.history_edits import Edit, Event, changed, doubled, later, leg, where, without


def audited(history: list[Event], *, with_journals: bool = True, complete: bool = True) -> AuditReport:
    """The venues' journals are those of the true history, whatever the streams say."""
    return audit(records(history), journals(events()) if with_journals else {}, complete=complete)


def found(report: AuditReport) -> set[tuple[int, str]]:
    return {(anomaly.promise, anomaly.code) for anomaly in report.anomalies}


SECOND_CHILD = ID[1, 0, 1]
REJECTED = m.ExecRejected(
    venue="sim_b",
    symbol=SYMBOL,
    child_id=SECOND_CHILD,
    parent_id=PARENT,
    slice_no=1,
    at=at(39),
    code=Code.VENUE_REJECTED,
    text="refused",
)
REJECTED_SUBJECT = subjects.execution("sim_b", SYMBOL, SECOND_CHILD, "rejected")


def _unknown_called_rejected(history: list[Event]) -> list[Event]:
    i = where(history, "exec.unknown")
    rest = [e for e in history[i + 1 :] if getattr(e[2], "child_id", "") != SECOND_CHILD]
    return [*history[: i + 1], (REJECTED_SUBJECT, 39, REJECTED), *rest]


def _filled_after_the_end(history: list[Event]) -> list[Event]:
    i = where(history, "fill", 2)
    _, ms, fill = history[i]
    fill = msgspec.structs.replace(fill, trade_id="9", fill_id=f"9-{fill.child_id}", qty=D("0.1"), fee=D(0))
    end = where(history, "exec.expired")
    history.insert(end + 1, (subjects.fill("sim_b", SYMBOL, fill.fill_id), ms + 20, fill))
    return history


def _second_slice_too_large(history: list[Event]) -> list[Event]:
    """The slice asks for more than the parent has left, and the router follows it."""
    for name, nth in (("parent.sliced", 1), ("route.decided", 1), ("child.new", 3), ("exec.submitting", 3)):
        history = changed(name, nth, qty=D(1))(history)
    history = leg(2, qty=D(1))(history)
    return changed("route.done", 1, qty=D(1))(history)


def _ended_as(name: str, kind: type[m.ExecEnded], **more: Any) -> Edit:
    """A child's end with the same sums, but of another kind."""

    def edit(history: list[Event]) -> list[Event]:
        i = where(history, name)
        _, ms, event = history[i]
        end = kind(**{field: getattr(event, field) for field in m.ExecEnded.__struct_fields__}, **more)
        subject = subjects.execution(end.venue, SYMBOL, end.child_id, subjects.event_name(end))
        history[i] = (subject, ms, end)
        return history

    return edit


REFUSED = {"code": Code.VENUE_REJECTED, "text": "refused"}


def _slice_beyond_the_orders_limit(history: list[Event]) -> list[Event]:
    accepted = history[where(history, "parent.accepted")][2]
    order = msgspec.structs.replace(accepted.order, limit_price=D("100.9"))
    return changed("parent.accepted", order=order)(history)


def _routed_after_its_recall(history: list[Event]) -> list[Event]:
    again = history[where(history, "route.rerouted")][2]
    again = msgspec.structs.replace(again, slice_no=2, at=at(171), legs=[])
    history.insert(
        where(history, "route.recalled") + 1, (subjects.route(SYMBOL, PARENT, 2, "rerouted"), 171, again)
    )
    return history


WRONG: dict[str, tuple[Edit, int, str]] = {
    # 1: nothing acknowledged is lost
    "order lost": (without("order.new"), 1, "request_missing"),
    "order never answered": (doubled("order.pause"), 1, "unanswered"),
    "acceptance lost": (without("parent.accepted"), 1, "no_acceptance"),
    "pause lost": (without("parent.paused"), 1, "unanswered"),
    "modification lost": (without("parent.modified"), 1, "unanswered"),
    "first slice lost": (without("parent.sliced"), 1, "slice_missing"),
    "first decision lost": (without("route.decided"), 1, "decision_missing"),
    "child order lost": (without("child.new"), 1, "child_not_published"),
    "cancel lost": (without("child.cancel"), 1, "cancel_not_published"),
    # 2: no duplicate child
    "child ordered twice": (doubled("child.new"), 2, "child_twice"),
    "child nobody decided": (without("route.rerouted"), 2, "child_without_decision"),
    "child with another name": (leg(1, child_id="z" * 18), 2, "child_id"),
    "child larger than decided": (changed("child.new", qty=D("1.1")), 2, "child_differs"),
    "child of another price": (changed("child.new", price=D("100.6")), 2, "child_differs"),
    "child that lives longer": (changed("child.new", expires_at=at(9000)), 2, "child_differs"),
    "sent larger than ordered": (changed("exec.submitting", qty=D("1.1")), 2, "sent_differs"),
    "sent for another account": (changed("exec.submitting", account="other"), 2, "sent_differs"),
    "executed without a command": (without("child.new"), 2, "child_without_command"),
    "routed without a slice": (without("parent.sliced", 1), 2, "route_without_slice"),
    # 3: never an overfill
    "slices exceed the order": (_second_slice_too_large, 3, "overfill"),
    "slice of the wrong side": (changed("parent.sliced", side=Side.SELL), 3, "slice_wrong"),
    "leaves are wrong": (changed("parent.paused", leaves_qty=D(2)), 3, "leaves_differ"),
    "accepted as another quantity": (changed("order.new", qty=D(2)), 3, "order_differs"),
    "modified to another quantity": (changed("order.modify", qty=D(2)), 3, "order_differs"),
    "legs exceed what is routed": (leg(1, qty=D("1.1")), 3, "legs_exceed"),
    "slice beyond the order's limit": (_slice_beyond_the_orders_limit, 3, "slice_beyond_limit"),
    "leg beyond the slice's limit": (leg(1, price=D("101.5")), 3, "leg_beyond_limit"),
    "routed again too early": (later("exec.expired", ms=61), 3, "over_routed"),
    "routed again too much": (changed("route.rerouted", qty=D("0.7")), 3, "over_routed"),
    "given back too early": (later("exec.filled", 1, ms=76), 3, "released_early"),
    "ended with an open slice": (without("parent.settled", 1), 3, "ended_with_open_slice"),
    "filled beyond the limit": (changed("fill", price=D("100.51")), 3, "fill_beyond_limit"),
    "filled beyond the quantity": (changed("fill", qty=D("0.7")), 3, "child_overfilled"),
    "slice ends as another": (changed("route.done", qty=D(3)), 3, "slice_differs"),
    # 4: at most one send
    "submitted twice": (doubled("exec.submitting"), 4, "submitted_twice"),
    "sent without writing it down": (without("exec.submitting"), 4, "not_written_before_send"),
    # 5: unknown is not rejected
    "unknown called rejected": (_unknown_called_rejected, 5, "unknown_called_rejected"),
    "rejected while at work": (_ended_as("exec.canceled", m.ExecRejected, **REFUSED), 5, "rejected_at_work"),
    "rejected with fills": (_ended_as("exec.expired", m.ExecRejected, **REFUSED), 5, "rejected_with_fills"),
    # 6: fills exactly once
    "fill lost": (without("fill"), 6, "child_sums"),
    "fill twice": (doubled("fill"), 6, "fill_twice"),
    "same trade under another id": (changed("fill", 1, trade_id="1"), 6, "trade_twice"),
    "fill of another quantity": (changed("fill", qty=D("0.5")), 6, "child_sums"),
    "fill with another fee": (changed("fill", fee=D(0)), 6, "fill_differs"),
    "fill for another slice": (changed("fill", slice_no=2), 6, "owner_differs"),
    "fill after the end": (_filled_after_the_end, 6, "late_fill"),
    "filled, but not whole": (changed("exec.filled", cum_qty=D("0.9")), 6, "child_sums"),
    "filled with less than it was": (_ended_as("exec.expired", m.ExecFilled), 6, "filled_short"),
    "slice says less": (changed("route.done", filled_qty=D("1.9")), 6, "slice_sums"),
    "slice says another notional": (changed("route.done", notional=D(1)), 6, "slice_sums"),
    "settled with other fees": (changed("parent.settled", fees=D(0)), 6, "settled_differs"),
    "settled before the route ended": (without("route.done"), 6, "settled_without_end"),
    "parent counts another sum": (changed("parent.paused", cum_qty=D(1)), 6, "cum_differs"),
    "parent ends with other fees": (changed("parent.done", fees=D(0)), 6, "parent_sums"),
    "another average": (changed("parent.done", avg_px=D(100)), 6, "average_differs"),
    # 7: one writer
    "accepted twice": (doubled("parent.accepted"), 7, "accepted_twice"),
    "slice twice": (doubled("parent.sliced"), 7, "slice_twice"),
    "settled twice": (doubled("parent.settled"), 7, "settled_twice"),
    "parent ended twice": (doubled("parent.done"), 7, "after_the_end"),
    "recalled twice": (doubled("parent.recalled"), 7, "recalled_twice"),
    "canceled twice": (doubled("parent.canceling"), 7, "canceled_twice"),
    "modified twice": (doubled("parent.modified"), 7, "answered_twice"),
    "resumed twice": (doubled("parent.resumed"), 7, "pause_order"),
    "decided twice": (doubled("route.decided"), 7, "decided_twice"),
    "routed again twice": (doubled("route.rerouted"), 7, "decided_twice"),
    "route ended twice": (doubled("route.done"), 7, "after_the_end"),
    "recall nobody asked for": (without("parent.recalled"), 7, "recall_without_request"),
    "cancel nobody decided": (without("route.recalled"), 7, "cancel_without_decision"),
    "cancel ordered twice": (doubled("child.cancel"), 7, "cancel_twice"),
    "accepted twice by the venue": (doubled("exec.accepted", 1), 7, "transition"),
    "child ended twice": (doubled("exec.filled"), 7, "after_the_end"),
    "event under another's subject": (changed("parent.paused", parent_id="p2"), 7, "misplaced"),
    # 8: nothing stale
    "submitted after it expired": (changed("exec.submitting", at=at(2100)), 8, "sent_stale"),
    "sliced while paused": (without("parent.resumed"), 8, "sliced_while_held"),
    "routed after its recall": (_routed_after_its_recall, 8, "routed_after_recall"),
    # 11: everything ends, with a reason
    "parent never ended": (without("parent.done"), 11, "parent_not_ended"),
    "slice never ended": (without("route.done", 1), 11, "slice_not_ended"),
    "child never ended": (without("exec.canceled"), 11, "child_not_ended"),
    "ended for another reason": (changed("parent.done", reason=Code.FILLED), 11, "wrong_reason"),
}


def test_a_correct_history_has_no_anomaly() -> None:
    report = audited(events())
    assert report.ok, report.text()
    assert report.checked["children"] == report.checked["venue orders"] == 4
    assert report.checked["fills"] == report.checked["venue trades"] == 4


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_breaks_the_right_promise(name: str) -> None:
    edit, promise, code = WRONG[name]
    history = edit(events())
    assert history != events(), "the edit changed something"
    report = audited(history)
    assert (promise, code) in found(report), report.text()
    assert all(anomaly.witnesses for anomaly in report.anomalies), report.text()


@pytest.mark.parametrize("place", range(len(events())))
def test_a_message_missing_from_its_stream_is_found(place: int) -> None:
    """Whatever it said. Only the first message of a stream may be missing: streams forget what is too old."""
    kept = records(events())
    lost = kept.pop(place)
    report = audit(kept, journals(events()), complete=True)
    assert not report.ok or lost.seq == 1
    inside = any(r.stream == lost.stream and r.seq > lost.seq for r in kept) and lost.seq > 1
    assert ((1, "stream_gap") in found(report)) is inside


@pytest.mark.parametrize("place", range(len(events())))
def test_the_beginning_of_a_history_is_no_anomaly(place: int) -> None:
    """A platform at work, looked at at any instant: what has not happened yet is not missing."""
    by_time = sorted(events(), key=lambda event: event[1])[: place + 1]
    report = audit(records(by_time), journals(by_time), complete=False)
    assert report.ok, report.text()


@pytest.mark.parametrize("cut", range(1, 10))
def test_streams_that_forgot_their_beginning_are_not_accused(cut: int) -> None:
    history = [record for record in records(events()) if record.at_ns >= at(cut * 20)]
    first = {record.stream: record.seq for record in reversed(history)}
    report = audit(history, complete=True)
    complaints = {code for _, code in found(report)}
    assert min(first.values()) == 1 or not complaints, report.text()


def test_one_id_for_two_parents_is_found() -> None:
    accepted = events()[where(events(), "parent.accepted")][2]
    other = msgspec.structs.replace(accepted, symbol="ETH/USDT")
    history = [*events(), (subjects.parent("ETH/USDT", PARENT, "accepted"), 500, other)]
    assert (2, "parent_twice") in found(audited(history))


def test_a_retry_of_the_same_order_needs_no_second_answer() -> None:
    subject, ms, order = events()[0]
    assert audited([*events(), (subject, ms + 500, order)]).ok


def test_a_message_that_cannot_be_read_is_found() -> None:
    history = records(events())
    history[1] = history[1]._replace(data=b'{"event":"accepted"')
    assert (1, "unreadable") in found(audit(history))


def test_the_report_names_promise_and_witness_for_people_and_machines() -> None:
    report = audited(doubled("fill")(events()))
    text, machine = report.text(), report.builtins()
    assert "promise 6 (no fill lost or counted twice): fill_twice" in text
    assert "EXEC_sim_a" in text
    assert text.endswith("venue trades")
    assert machine["anomalies"] == len(machine["found"]) == 1
    assert machine["found"][0]["witnesses"][0]["stream"] == "EXEC_sim_a"


def test_claims_are_no_part_of_any_order() -> None:
    claim = m.Epoch(service="scheduler", works=["twap"], writer="one", after=0, at=at(0))
    assert audited([(subjects.epoch("scheduler", "all"), 0, claim), *events()]).ok
