"""The source of ccxt at the emulated exchanges: every book that it tells was the venue's at some moment, or is empty.

What the venue's book was is asked of its engine, never of the wire.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import SECOND, AffineClock
from bestex.config import Config, parse
from bestex.contracts import Conversion
from bestex.feed import Books
from bestex.messages import Bbo, MarketTrade, MarkPrice, Side, VenueBook
from bestex.plugins import COLLECTORS, load
from bestex.units import from_units
from tests.contract import rigs
from tests.contract.rigs import Rig
from tests.emulators.engine import DepthChange
from tests.emulators.faults import Fault
from tests.emulators.server import Emulator, serve
from tests.waiting import until

LEVELS = 20
CLOCK = AffineClock()
RIGS = [rig for rig in rigs.RIGS if rig.adapter == "ccxt"]
SIDELESS = {"coinbase_spot"}  # do not say whose side a trade's is

Top = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
EMPTY: Top = ((), ())


def config_of(rig: Rig, url: str, folder: Path, options: str = "") -> Config:
    return parse(
        f"""
        data_dir = "{folder}"
        [venues.{rig.venue}]
        adapter = "ccxt"
        url = "{url}"
        options = {{ {options} }}
        [instruments."BTC/USDT"]
        price_scale = {rig.price_scale}
        qty_scale = {rig.qty_scale}
        [instruments."BTC/USDT".venues]
        {rig.venue} = {{ symbol = "{rig.symbol}", {rig.listing} }}
        """
    )


class Place:
    """An emulated venue, somebody who trades there, and what the source tells of it."""

    def __init__(self, rig: Rig, emulator: Emulator, config: Config, name: str = "BTC/USDT") -> None:
        """`name`: the instrument that is the rig's symbol."""
        self.rig, self.emulator = rig, emulator
        self.instrument = config.make_instruments().by_symbol[name]
        listing = self.instrument.listing(rig.venue)
        assert listing is not None
        self.listing = listing
        self._books = Books(LEVELS)
        self.tops: list[Top] = []
        self.trades: list[MarketTrade] = []
        self.marks: list[MarkPrice] = []
        self.bests: list[Bbo] = []
        self.was: set[Top] = {EMPTY, self.now()}
        self._random = random.Random(7)
        self._resting: list[Any] = []
        told = emulator.engine.on_depth

        def remember(change: DepthChange) -> None:
            if change.symbol == rig.symbol:
                self.was.add(self.now())
            told(change)

        emulator.engine.on_depth = remember

    def now(self) -> Top:
        """The venue's book, in the instrument's units."""
        snapshot = self.emulator.engine.markets[self.rig.symbol].snapshot(LEVELS)
        price, qty = self.instrument.price_units, self.instrument.qty_units
        bids, asks = (
            tuple((price(level[0]), qty(level[1])) for level in side)
            for side in (snapshot.bids, snapshot.asks)
        )
        return bids, asks

    def deliver(self, event: Any) -> None:
        if isinstance(event, MarkPrice):
            self.marks.append(event)
            return
        if isinstance(event, Bbo):
            self.bests.append(event)
            return
        told = self._books.take(event)
        if isinstance(told, MarketTrade):
            self.trades.append(told)
        else:
            self.tops.append(self._in_units(told))

    def _in_units(self, book: VenueBook) -> Top:
        conversion = Conversion(self.instrument, self.listing, book.price_scale, book.qty_scale)
        sides = []
        for prices, qtys in ((book.bid_px, book.bid_qty), (book.ask_px, book.ask_qty)):
            made = conversion.prices(prices)
            assert made is not None
            sizes = conversion.quantities(made, qtys)
            assert sizes is not None
            sides.append(tuple(zip(made, sizes, strict=True)))
        return sides[0], sides[1]

    def quote(self, times: int) -> None:
        """Orders come and go on both sides, never at a price that trades."""
        tick, lot = self.instrument.price(self.listing.tick), self.rig.qty
        for _ in range(times):
            if len(self._resting) > 12 and self._random.random() < 0.6:
                order = self._resting.pop(self._random.randrange(len(self._resting)))
                self.emulator.engine.cancel(order)
                continue
            side = self._random.choice((Side.BUY, Side.SELL))
            price = self.rig.price - side.sign * self._random.randint(1, 15) * tick
            answer = self.emulator.engine.submit("other", self.rig.symbol, side, lot, price)
            assert answer.ok, answer.text
            assert answer.order is not None
            self._resting.append(answer.order)

    def stirs(self) -> bool:
        """False, having changed the book: to be asked while something is waited for."""
        self.quote(1)
        return False

    async def caught_up(self) -> None:
        await until(lambda: bool(self.tops) and self.tops[-1] == self.now() != EMPTY, 15.0)

    def never_wrong(self) -> bool:
        return set(self.tops) <= self.was


