"""What ends a session of the source of ccxt, and what does not: silence, lateness, what never came, what is full."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from ccxt.base.errors import RateLimitExceeded

from bestex.clock import MS, SECOND, AffineClock
from bestex.config import load as load_config
from bestex.instruments import Instrument, Listing
from bestex.plugins import COLLECTORS, load
from services.collector.sources.ccxt import session as sessions
from services.collector.sources.ccxt import source as sources
from services.collector.sources.ccxt.quirks import binance
from services.collector.sources.ccxt.quirks.binance import Binance
from services.collector.sources.ccxt.session import Session
from services.collector.sources.ccxt.source import CcxtSource
from services.collector.sources.ccxt.stream import MARK_EVERY_NS, FeedBroken, Stream, Streams
from services.collector.sources.ccxt.venue_clock import CLOCK_BLOCK, CLOCK_BLOCKS, VenueClock
from tests.contract import rigs
from tests.unit.collector.test_ccxt_venues import config_of
from tests.waiting import until

NOW = 1_700_000_000 * SECOND
CLOCK = AffineClock()


def stream(
    symbol: str = "BTC/USD", clock: VenueClock | None = None, kind: Any = "spot"
) -> tuple[Stream, list[Any]]:
    events: list[Any] = []
    instrument = Instrument(symbol=symbol, price_scale=2, qty_scale=8)
    listing = Listing(venue="kraken_spot", symbol=symbol, kind=kind)
    return Stream(instrument, listing, clock or VenueClock(), events.append), events


# -- the clock -------------------------------------------------------------------------------------------------


def test_a_clock_that_was_asked_is_known_to_half_of_the_quickest_answer() -> None:
    clock = VenueClock()
    clock.asked([(NOW, NOW - 2 * SECOND, NOW + 8 * MS), (NOW, NOW - 2 * SECOND + 1 * MS, NOW + 2 * MS)])
    assert (clock.ahead_ns, clock.error_ns) == (-2 * SECOND, 1 * MS)
    assert clock.ours(NOW - 2 * SECOND, NOW + 5 * MS) == NOW
    assert clock.late_ns == 4 * MS  # beyond doubt


def test_no_message_was_sent_after_it_arrived_whatever_the_venue_said_of_its_clock() -> None:
    clock = VenueClock()
    clock.asked([(NOW, NOW, NOW)])
    assert clock.ours(NOW + 3 * SECOND, NOW) == NOW
    assert clock.ours(NOW + 2 * SECOND, NOW) == NOW - SECOND
    assert clock.late_ns == SECOND


def test_a_clock_that_was_set_back_is_followed() -> None:
    clock = VenueClock()
    clock.ours(NOW + 3 * SECOND, NOW)
    for _ in range(CLOCK_BLOCK * (CLOCK_BLOCKS + 1)):
        clock.ours(NOW, NOW)
    assert clock.ahead_ns == 0


def test_an_update_that_was_long_under_way_breaks_the_feed() -> None:
    clock = VenueClock()
    one, events = stream(clock=clock)
    one.whole(1, NOW, NOW, [(1, 1)], [])
    one.change(2, NOW + SECOND, NOW + 2 * SECOND, [(1, 2)], [])
    with pytest.raises(FeedBroken, match=r"6\.0 s under way"):
        one.change(3, NOW + 2 * SECOND, NOW + 8 * SECOND, [(1, 3)], [])
    assert len(events) == 2


def test_a_venue_that_tells_old_news_from_the_first_is_found_out_by_its_clock() -> None:
    clock = VenueClock()
    clock.asked([(NOW, NOW, NOW + 2 * MS)])
    one, _ = stream(clock=clock)
    one.whole(1, NOW - 60 * SECOND, NOW, [(1, 1)], [])  # the last change may be long ago
    with pytest.raises(FeedBroken, match="under way"):
        one.change(2, NOW - 30 * SECOND, NOW, [(1, 2)], [])


# -- numbers and marks -----------------------------------------------------------------------------------------


def test_many_symbols_share_the_memory_of_few() -> None:
    few, many = (Streams(stream(f"S{i}")[0] for i in range(count)) for count in (2, 400))
    sums = [sum(one.prices.most + one.qtys.most for one in group.by_symbol.values()) for group in (few, many)]
    assert max(sums) <= 2_000_000
    one = many.by_symbol["S0"]
    for price in range(3 * one.prices.most):
        assert one.prices[str(price)] == price * 100
    assert len(one.prices) <= one.prices.most


def test_a_mark_price_is_told_once_a_second_with_what_was_said_before() -> None:
    one, events = stream(kind="perp")
    one.mark(NOW, NOW, None, None, "0.0001", str((NOW + SECOND) // MS))
    one.mark(NOW, NOW, "100.123456789", "100", None, None)
    one.mark(NOW, NOW + MARK_EVERY_NS - 1, "101", "", None, None)
    one.mark(NOW, NOW + MARK_EVERY_NS, "102", "", "", None)
    assert [(e.mark, e.index, e.funding_rate, e.next_funding_ns) for e in events] == [
        (10_012_345_678, 10_000_000_000, 0.0001, NOW + SECOND),
        (10_200_000_000, 10_000_000_000, 0.0001, NOW + SECOND),
    ]


# -- silence ---------------------------------------------------------------------------------------------------


class Client:
    """As ccxt's, as far as it is asked."""

    url = "ws://one"

    def handle_message(self, frame: Any) -> None: ...

    def resolve(self, result: Any, message_hash: Any) -> Any: ...


