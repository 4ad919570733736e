"""More wrong histories, promise by promise: each looks right to everybody but one."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from bestex import codec, subjects
from bestex import messages as m
from bestex.audit import AuditReport, Record, audit
from bestex.errors import Code
from bestex.messages import Tif
from tests.unit.history import ID, PARENT, SYMBOL, T0, at, events, journals, records
from tests.unit.history_edits import Edit, Event, after, both, changed, later, leg, where

UNKNOWN, RESTING = ID[1, 0, 1], ID[2, 0, 0]  # at sim_b, and at sim_a


def audited(history: list[Event], *, complete: bool = True) -> AuditReport:
    return audit(records(history), journals(events()), complete=complete)


def found(report: AuditReport) -> set[tuple[int, str]]:
    return {(anomaly.promise, anomaly.code) for anomaly in report.anomalies}


def _exec(kind: Any, ms: int, child_id: str, venue: str, slice_no: int, **more: Any) -> Event:
    owner = {"venue": venue, "symbol": SYMBOL, "child_id": child_id}
    event = kind(**owner, parent_id=PARENT, slice_no=slice_no, at=at(ms), **more)
    return subjects.execution(venue, SYMBOL, child_id, subjects.event_name(event)), ms, event


def _order(**values: Any) -> Edit:
    """The order as the scheduler took it."""

    def edit(history: list[Event]) -> list[Event]:
        order = history[where(history, "parent.accepted")][2].order
        return changed("parent.accepted", order=msgspec.structs.replace(order, **values))(history)

    return edit


def _modified(**values: Any) -> Edit:
    def edit(history: list[Event]) -> list[Event]:
        order = history[where(history, "parent.modified")][2].order
        return changed("parent.modified", order=msgspec.structs.replace(order, **values))(history)

    return edit


def _replaced(qty: str, *, ordered: str | None = None, expires_ms: int = 2000, decided: bool = True) -> Edit:
    """The resting child is replaced; `ordered` is what the router asked for."""
    terms = {"qty": D(qty), "price": D(99)}
    happened = [
        _exec(m.ExecReplacing, 152, RESTING, "sim_a", 2, **terms, deadline=at(1500)),
        _exec(m.ExecReplaced, 154, RESTING, "sim_a", 2, **terms, venue_order_id="4"),
    ]
    if ordered is not None:
        command = m.ChildReplace(
            child_id=RESTING,
            parent_id=PARENT,
            venue="sim_a",
            symbol=SYMBOL,
            qty=D(ordered),
            price=D(99),
            expires_at=at(expires_ms),
        )
        happened.insert(0, (subjects.child("sim_a", SYMBOL, RESTING, "replace"), 151, command))
        if decided:
            change = m.RouteRepriced(
                symbol=SYMBOL,
                parent_id=PARENT,
                slice_no=2,
                at=at(151),
                children=[m.Repriced(RESTING, D(ordered), D(99))],
                expires_at=at(expires_ms),
                review_at=at(1151),
            )
            happened.insert(0, (subjects.route(SYMBOL, PARENT, 2, "repriced"), 151, change))
    return after("exec.accepted", 1, *happened)


def _unknown_then(kind: Any, ms: int, **more: Any) -> Edit:
    """The child that nobody knew of ends so, and nothing else is heard of it."""

    def edit(history: list[Event]) -> list[Event]:
        i = where(history, "exec.unknown") + 1
        rest = [e for e in history[i:] if getattr(e[2], "child_id", "") != UNKNOWN]
        return [*history[:i], _exec(kind, ms, UNKNOWN, "sim_b", 1, **more), *rest]

    return edit


def _moved_to_another_venue(history: list[Event]) -> list[Event]:
    i = where(history, "exec.filled")
    _, ms, event = history[i]
    event = msgspec.structs.replace(event, venue="sim_b")
    history[i] = subjects.execution("sim_b", SYMBOL, event.child_id, "filled"), ms, event
    return history


def _cancel_sent_elsewhere(history: list[Event]) -> list[Event]:
    i = where(history, "child.cancel")
    _, ms, command = history[i]
    command = msgspec.structs.replace(command, venue="sim_b")
    history[i] = subjects.child("sim_b", SYMBOL, command.child_id, "cancel"), ms, command
    return history


def _without_canceling(history: list[Event]) -> list[Event]:
    del history[where(history, "exec.canceling")]
    return history


REFUSED = {"code": Code.TIMEOUT, "text": "no"}
REPORT = m.TcaReport(
    parent_id=PARENT,
    symbol=SYMBOL,
    algo="twap",
    side=m.Side.BUY,
    at=at(300),
    qty=D("2.5"),
    cum_qty=D("2"),
    avg_px=None,
    arrival_px=None,
    fees=D("0.20096"),
)


def _halt(ms: int, halted: bool, scope: str = "venue-sim_a") -> Event:
    halt = m.Halt(scope=scope, halted=halted, reason="drill", by="me", at=at(ms))
    return subjects.halt(scope), ms, halt


WRONG: dict[str, tuple[Edit, int, str]] = {
    # 1: what was said is answered, and as it was meant
    "a pause taken for the cancel": (changed("parent.canceling", order_seq=2), 1, "answered_wrongly"),
    # 2: a child is one order, at one venue
    "a child at two venues": (_moved_to_another_venue, 2, "child_at_two_venues"),
    "replaced by nobody's order": (_replaced("0.4"), 2, "replace_without_command"),
    "replaced by another quantity": (_replaced("0.4", ordered="0.3"), 2, "replace_differs"),
    # 3: never an overfill, and never beyond what the user wrote
    "another venue's end came later": (later("exec.expired", ms=150), 3, "exposed"),
    "replaced to more than the order": (_replaced("1", ordered="1"), 3, "exposed"),
    "accepted with a limit": (_order(limit_price=D(102)), 3, "order_differs"),
    "accepted for another account": (_order(account="other"), 3, "order_differs"),
    "accepted for some venues": (_order(venues=["sim_a"]), 3, "order_differs"),
    "accepted by another algorithm": (_order(algo="vwap"), 3, "order_differs"),
    "modified to a limit": (_modified(limit_price=D(102)), 3, "order_differs"),
    "modified to another side": (_modified(side=m.Side.SELL), 3, "order_differs"),
    "a slice for other venues": (
        both(_order(venues=["sim_a"]), changed("parent.sliced", venues=["sim_a", "sim_b"])),
        3,
        "slice_wrong",
    ),
    "a slice for all venues of an order for some": (_order(venues=["sim_a"]), 3, "slice_wrong"),
    "a slice of another algorithm": (changed("parent.sliced", algo="vwap"), 3, "slice_wrong"),
    "a leg at a venue not allowed": (changed("parent.sliced", venues=["sim_b"]), 3, "leg_elsewhere"),
    # 4: written down before it is sent
    "written down after the venue got it": (later("exec.submitting", ms=400), 4, "not_written_before_send"),
    # 5: only evidence ends what is unknown
    "unknown, then not sent": (
        _unknown_then(m.ExecRejected, 39, **REFUSED, evidence="not_sent"),
        5,
        "unknown_called_rejected",
    ),
    "unknown, then ended by a code": (
        _unknown_then(m.ExecRejected, 39, **REFUSED),
        5,
        "unknown_called_rejected",
    ),
    "absent before it could have arrived": (
        _unknown_then(m.ExecRejected, 7900, **REFUSED, evidence="absent"),
        5,
        "absent_too_early",
    ),
    "absent though the venue took it": (
        _unknown_then(m.ExecRejected, 8100, **REFUSED, evidence="absent"),
        5,
        "rejected_though_taken",
    ),
    # 6: no fill lost or counted twice
    "marked late in time": (changed("fill", flag="late"), 6, "flag_differs"),
    "another sum than the venue's": (changed("exec.expired", cum_qty=D("0.3")), 6, "venue_sum_differs"),
    "reported with other fees": (
        lambda history: [
            *history,
            (subjects.metrics("tca", PARENT), 300, msgspec.structs.replace(REPORT, fees=D(1))),
        ],
        6,
        "report_differs",
    ),
    # 8: nothing stale
    "routed on an old book": (changed("route.rerouted", book_at=at(-9000)), 8, "book_too_old"),
    "routed without a book": (changed("route.rerouted", book_at=None), 8, "book_too_old"),
    "routed after its slice's time": (changed("parent.sliced", expires_at=at(60)), 8, "routed_stale"),
    "children outlive their slice": (changed("parent.sliced", expires_at=at(4000)), 8, "children_outlive"),
    "may leave after its time": (changed("exec.submitting", deadline=at(2021)), 8, "deadline_too_late"),
    "replaced though nobody decided it": (
        _replaced("0.4", ordered="0.4", decided=False),
        7,
        "replace_without_decision",
    ),
    "replaced after its time": (_replaced("0.4", ordered="0.4", expires_ms=151), 8, "sent_stale"),
    "sent under a halt": (lambda history: [_halt(-3000, True), *history], 8, "sent_while_halted"),
    "sent under a global halt": (
        lambda history: [_halt(-3000, True, "global"), *history],
        8,
        "sent_while_halted",
    ),
    # 11: the reason is the reason
    "a whole slice ends as expired": (changed("route.done", reason=Code.EXPIRED), 11, "wrong_reason"),
    "a recalled slice ends as dust": (changed("route.done", 1, reason=Code.DUST), 11, "wrong_reason"),
    "settled for another reason": (changed("parent.settled", reason=Code.DUST), 11, "wrong_reason"),
    "a canceled order ends as completed": (
        changed("parent.done", reason=Code.COMPLETED),
        11,
        "wrong_reason",
    ),
    "a cancel at another venue": (_cancel_sent_elsewhere, 11, "cancel_elsewhere"),
    "a cancel that nobody sent": (
        both(_without_canceling, later("exec.canceled", ms=61_000)),
        11,
        "cancel_ignored",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_breaks_the_right_promise(name: str) -> None:
    edit, promise, code = WRONG[name]
    report = audited(edit(events()))
    assert (promise, code) in found(report), report.text()
    assert all(anomaly.witnesses for anomaly in report.anomalies), report.text()


RIGHT: dict[str, Edit] = {
    "replaced as it was ordered": _replaced("0.4", ordered="0.4"),
    "reported as it was": lambda history: [*history, (subjects.metrics("tca", PARENT), 300, REPORT)],
    "a halt that was lifted": lambda history: [_halt(-9000, True), _halt(-10, False), *history],
    "a halt that the gateway has just heard": lambda history: [_halt(24, True), *history],
    "a halt of somebody else": lambda history: [_halt(-3000, True, "algo-vwap"), *history],
    "a resting order needs no book": changed("route.decided", 1, book_at=None),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_may_happen_is_no_anomaly(name: str) -> None:
    history = RIGHT[name](events())
    assert history != events(), "the edit changed something"
    report = audited(history)
    assert report.ok, report.text()


def test_an_unknown_child_that_the_venue_refused_may_end_early() -> None:
    history = _unknown_then(m.ExecRejected, 39, **REFUSED, evidence="refused")(events())
    assert not {code for _, code in found(audit(records(history)))} & {
        "unknown_called_rejected",
        "absent_too_early",
    }


def test_a_halt_that_cannot_be_read_halts() -> None:
    """Until a readable one follows."""
    unreadable = Record("CONTROL", 1, subjects.halt("global"), T0 - 3 * 10**9, b"stop!")
    assert (8, "sent_while_halted") in found(audit([unreadable, *records(events())]))
    subject, ms, lifted = _halt(-10, False, "global")
    readable = Record("CONTROL", 2, subject, T0 + ms * 10**6, codec.to_json(lifted))
    assert audit([unreadable, readable, *records(events())]).ok


def test_a_replayed_history_is_measured_by_its_own_clock() -> None:
    """The services' clock shows the recording's time, the bus's the present."""
    shift = 400 * 86_400 * 10**9
    replayed = [record._replace(at_ns=record.at_ns + shift) for record in records(events())]
    report = audit(replayed, journals(events()), complete=True)
    assert report.ok, report.text()


