"""Several exchanges in one market: each in its own units, together, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

from bestex.background import LevelSet, LevelsSet
from bestex.clock import SECOND
from services.exchange.happening import Happening
from tests.emulators.binance import Binance
from tests.emulators.bybit import Bybit
from tests.emulators.engine import Market
from tests.emulators.okx import Okx
from tests.emulators.server import Emulator
from tests.emulators.world import BASIS_BPS, START_PRICES, World

BTC, PERP = "BTC/USDT", "BTC/USDT:USDT"
SECONDS = 20
START_NS = 1_700_000_000 * SECOND

Key = tuple[str, str]
Books = dict[Key, dict[int, dict[int, int]]]


class Watched:
    """A world that is looked at, with the books that follow from what happens."""

    def __init__(self, folder: Path, seed: int) -> None:
        world = World(seed)
        self.emulators: list[Emulator] = []
        for kind in (Binance, Bybit, Okx):
            emulator = kind(folder / kind.NAME, market=world.backgrounds)
            world.join(emulator.NAME, emulator.config)
            self.emulators.append(emulator)
        self.corners = {
            emulator.NAME: world.backgrounds(emulator.config, [emulator.NAME], {}, START_NS)[0]
            for emulator in self.emulators
        }
        self.books: Books = {
            (emulator.NAME, symbol): {1: {}, -1: {}}
            for emulator in self.emulators
            for symbol in emulator.engine.markets
        }
        self.happened: list[tuple[str, Happening]] = []

    def run(self, until_ns: int) -> None:
        for name, corner in self.corners.items():
            for one in corner.step_until(until_ns):
                self.happened.append((name, one))
                if isinstance(one.event, LevelSet):
                    side = self.books[name, one.symbol][one.event.side]
                    side[one.event.price] = one.event.qty
                    if not one.event.qty:
                        del side[one.event.price]

    def market(self, name: str, symbol: str) -> Market:
        return next(one for one in self.emulators if name == one.NAME).engine.markets[symbol]

    def best(self, name: str, symbol: str) -> tuple[float, float]:
        """Bid and ask, as numbers of quote."""
        book, market = self.books[name, symbol], self.market(name, symbol)
        return float(market.price(max(book[1]))), float(market.price(min(book[-1])))


def test_every_listing_moves_with_the_others_and_none_is_crossed_with_another(tmp_path: Path) -> None:
    world = Watched(tmp_path, seed=3)
    mids = set()
    for second in range(SECONDS):
        world.run(START_NS + second * SECOND)
        spot = [world.best(name, BTC) for name in ("binance", "bybit", "okx")]
        bid, ask = max(one for one, _ in spot), min(one for _, one in spot)
        assert bid <= ask
        mids.add(bid + ask)
        above = START_PRICES[BTC] * BASIS_BPS / 10_000
        for name in ("bybit", "okx"):
            perp_bid, perp_ask = world.best(name, PERP)
            assert perp_bid - above < ask
            assert perp_ask - above > bid - 0.2, "the distance is in whole ticks"
    assert len(mids) > SECONDS / 2, "it moves"


def test_prices_and_sizes_are_whole_ticks_and_lots_of_their_own_market(tmp_path: Path) -> None:
    world = Watched(tmp_path, seed=3)
    world.run(START_NS + 5 * SECOND)
    assert {(name, one.symbol) for name, one in world.happened} == set(world.books)
    for name, one in world.happened:
        listing = world.market(name, one.symbol).listing
        assert one.event.venue == name
        assert not isinstance(one.event, LevelsSet), "these speak level by level"
        assert not isinstance(one.event, LevelSet) or one.event.price % listing.tick == 0
        assert one.event.qty % listing.lot == 0


def test_the_same_seed_gives_the_same_market_however_the_time_is_cut(tmp_path: Path) -> None:
    one, other, third = (Watched(tmp_path / str(n), seed) for n, seed in enumerate((3, 3, 4)))
    for watched, pieces in ((one, 50), (other, 3), (third, 3)):
        watched.run(START_NS)
        for piece in range(1, pieces + 1):
            watched.run(START_NS + 5 * SECOND * piece // pieces)
    assert one.books == other.books
    assert one.books != third.books