class NoExchange:
    """Of ccxt, and without any address."""

    has: dict[str, Any] = {}  # noqa: RUF012


async def session_of(*symbols: str) -> tuple[Session, dict[str, Stream]]:
    streams = Streams(stream(symbol)[0] for symbol in symbols)
    made = Session(NoExchange, streams, 20, lambda: NOW)
    made.exchange = NoExchange()
    made.quirk.watches = lambda exchange: iter(())  # type: ignore[method-assign]  # noqa: ARG005
    return made, streams.by_symbol


async def test_a_connection_without_books_is_dead_although_another_one_goes_on() -> None:
    session, by_symbol = await session_of("BTC/USD")
    books, trades = Client(), Client()
    session.frame(None, books, {}, lambda *_: by_symbol["BTC/USD"].whole(1, NOW, NOW, [(1, 1)], []))
    listening = asyncio.create_task(session.listen(0.2))
    while not listening.done():
        session.frame(None, trades, {}, lambda *_: None)
        await asyncio.sleep(0.01)
    with pytest.raises(FeedBroken, match="ws://one: no book was told"):
        await listening
    session.streams.end(NOW)


async def test_a_connection_that_never_told_of_a_book_may_be_quiet() -> None:
    """Nobody trades for a while."""
    session, by_symbol = await session_of("BTC/USD")
    books, trades = Client(), Client()
    session.frame(None, trades, {}, lambda *_: None)
    listening = asyncio.create_task(session.listen(0.1))
    for number in range(50):
        session.frame(
            None, books, {}, lambda *_, n=number: by_symbol["BTC/USD"].whole(n, NOW, NOW, [(1, 1)], [])
        )
        await asyncio.sleep(0.01)
    assert not listening.done()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_one_whose_first_book_came_with_an_answer_is_dead_too_when_it_says_no_more() -> None:
    """Its updates had all come before the snapshot that they wait for, and none comes after it."""
    asked = asyncio.Event()

    async def depth(*_: Any) -> dict[str, Any]:
        await asked.wait()
        return {"lastUpdateId": 4, "bids": [["1", "1"]], "asks": [["2", "1"]]}

    terms = {"market": lambda *_: {"contract": False}, "publicGetDepth": depth}
    kind = type("binance", (NoExchange,), terms)
    one, _ = stream()
    session = Session(kind, Streams([one]), 20, lambda: NOW)
    session.exchange = kind()
    session.streams.name({"BTC/USD": {"id": "BTCUSD"}})
    session.quirk.watches = lambda exchange: iter(())  # type: ignore[method-assign]  # noqa: ARG005
    update = {"e": "depthUpdate", "s": "BTCUSD", "U": 5, "u": 6, "E": NOW // MS, "b": [["1", "2"]], "a": []}
    session.frame(session.exchange, Client(), update, lambda *_: None)
    assert not one.is_known
    asked.set()
    await until(lambda: one.is_known)
    with pytest.raises(FeedBroken, match="ws://one: no book was told"):
        await asyncio.wait_for(session.listen(0.2), 10)


async def test_and_so_is_one_of_whose_book_ccxt_told_by_itself() -> None:
    session, by_symbol = await session_of("BTC/USD")
    session._told.take = lambda *_: not by_symbol["BTC/USD"].whole(1, NOW, NOW, [(1, 1)], [])  # type: ignore[method-assign, func-returns-value]
    session.told(None, Client(), {})
    with pytest.raises(FeedBroken, match="ws://one: no book was told"):
        await asyncio.wait_for(session.listen(0.2), 10)


@pytest.mark.parametrize(
    ("known", "had", "breaks"),
    [((), set(), True), (("A",), set(), False), (("A",), {"B"}, True), (("A", "B"), {"B"}, False)],
    ids=["none came", "one never came", "one came once", "all came"],
)
async def test_what_never_came_breaks_the_session_where_it_may_come(
    known: tuple[str, ...], had: set[str], breaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "FIRST_BOOK_S", 0.1)
    session, by_symbol = await session_of("A", "B")
    for name in known:
        by_symbol[name].whole(1, NOW, NOW, [(1, 1)], [])
    listening = asyncio.create_task(session.listen(0.1, had))
    await asyncio.wait({listening}, timeout=0.5)
    assert listening.done() is breaks
    listening.cancel()
    (ended,) = await asyncio.gather(listening, return_exceptions=True)
    assert not breaks or "no book of" in str(ended)


async def test_what_fails_in_a_task_of_ccxts_own_breaks_the_session() -> None:
    class Makes:
        def client(self, _: str) -> Any:
            return Client()

        def handle_message(self, client: Any, message: Any) -> None: ...

    session, _ = await session_of("A")
    made = Session(Makes, session.streams, 20, lambda: NOW)
    made.told = lambda *_: 1 / 0  # type: ignore[assignment, method-assign]
    made.kind().client("ws://x").resolve({}, "hash")
    with pytest.raises(ZeroDivisionError):
        await made._broken


# -- a whole source --------------------------------------------------------------------------------------------


async def test_whoever_asked_too_much_waits_and_whoever_does_not_close_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = rigs.BINANCE_SPOT
    monkeypatch.setattr(sources, "LIMITED_S", 1.5)
    monkeypatch.setattr(sources, "CLOSE_S", 0.1)
    begun: list[float] = []

    async def hold(*_: Any) -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) == 1:
            raise RateLimitExceeded("418: banned")
        raise ConnectionError("gone")

    async def never(_: Session) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(CcxtSource, "_hold", hold)
    monkeypatch.setattr(Session, "close", never)
    source = load(COLLECTORS, "ccxt")(rig.venue, config_of(rig, "http://127.0.0.1:1", tmp_path), CLOCK)
    running = asyncio.create_task(source.run(lambda _: None, CLOCK.now_ns))
    await until(lambda: len(begun) == 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert begun[1] - begun[0] > 1.5 > begun[2] - begun[1]


async def test_snapshots_that_are_all_too_old_are_asked_for_ever_more_seldom_and_then_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each costs as much as fifty requests: who asks four times a second is banned within a minute."""
    pauses: list[float] = []
    slept = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.wait_for(slept.wait(), 1.0)

    slept.set()
    monkeypatch.setattr(binance, "asyncio", Patched(sleep))
    one, events = stream("BTC/USDT")
    streams, broken = Streams([one]), list[BaseException]()
    streams.name({"BTC/USDT": {"id": "BTCUSDT"}})
    quirk = Binance(streams, broken.append, lambda: NOW)
    exchange = OldSnapshots()
    body = {"e": "depthUpdate", "E": NOW // MS, "s": "BTCUSDT", "U": 10, "u": 11, "b": [], "a": []}
    quirk.hear(exchange, None, body, NOW)
    await until(lambda: bool(broken))
    assert "too old" in str(broken[0])
    assert exchange.asked == binance.TRIES_MAX
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert events == []
    await quirk.stop()


class Patched:
    """asyncio, with another sleep."""

    def __init__(self, sleep: Any) -> None:
        self.sleep = sleep

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)


class OldSnapshots:
    def __init__(self) -> None:
        self.asked = 0

    def market(self, _: str) -> Any:
        return {"contract": False}

    async def publicGetDepth(self, _: Any) -> Any:
        self.asked += 1
        return {"lastUpdateId": 5, "bids": [], "asks": []}


def test_the_example_of_real_exchanges_is_whole() -> None:
    config = load_config(Path(__file__).parents[3] / "deploy" / "config" / "ccxt.toml", {})
    assert set(config.enabled_venues()) == {"binance_spot", "bybit_perp", "okx_spot", "coinbase_spot"}
    for venue in config.enabled_venues():
        assert config.venues[venue].mode == "paper"
        assert isinstance(load(COLLECTORS, config.venues[venue].adapter)(venue, config, CLOCK), CcxtSource)
