"""The audit of conditional orders: firmed up once, in time, and only after that was written down."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex import sim_wire as wire
from bestex.audit.children import ChildHistory
from bestex.audit.report import Findings, Witness
from bestex.audit.venues import VenueJournal
from bestex.clock import MS, SECOND, Time
from bestex.messages import Side, Tif
from bestex.subjects import event_name

T0 = 1_750_000_000 * SECOND
VENUE, ID = "dark_a", "c00000000000000001"


def at(ms: int) -> Time:
    return Time(T0 + ms * MS)


def event(kind: Any, ms: int, **more: Any) -> Any:
    return kind(venue=VENUE, symbol="BTC/USDT", child_id=ID, parent_id="p1", slice_no=1, at=at(ms), **more)


def submitting(**more: Any) -> Any:
    terms: dict[str, Any] = {"side": Side.BUY, "qty": Decimal(2), "price": Decimal(100), "tif": Tif.GTC}
    usual = {"token": "t", "deadline": at(500), "good_till": at(9_000), "conditional": True, **terms}
    return event(m.ExecSubmitting, 0, **{**usual, **more})


def invited(ms: int = 1_000, name: str = "i1", deadline_ms: int | None = 2_000, **more: Any) -> Any:
    deadline = None if deadline_ms is None else at(deadline_ms)
    return event(m.ExecInvited, ms, invitation=name, until=at(2_000), deadline=deadline, **more)


def fill(ms: int = 1_100) -> Any:
    paid = {"side": Side.BUY, "qty": Decimal(1), "price": Decimal(100), "fee": Decimal(0)}
    return event(m.Fill, ms, fill_id="f1", trade_id="1", venue_at=at(ms), **paid)


ACCEPTED = event(m.ExecAccepted, 10, venue_order_id="v1")
FIRMED = event(m.ExecFirmed, 1_150)


def heard(findings: Findings, *events: Any) -> ChildHistory:
    child = ChildHistory(findings, ID, VENUE, truncated=False)
    for number, one in enumerate(events):
        name = "fill" if isinstance(one, m.Fill) else event_name(one)
        take: Any = child.fill if isinstance(one, m.Fill) else child.take
        take(one, Witness("EXEC", number, name, int(one.at)))
    return child


def codes(findings: Findings) -> list[tuple[int, str]]:
    return [(one.promise, one.code) for one in findings.anomalies]


def entry(seq: int, ms: int, request: Any, *, ok: bool = True) -> wire.JournalEntry:
    return wire.JournalEntry(seq=seq, at_ns=at(ms), venue=VENUE, request=request, ok=ok)


def firm(seq: int, ms: int, *, ok: bool = True) -> wire.JournalEntry:
    return entry(seq, ms, wire.Firm(venue=VENUE, client_id=ID), ok=ok)


def beside(*lines: wire.JournalEntry, events: tuple[Any, ...]) -> list[tuple[int, str]]:
    findings = Findings()
    child = heard(findings, *events)
    journal = VenueJournal(findings, VENUE)
    sent = wire.Submit(
        venue=VENUE, symbol="BTC/USDT", client_id=ID, side=Side.BUY, qty=2, price=100, conditional=True
    )
    for line in (entry(1, 5, sent), *lines):
        journal.take(line)
    journal.finish({ID: child}, {}, truncated=False, complete=False)
    return codes(findings)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([submitting(), ACCEPTED, invited(), fill(), FIRMED], []),
        ([submitting(), ACCEPTED, invited(deadline_ms=None)], []),
        ([submitting(), ACCEPTED, invited(), invited(1_200)], [(4, "invitation_twice")]),
        ([submitting(), ACCEPTED, fill()], [(4, "traded_unfirmed")]),
        ([submitting(), ACCEPTED, invited(deadline_ms=None), fill()], [(4, "traded_unfirmed")]),
        ([submitting(conditional=False), ACCEPTED, invited()], [(2, "firmed_unasked")]),
        ([submitting(good_till=at(1_500)), ACCEPTED, invited()], [(8, "deadline_too_late")]),
        ([submitting(), invited()], [(7, "transition")]),
    ],
)
def test_a_childs_history(events: list[Any], found: list[tuple[int, str]]) -> None:
    findings = Findings()
    heard(findings, *events)
    assert codes(findings) == found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([firm(2, 1_050)], []),
        ([], []),  # what was to leave did not
        ([firm(2, 1_050), firm(3, 1_200, ok=False)], [(4, "firmed_twice")]),
        ([firm(2, 700)], [(4, "not_written_before_send")]),
        ([firm(2, 2_300)], [(8, "received_stale")]),
        ([firm(2, 2_300, ok=False)], []),
    ],
)
def test_the_venues_journal_beside_it(lines: list[Any], found: list[tuple[int, str]]) -> None:
    assert beside(*lines, events=(submitting(), ACCEPTED, invited())) == found


def test_a_firm_up_that_nobody_wrote_down_is_found() -> None:
    declined = invited(deadline_ms=None)
    assert beside(firm(2, 1_050), events=(submitting(), ACCEPTED, declined)) == [(4, "firmed_twice")]


def test_an_order_that_binds_at_the_venue_and_was_to_be_conditional_is_found() -> None:
    assert beside(events=(submitting(conditional=False), ACCEPTED)) == [(4, "received_differs")]
