"""The venue's own best bid and ask: told beside the book where that is wanted, and what finds a wrong book out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from bestex.clock import SECOND, AffineClock
from bestex.contracts import Conversion
from bestex.importers.lines import LineReader
from bestex.instruments import Instrument, Listing
from bestex.messages import Bbo, Side
from services.collector.sources.ccxt.quirks.binance import Binance
from services.collector.sources.ccxt.stream import Stream, Streams
from services.collector.sources.ccxt.venue_clock import VenueClock
from services.collector.sources.ccxt.witness import DISAGREE_NS, Witness
from tests.contract import rigs
from tests.contract.rigs import Rig
from tests.emulators.binance_recorded import _decode
from tests.emulators.faults import Fault
from tests.unit.collector.test_ccxt_anew import RIGS as PAIRS
from tests.unit.collector.test_ccxt_anew import pair_of
from tests.unit.collector.test_ccxt_venues import EMPTY, RIGS, Place, churn, place_of
from tests.waiting import until

DATA = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "binance"
CLOCK = AffineClock()
ON = "bbo = true"
EARLY = "bbo = true, disagree_s = 0.3"
CHECKED = rigs.KRAKEN_SPOT  # whose books come with a checksum, so that a wrong one is a gap


def best_of(place: Place) -> tuple[tuple[int, int], tuple[int, int]]:
    bids, asks = place.now()
    return bids[0], asks[0]


def told(place: Place) -> tuple[tuple[int, int], tuple[int, int]]:
    """What was told last, in the instrument's units."""
    one = place.bests[-1]
    assert (one.venue, one.symbol) == (place.rig.venue, place.rig.symbol)
    conversion = Conversion(place.instrument, place.listing, one.price_scale, one.qty_scale)
    made = conversion.prices([one.bid_px, one.ask_px])
    assert made is not None
    sizes = conversion.quantities(made, [one.bid_qty, one.ask_qty])
    assert sizes is not None
    return (made[0], sizes[0]), (made[1], sizes[1])


@pytest.mark.parametrize("rig", [one for one in RIGS if one.entry == "websocket"], ids=str)
async def test_the_venues_own_best_prices_are_told_where_they_are_wanted(rig: Rig, tmp_path: Path) -> None:
    async with place_of(rig, tmp_path, options=ON) as place:
        await until(lambda: bool(place.bests) or place.stirs())
        await churn(place)
        await until(lambda: told(place) == best_of(place))
        assert place.never_wrong()
        assert EMPTY not in place.tops
        assert len({(one.bid_px, one.ask_px) for one in place.bests}) > 1


async def test_they_are_not_asked_for_otherwise(tmp_path: Path) -> None:
    async with place_of(rigs.BYBIT_SPOT, tmp_path) as place:
        await churn(place)
        topics = {topic for socket in place.emulator.sockets for topic in socket.topics}
    assert not place.bests
    assert topics == {"orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"}


@pytest.mark.parametrize("rig", [one for one in PAIRS if one is not CHECKED], ids=str)
async def test_a_book_that_lasts_in_disagreement_is_made_anew_and_no_other(rig: Rig, tmp_path: Path) -> None:
    """Its updates are in order, and one of them does not say what has changed: no number tells."""
    async with pair_of(rig, tmp_path, options=EARLY) as pair:
        for place in (pair.one, pair.other):
            await until(lambda place=place: bool(place.bests) or place.stirs())  # type: ignore[misc]
        await pair.still()
        sessions, found = pair.sessions, pair.anew("disagreement")
        sockets, seen, other_seen = list(pair.emulator.sockets), len(pair.one.tops), len(pair.other.tops)
        pair.emulator.faults.add(Fault(how="wrong_depth"))
        better(pair.one)
        await until(lambda: pair.emulator.faults.happened["wrong_depth"] == 1)
        assert pair.one.tops[-1] != pair.one.now()
        await until(lambda: pair.anew("disagreement") == found + 1)
        await until(lambda: pair.one.tops[-1] == pair.one.now() or pair.one.stirs())
        pair.other.quote(5)
        await pair.caught_up()
        assert EMPTY in pair.one.tops[seen:]
        assert pair.one.never_wrong()
        assert pair.other.never_wrong()
        assert EMPTY not in pair.other.tops[other_seen:]
        assert (pair.sessions, pair.emulator.sockets) == (sessions, sockets)


