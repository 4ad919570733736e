from __future__ import annotations

from decimal import Decimal

import msgspec

from bestex import messages as m
from bestex.messages import Side
from bestex.status import ParentStatus, State, status_of
from tests.unit.test_client import accepted, done, event, rejected


def test_the_last_event_of_each_kind_is_enough() -> None:
    sliced = [
        event(
            m.ParentSliced,
            slice_no=number,
            side=Side.BUY,
            qty=Decimal("0.5"),
            due_at=accepted().at,
            expires_at=accepted().at,
        )
        for number in (1, 2)
    ]
    whole = status_of([accepted(), *sliced, done()])
    assert whole == status_of([accepted(), sliced[1], done()])
    assert whole["p1"].slices == 2


def test_a_refused_request_changes_nothing_and_a_refused_order_ends_it() -> None:
    before = status_of([accepted()])["p1"]
    assert status_of([accepted(), rejected("modify")])["p1"] == before
    assert status_of([rejected("new")])["p1"].state is State.REJECTED


def test_a_pause_ends_with_resume_and_a_modified_order_has_its_new_total() -> None:
    paused = event(m.ParentPaused, order_seq=2)
    assert status_of([accepted(), paused])["p1"].state is State.PAUSED
    assert status_of([accepted(), paused, event(m.ParentResumed, order_seq=3)])["p1"].state is State.WORKING
    order = msgspec.structs.replace(accepted().order, qty=Decimal(3))
    modified = status_of([accepted(), event(m.ParentModified, order_seq=2, order=order)])["p1"]
    assert (modified.qty, modified.state) == (Decimal(3), State.WORKING)


def test_slippage_is_positive_where_it_costs_us_on_both_sides() -> None:
    base = ParentStatus(
        parent_id="p", symbol="X/Y", side=Side.BUY, avg_px=Decimal(101), arrival_px=Decimal(100)
    )
    assert base.arrival_slippage_bps == 100
    assert msgspec.structs.replace(base, side=Side.SELL).arrival_slippage_bps == -100
    assert msgspec.structs.replace(base, arrival_px=None).arrival_slippage_bps is None
