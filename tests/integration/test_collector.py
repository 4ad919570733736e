"""The collector as a process on a real bus, fed by a recording; and the bus recorded again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from bestex import bus, codec, streams, subjects
from bestex import config as configuration
from bestex.bus_address import ENV_URL
from bestex.clock import ENV_CLOCK, SECOND, AffineClock
from bestex.feed import DepthUpdate
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import open_recording
from bestex.recording_live import record
from tests.unit.importers.frames import START_MS, good_spot

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 20.0
HEAD_START_NS = 3 * SECOND  # for the process to come up before the first event is due

CONFIG = """
[venues.binance_spot]
adapter = "recording"

[instruments."SOL/FDUSD"]
price_scale = 2
qty_scale = 5
[instruments."SOL/FDUSD".venues.binance_spot]
tick = "0.01"
lot = "0.00001"

[exchange.recordings]
binance_spot = ["{file}"]
"""


async def test_a_recording_is_collected_and_recorded_from_the_bus(nats_url: str, tmp_path: Path) -> None:
    raw = good_spot("SOLFDUSD").write(tmp_path / "raw.gz")
    config_file = tmp_path / "bestex.toml"
    config_file.write_text(CONFIG.format(file=raw))
    client = await bus.connect(nats_url, "test")
    await streams.apply(client, configuration.load(config_file))
    collected = await client.subscribe(f"{subjects.ROOT}.md.*.binance_spot.SOL-FDUSD")
    recorder = asyncio.create_task(
        record(nats_url, [f"{subjects.ROOT}.md.*.binance_spot.SOL-FDUSD"], tmp_path / "own")
    )
    clock = AffineClock(START_MS * 1_000_000 - HEAD_START_NS, time.time_ns())
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.collector", "binance_spot", "--config", str(config_file)),
        env={
            **os.environ,
            ENV_URL: nats_url,
            ENV_CLOCK: clock.encode(),
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
        },
    )
    try:
        messages = [await collected.next_msg(TIMEOUT_S) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), TIMEOUT_S) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        recorder.cancel()
        await asyncio.gather(recorder, return_exceptions=True)
        await client.close()
    books = [codec.from_msgpack(message.data, VenueBook) for message in messages[:2]]
    assert [book.bid_px for book in books] == [[100, 98], [98]]
    last = codec.from_msgpack(messages[2].data, MarketTrade)
    recorded = list(open_recording(tmp_path / "own"))
    assert [type(event) for event in recorded] == [DepthUpdate, DepthUpdate, MarketTrade]
    assert recorded[-1] == last
