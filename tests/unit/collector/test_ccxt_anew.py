"""What is wrong with one book of two: that one alone is made anew, over the connection that there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bestex.clock import SECOND, AffineClock
from bestex.config import parse
from bestex.instruments import Instrument, Listing
from bestex.plugins import COLLECTORS, load
from services.collector.sources.ccxt import anew
from services.collector.sources.ccxt.anew import AGAIN_MAX, AGAIN_NS, AT_ONCE_MAX, Anew
from services.collector.sources.ccxt.stream import FeedBroken, Stream
from services.collector.sources.ccxt.venue_clock import VenueClock
from tests.contract import rigs
from tests.contract.rigs import Rig
from tests.emulators.faults import Fault
from tests.emulators.server import Emulator, serve
from tests.unit.collector.test_ccxt_venues import EMPTY, Place, churn, place_of
from tests.waiting import until

CLOCK = AffineClock()
NOW = 1_700_000_000 * SECOND
QUOTED = {"binance_spot": "USDT", "bybit_spot": "USDT", "okx_spot": "USDT"}
RIGS = [rigs.BINANCE_SPOT, rigs.BYBIT_SPOT, rigs.OKX_SPOT, rigs.KRAKEN_SPOT, rigs.COINBASE_SPOT]


def second_of(rig: Rig) -> Rig:
    """Another symbol of the same venue."""
    listing = 'tick = "0.01", lot = "0.0001", taker_bps = "10"'
    symbol = f"ETH/{QUOTED.get(rig.venue, 'USD')}"
    return replace(
        rig, symbol=symbol, listing=listing, price_scale=2, qty_scale=8, price=Decimal(3_000), qty=Decimal(1)
    )


class Pair:
    """A venue with two symbols, and what its source tells of each."""

    def __init__(self, rig: Rig, emulator: Emulator, folder: Path, options: str) -> None:
        self.emulator, self.rig = emulator, rig
        other = second_of(rig)
        listed = "".join(
            f"""
            [instruments."{name}"]
            price_scale = {one.price_scale}
            qty_scale = {one.qty_scale}
            [instruments."{name}".venues]
            {one.venue} = {{ symbol = "{one.symbol}", {one.listing} }}
            """
            for name, one in (("BTC/USDT", rig), ("ETH/USDT", other))
        )
        self.config = parse(
            f"""
            data_dir = "{folder}"
            [venues.{rig.venue}]
            adapter = "ccxt"
            url = "{emulator.url}"
            options = {{ {options} }}
            {listed}
            """
        )
        self.one = Place(rig, emulator, self.config, "BTC/USDT")
        self.other = Place(other, emulator, self.config, "ETH/USDT")

    def deliver(self, event: Any) -> None:
        next(place for place in (self.one, self.other) if place.rig.symbol == event.symbol).deliver(event)

    def quote(self) -> None:
        self.one.quote(1)
        self.other.quote(1)

    async def still(self) -> None:
        """Until the venue has told all that has happened: what comes next is what is done next."""
        engine = self.emulator.engine

        def told() -> bool:
            versions = (
                (one, engine.exchange.sim.market(engine.name, one.symbol)) for one in engine.markets.values()
            )
            return all(one.version == now.version for one, now in versions)

        await until(told)
        await self.caught_up()

    async def caught_up(self) -> None:
        await self.one.caught_up()
        await self.other.caught_up()

    def figure(self, name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"venue": self.rig.venue, **labels}) or 0.0

    @property
    def sessions(self) -> float:
        return self.figure("bestex_feed_sessions_total")

    def anew(self, cause: str) -> float:
        return self.figure("bestex_feed_books_anew_total", cause=cause)


@asynccontextmanager
async def pair_of(rig: Rig, folder: Path, options: str = "") -> AsyncIterator[Pair]:
    async with serve(rig.make(folder / "venue", market="none")) as emulator:
        pair = Pair(rig, emulator, folder, options)
        source = load(COLLECTORS, "ccxt")(rig.venue, pair.config, CLOCK)
        running = asyncio.create_task(source.run(pair.deliver, CLOCK.now_ns))
        try:
            for place in (pair.one, pair.other):
                place.quote(20)
            for place in (pair.one, pair.other):
                await until(lambda place=place: bool(place.tops) or place.stirs())  # type: ignore[misc]
            await pair.still()
            yield pair
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(params=RIGS, ids=str)
def rig(request: pytest.FixtureRequest) -> Rig:
    made: Rig = request.param
    return made


async def test_a_gap_in_one_of_two_symbols_leaves_the_other_alone(rig: Rig, tmp_path: Path) -> None:
    """But at Coinbase, where a missing message may have been of any: there all books begin anew, and nothing else."""
    async with pair_of(rig, tmp_path) as pair:
        sessions, gaps = pair.sessions, pair.anew("gap")
        sockets = list(pair.emulator.sockets)
        seen, other_seen = len(pair.one.tops), len(pair.other.tops)
        pair.emulator.faults.add(Fault(how="gap"))
        pair.one.quote(1)
        await until(lambda: pair.emulator.faults.happened["gap"] == 1 or pair.one.stirs())
        await until(lambda: EMPTY in pair.one.tops[seen:] or pair.one.stirs())
        for _ in range(20):
            pair.quote()
            await asyncio.sleep(0.005)
        await pair.caught_up()
        assert pair.one.never_wrong()
        assert pair.other.never_wrong()
        every = rig is rigs.COINBASE_SPOT
        assert (EMPTY in pair.other.tops[other_seen:]) is every
        assert pair.anew("gap") == gaps + (2 if every else 1)
        assert pair.sessions == sessions
        assert pair.emulator.sockets == sockets


@pytest.mark.parametrize("perp", [rigs.BINANCE_PERP, rigs.BYBIT_PERP, rigs.OKX_PERP], ids=str)
async def test_a_perpetuals_book_is_made_anew_without_a_new_session(perp: Rig, tmp_path: Path) -> None:
    async with place_of(perp, tmp_path) as place:
        sockets, seen = list(place.emulator.sockets), len(place.tops)
        place.emulator.faults.add(Fault(how="gap"))
        await churn(place)
        assert EMPTY in place.tops[seen:]
        assert place.never_wrong()
        assert place.emulator.sockets == sockets


async def test_krakens_wrong_checksum_is_one_books_affair(tmp_path: Path) -> None:
    async with pair_of(rigs.KRAKEN_SPOT, tmp_path) as pair:
        sessions, seen, other_seen = pair.sessions, len(pair.one.tops), len(pair.other.tops)
        pair.emulator.faults.add(Fault(how="bad_checksum"))
        pair.one.quote(1)
        await until(lambda: EMPTY in pair.one.tops[seen:] or pair.one.stirs())
        await pair.caught_up()
        assert EMPTY not in pair.other.tops[other_seen:]
        assert pair.sessions == sessions


# -- what ends in a new session all the same -------------------------------------------------------------------


class Client:
    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def streams(count: int) -> tuple[list[Stream], list[Any]]:
    events: list[Any] = []
    made = []
    for number in range(count):
        symbol = f"S{number}/USD"
        listing = Listing(venue="bybit_spot", symbol=symbol)
        instrument = Instrument(symbol=symbol, price_scale=2, qty_scale=2)
        made.append(Stream(instrument, listing, VenueClock(), events.append))
        made[-1].whole(1, NOW, NOW, [(1, 1)], [])
    return made, events


def anew_of(broken: list[BaseException]) -> Anew:
    return Anew(lambda streams, _: len(streams), lambda _, number: number, broken.append)


async def test_a_book_that_does_not_come_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anew, "THERE_S", 0.05)
    broken: list[BaseException] = []
    (one,), _ = streams(1)
    anew_of(broken).begin(Client(), [one], NOW, "a gap", "gap")
    await until(lambda: bool(broken))
    assert "no new book within 0.05 s" in str(broken[0])


async def test_a_book_of_the_old_subscription_is_not_taken() -> None:
    broken: list[BaseException] = []
    client, made = Client(), anew_of(broken)
    (one,), _ = streams(1)
    made.begin(client, [one], NOW, "a gap", "gap")
    assert not made.takes(client, one)
    await until(lambda: bool(client.sent))
    assert made.is_off(one)
    await until(lambda: len(client.sent) == 2)
    assert made.awaits(one)
    assert made.takes(client, one)
    assert not made.awaits(one)
    assert not broken
    await made.stop()


async def test_a_refused_subscription_ends_the_session() -> None:
    client, made = Client(), anew_of([])
    (one,), _ = streams(1)
    made.begin(client, [one], NOW, "a gap", "gap")
    await until(lambda: bool(client.sent))
    made.is_off(one)
    await until(lambda: len(client.sent) == 2)
    with pytest.raises(FeedBroken, match="too many topics"):
        made.answered(client.sent[1], False, "too many topics")
    assert not made.answered(client.sent[1] + 1, False, "another's")
    await made.stop()


async def test_a_book_that_breaks_again_and_again_and_many_at_once_end_the_session() -> None:
    client, made = Client(), anew_of([])
    (one,), events = streams(1)
    for number in range(AGAIN_MAX):
        made.begin(client, [one], NOW + number, "a gap", "gap")
        made.is_off(one)
        assert made.takes(client, one)
        one.whole(1, NOW, NOW, [(1, 1)], [])
        await until(lambda: not made._tasks)
    with pytest.raises(FeedBroken, match=f"a gap, after {AGAIN_MAX} new subscriptions"):
        made.begin(client, [one], NOW + AGAIN_NS - 1, "a gap", "gap")
    made.begin(client, [one], NOW + AGAIN_NS, "a gap", "gap")
    assert [event.bids for event in events[1::2]] == [[]] * (AGAIN_MAX + 1)
    *many, last = streams(AT_ONCE_MAX)[0]
    for stream in many:
        made.begin(client, [stream], NOW, "a gap", "gap")
    with pytest.raises(FeedBroken, match=f"and {AT_ONCE_MAX} others"):
        made.begin(client, [last], NOW, "a gap", "gap")
    await made.stop()
