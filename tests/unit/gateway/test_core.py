"""The gateway's core: what is sent, when a child ends, and what is never assumed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import SECOND, Time
from bestex.config import parse
from bestex.core import Call, Fact
from bestex.errors import Code
from bestex.messages import Tif
from services.gateway import checks
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS
from services.gateway.orders import AFTER, Status
from tests.unit.gateway.bench import (
    CAPABILITIES,
    QTY,
    START,
    VENUE,
    Bench,
    accepted,
    child_cancel,
    child_new,
    closed,
    fill,
    working,
)


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
    bench.hear(child_new("c1"), child_new("c2", parent_id="p2", expires_at=Time(START + 9 * SECOND)))
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


def showing_parts() -> Bench:
    return Bench(capabilities=msgspec.structs.replace(CAPABILITIES, native_iceberg=True)).ready()


def test_what_is_to_be_shown_in_parts_is_written_down_and_sent_so() -> None:
    bench = showing_parts()
    (event,) = bench.hear(child_new(tif=Tif.GTC, display_qty=Decimal("0.002")))
    assert (event.qty, event.display_qty) == (Decimal("0.01"), Decimal("0.002"))
    assert [(send.qty, send.display_qty) for send in bench.asked(p.Submit)] == [(QTY, 200)]
    bench.hear(child_new("c2", parent_id="p2"))
    assert [send.display_qty for send in bench.asked(p.Submit)] == [0]


@pytest.mark.parametrize(
    ("display", "code"),
    [
        ("0.0011", None),
        ("0.00105", Code.OFF_LOT),
        ("0.0009", Code.BELOW_MINIMUM),
        ("0", Code.INVALID_QTY),
        ("0.011", Code.INVALID_QTY),
    ],
)
def test_the_part_that_is_shown_must_be_an_order_that_the_venue_takes(
    display: str, code: Code | None
) -> None:
    (event,) = showing_parts().hear(child_new(tif=Tif.GTC, display_qty=Decimal(display)))
    assert getattr(event, "code", None) is code


def test_a_venue_that_shows_no_parts_is_sent_none(bench: Bench) -> None:
    (event,) = bench.hear(child_new(tif=Tif.GTC, display_qty=Decimal("0.002")))
    assert event.code is Code.INVALID_PARAMETER
    assert not bench.calls


def test_our_own_limits_hold_for_children_too() -> None:
    text = '[venues.sim_a]\n[instruments."BTC/USDT"]\nprice_scale=2\nqty_scale=5\n'
    text += '[instruments."BTC/USDT".venues]\nsim_a = { tick = "0.1", lot = "0.0001" }\n'
    text += '[limits]\nmax_order_qty = "1"\nmax_order_value = "1000"\n'
    bench = Bench(parse(text)).ready()
    assert "above our own 1" in bench.hear(child_new("c1", qty=Decimal("2"), price=Decimal("100")))[0].text
    assert "above our own 1000" in bench.hear(child_new("c2", qty=Decimal("0.5")))[0].text
    assert bench.hear(child_new("c3"))[0].__class__ is m.ExecSubmitting


def test_no_more_children_are_open_than_can_be_reconciled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "OPEN_MAX", 1)
    working(bench)
    (event,) = bench.hear(child_new("c2"))
    assert event.code is Code.LIMIT_EXCEEDED
    bench.hear(closed("canceled", 0))
    assert isinstance(bench.hear(child_new("c3"))[0], m.ExecSubmitting)


@pytest.mark.parametrize("states", [[], [p.Session.UP], [p.Session.RECONCILED, p.Session.DOWN]])
def test_without_a_reconciled_session_nothing_is_sent(states: list[p.Session]) -> None:
    bench = Bench()
    bench.hear(*(p.SessionState(VENUE, state) for state in states))
    assert bench.hear(child_new())[0].code is Code.NOT_READY
    assert not bench.asked(p.Submit)


def test_an_instrument_may_have_limits_of_its_own() -> None:
    text = '[venues.sim_a]\n[instruments."BTC/USDT"]\nprice_scale=2\nqty_scale=5\n'
    text += '[instruments."BTC/USDT".venues]\nsim_a = { tick = "0.1", lot = "0.0001" }\n'
    text += '[limits]\nmax_order_qty = "1"\nmax_order_value = "1000000"\n'
    text += '[limits.instruments."BTC/USDT"]\nmax_order_qty = "2"\n'
    bench = Bench(parse(text)).ready()
    assert isinstance(bench.hear(child_new("c1", qty=Decimal("2")))[0], m.ExecSubmitting)
    assert "above our own 2" in bench.hear(child_new("c2", qty=Decimal("2.1")))[0].text


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
    assert bench.core.memory.children["c1"].cum_qty == 400


def test_one_trade_with_both_sides_ours_makes_two_fills(bench: Bench) -> None:
    bench.hear(
        child_new("c1"),
        child_new("c2", parent_id="p2"),
        fill("t1", 400, child_id="c1"),
        fill("t1", 400, child_id="c2"),
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


def test_an_absence_asked_too_soon_after_a_sign_of_life_proves_nothing(bench: Bench) -> None:
    working(bench)
    bench.now = START + 30 * SECOND
    bench.hear(accepted())
    soon = bench.now + ABSENCE_MARGIN_NS - 2 * SECOND
    bench.hear(absent(p.Endpoint.ORDER, soon), absent(p.Endpoint.LISTS, soon + SECOND))
    assert bench.tags() == ["submitting", "accepted"]


def test_a_refusal_of_what_has_filled_is_not_believed(bench: Bench) -> None:
    refused = p.VenueRejected(child_id="c1", code=Code.VENUE_REJECTED, text="no")
    bench.hear(child_new(), fill("t1", 400), refused, refused)
    assert bench.tags() == ["submitting", "fill", "unknown"]
    assert bench.core.reserved == QTY - 400


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


# -- the table ---------------------------------------------------------------------------------------------------


def test_no_status_is_left_by_a_second_submission_and_none_after_the_end() -> None:
    assert not [key for key in AFTER if key[1] is m.ExecSubmitting]
    assert not [key for key in AFTER if key[0] is Status.ENDED]
    assert all((status is Status.ENDED) == event.ends for (_, event), status in AFTER.items())
