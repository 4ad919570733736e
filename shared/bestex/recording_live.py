"""Record the market data that is on the bus: `bestex record`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from nats.aio.msg import Msg

from bestex import bus, codec
from bestex.bus_access import Access
from bestex.feed import DepthUpdate, FeedStream
from bestex.instruments import Instruments
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import RecordingWriter
from bestex.subjects import kind_of

FLUSH_S = 5.0  # what a killed recorder loses at most when the market is quiet


class LiveRecorder:
    """Turns whole books into the differences that a recording holds.

    `instruments` tell kind and contract size of the streams; one that they do not list is taken by its
    venue's name.
    """

    def __init__(self, writer: RecordingWriter, instruments: Instruments | None = None) -> None:
        self._writer = writer
        self._listings = {
            (listing.venue, listing.symbol): listing
            for instrument in (instruments.all if instruments else ())
            for listing in instrument.listings
        }
        self._last: dict[tuple[str, str, int, int], tuple[dict[int, int], dict[int, int]]] = {}
        self.skipped = 0

    def record(self, message: VenueBook | MarketTrade) -> None:
        """The first book of a stream is written whole, later ones as what changed; an empty one as unknown."""
        key = (message.venue, message.symbol, message.price_scale, message.qty_scale)
        if key not in self._last:
            self._last[key] = ({}, {})
            self._writer.add_stream(self._stream(message))
        if isinstance(message, MarketTrade):
            self._writer.write(message)
            return
        bids = dict(zip(message.bid_px, message.bid_qty, strict=True))
        asks = dict(zip(message.ask_px, message.ask_qty, strict=True))
        old_bids, old_asks = self._last[key]
        self._last[key] = (bids, asks)
        whole = not (old_bids or old_asks) or not (bids or asks)
        self._writer.write(
            DepthUpdate(
                message.venue,
                message.symbol,
                message.seq,
                message.venue_ns,
                message.recv_ns,
                message.price_scale,
                message.qty_scale,
                whole,
                list(bids.items()) if whole else _changes(old_bids, bids),
                list(asks.items()) if whole else _changes(old_asks, asks),
            )
        )

    def record_bytes(self, subject: str, data: bytes) -> None:
        """A message as it came from the bus; what is neither book nor trade is counted in `skipped`."""
        try:
            message = codec.from_msgpack(data, kind_of(subject).message)
        except (KeyError, IndexError, msgspec.MsgspecError):
            self.skipped += 1
            return
        if isinstance(message, VenueBook | MarketTrade):
            self.record(message)
        else:
            self.skipped += 1

    def _stream(self, message: VenueBook | MarketTrade) -> FeedStream:
        kind: Literal["spot", "perp", "dark"] = "spot"
        contract_size, inverse = 1, False
        if (listing := self._listings.get((message.venue, message.symbol))) is not None:
            kind, contract_size, inverse = listing.kind, listing.contract_size, listing.inverse
        elif message.venue.endswith("_perp"):
            kind = "perp"
        return FeedStream(
            venue=message.venue,
            symbol=message.symbol,
            price_scale=message.price_scale,
            qty_scale=message.qty_scale,
            kind=kind,
            contract_size=contract_size,
            inverse=inverse,
        )


def _changes(old: dict[int, int], new: dict[int, int]) -> list[tuple[int, int]]:
    changed = [(price, qty) for price, qty in new.items() if old.get(price) != qty]
    return changed + [(price, 0) for price in old if price not in new]


async def record(
    where: str | Access,
    patterns: Sequence[str],
    out: str | Path,
    seconds: float | None = None,
    instruments: Instruments | None = None,
) -> int:
    """Record what is published on `patterns` (`bestex.v1.md.>`) for `seconds`, or until cancelled.

    Returns the number of events; the file is closed whole also when cancelled. Raises BusError, and
    RecordingError where `out` exists already.
    """
    with RecordingWriter(out, f"the bus, {' '.join(patterns)}") as writer:
        recorder = LiveRecorder(writer, instruments)

        async def take(message: Msg) -> None:
            recorder.record_bytes(message.subject, message.data)

        client = await bus.connect(where, "bestex-record")
        try:
            for pattern in patterns:
                await client.subscribe(pattern, cb=take)
            loop = asyncio.get_running_loop()
            ends = loop.time() + seconds if seconds is not None else float("inf")
            while (left := ends - loop.time()) > 0:
                await asyncio.sleep(min(FLUSH_S, left))
                writer.end_block()
        finally:
            # Before the file is closed, so that nothing is written to it any more.
            await client.close()
    return writer.events
