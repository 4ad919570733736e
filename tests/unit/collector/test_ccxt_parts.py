"""The parts of the source of ccxt that no emulated venue shows: Kraken's checksum, Coinbase's numbers, what numbers
are, and the file of markets."""

from __future__ import annotations

import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.clock import SECOND
from bestex.feed import DepthUpdate
from bestex.instruments import Instrument, Listing
from bestex.units import UnitError
from services.collector.sources.ccxt.markets import MAX_AGE_NS, Markets, Terms, differences, unreadable
from services.collector.sources.ccxt.quirks.base import rfc3339_ns
from services.collector.sources.ccxt.quirks.coinbase import Coinbase
from services.collector.sources.ccxt.quirks.kraken import Kraken
from services.collector.sources.ccxt.stream import FeedBroken, Numbers, Stream, Streams
from services.collector.sources.ccxt.venue_clock import VenueClock
from tests.waiting import until

NOW = 1_700_000_000 * SECOND
INSTRUMENT = Instrument(symbol="BTC/USD", price_scale=2, qty_scale=8)
LISTING = Listing(venue="kraken_spot", symbol="BTC/USD")


class Venue:
    def market(self, _: str) -> Any:
        return {"info": {"pair_decimals": 1, "lot_decimals": 8}}


class Client:
    """A connection, which can be told from another."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)


def one_stream(events: list[Any]) -> Streams:
    streams = Streams([Stream(INSTRUMENT, LISTING, VenueClock(), events.append)])
    streams.name({"BTC/USD": {"id": "BTC-USD"}})
    return streams


def fail(error: BaseException) -> None:
    raise error


def crc(*texts: str) -> int:
    """As Kraken documents it: price and size of each level without the point and leading zeros, asks first."""
    return zlib.crc32("".join(text.replace(".", "").lstrip("0") for text in texts).encode())


def kraken_frame(kind: str, bids: list[Any], asks: list[Any], checksum: int) -> Any:
    def levels(pairs: list[Any]) -> list[Any]:
        return [{"price": price, "qty": qty} for price, qty in pairs]

    data = {"symbol": "BTC/USD", "bids": levels(bids), "asks": levels(asks), "checksum": checksum}
    return {"channel": "book", "type": kind, "data": [data]}


def heard_kraken() -> tuple[Kraken, list[Any]]:
    events: list[Any] = []
    quirk = Kraken(one_stream(events), fail, lambda: NOW)
    quirk.prepare(Venue())
    right = crc("100.1", "0.50000000", "99.9", "2.00000000")
    quirk.hear(None, None, kraken_frame("snapshot", [(99.9, 2.0)], [(100.1, 0.5)], right), NOW)
    return quirk, events


def test_krakens_checksum_holds_over_a_snapshot_and_an_update() -> None:
    quirk, events = heard_kraken()
    right = crc("100.1", "0.50000000", "99.9", "0.00000001")
    quirk.hear(None, None, kraken_frame("update", [(99.9, 1e-08)], [], right), NOW)
    assert [(event.snapshot, event.bids, event.asks) for event in events] == [
        (True, [(9990, 200_000_000)], [(10010, 50_000_000)]),
        (False, [(9990, 1)], []),
    ]


def test_another_checksum_breaks_krakens_book() -> None:
    quirk, _ = heard_kraken()
    with pytest.raises(FeedBroken, match="checksum"):
        quirk.hear(None, None, kraken_frame("update", [(99.9, 3.0)], [], 1), NOW)


def test_what_falls_out_of_krakens_depth_is_dropped() -> None:
    events: list[Any] = []
    quirk = Kraken(one_stream(events), fail, lambda: NOW)
    quirk.prepare(Venue())
    bids = [(100.0 - number, 1.0) for number in range(99)] + [(0.5, 1.0)]
    best = [text for number in range(10) for text in (f"{100 - number}.0", "1.00000000")]
    quirk.hear(None, None, kraken_frame("snapshot", bids, [], crc(*best)), NOW)
    best = ["100.5", "1.00000000", *best[:18]]
    quirk.hear(None, None, kraken_frame("update", [(100.5, 1.0)], [], crc(*best)), NOW)
    assert events[-1].bids == [(10050, 100_000_000), (50, 0)]


def coinbase_frame(number: int, kind: str, side: str, price: str, qty: str) -> Any:
    update = {"side": side, "price_level": price, "new_quantity": qty}
    event = {"type": kind, "product_id": "BTC-USD", "updates": [update]}
    time = "2023-11-14T22:13:20.5Z"
    return {"channel": "l2_data", "sequence_num": number, "timestamp": time, "events": [event]}


async def test_a_missing_message_of_any_channel_breaks_coinbases_books() -> None:
    events: list[Any] = []
    quirk, client = Coinbase(one_stream(events), fail, lambda: NOW), Client()
    quirk.hear(None, client, coinbase_frame(0, "snapshot", "bid", "100.01", "1"), NOW)
    assert not quirk.hear(None, client, {"channel": "heartbeats", "sequence_num": 1}, NOW)
    quirk.hear(None, Client(), {"channel": "heartbeats", "sequence_num": 7}, NOW)  # counts by itself
    quirk.hear(None, client, coinbase_frame(2, "update", "offer", "100.02", "2"), NOW)
    assert [type(event) for event in events] == [DepthUpdate, DepthUpdate]
    assert events[1].asks == [(10002, 200_000_000)]
    quirk.hear(None, client, coinbase_frame(4, "update", "offer", "100.02", "0"), NOW)
    assert (events[-1].snapshot, events[-1].bids, events[-1].asks) == (True, [], [])
    await until(lambda: bool(client.sent))
    assert client.sent == [{"type": "unsubscribe", "product_ids": ["BTC-USD"], "channel": "level2"}]
    await quirk.stop()


def test_a_stream_that_has_ended_says_so_once_and_nothing_more() -> None:
    events: list[Any] = []
    streams = one_stream(events)
    stream = streams.by_symbol["BTC/USD"]
    stream.whole(1, NOW, NOW, [(1, 1)], [])
    streams.end(NOW)
    streams.end(NOW)
    stream.whole(2, NOW, NOW, [(2, 1)], [])
    assert [event.bids for event in events] == [[(1, 1)], []]


def test_prices_are_exact_and_sizes_are_rounded_down() -> None:
    exact, floor = Numbers(2), Numbers(2, floor=True)
    assert (exact["1.50"], exact[1.5], exact[2], exact["1e2"]) == (150, 150, 200, 10_000)
    assert (floor["1.509"], floor[1e-07]) == (150, 0)
    for wrong in ("1.509", "no", None, "-1"):
        with pytest.raises(UnitError):
            exact[wrong]


def test_times_of_a_day_are_read_to_the_nanosecond() -> None:
    assert rfc3339_ns("2023-11-14T22:13:20.500000001Z") == NOW + SECOND // 2 + 1
    assert rfc3339_ns("") == 0


def test_terms_that_differ_are_told_with_what_to_write() -> None:
    listing = Listing(venue="v", symbol="BTC/USD", tick=1, lot=100)
    same = Terms(Decimal("0.01"), Decimal("0.000001"), None)
    assert list(differences(same, INSTRUMENT, listing)) == []
    other = Terms(Decimal("0.1"), Decimal("0.000001"), None)
    assert list(differences(other, INSTRUMENT, listing)) == ['tick = "0.1" instead of "0.01"']
    finer = Terms(Decimal("0.001"), None, None)
    assert "price_scale = 3" in unreadable(finer, INSTRUMENT, listing)


class Asked:
    """An exchange with two markets, and how often it was asked for them."""

    id = "kraken"

    def __init__(self) -> None:
        self.times = 0
        self.markets: list[Any] = []

    async def fetch_markets(self) -> list[Any]:
        self.times += 1
        return [{"symbol": "BTC/USD", "id": "1"}, {"symbol": "ETH/USD", "id": "2"}]

    def set_markets(self, markets: list[Any]) -> None:
        self.markets = markets

    async def load_markets(self) -> None:
        pass


async def test_markets_are_pruned_kept_in_a_file_and_fetched_anew_when_it_is_old(tmp_path: Path) -> None:
    exchange, markets = Asked(), Markets(tmp_path, "kraken_spot", ["BTC/USD"])
    assert not await markets.load(exchange, NOW)
    assert not await markets.load(exchange, NOW + SECOND)
    assert (exchange.times, exchange.markets) == (1, [{"symbol": "BTC/USD", "id": "1"}])
    assert await markets.load(exchange, NOW + MAX_AGE_NS)  # used, but to be refreshed
    await markets.load(exchange, NOW + MAX_AGE_NS + 1)
    assert exchange.times == 2
    (tmp_path / "markets" / "kraken_spot.json").write_text("{")
    await markets.load(exchange, NOW)
    assert exchange.times == 3
