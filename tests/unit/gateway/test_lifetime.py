"""The gateway's core over time: cancels, replaces, sessions, and what is kept in memory."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.errors import Code, ConfigError
from bestex.messages import Tif
from services.gateway import core as core_module
from services.gateway import memory
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from tests.unit.gateway.bench import (
    CAPABILITIES,
    QTY,
    START,
    SYMBOL,
    VENUE,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    fill,
    working,
)


def lost(bench: Bench) -> Bench:
    bench.hear(child_new(), p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="no answer"))
    return bench


# -- cancels -----------------------------------------------------------------------------------------------------


def test_a_cancel_is_sent_and_ends_the_child_with_its_reason(bench: Bench) -> None:
    working(bench)
    bench.hear(child_cancel(reason=Code.OUT_OF_LIMIT), closed("canceled", 0))
    assert bench.tags()[-2:] == ["canceling", "canceled"]
    assert bench.journal[-1].code is Code.OUT_OF_LIMIT


def test_a_cancel_while_submitting_waits_until_it_is_at_work(bench: Bench) -> None:
    bench.hear(child_new(tif=Tif.GTC), child_cancel())
    bench.sleep(SECOND)
    assert not bench.asked(p.Cancel)
    bench.hear(accepted())
    assert len(bench.asked(p.Cancel)) == 1
    assert bench.tags() == ["submitting", "canceling", "accepted"]


def test_a_cancel_outlives_a_restart(bench: Bench) -> None:
    working(bench)
    bench.hear(child_cancel())
    bench.crash()
    bench.calls.clear()
    bench.hear(p.SessionState(VENUE, p.Session.UP))
    bench.sleep(SECOND)
    assert bench.asked(p.Cancel)


def test_an_unknown_child_is_canceled_by_its_own_id_where_the_venue_takes_one(bench: Bench) -> None:
    lost(bench).hear(child_cancel())
    assert [c.child_id for c in bench.asked(p.Cancel)] == ["c1"]
    without = Bench(capabilities=p.Capabilities(client_id_length=0)).ready()
    lost(without).hear(child_cancel())
    assert not without.asked(p.Cancel)


def test_a_refused_cancel_is_told_once_and_stays_wanted(bench: Bench) -> None:
    working(bench)
    bench.hear(child_cancel())
    bench.calls.clear()
    no = p.VenueCancelRejected(child_id="c1", code=Code.RATE_LIMITED, text="slow down")
    bench.hear(no, no)
    assert bench.tags().count("cancel_rejected") == 1
    bench.sleep(10 * SECOND)
    assert 2 <= len(bench.asked(p.Cancel)) <= 10, "again, but no storm"


def test_a_fill_may_win_against_a_cancel(bench: Bench) -> None:
    working(bench)
    bench.hear(child_cancel(), fill("t1", QTY))
    assert bench.tags()[-3:] == ["canceling", "fill", "filled"]


def test_an_order_does_not_rest_beyond_its_time(bench: Bench) -> None:
    working(bench, good_till=Time(START + 10 * SECOND))
    bench.sleep(9 * SECOND)
    assert not bench.asked(p.Cancel)
    bench.sleep(SECOND)
    assert bench.asked(p.Cancel)
    assert bench.journal[-1].reason is Code.EXPIRED


def test_a_venue_that_ends_orders_itself_gets_its_grace() -> None:
    capabilities = p.Capabilities(tifs=frozenset({Tif.GTD}), client_id_length=36)
    bench = Bench(capabilities=capabilities).ready()
    working(bench, tif=Tif.GTD, good_till=Time(START + 10 * SECOND))
    bench.sleep(11 * SECOND)
    assert not bench.asked(p.Cancel)
    bench.sleep(SECOND)
    assert bench.asked(p.Cancel)


# -- replacing ---------------------------------------------------------------------------------------------------


def replace(qty: str = "0.02", price: str = "59000") -> m.ChildReplace:
    return m.ChildReplace(
        child_id="c1",
        parent_id="p1",
        venue=VENUE,
        symbol=SYMBOL,
        qty=Decimal(qty),
        price=Decimal(price),
        expires_at=Time(START + SECOND),
    )


def test_a_pending_replace_reserves_the_larger_quantity(bench: Bench) -> None:
    working(bench)
    bench.hear(replace())
    assert [(r.qty, r.price) for r in bench.asked(p.Replace)] == [(2_000, 5_900_000)]
    assert bench.core.reserved == 2_000
    bench.hear(fill("t1", QTY))
    assert bench.tags()[-1] == "fill", "the old quantity is no end while the new one may stand"
    bench.hear(p.VenueReplaced(child_id="c1", venue_order_id="v2", qty=2_000, price=5_900_000))
    bench.hear(fill("t2", QTY))
    assert bench.tags()[-3:] == ["replaced", "fill", "filled"]


def test_a_replace_comes_once_and_its_lost_answer_is_found_by_looking(bench: Bench) -> None:
    working(bench)
    bench.hear(replace(), replace())
    assert len(bench.asked(p.Replace)) == 1
    bench.crash()
    bench.ready()
    bench.hear(replace())
    assert not bench.asked(p.Replace)
    bench.hear(accepted(qty=2_000, price=5_900_000))
    assert bench.tags()[-1] == "replaced"


def test_a_replace_that_never_arrived_is_refused_after_its_time(bench: Bench) -> None:
    working(bench)
    bench.hear(replace(), accepted(qty=QTY, price=6_000_000))
    assert bench.tags()[-1] == "replacing"
    bench.now += SECOND + ABSENCE_MARGIN_NS
    for asked_ns in (0, bench.now - 1):
        bench.hear(accepted(qty=QTY, price=6_000_000, asked_ns=asked_ns))
        assert bench.tags()[-1] == "replacing", (
            "what was said out of turn, or asked too early, may be old news"
        )
        assert bench.core.reserved == 2_000
    bench.hear(accepted(qty=QTY, price=6_000_000, asked_ns=bench.now))
    assert bench.tags()[-1] == "replace_rejected"
    assert bench.core.reserved == QTY


@pytest.mark.parametrize(
    ("order", "code"),
    [(replace(qty="0.004"), Code.INVALID_QTY), (replace(price="59000.05"), Code.OFF_TICK)],
)
def test_a_wrong_replace_is_refused_and_changes_nothing(
    bench: Bench, order: m.ChildReplace, code: Code
) -> None:
    working(bench)
    bench.hear(fill("t1", 500))
    (event,) = bench.hear(order)
    assert isinstance(event, m.ExecReplaceRejected)
    assert event.code is code
    assert not bench.asked(p.Replace)


# -- sessions ----------------------------------------------------------------------------------------------------


def test_a_new_session_asks_for_every_open_child_and_the_trades_since() -> None:
    bench = working(Bench().ready())
    bench.hear(p.SessionState(VENUE, p.Session.DOWN), p.SessionState(VENUE, p.Session.UP))
    (ask,) = bench.asked(p.MassStatus)
    assert [query.child_id for query in ask.orders] == ["c1"]
    assert ask.since_ns < START


def test_trades_are_pulled_on_a_timer_with_an_overlap(bench: Bench) -> None:
    bench.hear(p.VenuePulled(VENUE, START))
    bench.sleep(5 * core_module.PULL_EVERY_NS)
    pulls = bench.asked(p.PullFills)
    assert len(pulls) == 5
    assert all(pull.since_ns < START for pull in pulls)


def test_the_dead_mans_switch_is_kept_armed_where_there_is_one() -> None:
    capabilities = p.Capabilities(dead_man=True)
    bench = Bench(capabilities=capabilities)
    bench.hear(p.SessionState(VENUE, p.Session.UP), p.SessionState(VENUE, p.Session.RECONCILED))
    bench.sleep(2 * core_module.PULL_EVERY_NS)
    assert [arm.timeout_ns for arm in bench.asked(p.Arm)] == [core_module.DEAD_MAN_NS] * 3
    assert not Bench(capabilities=CAPABILITIES).ready().asked(p.Arm)


def test_while_the_session_is_down_questions_wait(bench: Bench) -> None:
    lost(bench).hear(p.SessionState(VENUE, p.Session.DOWN))
    bench.calls.clear()
    bench.sleep(30 * SECOND)
    assert not bench.calls
    bench.hear(p.SessionState(VENUE, p.Session.UP))
    bench.sleep(2 * SECOND)
    assert bench.asked(p.QueryOrder)


# -- memory ------------------------------------------------------------------------------------------------------


def test_ended_children_are_dropped_but_their_ids_are_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ENDED_KEPT", 3)
    for i in range(6):
        bench.hear(child_new(f"c{i}"), closed("expired", 0, child_id=f"c{i}"))
    assert len(bench.core.memory.children) == 3
    bench.calls.clear()
    bench.hear(*(child_new(f"c{i}") for i in range(6)))
    assert not bench.calls


def test_what_the_venue_tells_of_a_foreign_order_is_counted_and_not_ours(bench: Bench) -> None:
    assert bench.hear(fill("t1", 1, child_id="foreign"), accepted("foreign")) == []
    assert bench.core.anomalies["VenueFill of an order not known here"] == 1
    assert bench.core.anomalies["VenueAccepted of an order not known here"] == 1


def test_an_open_order_of_a_symbol_that_is_gone_stops_the_start(bench: Bench) -> None:
    bench.hear(child_new())
    bench.journal = [type(e)(**{**_fields(e), "symbol": "GONE/USDT"}) for e in bench.journal]
    with pytest.raises(ConfigError, match="GONE/USDT"):
        bench.crash()


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
