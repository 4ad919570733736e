"""Copy this file to add a venue's market data, and add its line to `COLLECTORS` in `bestex.plugins`.

The name in the registry is what `venues.<name>.adapter` says in the configuration. Here a venue is imagined
that sends, over one websocket, a whole book and then its changes, as JSON with decimal text:

    {"snapshot": true, "seq": 17, "ts": 1723161255208, "bids": [["61737.63", "0.5"]], "asks": []}
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec

from bestex.clock import MS, AffineClock
from bestex.config import Config
from bestex.depth import LevelReader
from bestex.feed import DepthUpdate
from bestex.units import UnitError
from services.collector.sources import Deliver

RECONNECT_S = 1.0


class Update(msgspec.Struct):
    """The venue's frame: only what is used; msgspec checks the types."""

    snapshot: bool
    seq: int
    ts: int
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class TemplateSource:
    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:  # noqa: ARG002 - the contract's
        self._venue = venue
        self._url = config.venues[venue].url
        # One symbol for brevity: the first instrument that the venue lists.
        listed = [i for i in config.make_instruments().all if i.listing(venue) is not None]
        self._instrument = listed[0]
        listing = self._instrument.listing(venue)
        assert listing is not None
        self._symbol = listing.symbol
        self._levels = LevelReader(self._instrument.price_scale, self._instrument.qty_scale)
        self._last_seq = 0

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.ws_connect(f"{self._url}/{self._symbol}") as socket:
                        async for frame in socket:
                            deliver(self.normalise(frame.data, now_ns()))
                except (aiohttp.ClientError, OSError, msgspec.MsgspecError, UnitError, SequenceBreak):
                    # Nobody must trade on a book that misses a change.
                    deliver(self._update(0, 0, now_ns(), True, [], []))
                await asyncio.sleep(RECONNECT_S)

    def normalise(self, data: bytes, recv_ns: int) -> DepthUpdate:
        """SequenceBreak where an update is missing; MsgspecError or UnitError where the frame is garbled."""
        frame = msgspec.json.decode(data, type=Update)
        if not frame.snapshot and frame.seq != self._last_seq + 1:
            raise SequenceBreak(f"{frame.seq} follows {self._last_seq}")
        self._last_seq = frame.seq
        bids, asks = self._levels.read(frame.bids), self._levels.read(frame.asks)
        return self._update(frame.seq, frame.ts * MS, recv_ns, frame.snapshot, bids, asks)

    def _update(
        self,
        seq: int,
        venue_ns: int,
        recv_ns: int,
        snapshot: bool,
        bids: list[tuple[int, int]],
        asks: list[tuple[int, int]],
    ) -> DepthUpdate:
        scales = self._instrument.price_scale, self._instrument.qty_scale
        return DepthUpdate(
            self._venue,
            self._symbol,
            seq,
            venue_ns,
            recv_ns,
            *scales,
            snapshot=snapshot,
            bids=bids,
            asks=asks,
        )


class SequenceBreak(Exception):
    """An update is missing."""
