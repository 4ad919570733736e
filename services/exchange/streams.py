"""Who listens, and what each is sent: market data by market and depth, user events by account."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from aiohttp import WSCloseCode, web

from bestex import codec
from bestex import sim_wire as w
from bestex.clock import MS
from bestex.matching import Market, Print

MAX_QUEUED = 10_000  # messages a listener may be behind: some ten seconds of eight busy markets
MAX_LEVELS = 1_000
HEARTBEAT_NS = 500 * MS  # a book is repeated after this silence, well within any limit of staleness

Columns = tuple[list[int], list[int], list[int], list[int]]


def encode(message: object, is_text: bool) -> bytes:
    return codec.to_json(message) if is_text else codec.to_msgpack(message)


class Outbox:
    """What one websocket is still to be sent. `put` never waits; who falls too far behind is disconnected."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._wanted = asyncio.Event()
        self._overflowed = False

    def put(self, data: bytes, is_text: bool) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._overflowed = True
        else:
            self._queue.append((data, is_text))
        self._wanted.set()

    async def run(self) -> None:
        """Send until the connection ends."""
        while not self._socket.closed:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                while self._queue and not self._overflowed:
                    data, is_text = self._queue.popleft()
                    if is_text:
                        await self._socket.send_str(data.decode())
                    else:
                        await self._socket.send_bytes(data)
            except ConnectionError:
                return
            if self._overflowed:
                await self._socket.close(code=WSCloseCode.TRY_AGAIN_LATER, message=b"too far behind")


class Channel:
    """One market at one depth and encoding, numbered for all who listen to it."""

    def __init__(self, info: w.MarketInfo, market: Market, levels: int, is_text: bool) -> None:
        self.listeners: set[Outbox] = set()
        self._info, self._market = info, market
        self._levels, self._is_text = levels, is_text
        self._seq = 0
        self._version = -1
        self._sent_ns = 0
        self._columns: Columns = [], [], [], []

    def join(self, outbox: Outbox, now_ns: int) -> None:
        self.listeners.add(outbox)
        outbox.put(self._frame(self._market.book(self._levels), now_ns), self._is_text)

    def print(self, trade: Print) -> None:
        self._seq += 1
        info = self._info
        frame = w.TradeFrame(
            info.venue,
            info.symbol,
            self._seq,
            trade.at_ns,
            info.price_scale,
            info.qty_scale,
            trade.trade_id,
            trade.price,
            trade.qty,
            trade.aggressor,
        )
        self._send(encode(frame, self._is_text))

    def refresh(self, now_ns: int, heard_ns: int) -> None:
        """Send the book if what is shown of it changed, or if nothing was sent for long; but a market that is heard
        from elsewhere, last at `heard_ns`, is not repeated as if it were known to be so still."""
        silent = now_ns - self._sent_ns >= HEARTBEAT_NS and heard_ns > self._sent_ns
        if self._market.version == self._version and not silent:
            return
        self._version = self._market.version
        columns = self._market.book(self._levels)
        if columns == self._columns and not silent:
            return
        self._columns, self._sent_ns = columns, now_ns
        self._seq += 1
        self._send(self._frame(columns, now_ns))

    def _frame(self, columns: Columns, now_ns: int) -> bytes:
        info = self._info
        frame = w.BookFrame(
            info.venue, info.symbol, self._seq, now_ns, info.price_scale, info.qty_scale, *columns
        )
        return encode(frame, self._is_text)

    def _send(self, data: bytes) -> None:
        for outbox in self.listeners:
            outbox.put(data, self._is_text)


class MarketData:
    """The channels by market; one that nobody listens to costs nothing. `heard_ns`: of the markets that are heard
    from elsewhere, when they were last, 0 where nothing was yet."""

    def __init__(self, markets: Iterable[tuple[w.MarketInfo, Market]]) -> None:
        self.heard_ns: Mapping[tuple[str, str], int] = {}
        self._markets = {(info.venue, info.symbol): (info, market) for info, market in markets}
        self._channels: dict[tuple[str, str], dict[tuple[int, bool], Channel]] = {
            key: {} for key in self._markets
        }

    def join(
        self, outbox: Outbox, venue: str, symbol: str, levels: int, is_text: bool, now_ns: int
    ) -> list[Channel]:
        """Listen to one symbol of `venue`, or to all. None where there is nothing of that name."""
        joined = []
        for key, (info, market) in self._markets.items():
            if key[0] == venue and symbol in ("", key[1]):
                channels = self._channels[key]
                channel = channels.get((levels, is_text))
                if channel is None:
                    channel = channels[levels, is_text] = Channel(info, market, levels, is_text)
                channel.join(outbox, now_ns)
                joined.append(channel)
        return joined

    def publish(self, prints: Iterable[Print], now_ns: int) -> None:
        for trade in prints:
            for channel in self._heard((trade.venue, trade.symbol)):
                channel.print(trade)
        for key in self._markets:
            for channel in self._heard(key):
                channel.refresh(now_ns, self.heard_ns.get(key, now_ns))

    def _heard(self, key: tuple[str, str]) -> Iterator[Channel]:
        return (channel for channel in self._channels[key].values() if channel.listeners)


class UserData:
    """The listeners of each account at each venue."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str], dict[Outbox, bool]] = {}

    def join(self, outbox: Outbox, venue: str, account: str, is_text: bool) -> None:
        self._listeners.setdefault((venue, account), {})[outbox] = is_text

    def leave(self, outbox: Outbox, venue: str, account: str) -> None:
        listeners = self._listeners[venue, account]
        del listeners[outbox]
        if not listeners:
            del self._listeners[venue, account]

    def publish(self, entry: w.JournalEntry) -> None:
        """Tell each account that has listeners what concerns it."""
        for account in {state.account for state in entry.orders}:
            listeners = self._listeners.get((entry.venue, account))
            if not listeners:
                continue
            event = w.UserEvent(
                venue=entry.venue,
                seq=entry.seq,
                at_ns=entry.at_ns,
                orders=[state for state in entry.orders if state.account == account],
                trades=[trade for trade in entry.trades if trade.account == account],
            )
            for outbox, is_text in listeners.items():
                outbox.put(encode(event, is_text), is_text)
