"""Conditional orders at the gateway: one firm-up for an invitation, in time and in order, or none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from services.gateway.orders import Status
from tests.unit.gateway.bench import (
    CAPABILITIES,
    QTY,
    VENUE,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    fill,
    working,
)

CONDITIONAL = msgspec.structs.replace(CAPABILITIES, conditional=True)
STANDS_NS = SECOND


@pytest.fixture
def bench() -> Bench:
    """A conditional child at work, and nobody found for it yet."""
    made = Bench(capabilities=CONDITIONAL).ready()
    made.hear(child_new(tif=Tif.GTC, conditional=True), accepted(conditional=True))
    made.calls.clear()
    return made


def invited(bench: Bench, name: str = "i1", **more: Any) -> p.VenueInvited:
    told: dict[str, Any] = {"child_id": "c1", "invitation": name, "until_ns": bench.now + STANDS_NS, **more}
    return p.VenueInvited(**told)


def refused(bench: Bench) -> m.ExecInvited:
    """That it was invited was written down with a reason against it, and nothing was sent."""
    [event] = [one for one in bench.journal if isinstance(one, m.ExecInvited)]
    assert event.deadline is None
    assert not bench.asked(p.Firm)
    return event


def test_that_it_is_conditional_is_written_down_and_sent() -> None:
    bench = Bench(capabilities=CONDITIONAL).ready()
    [submitting] = bench.hear(child_new(tif=Tif.GTC, conditional=True))
    assert submitting.conditional
    [submit] = bench.asked(p.Submit)
    assert submit.conditional


@pytest.mark.parametrize(
    ("capabilities", "tif"), [(CAPABILITIES, Tif.GTC), (CONDITIONAL, Tif.IOC), (CONDITIONAL, Tif.FOK)]
)
def test_it_goes_only_where_it_is_known_and_only_to_rest(capabilities: p.Capabilities, tif: Tif) -> None:
    [rejected] = Bench(capabilities=capabilities).ready().hear(child_new(tif=tif, conditional=True))
    assert (type(rejected), rejected.code) == (m.ExecRejected, Code.INVALID_PARAMETER)


def test_an_invitation_is_written_down_and_then_answered_once_however_often_it_is_told(bench: Bench) -> None:
    word = invited(bench)
    events = bench.hear(word, word, accepted(conditional=True), word)
    assert [type(event) for event in events] == [m.ExecInvited]
    [firm] = bench.asked(p.Firm)
    assert (firm.child_id, firm.invitation, firm.venue_order_id) == ("c1", "i1", "v1")
    assert firm.deadline_ns == word.until_ns == events[0].deadline


def test_it_is_not_to_leave_after_the_childs_own_time_nor_later_than_an_answer_is_waited_for() -> None:
    bench = Bench(capabilities=CONDITIONAL).ready()
    soon = Time(bench.now + SECOND // 2)
    bench.hear(child_new(tif=Tif.GTC, conditional=True, good_till=soon))
    bench.hear(accepted(conditional=True), invited(bench))
    assert bench.core.memory.children["c1"].firm_by_ns == soon
    other = Bench(capabilities=CONDITIONAL).ready()
    other.hear(child_new(tif=Tif.GTC, conditional=True), accepted(conditional=True))
    other.hear(invited(other, until_ns=other.now + 30 * SECOND))
    assert other.asked(p.Firm)[0].deadline_ns == other.now + 2 * SECOND  # the configured time-out


def test_an_invitation_that_came_too_late_is_not_answered(bench: Bench) -> None:
    bench.hear(invited(bench, until_ns=bench.now))
    assert refused(bench).code is Code.EXPIRED


@pytest.mark.parametrize("scope", ["global", f"venue-{VENUE}", "account-default", "parent-p1"])
def test_nothing_is_firmed_up_while_it_is_halted(bench: Bench, scope: str) -> None:
    bench.hear(m.Halt(scope=scope, halted=True, reason="test", by="me", at=Time(bench.now)))
    bench.hear(invited(bench))
    assert refused(bench).code is Code.HALTED


def test_nothing_is_firmed_up_that_is_to_be_canceled(bench: Bench) -> None:
    bench.hear(child_cancel("c1"), invited(bench))
    assert "invited" not in bench.tags()
    assert not bench.asked(p.Firm)


def test_a_firm_order_is_never_firmed_up() -> None:
    bench = working(Bench(capabilities=CONDITIONAL).ready())
    bench.hear(invited(bench))
    assert "invited" not in bench.tags()


def test_it_waits_for_the_session_to_be_reconciled_and_is_then_answered_once(bench: Bench) -> None:
    bench.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
    bench.hear(accepted(conditional=True), invited(bench))
    assert "invited" not in bench.tags()
    bench.hear(p.SessionState(VENUE, p.Session.RECONCILED))
    assert len(bench.asked(p.Firm)) == 1
    bench.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
    bench.hear(invited(bench), p.SessionState(VENUE, p.Session.RECONCILED))
    assert not bench.asked(p.Firm)


@pytest.mark.parametrize("late", [False, True])
def test_it_waits_for_the_bus_within_its_time(bench: Bench, late: bool) -> None:
    bench.lose_bus()
    bench.hear(invited(bench))
    assert "invited" not in bench.tags()
    bench.sleep(2 * STANDS_NS if late else STANDS_NS // 2)
    bench.find_bus()
    assert len(bench.asked(p.Firm)) == (not late)


@pytest.mark.parametrize("checkpoint_at", [0, 3])
def test_killed_between_the_invitation_and_the_firm_up_it_is_not_sent_again(
    bench: Bench, checkpoint_at: int
) -> None:
    """Nobody knows whether it left. The venue says what became of it; until then the whole is reserved."""
    bench.hear(invited(bench))
    bench.calls.clear()
    bench.crash(checkpoint_at)
    bench.hear(p.SessionState(VENUE, p.Session.UP), accepted(conditional=True), invited(bench))
    bench.hear(p.SessionState(VENUE, p.Session.RECONCILED))
    assert bench.core.reserved == QTY
    bench.sleep(10 * SECOND)
    assert not bench.asked(p.Firm)
    bench.hear(closed("expired", 0, code=Code.EXPIRED))
    assert bench.core.reserved == 0
    assert bench.tags() == ["submitting", "accepted", "invited", "expired"]


def test_killed_before_the_invitation_was_written_down_it_is_answered_after_the_restart(bench: Bench) -> None:
    bench.crash()
    bench.hear(p.SessionState(VENUE, p.Session.UP), accepted(conditional=True), invited(bench))
    bench.hear(p.SessionState(VENUE, p.Session.RECONCILED))
    assert len(bench.asked(p.Firm)) == 1


def test_killed_after_the_firm_up_its_trades_are_counted_and_it_binds(bench: Bench) -> None:
    bench.hear(invited(bench))
    bench.crash()
    bench.hear(p.SessionState(VENUE, p.Session.UP), fill("1", 400), accepted(cum_qty=400))
    bench.hear(p.SessionState(VENUE, p.Session.RECONCILED))
    assert bench.tags()[-3:] == ["invited", "fill", "firmed"]
    child = bench.core.memory.children["c1"]
    assert (child.conditional, child.firming, child.reserved) == (False, False, QTY - 400)


def test_what_it_trades_when_it_is_firmed_up_is_the_childs(bench: Bench) -> None:
    bench.hear(invited(bench), fill("1", 300), accepted(cum_qty=300))
    assert bench.tags() == ["submitting", "accepted", "invited", "fill", "firmed"]
    bench.hear(accepted(cum_qty=300), fill("2", QTY - 300))
    assert bench.tags()[-2:] == ["fill", "filled"]
    [end] = [event for event in bench.journal if isinstance(event, m.ExecFilled)]
    assert end.cum_qty == Decimal("0.01")


def test_one_that_is_filled_whole_by_that_has_just_its_end(bench: Bench) -> None:
    bench.hear(invited(bench), fill("1", QTY), closed("filled", QTY))
    assert bench.tags() == ["submitting", "accepted", "invited", "fill", "filled"]


def test_a_refusal_is_told_and_the_order_is_looked_at(bench: Bench) -> None:
    bench.hear(invited(bench))
    bench.calls.clear()
    bench.hear(p.VenueFirmRejected(child_id="c1", code=Code.TOO_LATE, text="it has ended"))
    assert bench.tags()[-1] == "firm_rejected"
    assert len(bench.asked(p.QueryOrder)) == 1
    bench.hear(closed("expired", 0))
    assert bench.core.memory.children["c1"].status is Status.ENDED


def test_without_an_answer_it_is_asked_for_until_the_venue_has_told(bench: Bench) -> None:
    bench.hear(invited(bench))
    bench.hear(p.VenueUnanswered(child_id="c1", code=Code.TIMEOUT, text="no answer"))
    bench.sleep(SECOND)
    assert bench.asked(p.QueryOrder)
    bench.hear(accepted(conditional=True))
    assert bench.tags()[-1] == "invited"  # what left may be on its way
    bench.sleep(7 * SECOND)
    bench.hear(accepted(conditional=True))
    assert bench.tags()[-1] == "firm_rejected"
    bench.hear(invited(bench, "i2"))
    assert [one.invitation for one in bench.asked(p.Firm)][-1] == "i2"
