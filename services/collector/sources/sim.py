"""Market data of the simulated exchange; its protocol stands in `services/exchange/api.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import msgspec
import structlog

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.messages import MarketTrade, VenueBook
from services.collector.sources import Deliver

HEARTBEAT_S = 5.0  # a connection that died silently is noticed within this
RECONNECT_FIRST_S = 0.1
RECONNECT_MAX_S = 2.0


class SimSource:
    def __init__(self, venue: str, config: Config, clock: AffineClock) -> None:  # noqa: ARG002 - the contract's
        self._venue = venue
        self._url = config.sim_url(venue)
        self._levels = config.market_data.levels
        self._decode = codec.msgpack_decoder(w.Frame).decode
        self._log = structlog.get_logger(venue=venue)

    async def run(self, deliver: Deliver, now_ns: Callable[[], int]) -> None:
        pause = RECONNECT_FIRST_S
        async with aiohttp.ClientSession() as http:
            while True:
                text = "closed by the venue"
                try:
                    if await self._listen(http, deliver, now_ns):
                        pause = RECONNECT_FIRST_S
                except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
                    text = repr(error)
                self._log.warning("no market data", error=text, again_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, RECONNECT_MAX_S)

    async def _listen(self, http: aiohttp.ClientSession, deliver: Deliver, now_ns: Callable[[], int]) -> bool:
        """Until the connection ends; whether anything came."""
        heard = False
        query = {"venue": self._venue, "levels": str(self._levels)}
        async with http.ws_connect(
            f"{self._url}/v1/md", params=query, heartbeat=HEARTBEAT_S, max_msg_size=0
        ) as socket:
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.BINARY:
                    break
                heard = True
                deliver(normalise(self._decode(frame.data), now_ns()))
        return heard


def normalise(frame: w.Frame, recv_ns: int) -> VenueBook | MarketTrade:
    if isinstance(frame, w.BookFrame):
        return VenueBook(
            frame.venue,
            frame.symbol,
            frame.seq,
            frame.at_ns,
            recv_ns,
            frame.price_scale,
            frame.qty_scale,
            frame.bid_px,
            frame.bid_qty,
            frame.ask_px,
            frame.ask_qty,
        )
    return MarketTrade(
        frame.venue,
        frame.symbol,
        frame.trade_id,
        frame.at_ns,
        recv_ns,
        frame.price_scale,
        frame.qty_scale,
        frame.price,
        frame.qty,
        frame.aggressor,
    )
