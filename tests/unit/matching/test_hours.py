"""A simulated venue with sessions: what it takes, shows and keeps while it is closed."""

from __future__ import annotations

from typing import Any

import pytest

from bestex import sim_wire as w
from bestex.background import ASK, BID, BackgroundTrade, LevelSet
from bestex.clock import MINUTE, SECOND, parse_time
from bestex.errors import Code
from bestex.matching import SimExchange
from bestex.messages import Side, Tif
from bestex.sim_wire import State
from tests.unit.equities import HOURS, SYMBOL, korean

OPEN, CLOSE = parse_time("2026-11-27T00:00:00Z"), parse_time("2026-11-27T06:30:00Z")


@pytest.fixture
def exchange() -> SimExchange:
    config = korean(venues=("krx", "nxt"), calendars=HOURS)
    made = SimExchange(config.make_instruments(), ["krx", "nxt"], config.calendars())
    for venue in ("krx", "nxt"):
        made.background(SYMBOL, LevelSet(OPEN - MINUTE, venue, ASK, 70_100, 10))
        made.background(SYMBOL, LevelSet(OPEN - MINUTE, venue, BID, 70_000, 10))
    return made


def buy(client_id: str, price: int, venue: str = "krx", **terms: Any) -> w.Submit:
    return w.Submit(
        venue=venue, symbol=SYMBOL, client_id=client_id, side=Side.BUY, qty=5, price=price, **terms
    )


def test_outside_its_session_it_takes_no_order(exchange: SimExchange) -> None:
    early = exchange.submit(buy("c1", 70_100), OPEN - 1)
    assert (early.code, early.order) == (Code.MARKET_CLOSED, None)
    assert exchange.submit(buy("c1", 70_100), OPEN).ok
    assert exchange.submit(buy("c2", 70_100), CLOSE).code is Code.MARKET_CLOSED


def test_at_the_close_what_rests_ends(exchange: SimExchange) -> None:
    assert exchange.submit(buy("c1", 70_000, tif=Tif.DAY), CLOSE - SECOND).ok
    exchange.advance(CLOSE - 1)
    assert [state.client_id for state in exchange.open_orders("krx")] == ["c1"]
    exchange.advance(CLOSE)
    state = exchange.query("krx", "c1")
    assert state is not None
    assert (state.state, state.code) == (State.CANCELED, Code.MARKET_CLOSED)
    (entry,) = [entry for entry in exchange.drain() if entry.request is None]
    assert [order.client_id for order in entry.orders] == ["c1"], "its journal says so"


def test_while_it_is_closed_it_shows_no_book_and_prints_no_trade(exchange: SimExchange) -> None:
    market = exchange.market("krx", SYMBOL)
    exchange.advance(OPEN)
    seen, version = market.book(5), market.version
    assert seen == ([70_000], [10], [70_100], [10])
    exchange.advance(CLOSE)
    assert market.book(5) == ([], [], [], [])
    assert market.version > version, "who listens is told"
    exchange.drain_prints()
    exchange.background(SYMBOL, BackgroundTrade(CLOSE + 1, "krx", 70_100, 3, 1, "t"))
    assert exchange.drain_prints() == []


def test_each_venue_keeps_its_own_hours(exchange: SimExchange) -> None:
    at = CLOSE - 5 * MINUTE
    assert exchange.submit(buy("c1", 70_000, "nxt"), at).code is Code.MARKET_CLOSED
    assert exchange.submit(buy("c1", 70_000, "krx"), at).ok
    assert exchange.submit(buy("c2", 70_000, "nxt"), CLOSE + 10 * MINUTE).ok


def test_what_stands_between_two_ticks_is_refused(exchange: SimExchange) -> None:
    answer = exchange.submit(buy("c1", 70_050), OPEN)
    assert answer.code is Code.OFF_TICK
    assert "multiple of 100" in answer.text
