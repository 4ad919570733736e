"""The audit against the venues' own journals: the venue's word is the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bestex import sim_wire as wire
from bestex.audit import AuditReport, audit
from bestex.clock import MS, SECOND
from tests.unit.history import ID, at, events, journals, records
from tests.unit.history_edits import Event, changed, where


def found(report: AuditReport) -> set[tuple[int, str]]:
    return {(anomaly.promise, anomaly.code) for anomaly in report.anomalies}


def _line(lines: list[wire.JournalLine], kind: type[Any] | None) -> tuple[int, wire.JournalEntry]:
    """The first entry with such a request; with None the first that holds a trade."""
    for i, line in enumerate(lines):
        if isinstance(line, wire.JournalEntry) and (
            bool(line.trades) if kind is None else isinstance(line.request, kind)
        ):
            return i, line
    raise AssertionError("no such line")


def journaled(
    edit: Callable[[list[wire.JournalLine]], None], *, complete: bool = True
) -> set[tuple[int, str]]:
    lines = journals(events())
    edit(lines["sim_a"])
    return found(audit(records(events()), lines, complete=complete))


def test_an_order_that_the_venue_got_twice_is_found() -> None:
    def twice(lines: list[wire.JournalLine]) -> None:
        lines.append(_line(lines, wire.Submit)[1])

    assert (4, "received_twice") in journaled(twice)


def test_an_order_that_was_never_written_down_is_found() -> None:
    def unknown(lines: list[wire.JournalLine]) -> None:
        entry = _line(lines, wire.Submit)[1]
        assert isinstance(entry.request, wire.Submit)
        request = msgspec.structs.replace(entry.request, client_id="x" * 18)
        lines.append(msgspec.structs.replace(entry, request=request, orders=[]))

    assert (4, "not_written_before_send") in journaled(unknown)
    assert (4, "not_written_before_send") in journaled(unknown, complete=False)


def test_an_order_sent_after_the_streams_were_read_is_no_anomaly() -> None:
    def just_sent(lines: list[wire.JournalLine]) -> None:
        entry = _line(lines, wire.Submit)[1]
        assert isinstance(entry.request, wire.Submit)
        request = msgspec.structs.replace(entry.request, client_id="x" * 18)
        lines.append(msgspec.structs.replace(entry, request=request, orders=[], at_ns=int(at(10_000))))

    assert not journaled(just_sent, complete=False)


def test_a_trade_without_a_fill_is_found() -> None:
    def another(lines: list[wire.JournalLine]) -> None:
        entry = _line(lines, None)[1]
        trade = msgspec.structs.replace(entry.trades[0], trade_id=77)
        lines.append(msgspec.structs.replace(entry, trades=[trade]))

    assert (6, "fill_missing") in journaled(another)
    assert (6, "fill_missing") in journaled(another, complete=False), "its child has ended"


def test_a_fill_that_stays_away_though_later_ones_came_is_found_before_its_child_ends() -> None:
    working = [event for event in events() if event[0].split(".")[-1] != "filled"]
    lines = journals(working)
    i, entry = _line(lines["sim_a"], None)
    early = msgspec.structs.replace(entry.trades[0], trade_id=77)

    def audited(seconds_before: int) -> set[tuple[int, str]]:
        at_ns = entry.at_ns - seconds_before * SECOND
        missed = msgspec.structs.replace(entry, at_ns=at_ns, trades=[early])
        told = {**lines, "sim_a": [*lines["sim_a"][:i], missed, *lines["sim_a"][i:]]}
        return found(audit(records(working), told))

    assert (6, "fill_missing") in audited(61)
    assert (6, "fill_missing") not in audited(1)


def test_an_order_unlike_what_was_written_down_is_found() -> None:
    def larger(lines: list[wire.JournalLine]) -> None:
        i, entry = _line(lines, wire.Submit)
        assert isinstance(entry.request, wire.Submit)
        request = msgspec.structs.replace(entry.request, qty=entry.request.qty + 1)
        lines[i] = msgspec.structs.replace(entry, request=request)

    assert journaled(larger) == {(4, "received_differs")}


def test_a_fill_without_a_trade_is_found() -> None:
    def none(lines: list[wire.JournalLine]) -> None:
        del lines[_line(lines, None)[0]]

    assert journaled(none) == {(6, "fill_invented")}


def test_a_fill_unlike_its_trade_is_found() -> None:
    def cheaper(lines: list[wire.JournalLine]) -> None:
        i, entry = _line(lines, None)
        trade = msgspec.structs.replace(entry.trades[0], price=1)
        lines[i] = msgspec.structs.replace(entry, trades=[trade])

    assert journaled(cheaper) == {(6, "fill_differs")}


def test_an_order_that_arrived_stale_is_found_unless_the_venue_refused_it() -> None:
    def arrives(state: wire.State) -> Callable[[list[wire.JournalLine]], None]:
        def edit(lines: list[wire.JournalLine]) -> None:
            i, entry = _line(lines, wire.Submit)
            assert isinstance(entry.request, wire.Submit)
            rest = [line for line in lines[i + 1 :] if not _of(line, entry.request.client_id)]
            order = msgspec.structs.replace(entry.orders[0], state=state)
            late = msgspec.structs.replace(entry, at_ns=int(at(10_000)), orders=[order])
            lines[:] = [*lines[:i], *rest, late]

        return edit

    assert (8, "received_stale") in journaled(arrives(wire.State.CANCELED))
    assert (8, "received_stale") not in journaled(arrives(wire.State.REJECTED))


def _of(line: wire.JournalLine, client_id: str) -> bool:
    return isinstance(line, wire.JournalEntry) and any(o.client_id == client_id for o in line.orders)


def test_an_order_that_the_venue_still_works_after_its_end_is_found() -> None:
    def open_again(lines: list[wire.JournalLine]) -> None:
        entry = _line(lines, wire.Submit)[1]
        lines.append(msgspec.structs.replace(entry, request=None, at_ns=entry.at_ns + MS))

    assert (5, "working_after_end") in journaled(open_again)


def test_a_fill_at_a_venue_that_never_got_the_order_is_found() -> None:
    def empty(lines: list[wire.JournalLine]) -> None:
        del lines[1:]

    assert (5, "never_received") in journaled(empty)


def test_an_order_of_another_account_is_not_ours() -> None:
    def by_hand(lines: list[wire.JournalLine]) -> None:
        entry = _line(lines, wire.Submit)[1]
        assert isinstance(entry.request, wire.Submit)
        request = msgspec.structs.replace(entry.request, client_id="by-hand-1")
        lines.append(msgspec.structs.replace(entry, request=request, orders=[]))

    assert not journaled(by_hand)


LONG = 66_000  # milliseconds: more than a minute after the resting child's time


def _forgotten(history: list[Event]) -> list[Event]:
    """Nobody cancels the resting child, and its end is learned of late."""
    asked = where(history, "exec.canceling")
    return changed("exec.canceled", at=at(LONG))([*history[:asked], *history[asked + 1 :]])


def test_how_long_an_order_worked_is_the_venues_word_and_not_when_its_end_was_learned_of() -> None:
    history, lines = _forgotten(events()), journals(events())
    late = (8, "worked_past_its_time")
    assert late not in found(audit(records(history), lines, complete=True))
    assert late in found(audit(records(history), complete=True))
    _, entry = next(
        (i, line) for i, line in reversed(list(enumerate(lines["sim_a"]))) if _of(line, ID[2, 0, 0])
    )
    lines["sim_a"].append(msgspec.structs.replace(entry, request=None, at_ns=int(at(LONG))))
    assert late in found(audit(records(history), lines, complete=True))
