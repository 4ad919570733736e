"""While the bus is away nothing new is risked, and what rests is taken back."""

from __future__ import annotations

import msgspec

from bestex import messages as m
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import port as p
from tests.unit.gateway.bench import (
    CAPABILITIES,
    CONFIG,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    working,
)

GRACE_NS = int(CONFIG.execution.bus_loss_grace)


def test_a_cancel_that_is_wanted_reaches_the_venue_though_it_cannot_be_stored() -> None:
    bench = working(Bench().ready())
    bench.bus_is_there = False  # it is away, and nobody has noticed yet
    bench.hear(child_cancel())
    assert not bench.asked(p.Cancel), "its event waits to be stored"
    bench.lose_bus()
    assert [cancel.venue_order_id for cancel in bench.asked(p.Cancel)] == ["v1"]


def test_a_cancel_that_falls_due_while_the_bus_is_away_reaches_the_venue_too() -> None:
    bench = working(Bench().ready(), good_till=child_new().good_till)
    bench.lose_bus()
    bench.core.bus_loss_grace_ns = 3600 * SECOND  # another reason than the loss
    bench.wakes.pop("bus")
    bench.sleep(61 * SECOND)
    assert bench.asked(p.Cancel)


def test_what_rests_is_canceled_when_the_bus_has_been_away_for_the_grace_and_not_before() -> None:
    bench = working(Bench().ready())
    bench.lose_bus()
    bench.sleep(GRACE_NS - 1)
    assert not bench.asked(p.Cancel)
    bench.sleep(1)
    assert len(bench.asked(p.Cancel)) == 1
    bench.sleep(SECOND)
    assert bench.asked(p.Cancel), "and again until its end is known"
    bench.hear(closed("canceled", 0))
    [end] = [event for event in bench.journal if isinstance(event, m.ExecCanceled)]
    assert end.code is Code.BUS_LOST


def test_an_order_that_is_accepted_after_the_grace_is_canceled() -> None:
    bench = Bench().ready()
    bench.hear(child_new(tif=Tif.GTC))
    bench.lose_bus()
    bench.sleep(GRACE_NS)
    bench.hear(accepted())
    bench.sleep(SECOND)
    assert bench.asked(p.Cancel)


def test_a_bus_that_comes_back_within_the_grace_costs_no_order() -> None:
    bench = working(Bench().ready())
    bench.lose_bus()
    bench.sleep(GRACE_NS - SECOND)
    bench.find_bus()
    bench.sleep(2 * SECOND)
    assert not bench.asked(p.Cancel)


def test_no_new_order_is_taken_while_the_bus_is_away() -> None:
    bench = Bench().ready()
    bench.lose_bus()
    [event] = bench.hear(child_new())  # it was on its way to us
    assert isinstance(event, m.ExecRejected)
    assert event.code is Code.NOT_READY
    bench.find_bus()
    assert not bench.asked(p.Submit)
    bench.hear(child_new("c2", bench.now))
    assert [order.child_id for order in bench.asked(p.Submit)] == ["c2"]


def test_the_dead_mans_switch_is_not_set_while_the_bus_is_away_and_is_set_at_once_when_it_is_back() -> None:
    bench = Bench(capabilities=msgspec.structs.replace(CAPABILITIES, dead_man=True)).ready()
    bench.lose_bus()
    bench.sleep(20 * SECOND)
    bench.hear(p.SessionState("sim_a", p.Session.RECONCILED))
    assert not bench.asked(p.Arm)
    assert bench.asked(p.PullFills), "trades are pulled all the same"
    bench.find_bus()
    assert bench.asked(p.Arm)
