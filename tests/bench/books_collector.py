"""The collector's process, fed with raw frames from files as if they came in now.

A line on its stdin, `<count> <per second>`, makes it take the next `count` frames, paced or (0) without pause.
Everything behind the source is the service's own: the importer's parser, the core, the runtime.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable

import msgspec

from bestex.config import Config
from bestex.feed import DepthUpdate
from bestex.importers.binance import BinanceRecording
from bestex.process import run
from bestex.service import Service
from services.collector.core import CollectorCore
from services.collector.service import Feeds
from services.collector.sources import Deliver

ENV_FRAMES = "BENCH_FRAMES"
BURST = 8  # frames in a row before the event loop gets its turn, as a busy socket would hand them over


class RawFrames:
    def __init__(self, paths: list[str]) -> None:
        self._events = iter(BinanceRecording(paths, compares=False))

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, per_s = map(int, line.split())
            began = time.monotonic()
            for i in range(count):
                if per_s:
                    await asyncio.sleep(began + i / per_s - time.monotonic())
                elif i % BURST == 0:
                    await asyncio.sleep(0)
                recv_ns = now_ns()
                event = next(self._events)
                assert isinstance(event, DepthUpdate), "the files hold depth frames only"
                deliver(msgspec.structs.replace(event, recv_ns=recv_ns))


def build(config: Config, names: tuple[str, ...]) -> Service:
    frames = RawFrames(os.environ[ENV_FRAMES].split(os.pathsep))
    core = CollectorCore(config.market_data.levels, config.market_data.down_after)
    return Service("collector", names, core, actor=Feeds({"binance": frames}))


if __name__ == "__main__":
    run("collector", build)
