"""A real market as the background of a venue on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import structlog

from bestex import sim_wire as w
from bestex.background import ASK, BID, BackgroundTrade, LevelsSet
from bestex.clock import SECOND, AffineClock
from bestex.config import Config, parse
from bestex.instruments import Instrument, Listing
from bestex.matching import Market
from bestex.messages import MarketTrade, Side, Tif, VenueBook
from services.exchange.heard import QUEUED_MAX, HeardBackground, heard
from services.exchange.recordings import Converter
from services.exchange.shell import Exchange

VENUE, SYMBOL = "binance_spot", "BTC/USDT"
SILENCE_NS = 10 * SECOND
SHOWN: WeakKeyDictionary[HeardBackground, Market] = WeakKeyDictionary()


def background(**terms: Any) -> HeardBackground:
    listing = Listing(venue=VENUE, symbol=SYMBOL, **terms)
    made = Instrument(symbol=SYMBOL, price_scale=2, qty_scale=3, listings=(listing,))
    return HeardBackground(VENUE, {SYMBOL: Converter(made, listing)}, SILENCE_NS)


def book(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> VenueBook:
    columns = [[one[place] for one in side] for side in (bids, asks) for place in (0, 1)]
    return VenueBook("binance_spot_real", SYMBOL, 1, 5, 6, 2, 3, *columns)


def levels(made: HeardBackground, now_ns: int) -> list[tuple[int, int, int]]:
    """What changes, in a market that shows what it has been told so far."""
    market = SHOWN.setdefault(made, Market(Listing(venue=VENUE, symbol=SYMBOL)))
    found = []
    for _, event in made.step_until(now_ns):
        assert isinstance(event, LevelsSet)
        assert event.whole
        found += [(one.side, one.price, one.qty) for one in market.changes(event).one_by_one()]
        market.set_levels(market.changes(event), now_ns)
    return found


def test_each_book_is_what_changed_since_the_last_one() -> None:
    made = background()
    made.take(book([(99, 5)], [(101, 5), (102, 7)]), 1)
    assert levels(made, 1) == [(BID, 99, 5), (ASK, 101, 5), (ASK, 102, 7)]
    made.take(book([(99, 5)], [(101, 4)]), 2)
    assert levels(made, 2) == [(ASK, 102, 0), (ASK, 101, 4)]
    assert levels(made, 3) == []


def test_trades_happen_when_they_are_heard_whatever_the_collectors_clock_says() -> None:
    made = background()
    made.take(MarketTrade("binance_spot_real", SYMBOL, "t7", 3, 4_000, 2, 3, 100, 6, -1), 50)
    assert [event for _, event in made.step_until(50)] == [BackgroundTrade(50, VENUE, 100, 6, -1, "t7")]


def test_a_market_that_has_fallen_silent_shows_nothing_until_it_is_heard_again() -> None:
    made = background()
    made.take(book([(99, 5)], [(101, 5)]), 0)
    assert levels(made, SILENCE_NS) == [(BID, 99, 5), (ASK, 101, 5)]
    assert levels(made, SILENCE_NS + 1) == [(BID, 99, 0), (ASK, 101, 0)]
    assert levels(made, SILENCE_NS + 2) == []
    made.take(book([(99, 5)], [(101, 5)]), SILENCE_NS + 3)
    assert levels(made, SILENCE_NS + 3) == [(BID, 99, 5), (ASK, 101, 5)]


def test_an_unknown_book_shows_nothing() -> None:
    made = background()
    made.take(book([(99, 5)], [(101, 5)]), 0)
    made.take(book([], []), 1)
    assert levels(made, 1)[2:] == [(BID, 99, 0), (ASK, 101, 0)]


def test_what_is_not_of_its_markets_is_passed_over() -> None:
    made = background()
    made.take(VenueBook("binance_spot_real", "ETH/USDT", 1, 5, 6, 2, 3, [99], [5], [], []), 0)
    assert levels(made, 1) == []


def test_more_than_it_holds_is_a_book_that_is_not_known() -> None:
    made = background()
    made.take(book([(99, 5)], [(101, 5)]), 0)
    assert len(levels(made, 0)) == 2
    for number in range(QUEUED_MAX + 1):
        made.take(book([(99, 5)], [(101, 1 + number % 7)]), 1)
    shown = levels(made, 1)
    assert shown[:2] == [(BID, 99, 0), (ASK, 101, 0)]
    assert shown[2:] == [(BID, 99, 5), (ASK, 101, 1 + QUEUED_MAX % 7)]


def test_contracts_become_base_quantities() -> None:
    made = background(kind="perp", contract_size=10)
    made.take(book([(99, 5_000)], []), 0)
    assert levels(made, 0) == [(BID, 99, 50)]


def test_a_size_that_is_no_whole_unit_is_a_book_that_is_not_known() -> None:
    made = background(kind="perp", contract_size=10)
    made.take(book([(99, 5_000)], []), 0)
    made.take(book([(99, 5_001)], []), 1)
    assert levels(made, 1) == [(BID, 99, 50), (BID, 99, 0)]


# -- in the exchange -------------------------------------------------------------------------------------------


def config(folder: Path) -> Config:
    return parse(
        f"""
        data_dir = "{folder}"
        [venues.binance_spot]
        adapter = "ccxt"
        [venues.sim_a]
        latency = "30ms"
        [instruments."BTC/USDT"]
        price_scale = 2
        qty_scale = 3
        [instruments."BTC/USDT".venues]
        binance_spot = {{ tick = "0.01", lot = "0.001", taker_bps = "10" }}
        sim_a = {{ tick = "0.01", lot = "0.001" }}
        [exchange]
        latency = "0s"
        """
    )


class Paper:
    """The exchange, with one venue that is heard."""

    def __init__(self, folder: Path) -> None:
        settings = config(folder)
        logger: Any = structlog.get_logger()
        self.market = heard(VENUE, settings, settings.make_instruments().all)
        self.exchange = Exchange(settings, AffineClock(), logger, lambda *_: [self.market])
        self.exchange.start()
        self._count = 0

    def shows(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
        self.market.take(book(bids, asks), self.exchange.now_ns())

    def buy(self, qty: int, price: int, tif: Tif = Tif.IOC) -> w.OrderState:
        self._count += 1
        order = w.Submit(
            venue=VENUE,
            symbol=SYMBOL,
            client_id=f"c{self._count}",
            side=Side.BUY,
            qty=qty,
            price=price,
            tif=tif,
        )
        answer = self.exchange.handle(order)
        assert answer.order is not None, answer.text
        return answer.order

    def close(self) -> None:
        for journal in self.exchange._journals.values():
            journal.close()


@pytest.fixture
def paper(tmp_path: Path) -> Any:
    made = Paper(tmp_path)
    yield made
    made.close()


def test_what_our_fills_took_does_not_come_back_before_the_venue_shows_another_size(paper: Paper) -> None:
    paper.shows([(99, 5)], [(101, 5)])
    assert paper.buy(3, 101).cum_qty == 3
    paper.shows([(98, 5)], [(101, 5)])
    assert paper.buy(3, 101).cum_qty == 2, "the other three are gone"
    paper.shows([(98, 5)], [(101, 9)])
    assert paper.buy(9, 101).cum_qty == 4, "four were added"


def test_fees_are_those_of_the_listing(paper: Paper) -> None:
    paper.shows([(99, 5)], [(101, 5)])
    order = paper.buy(5, 101)
    assert order.fees == order.notional / 1000


async def test_a_resting_order_waits_behind_what_was_there(paper: Paper) -> None:
    paper.shows([(99, 5)], [(101, 5)])
    assert paper.buy(3, 99, Tif.GTC).cum_qty == 0, "five are in front of it"
    sold = MarketTrade("binance_spot_real", SYMBOL, "t1", 1, 1, 2, 3, 99, 6, -1)
    paper.market.take(sold, paper.exchange.now_ns())
    paper.exchange.tick()
    syncing = paper.exchange._syncing
    assert syncing is not None
    await syncing
    state = paper.exchange.sim.query(VENUE, "c1", "default")
    assert state is not None
    assert state.cum_qty == 1


def test_nothing_fills_where_nothing_is_heard(paper: Paper) -> None:
    assert paper.buy(1, 1_000).cum_qty == 0


def test_a_venue_may_be_further_away_than_the_others(paper: Paper) -> None:
    assert paper.exchange.way("sim_a") is not paper.exchange.way(VENUE)
    assert paper.exchange.way(VENUE) is paper.exchange.way("")
