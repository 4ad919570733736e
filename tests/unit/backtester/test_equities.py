"""Korean stocks over the edges of sessions: the whole pipeline on virtual time, with two exchanges' hours and ticks.

The price stands where one tick ends and another begins, so books and orders are on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from bestex import messages as m
from bestex import sim_wire as w
from bestex.clock import MINUTE, SECOND, Time, parse_time, rfc3339
from bestex.errors import Code
from bestex.messages import Side
from bestex.sessions import calendar
from services.backtester.session import VirtualSession
from tests.unit.equities import HOURS, SYMBOL, korean

MORE = '[exchange]\npreset = "equity"\n'
# In Seoul, on Friday, 2026-11-27.
MORNING = (
    "2026-11-26T23:45:00Z",
    "2026-11-27T00:05:00Z",
)  # 08:45 to 09:05: NXT closes at 08:50, KRX opens at 09:00
EVENING = (
    "2026-11-27T06:15:00Z",
    "2026-11-27T06:45:00Z",
)  # 15:15 to 15:45: closes at 15:20 and 15:30, open at 15:40


def traded(
    window: tuple[str, str], side: Side, qty: int = 100, seed: int = 3, strategy: str = ""
) -> VirtualSession:
    start_ns, end_ns = map(parse_time, window)
    config = korean(price="2000", venues=("krx", "nxt"), calendars=HOURS, more=MORE)
    session = VirtualSession(config, start_ns=start_ns - MINUTE, seed=seed)
    times = {"start_time": rfc3339(start_ns), "end_time": rfc3339(end_ns)}
    order: dict[str, Any] = {"symbol": SYMBOL, "side": side, "qty": Decimal(qty), "strategy": strategy}
    session.submit(m.ParentOrder(algo="vwap", params=times, **order))
    return session


def of(session: VirtualSession, kind: type) -> Iterator[Any]:
    return (one.message for one in session.events() if isinstance(one.message, kind))


def is_open(venue: str, at_ns: int) -> bool:
    return calendar(HOURS[venue]).at(at_ns) is not None


def check(session: VirtualSession) -> m.ParentDone:
    """Hours, ticks, sums, and the audit with the venues' own journals."""
    (done,) = of(session, m.ParentDone)
    listings = {one.venue: one for one in session.config.make_instruments().by_symbol[SYMBOL].listings}
    for sent in of(session, m.ExecSubmitting):
        assert is_open(sent.venue, sent.at), f"{sent.venue} was closed at {sent.at}"
        assert listings[sent.venue].on_grid(int(sent.price)), sent.price
    fills = session.fills()
    for fill in fills:
        assert is_open(fill.venue, fill.venue_at), f"{fill.venue} was closed at {fill.venue_at}"
        assert listings[fill.venue].on_grid(int(fill.price)), fill.price
    assert sum(fill.qty for fill in fills) == done.cum_qty
    assert sum(fill.qty * fill.price for fill in fills) == done.notional
    assert sum(fill.fee for fill in fills) == done.fees
    for lines in session.exchange.journals.values():
        refused = [one for one in lines if isinstance(one, w.JournalEntry) and not one.ok]
        assert {one.code for one in refused} <= {Code.TOO_LATE}, "no order came while it was closed"
    report = session.audit(complete=True)
    assert not report.anomalies
    return done  # type: ignore[no-any-return]


def places(session: VirtualSession) -> dict[str, list[str]]:
    """When each venue traded, by the clock of Seoul, in whole minutes."""
    found: dict[str, set[str]] = {"krx": set(), "nxt": set()}
    for fill in session.fills():
        found[fill.venue].add(rfc3339(fill.venue_at + 540 * MINUTE)[11:16])
    return {venue: sorted(minutes) for venue, minutes in found.items()}


@pytest.mark.parametrize("side", list(Side))
def test_a_vwap_order_over_the_opening_trades_where_it_is_open(side: Side) -> None:
    session = traded(MORNING, side)
    assert session.finish(parse_time(MORNING[1]) + MINUTE)
    done = check(session)
    assert done.cum_qty == 100
    assert not done.leaves_qty
    when = places(session)
    assert min(when["krx"]) >= "09:00"
    assert min(when["nxt"]) < "08:50"
    assert not [minute for minute in when["krx"] + when["nxt"] if "08:50" <= minute < "09:00"]


@pytest.mark.parametrize("side", list(Side))
def test_a_vwap_order_over_the_closes_trades_where_it_is_still_open(side: Side) -> None:
    session = traded(EVENING, side)
    assert session.finish(parse_time(EVENING[1]) + MINUTE)
    done = check(session)
    assert done.cum_qty == 100
    assert not done.leaves_qty
    when = places(session)
    assert [minute for minute in when["krx"] if "15:20" <= minute < "15:30"], "NXT is closed, KRX is not"
    assert max(when["krx"]) < "15:30"
    assert max(when["nxt"]) >= "15:40"
    reasons = {
        (left.venue, left.reason.split(":")[0])
        for decided in of(session, m.RouteDecided)
        for left in decided.left_out
    }
    assert {("krx", "market_closed"), ("nxt", "market_closed")} <= reasons


def test_a_restart_while_a_market_is_closed_changes_none_of_it() -> None:
    session = traded(EVENING, Side.BUY)
    for minute, name in (
        (21, "gateway"),
        (31, "router"),
        (33, "scheduler"),
        (39, "gateway"),
        (40, "collector"),
    ):
        session.crash(name, parse_time(f"2026-11-27T06:{minute}:30Z"))
    assert session.finish(parse_time(EVENING[1]) + MINUTE)
    done = check(session)
    assert done.cum_qty == 100


@pytest.mark.parametrize("strategy", ["smart", "cont_kukanov", "split_evenly"])
def test_every_way_of_routing_keeps_the_hours(strategy: str) -> None:
    session = traded(EVENING, Side.SELL, qty=300, strategy=strategy)
    assert session.finish(parse_time(EVENING[1]) + MINUTE)
    check(session)


def test_an_order_that_rests_at_the_close_is_asked_for_and_ended_by_the_venue() -> None:
    start_ns, close_ns = parse_time("2026-11-27T06:29:00Z"), parse_time("2026-11-27T06:30:00Z")
    config = korean(price="50000", venues=("krx",), calendars=HOURS, more=MORE)
    session = VirtualSession(config, start_ns=start_ns - MINUTE, seed=1)
    session.submit(
        m.ParentOrder(
            algo="limit",
            symbol=SYMBOL,
            side=Side.BUY,
            qty=Decimal(10),
            limit_price=Decimal(49_020),  # between two ticks: it rests at the lower one
            params={"end_time": rfc3339(close_ns + 5 * MINUTE)},
        ),
        start_ns,
    )
    session.run(close_ns - SECOND)
    (sent,) = of(session, m.ExecSubmitting)
    assert (sent.price, sent.good_till > close_ns) == (Decimal(49_000), True)
    session.run(close_ns + 5 * SECOND)
    ends = list(of(session, m.ExecEnded))
    assert [(type(end), end.code) for end in ends] == [(m.ExecCanceled, Code.MARKET_CLOSED)]
    assert Time(close_ns) <= ends[0].at < close_ns + SECOND
    assert session.finish(close_ns + 10 * MINUTE)
    assert len(list(of(session, m.ExecSubmitting))) == 1, "nothing is sent after the close"
    report = session.audit(complete=True)
    assert not report.anomalies
