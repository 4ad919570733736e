"""The gateway's core: what is sent, when a child ends, and what is never assumed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import parse
from bestex.core import Call, Fact
from bestex.errors import Code, ConfigError
from bestex.messages import Tif
from services.gateway import core as core_module
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from services.gateway.orders import AFTER, Status
from tests.unit.gateway.bench import (
    CAPABILITIES,
    START,
    SYMBOL,
    VENUE,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    fill,
)

QTY = 1_000  # the usual child's quantity in units


@pytest.fixture
def bench() -> Bench:
    return Bench().ready()


def working(bench: Bench, **changed: Any) -> Bench:
    """The usual child, resting."""
    bench.hear(child_new(**{"tif": Tif.GTC, **changed}), accepted())
    bench.calls.clear()
    return bench


def absent(endpoint: p.Endpoint, asked_ns: int) -> p.VenueAbsent:
    return p.VenueAbsent(child_id="c1", endpoint=endpoint, asked_ns=asked_ns)


# -- sending -----------------------------------------------------------------------------------------------------


def test_a_child_is_written_down_before_it_is_sent(bench: Bench) -> None:
    decided = list(bench.core.decide(child_new(), bench.now))
    assert [type(out.event) for out in decided if isinstance(out, Fact)] == [m.ExecSubmitting]
    assert not [out for out in decided if isinstance(out, Call)]
    (fact,) = [out for out in decided if isinstance(out, Fact)]
    sends = [e.request for e in bench.core.apply(fact.event) if isinstance(e, Call)]
    assert [(type(s), s.child_id, s.qty, s.price) for s in sends] == [(p.Submit, "c1", QTY, 6_000_000)]


def test_a_redelivered_command_is_not_sent_again(bench: Bench) -> None:
    bench.hear(child_new(), child_new())
    bench.crash()
    bench.ready()
    bench.hear(child_new())
    assert bench.tags() == ["submitting", "unknown"]
    assert not bench.asked(p.Submit)


def test_a_refused_child_stays_refused_when_its_command_comes_again(bench: Bench) -> None:
    bench.now += 2 * SECOND
    assert bench.hear(child_new(), child_new(expires_at=Time(bench.now + SECOND)))[0].code is Code.EXPIRED
    bench.crash()
    bench.ready()
    assert bench.hear(child_new(expires_at=Time(bench.now + SECOND))) == []


def test_a_known_id_with_another_order_is_counted_and_not_sent(bench: Bench) -> None:
    bench.hear(child_new(), child_new(qty=Decimal("0.02")))
    assert len(bench.asked(p.Submit)) == 1
    assert bench.core.anomalies["known child id with another order"] == 1


def test_the_last_moment_to_send_is_the_earlier_of_expiry_and_timeout(bench: Bench) -> None:
    bench.hear(child_new("c1"), child_new("c2", expires_at=Time(START + 9 * SECOND)))
    assert [s.deadline_ns - START for s in bench.asked(p.Submit)] == [SECOND, 2 * SECOND]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"expires_at": Time(START)}, Code.EXPIRED),
        ({"good_till": Time(START)}, Code.EXPIRED),
        ({"symbol": "XRP/USDT"}, Code.UNKNOWN_SYMBOL),
        ({"qty": Decimal("0")}, Code.INVALID_QTY),
        ({"qty": Decimal("-0.01")}, Code.INVALID_QTY),
        ({"qty": Decimal("NaN")}, Code.OFF_LOT),
        ({"qty": Decimal("0.00105")}, Code.OFF_LOT),
        ({"qty": Decimal("0.000000001")}, Code.OFF_LOT),
        ({"qty": Decimal("0.0009")}, Code.BELOW_MINIMUM),
        ({"qty": Decimal("10.0001")}, Code.LIMIT_EXCEEDED),
        ({"price": Decimal("0")}, Code.INVALID_PRICE),
        ({"price": Decimal("60000.05")}, Code.OFF_TICK),
        ({"price": Decimal("60000.001")}, Code.OFF_TICK),
        ({"price": Decimal("100"), "qty": Decimal("0.01")}, Code.BELOW_MINIMUM),
        ({"tif": Tif.DAY}, Code.INVALID_PARAMETER),
    ],
)
def test_what_is_not_right_is_refused_with_its_code(
    bench: Bench, changed: dict[str, Any], code: Code
) -> None:
    (event,) = bench.hear(child_new(**changed))
    assert isinstance(event, m.ExecRejected)
    assert event.code is code
    assert event.text
    assert not bench.calls


def test_our_own_limits_hold_for_children_too() -> None:
    text = '[venues.sim_a]\n[instruments."BTC/USDT"]\nprice_scale=2\nqty_scale=5\n'
    text += '[instruments."BTC/USDT".venues]\nsim_a = { tick = "0.1", lot = "0.0001" }\n'
    text += '[limits]\nmax_order_qty = "1"\nmax_order_value = "1000"\n'
    bench = Bench(parse(text)).ready()
    assert bench.hear(child_new("c1", qty=Decimal("2")))[0].code is Code.LIMIT_EXCEEDED
    assert bench.hear(child_new("c2", qty=Decimal("0.5")))[0].code is Code.LIMIT_EXCEEDED
    assert bench.hear(child_new("c3"))[0].__class__ is m.ExecSubmitting


@pytest.mark.parametrize("states", [[], [p.Session.UP], [p.Session.RECONCILED, p.Session.DOWN]])
def test_without_a_reconciled_session_nothing_is_sent(states: list[p.Session]) -> None:
    bench = Bench()
    bench.hear(*(p.SessionState(VENUE, state) for state in states))
    assert bench.hear(child_new())[0].code is Code.NOT_READY
    assert not bench.asked(p.Submit)


@pytest.mark.parametrize("scope", ["global", "venue-sim_a", "account-default", "algo-twap"])
def test_a_halt_refuses_new_children_and_lets_cancels_pass(bench: Bench, scope: str) -> None:
    working(bench)
    halt = m.Halt(scope=scope, halted=True, reason="test", by="me", at=Time(START))
    bench.hear(halt)
    assert bench.hear(child_new("c2", algo="twap"))[0].code is Code.HALTED
    bench.hear(child_cancel())
    assert len(bench.asked(p.Cancel)) == 1
    earlier = m.Halt(scope=scope, halted=False, reason="old", by="me", at=Time(START - SECOND))
    bench.hear(earlier)
    assert bench.hear(child_new("c3", algo="twap"))[0].code is Code.HALTED
    bench.hear(m.Halt(scope=scope, halted=False, reason="over", by="me", at=Time(START + SECOND)))
    assert bench.hear(child_new("c4", algo="twap"))[0].__class__ is m.ExecSubmitting


def test_a_command_for_another_venue_writes_nothing(bench: Bench) -> None:
    assert bench.hear(child_new(venue="sim_z"), child_new("a.b")) == []
    assert bench.core.anomalies["command that is not for this gateway"] == 2


def test_a_cancel_that_overtook_its_order_stops_it(bench: Bench) -> None:
    bench.hear(child_cancel())
    assert bench.hear(child_new())[0].code is Code.CANCELED
    assert not bench.asked(p.Submit)


# -- endings -----------------------------------------------------------------------------------------------------


def test_an_answer_with_fills_ends_the_child_without_an_accepted(bench: Bench) -> None:
    bench.hear(child_new(), fill("t1", 400), fill("t2", 600), closed("filled", QTY))
    assert bench.tags() == ["submitting", "fill", "fill", "filled"]
    end = bench.journal[-1]
    assert (end.cum_qty, end.notional, end.fees) == (Decimal("0.01"), Decimal("600"), Decimal("1"))
    assert bench.core.reserved == 0


def test_the_rest_of_an_ioc_expires_with_the_exact_sums(bench: Bench) -> None:
    bench.hear(child_new(), fill("t1", 400), closed("expired", 400))
    end = bench.journal[-1]
    assert isinstance(end, m.ExecExpired)
    assert (end.cum_qty, end.notional, end.fees) == (Decimal("0.004"), Decimal("240"), Decimal("0.4"))


def test_a_child_ends_only_when_its_fills_sum_to_the_venues(bench: Bench) -> None:
    bench.hear(child_new(), closed("canceled", 500), fill("t1", 200))
    assert bench.tags() == ["submitting", "fill"]
    assert bench.asked(p.PullFills)
    bench.sleep(SECOND)
    assert bench.asked(p.PullFills), "missing fills are asked for again"
    assert bench.tags() == ["submitting", "fill"], "the venue has it, so it is not unknown"
    bench.hear(fill("t2", 300))
    assert bench.tags() == ["submitting", "fill", "fill", "canceled"]
    assert bench.journal[-1].cum_qty == Decimal("0.005")


def test_a_fill_counts_once_however_often_it_is_told(bench: Bench) -> None:
    working(bench)
    bench.hear(fill("t1", 400), fill("t1", 400))
    bench.crash()
    bench.hear(fill("t1", 400))
    assert bench.tags().count("fill") == 1
    assert bench.core.children["c1"].cum_qty == 400


def test_one_trade_with_both_sides_ours_makes_two_fills(bench: Bench) -> None:
    bench.hear(
        child_new("c1"), child_new("c2"), fill("t1", 400, child_id="c1"), fill("t1", 400, child_id="c2")
    )
    assert [e.fill_id for e in bench.journal if isinstance(e, m.Fill)] == ["t1-c1", "t1-c2"]


def test_a_trade_id_that_is_no_token_still_has_its_own_subject(bench: Bench) -> None:
    working(bench)
    first, second = bench.hear(fill("a/b.1", 10), fill("a-b-1", 10))
    assert first.fill_id != second.fill_id
    assert "/" not in first.fill_id
    assert "." not in first.fill_id


def test_a_fill_after_the_end_is_stored_and_flagged(bench: Bench) -> None:
    bench.hear(child_new(), closed("canceled", 0))
    (late,) = bench.hear(fill("t1", 100))
    assert isinstance(late, m.Fill)
    assert late.flag == "late"
    assert bench.core.anomalies["late fill"] == 1
    assert bench.hear(fill("t1", 100)) == []


def test_a_fill_beyond_the_quantity_is_stored_and_flagged(bench: Bench) -> None:
    working(bench)
    stored = bench.hear(fill("t1", 700), fill("t2", 700))
    assert [e.flag for e in stored if isinstance(e, m.Fill)] == ["", "overfill"]
    assert stored[-1].cum_qty == Decimal("0.014")


def test_a_definitive_no_is_a_rejection_and_proof_of_not_sending_is_one(bench: Bench) -> None:
    bench.hear(child_new("c1"), p.VenueRejected(child_id="c1", code=Code.INSUFFICIENT_FUNDS, text="no"))
    bench.hear(child_new("c2"), p.VenueNotSent(child_id="c2", code=Code.EXPIRED, text="late"))
    assert [e.code for e in bench.journal if isinstance(e, m.ExecRejected)] == [
        Code.INSUFFICIENT_FUNDS,
        Code.EXPIRED,
    ]


def test_a_duplicate_id_at_the_venue_means_look_not_rejected(bench: Bench) -> None:
    bench.hear(child_new(), p.VenueRejected(child_id="c1", code=Code.DUPLICATE_ORDER, text="exists"))
    assert bench.tags() == ["submitting", "unknown"]
    assert bench.asked(p.QueryOrder)


# -- unknown -----------------------------------------------------------------------------------------------------


def lost(bench: Bench) -> Bench:
    bench.hear(child_new(), p.VenueUnknown(child_id="c1", code=Code.TIMEOUT, text="no answer"))
    return bench


def test_after_a_restart_a_child_without_a_result_is_unknown_and_never_sent_again(bench: Bench) -> None:
    bench.hear(child_new())
    bench.calls.clear()
    bench.crash()
    bench.ready()
    bench.sleep(60 * SECOND)
    assert bench.tags() == ["submitting", "unknown"]
    assert not bench.asked(p.Submit)
    assert bench.core.reserved == QTY


def test_unknown_is_asked_about_again_and_again_but_not_too_often(bench: Bench) -> None:
    lost(bench)
    bench.sleep(60 * SECOND)
    assert 10 <= len(bench.asked(p.QueryOrder)) <= 30


@pytest.mark.parametrize(
    ("evidence", "tags"),
    [
        ([accepted()], ["accepted"]),
        ([fill("t1", 400), closed("expired", 400)], ["fill", "expired"]),
        ([fill("t1", QTY)], ["fill", "filled"]),
        ([closed("canceled", 0)], ["canceled"]),
    ],
)
def test_unknown_ends_with_what_the_venue_shows(bench: Bench, evidence: list[Any], tags: list[str]) -> None:
    lost(bench)
    bench.hear(*evidence)
    assert bench.tags() == ["submitting", "unknown", *tags]


def test_absence_needs_time_and_two_endpoints(bench: Bench) -> None:
    lost(bench)
    deadline = START + SECOND
    bench.hear(absent(p.Endpoint.ORDER, deadline), absent(p.Endpoint.LISTS, deadline + 2 * SECOND))
    assert bench.tags()[-1] == "unknown", "asked before everything sent must have arrived"
    proven = deadline + ABSENCE_MARGIN_NS
    bench.hear(absent(p.Endpoint.ORDER, proven), absent(p.Endpoint.ORDER, proven + 2 * SECOND))
    assert bench.tags()[-1] == "unknown", "one endpoint alone proves nothing"
    bench.hear(absent(p.Endpoint.LISTS, proven + 1))
    assert bench.tags()[-1] == "unknown", "a pause apart"
    bench.calls.clear()
    bench.sleep(6 * SECOND)
    assert {q.endpoint for q in bench.asked(p.QueryOrder)} == {p.Endpoint.LISTS}
    bench.hear(absent(p.Endpoint.LISTS, proven + 2 * SECOND))
    end = bench.journal[-1]
    assert isinstance(end, m.ExecRejected)
    assert end.code is Code.TIMEOUT
    assert "absent at the venue" in end.text


def test_a_sign_of_life_between_two_absences_voids_the_first(bench: Bench) -> None:
    lost(bench)
    bench.now = START + 30 * SECOND
    bench.hear(absent(p.Endpoint.ORDER, bench.now), fill("t1", 1))
    bench.hear(absent(p.Endpoint.LISTS, bench.now + 10 * SECOND))
    assert bench.tags() == ["submitting", "unknown", "fill"]


def test_an_order_that_vanishes_with_fills_missing_does_not_end(bench: Bench) -> None:
    working(bench)
    bench.now = START + 60 * SECOND
    bench.hear(accepted(cum_qty=500))
    late = bench.now + 60 * SECOND
    bench.hear(absent(p.Endpoint.ORDER, late), absent(p.Endpoint.LISTS, late + 2 * SECOND))
    assert bench.tags() == ["submitting", "accepted"]


def test_no_answer_at_all_makes_a_submission_unknown_in_time(bench: Bench) -> None:
    bench.hear(child_new())
    bench.sleep(60 * SECOND)
    assert bench.tags()[:2] == ["submitting", "unknown"]


def test_a_refusal_that_a_query_finds_keeps_the_code_of_absence(bench: Bench) -> None:
    lost(bench)
    (end,) = bench.hear(p.VenueRejected(child_id="c1", code=Code.OFF_TICK, text="no"))
    assert end.code is Code.TIMEOUT
    assert "off_tick" in end.text


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
    bench.hear(accepted(qty=QTY, price=6_000_000))
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
    monkeypatch.setattr(core_module, "ENDED_KEPT", 3)
    for i in range(6):
        bench.hear(child_new(f"c{i}"), closed("expired", 0, child_id=f"c{i}"))
    assert len(bench.core.children) == 3
    bench.calls.clear()
    bench.hear(*(child_new(f"c{i}") for i in range(6)))
    assert not bench.calls


def test_an_open_order_of_a_symbol_that_is_gone_stops_the_start(bench: Bench) -> None:
    bench.hear(child_new())
    bench.journal = [type(e)(**{**_fields(e), "symbol": "GONE/USDT"}) for e in bench.journal]
    with pytest.raises(ConfigError, match="GONE/USDT"):
        bench.crash()


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


# -- the table ---------------------------------------------------------------------------------------------------


def test_no_status_is_left_by_a_second_submission_and_none_after_the_end() -> None:
    assert not [key for key in AFTER if key[1] is m.ExecSubmitting]
    assert not [key for key in AFTER if key[0] is Status.ENDED]
    assert all((status is Status.ENDED) == event.ends for (_, event), status in AFTER.items())
