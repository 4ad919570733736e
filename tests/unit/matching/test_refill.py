"""What our takers took, and how it comes back by itself where it does."""

from __future__ import annotations

import pytest

from bestex import sim_wire as w
from bestex.background import ASK, LevelSet, LevelsSet
from bestex.clock import MS, SECOND
from bestex.config_fills import FillsConfig
from bestex.errors import ConfigError
from bestex.human import Duration
from bestex.instruments import Instrument, Instruments, Listing
from bestex.matching import SimExchange
from bestex.matching.refill import STEP_NS
from bestex.messages import Side, Tif
from tests.unit.matching.test_latency import parsed

VENUE, SYMBOL = "sim_a", "X/Y"
START_NS = 1_000 * SECOND


def exchange(refill_ns: int | None) -> SimExchange:
    listing = Listing(venue=VENUE, symbol=SYMBOL)
    made = Instrument(symbol=SYMBOL, price_scale=0, qty_scale=0, listings=(listing,))
    fills = FillsConfig(refill=None if refill_ns is None else Duration(refill_ns))
    sim = SimExchange(Instruments((made,)), [VENUE], fills=fills)
    for price in (100, 101):
        sim.background(SYMBOL, LevelSet(START_NS, VENUE, ASK, price, 1_000))
    taker = w.Submit(
        venue=VENUE, symbol=SYMBOL, client_id="one", side=Side.BUY, qty=800, price=101, tif=Tif.IOC
    )
    assert sim.submit(taker, START_NS).trades[0].qty == 800
    return sim


def offered(sim: SimExchange, now_ns: int) -> int:
    sim.advance(now_ns)
    return sim.market(VENUE, SYMBOL).book(1)[3][0]


def test_half_of_what_was_taken_is_there_again_after_the_half_life() -> None:
    sim = exchange(SECOND)
    assert offered(sim, START_NS) == 200
    assert offered(sim, START_NS + SECOND) == pytest.approx(
        600, abs=10
    )  # 200 + 800 / 2; whole units each step
    assert offered(sim, START_NS + 2 * SECOND) == pytest.approx(800, abs=20)
    assert offered(sim, START_NS + 60 * SECOND) == 1_000
    assert sim.due_ns(START_NS + 60 * SECOND) > START_NS + 3_600 * SECOND, "nothing is left to come back"


def test_when_somebody_looks_makes_no_difference() -> None:
    often, seldom = exchange(SECOND), exchange(SECOND)
    for at_ns in range(START_NS, START_NS + 3 * SECOND, 7 * MS):
        offered(often, at_ns)
    assert offered(often, START_NS + 3 * SECOND) == offered(seldom, START_NS + 3 * SECOND)


def test_without_it_only_the_feed_brings_it_back() -> None:
    sim = exchange(None)
    assert offered(sim, START_NS + 3_600 * SECOND) == 200
    sim.background(SYMBOL, LevelSet(START_NS + 3_600 * SECOND, VENUE, ASK, 100, 1_300))
    assert offered(sim, START_NS + 3_600 * SECOND) == 500


def test_an_update_at_once_and_one_by_one_refill_alike() -> None:
    at_once, one_by_one = exchange(SECOND), exchange(SECOND)
    for step in range(1, 40):
        now_ns = START_NS + step * STEP_NS * 3 // 4
        change = LevelsSet(now_ns, VENUE, {90: step}, {102: step, 100: 1_000 - 7 * step})
        at_once.background(SYMBOL, change)
        for event in change.one_by_one():
            one_by_one.background(SYMBOL, event)
        books = [sim.market(VENUE, SYMBOL).book(5) for sim in (at_once, one_by_one)]
        assert books[0] == books[1]


def test_a_refill_faster_than_any_book_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"exchange\.fills\.refill"):
        parsed('[exchange.fills]\nrefill = "1ms"')
