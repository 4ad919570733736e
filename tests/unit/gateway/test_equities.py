"""A venue with hours, and ticks that depend on the price: what is refused, and what does not outlive its session."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from bestex import messages as m
from bestex.clock import HOUR, MINUTE, SECOND, Time, parse_time
from bestex.config import Config
from bestex.errors import Code
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.desk import too_late
from services.gateway.service import build
from tests.unit.equities import HOURS, SYMBOL, korean
from tests.unit.gateway.bench import CAPABILITIES, Bench, child_cancel, child_new

KRX = "krx"
OPEN, CLOSE = parse_time("2026-11-27T00:00:00Z"), parse_time("2026-11-27T06:30:00Z")
NOON = OPEN + 3 * HOUR
LOOSE = "[limits.collar]\nenabled = false"
CONFIG = korean(more=LOOSE)
DAY_ORDERS = msgspec.structs.replace(CAPABILITIES, calendar="XKRX", tifs=frozenset(Tif))


def at_krx(now_ns: int, config: Config = CONFIG) -> Bench:
    bench = Bench(config, DAY_ORDERS, KRX, now_ns)
    bench.hear(p.SessionState(KRX, p.Session.UP), p.SessionState(KRX, p.Session.RECONCILED))
    bench.calls.clear()
    return bench


def order(bench: Bench, child_id: str = "c1", **changed: Any) -> m.ChildNew:
    usual: dict[str, Any] = {
        "venue": KRX,
        "symbol": SYMBOL,
        "qty": Decimal(10),
        "price": Decimal(70_000),
        "tif": Tif.DAY,
        "good_till": Time(bench.now + 24 * HOUR),
        "parent_id": f"p-{child_id}",
    }
    return child_new(child_id, bench.now, **{**usual, **changed})


@pytest.mark.parametrize(
    ("price", "ok"),
    [
        (1_999, True),
        (2_005, True),
        (2_001, False),
        (49_950, True),
        (49_960, False),
        (50_050, False),
        (500_500, False),
    ],
)
def test_a_price_between_two_ticks_of_its_band_is_not_sent(price: int, ok: bool) -> None:
    bench = at_krx(NOON)
    (event,) = bench.hear(order(bench, price=Decimal(price)))
    if ok:
        assert isinstance(event, m.ExecSubmitting)
    else:
        assert isinstance(event, m.ExecRejected)
        assert event.code is Code.OFF_TICK
        assert "is not a multiple of" in event.text


@pytest.mark.parametrize(
    ("now_ns", "ok"), [(OPEN, True), (OPEN - 1, False), (CLOSE - 1, True), (CLOSE, False)]
)
def test_outside_the_session_nothing_is_sent(now_ns: int, ok: bool) -> None:
    bench = at_krx(now_ns)
    (event,) = bench.hear(order(bench))
    assert bool(bench.asked(p.Submit)) == ok
    if not ok:
        assert isinstance(event, m.ExecRejected)
        assert event.code is Code.MARKET_CLOSED
        assert event.text.startswith("krx is closed until 2026-11-")


def test_a_session_that_ends_while_an_order_waits_stops_it_and_never_a_cancel() -> None:
    bench = at_krx(CLOSE - SECOND // 2)
    bench.hear(order(bench), p.VenueAccepted(child_id="c1", venue_order_id="v1"))
    (submit,) = bench.asked(p.Submit)
    assert submit.closes_ns == CLOSE < submit.deadline_ns
    assert too_late(submit, CLOSE - 1, lambda _: "") is None
    assert too_late(submit, CLOSE, lambda _: "") == (
        Code.MARKET_CLOSED,
        "the session ended before it could be sent",
    )
    bench.now = CLOSE + MINUTE
    bench.hear(child_cancel("c1"))
    assert len(bench.asked(p.Cancel)) == 1


def test_where_it_never_closes_no_session_ends() -> None:
    bench = Bench().ready()
    bench.hear(child_new())
    assert [submit.closes_ns for submit in bench.asked(p.Submit)] == [0]


def test_an_order_is_not_changed_outside_the_session() -> None:
    bench = at_krx(CLOSE - SECOND)
    bench.hear(order(bench), p.VenueAccepted(child_id="c1", venue_order_id="v1"))
    bench.now = CLOSE
    owner = {"child_id": "c1", "parent_id": "p-c1", "venue": KRX, "symbol": SYMBOL}
    terms = {"qty": Decimal(10), "price": Decimal(69_900), "expires_at": Time(CLOSE + SECOND)}
    (event,) = bench.hear(m.ChildReplace(**owner, **terms))  # type: ignore[arg-type]
    assert isinstance(event, m.ExecReplaceRejected)
    assert event.code is Code.MARKET_CLOSED


@pytest.mark.parametrize("tif", [Tif.DAY, Tif.GTC])
def test_at_the_end_of_the_session_the_venue_is_asked_what_became_of_a_resting_order(tif: Tif) -> None:
    bench = at_krx(CLOSE - MINUTE)
    bench.hear(order(bench, tif=tif), p.VenueAccepted(child_id="c1", venue_order_id="v1"))
    bench.calls.clear()
    bench.sleep(MINUTE - 1)
    assert "canceling" not in bench.tags()
    bench.calls.clear()
    bench.sleep(SECOND)
    assert bench.tags()[-1] == "canceling"
    assert bench.journal[-1].reason is Code.MARKET_CLOSED
    assert bench.asked(p.QueryOrder)
    assert bench.asked(p.Cancel)
    assert not bench.core.memory.children["c1"].ended, "only the venue knows that it has ended"
    bench.hear(p.VenueClosed(child_id="c1", how="expired", cum_qty=0))
    assert bench.tags()[-1] == "expired"


def test_a_restart_after_the_close_asks_too() -> None:
    bench = at_krx(CLOSE - MINUTE)
    bench.hear(order(bench), p.VenueAccepted(child_id="c1", venue_order_id="v1"))
    bench.now = CLOSE + HOUR
    bench.crash()
    bench.hear(p.SessionState(KRX, p.Session.UP), p.SessionState(KRX, p.Session.RECONCILED))
    bench.sleep(SECOND)
    assert bench.tags()[-1] == "canceling"


def test_refusals_outside_the_session_are_no_sign_that_an_algorithm_has_gone_wrong() -> None:
    bench = at_krx(CLOSE)
    for number in range(30):
        bench.hear(order(bench, f"c{number}", parent_id="p1", price=Decimal(70_000 + 100 * number)))
        bench.now += SECOND
    assert {event.code for event in bench.journal} == {Code.MARKET_CLOSED}


def test_the_sessions_that_are_configured_count_before_the_adapters() -> None:
    core: Any = build(korean(venues=("krx", "nxt"), calendars=HOURS), ()).core
    assert {name: venue.calendar for name, venue in core.venues.items()} == HOURS
    assert {venue.calendar for venue in build(korean(), ()).core.venues.values()} == {"24/7"}  # type: ignore[attr-defined]


def test_a_sell_and_a_buy_are_held_to_the_same_hours() -> None:
    bench = at_krx(CLOSE)
    for side in Side:
        (event,) = bench.hear(order(bench, f"c-{side}", side=side))
        assert event.code is Code.MARKET_CLOSED