# -- 7: one writer, by the headers ---------------------------------------------------------------------------


def _headed(*heads: dict[str, str]) -> list[Record]:
    """The first parent events, written so."""
    kept = records(events())
    places = [i for i, record in enumerate(kept) if record.stream == "SCHED"]
    for i, head in zip(places, heads, strict=False):
        kept[i] = kept[i]._replace(headers=head)
    return kept


def _head(writer: str, count: int, epoch: int = 0, more: dict[str, str] | None = None) -> dict[str, str]:
    epochs = {"Bestex-Epoch": str(epoch)} if epoch else {}
    return {"Bestex-Writer": writer, "Bestex-Token": f"{writer}.{count}", **epochs, **(more or {})}


WRITTEN: dict[str, tuple[list[dict[str, str]], set[tuple[int, str]]]] = {
    "by one": ([_head("a", 1), _head("a", 2), _head("a", 5)], set()),
    "by one and its successor": ([_head("a", 1), _head("b", 1), _head("b", 2)], set()),
    "by two at once": ([_head("a", 1), _head("b", 1), _head("a", 2)], {(7, "two_writers")}),
    "twice by one": ([_head("a", 1), _head("a", 1)], {(7, "append_twice")}),
    "under an old epoch": ([_head("a", 1, 7), _head("b", 1, 6)], {(7, "old_epoch")}),
    "under a new epoch": ([_head("a", 1, 6), _head("b", 1, 7)], set()),
    "with an aside of another": (
        [_head("a", 1), _head("b", 1, more={"Bestex-Aside": "1"}), _head("a", 2)],
        set(),
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_history_has_one_writer_at_a_time(name: str) -> None:
    heads, wrong = WRITTEN[name]
    assert found(audit(_headed(*heads), journals(events()), complete=True)) == wrong


def test_who_works_is_part_of_no_order() -> None:
    epoch = Record("SCHED", 1, "bestex.v1.epoch.scheduler.twap", T0, b"{}")
    moved = [r._replace(seq=r.seq + 1) if r.stream == "SCHED" else r for r in records(events())]
    assert audit([epoch, *moved], journals(events()), complete=True).ok


@pytest.mark.parametrize("tif", [Tif.IOC, Tif.GTC])
def test_a_decision_names_its_price_by_the_book_that_it_saw(tif: Tif) -> None:
    report = audited(both(leg(2, tif=tif), changed("route.decided", 1, book_at=None))(events()))
    assert ((8, "book_too_old") in found(report)) is (tif is Tif.IOC)
