from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import AffineClock
from bestex.config import Config, ExchangeConfig
from bestex.config_venue import VenueConfig
from bestex.errors import ConfigError, UsageError
from bestex.feed import DepthUpdate
from bestex.messages import MarketTrade, VenueBook
from services.collector.core import SourceFailed
from services.collector.service import Feeds, build
from services.collector.sources.recording import RecordingSource
from services.collector.sources.sim import SimSource
from tests.unit.importers.frames import good_spot

TIMEOUT_S = 10.0


def recording_config(*files: Path) -> Config:
    return Config(
        venues={"binance_spot": VenueConfig(adapter="recording")},
        exchange=ExchangeConfig(recordings={"binance_spot": [str(file) for file in files]}),
    )


async def test_a_recording_is_played_at_its_own_times_on_the_sessions_clock(tmp_path: Path) -> None:
    path = good_spot(behind_ms=1270).write(tmp_path / "a.gz")
    start_ns = 1_723_161_255_000 * 1_000_000
    clock = AffineClock(start_ns, time.time_ns(), speed=10.0)
    source = RecordingSource("binance_spot", recording_config(path), clock)
    played: list[tuple[Any, int]] = []
    await source.run(lambda event: played.append((event, clock.now_ns())), clock.now_ns)
    assert [type(event) for event, _ in played] == [DepthUpdate, DepthUpdate, MarketTrade]
    assert all(now_ns >= event.recv_ns for event, now_ns in played)  # never before it was received


async def test_events_of_other_venues_in_the_file_are_left_out(tmp_path: Path) -> None:
    path = good_spot().write(tmp_path / "a.gz")
    config = Config(
        venues={"other": VenueConfig(adapter="recording")},
        exchange=ExchangeConfig(recordings={"other": [str(path)]}),
    )
    played: list[Any] = []
    await RecordingSource("other", config, AffineClock()).run(played.append, time.time_ns)
    assert played == []


def test_a_venue_without_a_recording_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"exchange\.recordings\.binance_spot"):
        build(recording_config(), ("binance_spot",))


def test_an_unknown_venue_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there are binance_spot"):
        build(recording_config(), ("nowhere",))


async def may_send() -> bool:
    return True


async def test_a_source_that_fails_is_reported_and_does_not_die_unseen(tmp_path: Path) -> None:
    source = RecordingSource("binance_spot", recording_config(tmp_path / "missing"), AffineClock())
    heard: asyncio.Queue[Any] = asyncio.Queue()
    feeds = Feeds({"binance_spot": source})
    await feeds.start(heard.put_nowait, time.time_ns, may_send)
    message = await asyncio.wait_for(heard.get(), TIMEOUT_S)
    assert isinstance(message, SourceFailed)
    assert "cannot be read" in message.text
    await feeds.stop()


async def test_the_exchanges_frames_become_messages_and_a_lost_connection_is_made_again() -> None:
    book = w.BookFrame("sim_a", "BTC/USDT", 5, 11, 2, 5, [100], [1], [101], [2])
    trade = w.TradeFrame("sim_a", "BTC/USDT", 6, 12, 2, 5, "9", 100, 1, -1)
    queries: list[dict[str, str]] = []

    async def market_data(request: web.Request) -> web.WebSocketResponse:
        queries.append(dict(request.query))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for frame in (book, trade):
            await socket.send_bytes(codec.to_msgpack(frame))
        await socket.close()
        return socket

    app = web.Application()
    app.add_routes([web.get("/v1/md", market_data)])
    async with TestServer(app) as server:
        config = Config(venues={"sim_a": VenueConfig(url=str(server.make_url("")).rstrip("/"))})
        heard: asyncio.Queue[Any] = asyncio.Queue()
        source = SimSource("sim_a", config, AffineClock())
        task = asyncio.create_task(source.run(heard.put_nowait, lambda: 77))
        messages = [await asyncio.wait_for(heard.get(), TIMEOUT_S) for _ in range(4)]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert messages[0] == VenueBook("sim_a", "BTC/USDT", 5, 11, 77, 2, 5, [100], [1], [101], [2])
    assert messages[1] == MarketTrade("sim_a", "BTC/USDT", "9", 12, 77, 2, 5, 100, 1, -1)
    assert messages[2:] == messages[:2]
    assert queries[0] == {"venue": "sim_a", "levels": "20"}