def better(place: Place) -> None:
    """Somebody bids more than anybody ever did."""
    price = place.rig.price
    answer = place.emulator.engine.submit("better", place.rig.symbol, Side.BUY, place.rig.qty, price)
    assert answer.ok, answer.text


async def test_without_the_ticker_the_wrong_book_would_stay(tmp_path: Path) -> None:
    """What the comparison is for: the numbers of the updates are whole."""
    async with place_of(rigs.BYBIT_SPOT, tmp_path) as place:
        place.emulator.faults.add(Fault(how="wrong_depth"))
        better(place)
        await until(lambda: place.emulator.faults.happened["wrong_depth"] == 1)
        await until(lambda: not place.never_wrong() or place.stirs())
        assert EMPTY not in place.tops


async def test_an_exchange_without_such_a_stream_loses_nothing(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:

        async def fails() -> None:
            raise ConnectionError("no such channel")

        quirk = "services.collector.sources.ccxt.quirks.bybit.Bybit.bests"
        patch.setattr(quirk, lambda *_: iter([fails]))
        async with place_of(rigs.BYBIT_SPOT, tmp_path, options=ON) as place:
            await churn(place)
            assert EMPTY not in place.tops
    assert not place.bests


# -- what Binance really sent ----------------------------------------------------------------------------------


RECORDED_NS, WRONG_AFTER_NS = 120 * SECOND, 60 * SECOND


class Snapshots:
    """Of ccxt, what is asked: the recording's own snapshot."""

    def __init__(self, said: Any) -> None:
        self._said = said

    def market(self, _: str) -> Any:
        return {"contract": False}  # whoever is asked gives the same

    async def publicGetDepth(self, _: Any) -> Any:
        return self._said


@pytest.mark.parametrize("wrong", [False, True], ids=["as it was", "bids that stand still"])
@pytest.mark.parametrize("file", ["spot_btcusdt_20240808.gz", "usdm_btcusdt_20240808.gz"])
async def test_recorded_tickers_agree_with_recorded_books_unless_one_is_wrong(file: str, wrong: bool) -> None:
    """Depth every 100 ms or with each change, and the ticker of each change, of two minutes."""
    path = DATA / file
    if not path.exists():
        pytest.skip(f"needs the recording {file}")
    events: list[Any] = []
    instrument = Instrument(symbol="BTC/USDT", price_scale=2, qty_scale=8)
    listing = Listing(venue="binance_spot", symbol="BTC/USDT")
    stream = Stream(instrument, listing, VenueClock(), events.append, witness=Witness())
    streams, broken = Streams([stream]), list[BaseException]()
    streams.name({"BTC/USDT": {"id": "BTCUSDT"}})
    recv_ns = 0
    quirk = Binance(streams, broken.append, lambda: recv_ns)
    found: list[tuple[int, str]] = []
    tickers, spoiled_ns, begun_ns = 0, 0, 0
    snapshot = next(text for line in LineReader(path) if b"lastUpdateId" in (text := line.partition(b" ")[2]))
    exchange = Snapshots(orjson.loads(snapshot))
    for line in LineReader(path):
        head, _, text = line.partition(b" ")
        recv_ns = int(head)
        begun_ns = begun_ns or recv_ns
        if recv_ns - begun_ns > RECORDED_NS:
            break
        said = _decode(text)
        if said.lastUpdateId:
            continue
        body = orjson.loads(bytes(said.data))
        if wrong and said.kind == "depth" and recv_ns - begun_ns > WRONG_AFTER_NS:
            body["b"], spoiled_ns = [], spoiled_ns or recv_ns
        tickers += said.kind == "bookTicker"
        quirk.hear(exchange, None, body, recv_ns)
        await asyncio.gather(*quirk._fetches.values())
        assert stream.witness is not None
        if why := stream.witness.wrong(recv_ns):
            found.append((recv_ns, why))
            break
    await quirk.stop()
    assert stream.is_known
    assert not broken
    assert tickers > 1_000 or found
    assert sum(isinstance(event, Bbo) for event in events) == tickers
    assert bool(found) is wrong, found
    if wrong:
        assert DISAGREE_NS <= found[0][0] - spoiled_ns < 3 * DISAGREE_NS
