"""The lists of several symbols: in one request where the venue has one for all, and nothing is overlooked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from bestex.clock import SECOND
from bestex.config import Config
from bestex.messages import Side, Tif
from services.gateway import port as p
from services.gateway.venues.ccxt.adapter import CcxtVenue
from services.gateway.venues.ccxt.lists import Lists
from services.gateway.venues.ccxt.quirks import quirk_of
from services.gateway.venues.ccxt.quirks.base import Quirk
from services.gateway.venues.ccxt.said import Names
from tests.contract import rigs
from tests.contract.rigs import CLOCK, Rig
from tests.emulators.faults import Fault
from tests.emulators.server import Emulator, serve
from tests.unit.collector.test_ccxt_anew import second_of
from tests.waiting import until

RIGS = [rigs.BINANCE_SPOT, rigs.BYBIT_SPOT, rigs.OKX_SPOT, rigs.KRAKEN_SPOT, rigs.COINBASE_SPOT]
BY_SYMBOL = rigs.BINANCE_SPOT
OPENED = {"coinbase_spot": 2}  # requests for the open orders: of each kind of live orders one


def config_of(rig: Rig, url: str, folder: Path) -> Config:
    """With both symbols."""
    one, other = rig.config(url, folder), second_of(rig).config(url, folder)
    both = {**one.instruments, "ETH/USDT": other.instruments["BTC/USDT"]}
    return msgspec.structs.replace(one, instruments=both)


@asynccontextmanager
async def venue_of(rig: Rig, folder: Path) -> AsyncIterator[tuple[CcxtVenue, Emulator, list[Any]]]:
    deposits = {**rig.deposits, **second_of(rig).deposits}
    async with serve(rig.make(folder / "venue", market="none", deposits=deposits)) as emulator:
        venue = CcxtVenue(rig.venue, config_of(rig, emulator.url, folder), CLOCK)
        heard: list[Any] = []
        await venue.connect(lambda said: heard.append(said), CLOCK.now_ns)
        try:
            await until(lambda: any(isinstance(one, p.SessionState) for one in heard))
            await until(lambda: emulator.tells("default"))
            yield venue, emulator, heard
        finally:
            await venue.disconnect()


def asked_of(emulator: Emulator) -> int:
    """How many lists were asked for; some emulators count them as questions for an order."""
    return emulator.faults.asked["list"] + emulator.faults.asked["query"]


def since() -> int:
    return CLOCK.now_ns() - 60 * SECOND


async def reconciled(venue: CcxtVenue, rig: Rig) -> list[Any]:
    said = await venue.mass_status(p.MassStatus(venue=rig.venue, since_ns=since()))
    assert said is not None
    return list(said)


@pytest.fixture(params=RIGS, ids=str)
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.param
    return made


async def test_orders_and_trades_of_every_symbol_are_found_that_nobody_here_knows(
    rig: Rig, tmp_path: Path
) -> None:
    async with venue_of(rig, tmp_path) as (venue, emulator, _):
        for one in (rig, second_of(rig)):
            engine = emulator.engine
            assert engine.submit("other", one.symbol, Side.SELL, one.qty, one.price).ok
            assert engine.submit("default", one.symbol, Side.BUY, one.qty, one.price).ok
            resting = one.price - 10 * engine.markets[one.symbol].price(1)
            assert engine.submit("default", one.symbol, Side.BUY, one.qty, resting).ok
        before = asked_of(emulator)
        opened = await venue.open_orders()
        asked = asked_of(emulator) - before
        said = await reconciled(venue, rig)
    assert opened is not None
    assert len(opened) == 2
    assert asked == (2 if rig is BY_SYMBOL else OPENED.get(rig.venue, 1))
    fills = [one for one in said if isinstance(one, p.VenueFill)]
    assert sorted(fill.price for fill in fills) == [300_000, int(rig.price.scaleb(rig.price_scale))]
    assert len([one for one in said if isinstance(one, p.VenueAccepted)]) == 2


async def test_a_pull_of_two_symbols_is_as_many_requests_as_one_of_one(rig: Rig, tmp_path: Path) -> None:
    """At Binance, of those in which something stirs."""
    async with venue_of(rig, tmp_path) as (venue, emulator, heard):
        await reconciled(venue, rig)
        other = second_of(rig)
        before = asked_of(emulator)
        assert await venue.fills_since(since()) == []
        assert asked_of(emulator) - before == (0 if rig is BY_SYMBOL else 1)
        for one in (other, rig):
            assert emulator.engine.submit("other", one.symbol, Side.SELL, one.qty, one.price).ok
        assert emulator.engine.submit("default", other.symbol, Side.BUY, other.qty, other.price).ok
        if rig is BY_SYMBOL:
            await until(lambda: other.symbol in venue._lists._busy)  # the stream has told
        await venue.fills_since(since())  # asks whose order it is, too
        before = asked_of(emulator)
        fills = await venue.fills_since(since())
        assert asked_of(emulator) - before == 1
    assert fills is not None
    assert [fill.price for fill in fills] == [300_000]
    assert heard


async def test_what_was_sent_is_asked_for_although_the_stream_is_deaf(tmp_path: Path) -> None:
    rig = BY_SYMBOL
    async with venue_of(rig, tmp_path) as (venue, emulator, _):
        await reconciled(venue, rig)
        assert not venue._lists._busy
        emulator.faults.add(Fault(how="mute_user", seconds=60))
        emulator.engine.submit("other", rig.symbol, Side.SELL, rig.qty, rig.price)
        later_ns = CLOCK.now_ns() + 5 * SECOND
        order = p.Submit(
            venue=rig.venue,
            symbol="BTC/USDT",
            child_id="c1",
            side=Side.BUY,
            qty=1_000,
            price=6_000_000,
            tif=Tif.GTC,
            post_only=False,
            deadline_ns=later_ns,
            good_till_ns=later_ns,
        )
        await venue.submit(order)
        fills = await venue.fills_since(since())
    assert fills is not None
    assert [fill.child_id for fill in fills] == ["c1"]


# -- what is busy ----------------------------------------------------------------------------------------------


class Quiet(Quirk):
    QUIET = True

    def __init__(self) -> None:
        super().__init__("spot")
        self.asked: list[str] = []

    async def trades(self, exchange: Any, symbol: str, since_ms: int) -> list[Any]:  # noqa: ARG002
        self.asked.append(symbol)
        return []


def lists_of(quirk: Quirk) -> Lists:
    markets: Any = dict.fromkeys("ABC")
    return Lists("binance_spot", quirk, Names(), markets, str)


async def test_everything_is_busy_until_a_round_was_whole() -> None:
    quirk = Quiet()
    lists = lists_of(quirk)
    await lists.fills(None, 0)
    failed = lists.begin([])
    lists.end(failed, whole=False)
    await lists.fills(None, 0)
    assert quirk.asked == [*"ABC", *"ABC"]
    lists.end(lists.begin(["B"]), whole=True)
    await lists.fills(None, 0)
    assert quirk.asked == [*"ABC", *"ABC", "B"]


async def test_what_stirs_in_a_round_is_busy_after_it_and_after_another_that_was_under_way() -> None:
    quirk = Quiet()
    lists = lists_of(quirk)
    first = lists.begin([])
    lists.busy("A")
    second = lists.begin([])
    lists.busy("C")
    lists.end(second, whole=True)
    await lists.fills(None, 0)
    lists.end(first, whole=True)
    await lists.fills(None, 0)
    assert quirk.asked == ["C", "A", "C"]


# -- what is settled in several coins --------------------------------------------------------------------------


class Derivatives:
    """Of ccxt, what is asked: an account with orders in two coins, and in a symbol that is not ours."""

    IDS: ClassVar[dict[str, str]] = {
        "BTCUSDT": "USDT",
        "ETHUSDT": "USDT",
        "BTCPERP": "USDC",
        "XRPUSDT": "USDT",
    }

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def market(self, symbol: str) -> Any:
        return {"id": symbol, "settleId": self.IDS[symbol]}

    def parse_order(self, row: Any, market: Any) -> Any:
        return row["symbol"], market["id"]

    async def privateGetV5OrderRealtime(self, request: Any) -> Any:
        self.asked.append({name: request[name] for name in request if name in ("symbol", "settleCoin")})
        rows = [one for one, coin in self.IDS.items() if request.get("settleCoin", coin) == coin]
        return {"result": {"list": [{"symbol": one} for one in rows if request.get("symbol", one) == one]}}


async def test_bybits_perpetuals_are_asked_for_by_the_coin_that_settles_them() -> None:
    exchange = Derivatives()
    quirk = quirk_of("bybit", "swap")
    assert await quirk.open_orders_of(exchange, ["BTCUSDT", "ETHUSDT", "BTCPERP"]) == [
        ("BTCUSDT", "BTCUSDT"),
        ("ETHUSDT", "ETHUSDT"),
        ("BTCPERP", "BTCPERP"),
    ]
    assert await quirk.open_orders(exchange, "ETHUSDT") == [("ETHUSDT", "ETHUSDT")]
    assert exchange.asked == [{"settleCoin": "USDT"}, {"settleCoin": "USDC"}, {"symbol": "ETHUSDT"}]
