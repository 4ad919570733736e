"""The aggregator on a real bus: venue books in, consolidated books and statistics out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from bestex import bus, codec, log, streams, subjects
from bestex import config as configuration
from bestex.clock import AffineClock
from bestex.messages import BookStatus, ConsolidatedBook, MarketTrade, Stats, VenueBook
from bestex.runtime import Runtime
from services.aggregator.service import build

SYMBOL = "AGG/USDT"
CONFIG = configuration.parse("""
[venues.agg_a]
[venues.agg_b]
[market_data]
stale_after = "2s"
[instruments."AGG/USDT"]
price_scale = 2
qty_scale = 5
[instruments."AGG/USDT".venues]
agg_a = { tick = "0.01", lot = "0.00001" }
agg_b = { tick = "0.01", lot = "0.00001" }
""")
TIMEOUT_S = 10.0


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    client = await bus.connect(nats_url, "test")
    await streams.apply(client, CONFIG)
    yield client
    await client.close()


@pytest.fixture
async def aggregator(client: Client) -> AsyncIterator[Runtime]:
    service = build(CONFIG, (SYMBOL,))
    runtime = Runtime(service, client, CONFIG, AffineClock(), log.configure("aggregator"))
    await runtime.start()
    yield runtime
    await runtime.stop()


def venue_book(venue: str, seq: int, bid: int, ask: int) -> VenueBook:
    return VenueBook(venue, SYMBOL, seq, 0, AffineClock().now_ns(), 2, 5, [bid], [10], [ask], [20])


@pytest.mark.usefixtures("aggregator")
async def test_books_are_consolidated_and_go_stale_by_themselves(client: Client) -> None:
    books = await client.subscribe(subjects.book(SYMBOL))
    await client.flush()

    async def next_with(status: BookStatus) -> ConsolidatedBook:
        while True:
            message = await books.next_msg(timeout=TIMEOUT_S)
            book = codec.from_msgpack(message.data, ConsolidatedBook)
            if all(column.status is status for column in book.venues):
                return book

    for venue, bid, ask in (("agg_a", 100, 103), ("agg_b", 101, 102)):
        message = venue_book(venue, 1, bid, ask)
        await client.publish(subjects.md_book(venue, SYMBOL), codec.to_msgpack(message))
    async with asyncio.timeout(TIMEOUT_S):
        live = await next_with(BookStatus.LIVE)
        assert [column.bid_px for column in live.venues] == [[100], [101]]
        stale = await next_with(BookStatus.STALE)
        assert [column.bid_px for column in stale.venues] == [[100], [101]]


@pytest.mark.usefixtures("aggregator")
async def test_stats_arrive_as_json_with_the_traded_volume(client: Client) -> None:
    stats = await client.subscribe(subjects.stats(SYMBOL))
    trade = MarketTrade("agg_a", SYMBOL, "1", 0, AffineClock().now_ns(), 2, 5, 100, 7, 1)
    await client.publish(subjects.md_trade("agg_a", SYMBOL), codec.to_msgpack(trade))
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            message = await stats.next_msg(timeout=TIMEOUT_S)
            if (found := codec.from_json(message.data, Stats)).volume:
                break
    assert str(found.volume) == "0.00007"
    assert [venue.venue for venue in found.venues] == ["agg_a", "agg_b"]