@asynccontextmanager
async def place_of(rig: Rig, folder: Path, options: str = "", **made: Any) -> AsyncIterator[Place]:
    async with serve(rig.make(folder / "venue", market="none", **made)) as emulator:
        config = config_of(rig, emulator.url, folder, options)
        place = Place(rig, emulator, config)
        source = load(COLLECTORS, "ccxt")(rig.venue, config, CLOCK)
        place.quote(20)
        await until(lambda: place.now() != EMPTY)  # the venue tells of it a moment later
        running = asyncio.create_task(source.run(place.deliver, CLOCK.now_ns))
        try:
            # Some venues tell a book only when it changes.
            for _ in range(500):
                if place.tops:
                    break
                place.quote(1)
                await asyncio.sleep(0.02)
            await place.caught_up()
            yield place
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(params=RIGS, ids=str)
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.param
    return made


async def churn(place: Place, rounds: int = 30) -> None:
    for _ in range(rounds):
        place.quote(3)
        await asyncio.sleep(0.005)
    await place.caught_up()


async def test_the_books_told_are_the_venues(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path) as place:
        await churn(place)
        assert place.never_wrong()
        assert EMPTY not in place.tops
        assert len(set(place.tops)) > 10


async def test_a_lost_update_is_noticed_and_the_book_made_anew(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path) as place:
        place.emulator.faults.add(Fault(how="gap"))
        seen = len(place.tops)
        await churn(place)
        assert place.emulator.faults.happened["gap"] == 1
        assert place.never_wrong()
        assert EMPTY in place.tops[seen:]


async def test_a_wrong_checksum_makes_the_book_anew(tmp_path: Path) -> None:
    async with place_of(rigs.KRAKEN_SPOT, tmp_path) as place:
        place.emulator.faults.add(Fault(how="bad_checksum"))
        seen = len(place.tops)
        await churn(place)
        assert place.emulator.faults.happened["bad_checksum"] == 1
        assert place.never_wrong()
        assert EMPTY in place.tops[seen:]


async def test_after_a_cut_connection_the_book_is_unknown_and_then_right(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path) as place:
        seen = len(place.tops)
        place.emulator.cut(user=False)
        await until(lambda: EMPTY in place.tops[seen:])
        for _ in range(100):
            if place.tops[-1] != EMPTY:
                break
            place.quote(1)
            await asyncio.sleep(0.02)
        await churn(place)
        assert place.never_wrong()


async def test_a_venue_that_says_nothing_is_connected_to_anew(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path, options="silence_s = 0.5") as place:
        seen = len(place.tops)
        await until(lambda: EMPTY in place.tops[seen:])
        await until(lambda: len(place.tops) > seen + 1 or place.stirs())
        assert place.never_wrong()


async def test_each_trade_is_told_once_with_its_aggressor(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path) as place:
        ask = place.now()[1][0][0]
        price = place.instrument.price(ask)
        answer = place.emulator.engine.submit("taker", rig.symbol, Side.BUY, rig.qty, price)
        assert answer.ok
        await until(lambda: bool(place.trades))
        await place.caught_up()
        (trade,) = place.trades
        assert (trade.price, trade.aggressor) == (ask, 0 if rig.venue in SIDELESS else 1)
        conversion = Conversion(place.instrument, place.listing, trade.price_scale, trade.qty_scale)
        assert conversion.quantities([trade.price], [trade.qty]) == [place.instrument.qty_units(rig.qty)]


@pytest.mark.parametrize(
    "perp", [rigs.BINANCE_PERP, rigs.BYBIT_PERP, rigs.OKX_PERP], ids=["binance", "bybit", "okx"]
)
async def test_the_mark_price_of_a_perpetual_is_told_with_its_funding(perp: Rig, tmp_path: Path) -> None:
    async with place_of(perp, tmp_path) as place:
        await until(lambda: any(one.funding_rate is not None for one in place.marks) or place.stirs())
        mark = place.marks[-1]
    assert (mark.venue, mark.symbol, mark.funding_rate) == (perp.venue, perp.symbol, 0.0001)
    assert abs(from_units(mark.mark, mark.price_scale) - perp.price) < 100
    assert 0 < mark.next_funding_ns - mark.recv_ns <= 8 * 3_600 * SECOND
    assert mark.next_funding_ns % (8 * 3_600 * SECOND) == 0


async def test_what_is_wrong_with_mark_prices_is_not_the_books_affair(tmp_path: Path) -> None:
    rig, marks = rigs.BINANCE_PERP, "services.collector.sources.ccxt.quirks.binance.Binance.marks"

    async def fails() -> None:
        raise ConnectionError("no such channel")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, lambda *_: iter([fails]))
        async with place_of(rig, tmp_path) as place:
            await churn(place)
            assert EMPTY not in place.tops
    assert not place.marks


async def test_a_venue_whose_clock_is_ahead_never_sends_from_the_future(tmp_path: Path) -> None:
    rig = rigs.BINANCE_SPOT
    async with serve(rig.make(tmp_path / "venue", market="none")) as emulator:
        emulator.skew_ns = 3 * SECOND
        config = config_of(rig, emulator.url, tmp_path)
        place, events = Place(rig, emulator, config), list[Any]()
        source = load(COLLECTORS, "ccxt")(rig.venue, config, CLOCK)
        running = asyncio.create_task(source.run(events.append, CLOCK.now_ns))
        await until(lambda: len(events) > 5 or place.stirs())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    timed = [event for event in events if event.venue_ns]
    assert len(timed) >= 5
    assert all(0 <= event.recv_ns - event.venue_ns < 2 * SECOND for event in timed)
