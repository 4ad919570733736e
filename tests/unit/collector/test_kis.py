"""Market data of KIS from the emulated broker: what is heard, when it is unknown, and what has no place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bestex.clock import MINUTE, AffineClock, parse_time
from bestex.config import Config, parse
from bestex.errors import ConfigError
from bestex.feed import DepthUpdate
from bestex.messages import MarketTrade, Side
from bestex.units import UnitError
from services.collector.sources import kis as source
from services.collector.sources.kis import KisSource, Reader, Registration, registrations
from tests.contract.rigs import KIS_KRX, KIS_NXT, KIS_US, Rig
from tests.emulators import kis_wire as wire
from tests.emulators.kis import Kis
from tests.emulators.server import serve
from tests.unit.emulators.talking_kis import quote
from tests.unit.equities import korea
from tests.waiting import until

OPEN = {
    "KRX": parse_time("2026-11-27T01:00:00Z"),
    "NXT": parse_time("2026-11-26T23:30:00Z"),
    "US": parse_time("2026-11-30T16:00:00Z"),
}
BIDS, ASKS = [(200, 5), (100, 6)], [(300, 7), (400, 8)]
RIGS = {"KRX": KIS_KRX, "NXT": KIS_NXT, "US": KIS_US}


class Listening:
    """A source on the emulator, at a time that the test sets."""

    def __init__(self, exchange: str, kis: Kis, folder: Path) -> None:
        rig: Rig = RIGS[exchange]
        self.exchange, self.kis = exchange, kis
        self.config = rig.config(kis.url, folder)
        self.now_ns = int(OPEN[exchange])
        self.kis.skew_ns = self.now_ns - kis.engine.now_ns()
        self.heard: list[Any] = []
        self.source = KisSource(rig.venue, self.config, AffineClock())

    @property
    def books(self) -> list[DepthUpdate]:
        return [one for one in self.heard if isinstance(one, DepthUpdate)]

    @property
    def trades(self) -> list[MarketTrade]:
        return [one for one in self.heard if isinstance(one, MarketTrade)]

    def knows(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> bool:
        if not self.books:
            return False
        newest, one = self.books[-1], 10 ** self.books[-1].price_scale
        return (newest.bids, newest.asks) == tuple(
            [(price * one, qty) for price, qty in side] for side in (bids, asks)
        )

    def is_unknown(self) -> bool:
        return bool(self.books) and (self.books[-1].bids, self.books[-1].asks) == ([], [])

    def trade(self, price: int, qty: int, side: Side = Side.BUY) -> None:
        symbol = "AAPL/USD" if self.exchange == "US" else "005930/KRW"
        answer = self.kis.engines[self.exchange].submit("other", symbol, side, Decimal(qty), Decimal(price))
        assert answer.ok, answer.text


@asynccontextmanager
async def running(listening: Listening) -> AsyncIterator[Listening]:
    task = asyncio.create_task(listening.source.run(listening.heard.append, lambda: listening.now_ns))
    try:
        yield listening
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def kis(tmp_path: Path) -> AsyncIterator[Kis]:
    async with serve(Kis(tmp_path / "emulator", market="none", sessions=False)) as emulator:
        assert isinstance(emulator, Kis)
        yield emulator


@pytest.fixture(params=["KRX", "NXT", "US"])
async def listening(request: Any, kis: Kis, tmp_path: Path) -> AsyncIterator[Listening]:
    quote(kis, request.param, bids=BIDS, asks=ASKS)
    async with running(Listening(request.param, kis, tmp_path)) as made:
        await until(lambda: not made.is_unknown() and bool(made.books))
        yield made


def depth(listening: Listening, levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """As much of it as is told: of the United States the best level."""
    return levels[:1] if listening.exchange == "US" else levels


async def test_books_are_heard_whole_and_in_order(listening: Listening) -> None:
    await until(lambda: listening.knows(depth(listening, BIDS), depth(listening, ASKS)))
    quote(listening.kis, listening.exchange, bids=[(250, 3)])
    await until(lambda: listening.knows(depth(listening, [(250, 3), *BIDS]), depth(listening, ASKS)))
    newest = listening.books[-1]
    assert newest.snapshot
    assert newest.venue_ns <= newest.recv_ns
    assert [book.seq for book in listening.books] == sorted({book.seq for book in listening.books})


async def test_trades_are_heard_once_with_their_side(listening: Listening) -> None:
    await until(lambda: len(listening.kis.sockets) == 1 and len(listening.kis.sockets[0].topics) == 2)
    listening.trade(300, 2)
    listening.trade(200, 1, Side.SELL)
    await until(lambda: len(listening.trades) == 2)
    first, second = listening.trades
    one = 10**first.price_scale
    assert [(trade.price, trade.qty) for trade in (first, second)] == [(300 * one, 2), (200 * one, 1)]
    assert first.trade_id != second.trade_id
    sides = (0, 0) if listening.exchange == "US" else (1, -1)
    assert (first.aggressor, second.aggressor) == sides, "the United States' trades tell no side"
    assert abs(first.venue_ns - listening.now_ns) < MINUTE


async def test_after_a_loss_the_book_is_unknown_until_a_fresh_one_comes(listening: Listening) -> None:
    await until(lambda: listening.knows(depth(listening, BIDS), depth(listening, ASKS)))
    before = len(listening.books)
    listening.kis.cut(user=False)
    await until(lambda: len(listening.books) > before)
    assert (listening.books[before].bids, listening.books[before].asks) == ([], [])
    await until(lambda: listening.knows(depth(listening, BIDS), depth(listening, ASKS)))


async def test_outside_the_session_the_book_is_unknown_whatever_is_sent(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "LOOK_S", 0.02)
    await until(lambda: listening.knows(depth(listening, BIDS), depth(listening, ASKS)))
    session = listening.source._hours.at(listening.now_ns)
    assert session is not None
    inside, close_ns = listening.now_ns, next(b for a, b in session.parts if a <= listening.now_ns < b)
    listening.now_ns = close_ns
    await until(listening.is_unknown)
    count = len(listening.heard)
    quote(listening.kis, listening.exchange, bids=[(260, 3)])
    market = next(iter(listening.kis.engines[listening.exchange].markets.values()))
    await until(lambda: bool(market.bids))
    listening.now_ns = inside
    quote(listening.kis, listening.exchange, bids=[(270, 4)])
    await until(lambda: not listening.is_unknown())
    assert listening.books[-1].bids[0][0] == 270 * 10 ** listening.books[-1].price_scale
    seen = [book.bids[0][0] for book in listening.books[count:] if book.bids]
    assert 260 * 10 ** listening.books[-1].price_scale not in seen, "it was sent while the market was closed"


async def test_a_market_that_is_closed_at_the_start_is_unknown(kis: Kis, tmp_path: Path) -> None:
    quote(kis, "KRX", bids=BIDS, asks=ASKS)
    made = Listening("KRX", kis, tmp_path)
    made.now_ns = parse_time("2026-11-29T01:00:00Z")  # a Sunday
    async with running(made):
        await until(lambda: len(kis.sockets) == 1 and len(kis.sockets[0].topics) == 2)
        assert all(book.bids == [] for book in made.books)


# -- reading ---------------------------------------------------------------------------------------------------


def reader(exchange: str = "KRX") -> Reader:
    return Reader(registration(exchange))


def registration(exchange: str, is_book: bool = True) -> Registration:
    instrument = korea(price="70000", venues=("krx",))
    return Registration("krx", instrument, instrument.listings[0], exchange, is_book)


def domestic(**changed: str) -> list[str]:
    fields = ["005930", "100000", "0", *["0"] * 56]
    fields[3], fields[13], fields[23], fields[33] = "70100", "70000", "7", "5"
    for at, value in changed.items():
        fields[int(at[1:])] = value
    return fields


def test_fields_that_are_added_at_the_end_change_nothing() -> None:
    now = OPEN["KRX"]
    plain, longer = reader().book(domestic(), now), reader().book([*domestic(), "1", "x"], now)
    assert plain == longer
    assert (plain.bids, plain.asks) == ([(70_000, 5)], [(70_100, 7)])


@pytest.mark.parametrize(
    "fields", [domestic(f13="x"), domestic(f23="-1"), domestic(f3="70000.5"), ["005930"]]
)
def test_what_is_no_book_is_none(fields: list[str]) -> None:
    with pytest.raises((UnitError, IndexError)):
        reader().book(fields, OPEN["KRX"])


def test_a_price_without_a_size_is_no_level() -> None:
    assert reader().book(domestic(f33="0"), OPEN["KRX"]).bids == []


# -- registrations -----------------------------------------------------------------------------------------------


def many(shares: int, folder: Path) -> Config:
    """So many shares on KRX and NXT, one key for both."""
    (folder / "keys.toml").write_text('key = "k"\nsecret = "s"\n')
    (folder / "keys.toml").chmod(0o600)
    text = "".join(
        f'[venues.{venue}]\nadapter = "kis"\nkeys = "{folder}/keys.toml"\n'
        for venue in ("kis_krx", "kis_nxt")
    )
    for number in range(shares):
        text += f'[instruments."{number:06d}"]\nprice_scale = 0\nqty_scale = 0\n'
        text += "".join(f'venues.{venue} = {{ tick = "1", lot = "1" }}\n' for venue in ("kis_krx", "kis_nxt"))
    return parse(text)


@pytest.mark.parametrize(
    ("shares", "krx", "nxt"), [(5, (5, 5), (5, 5)), (15, (15, 10), (15, 0)), (30, (30, 0), (10, 0))]
)
def test_books_have_their_places_before_trades(
    shares: int, krx: tuple[int, int], nxt: tuple[int, int], tmp_path: Path
) -> None:
    config = many(shares, tmp_path)
    found = {
        venue: tuple(
            sum(has_place and one.is_book == is_book for one, has_place in registrations(venue, config))
            for is_book in (True, False)
        )
        for venue in ("kis_krx", "kis_nxt")
    }
    assert found == {"kis_krx": krx, "kis_nxt": nxt}
    assert len(KisSource("kis_nxt", config, AffineClock())._ears) == sum(nxt)


def test_without_keys_there_is_no_market_data(tmp_path: Path) -> None:
    config = many(1, tmp_path)
    venues = {name: msgspec.structs.replace(venue, keys="") for name, venue in config.venues.items()}
    with pytest.raises(ConfigError, match=r"venues\.kis_krx: market data needs a file of keys"):
        KisSource("kis_krx", msgspec.structs.replace(config, venues=venues), AffineClock())


def test_keys_are_those_of_the_websocket() -> None:
    assert registration("KRX").key == "005930"
    listing = msgspec.structs.replace(registration("US").listing, symbol="NYSE:IBM")
    assert registration("US")._replace(listing=listing).key == "DNYSIBM" == wire.US_PREFIXES["NYSE"] + "IBM"
    wrong = msgspec.structs.replace(listing, symbol="LSE:VOD")
    with pytest.raises(ConfigError, match="no exchange LSE"):
        _ = registration("US")._replace(listing=wrong).key
