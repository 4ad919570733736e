"""Recorded frames of exchanges, and a ccxt exchange that hears them instead of a network.

The archive holds, by exchange, what was asked over HTTP (`NAME.0`, `NAME.http.0.0`: lines `url -> time: body`) and
what came over websockets (`NAME.ws.ID.0`: `time: frame`, and lines that begin with the address for what was sent).
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import io
import math
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ccxt.pro
import orjson
import zstandard

from bestex.clock import SECOND
from bestex.feed import Books
from bestex.instruments import Instrument, Listing
from bestex.messages import Bbo, MarketTrade
from bestex.units import from_units
from services.collector.sources.ccxt.markets import terms_of
from services.collector.sources.ccxt.session import Session
from services.collector.sources.ccxt.stream import Stream, Streams
from services.collector.sources.ccxt.venue_clock import VenueClock

SCALE = 12
FRAMES = 1_200  # of each recording; more tell nothing new
SYMBOLS = 12
ARCHIVE = Path(os.environ.get("BESTEX_DATA", "../shared/data")) / "venues" / "master_raw.tar.zst"


class Recording:
    """Of one exchange. `answers`: address and body of each HTTP answer. `frames`: receive time and text."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: list[tuple[str, bytes]] = []
        self.frames: list[tuple[int, str]] = []
        self.sent: list[str] = []

    def add(self, text: bytes) -> None:
        for line in text.splitlines():
            head, arrow, rest = line.partition(b" -> ")
            if arrow and head.startswith(b"http"):
                _, _, body = rest.partition(b": ")
                self.answers.append((head.decode(), body))
            elif line.startswith(b"wss:"):
                _, arrow, rest = line.partition(b" <- ")
                if arrow:
                    self.sent.append(rest.partition(b": ")[2].decode())
            elif line[:1].isdigit():
                time, _, frame = line.partition(b": ")
                self.frames.append((int(float(time) * SECOND), _text(frame)))

    def body(self, url: str) -> Any:
        """The answer that was recorded for that path, the one with most of its parameters in common; KeyError."""
        path, query = urlsplit(url).path.rstrip("/"), set(parse_qsl(urlsplit(url).query))
        best, most = None, -1
        for address, body in self.answers:
            there = urlsplit(address)
            shared = len(query & set(parse_qsl(there.query)))
            if there.path.rstrip("/") == path and shared > most:
                best, most = body, shared
        if best is None:
            raise KeyError(path)
        return best


def _text(frame: bytes) -> str:
    """What came as bytes stands in the file as Python writes bytes."""
    if frame[:2] in (b"b'", b'b"'):
        frame = ast.literal_eval(frame.decode())
    return (gzip.decompress(frame) if frame[:2] == b"\x1f\x8b" else frame).decode()


def recordings(path: Path = ARCHIVE) -> Iterator[Recording]:
    """One exchange after the other, in the order of the names: the archive is read once."""
    made: dict[str, Recording] = {}
    with (
        path.open("rb") as packed,
        zstandard.ZstdDecompressor().stream_reader(packed) as plain,
        tarfile.open(fileobj=io.BufferedReader(plain), mode="r|") as archive,
    ):
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                name = member.name.removeprefix("./").removesuffix(".0")
                for part in (".http.0", ".ws."):
                    name = name.partition(part)[0]
                made.setdefault(name, Recording(name)).add(file.read())
    yield from (made[name] for name in sorted(made))


def offline(kind: type, recording: Recording, answers: Mapping[str, Any]) -> type:
    """The class `kind`, answered from the recording and connected to nothing.

    `answers`, by path: what it is answered where that was not recorded; a text names the path to answer from instead,
    and a function changes what was recorded. KeyError for what nobody can answer. `sent` has what it sends.
    """

    class Offline(kind):  # type: ignore[misc]
        sent: list[Any] = []  # noqa: RUF012 - of this class, which is made for one recording

        async def fetch(self, url: str, *_: Any, **__: Any) -> Any:
            path = urlsplit(url).path
            answer = answers.get(path, path)
            if callable(answer):
                return answer(orjson.loads(recording.body(url)))
            if not isinstance(answer, str):
                return answer
            return orjson.loads(recording.body(url.replace(path, answer)))

        def client(self, url: str) -> Any:
            client = super().client(url)
            if not client.connected.done():
                client.connected.resolve(url)

                async def send(message: Any) -> None:
                    self.sent.append(message)

                client.send = send
            return client

    Offline.__name__ = Offline.__qualname__ = kind.__name__
    return Offline


@dataclass(frozen=True)
class Case:
    """How one recording is played to one class of ccxt.

    `options` of the exchange; `answers` as in `offline`; `made`: ids of markets, with their symbols, where what was
    recorded of them is not what today's class asks for. `lacks`: "books" or "trades" where the class hears none of
    the recorded ones, and why. `off_tick`: why prices are off the recorded tick.
    """

    recording: str
    exchange: str
    options: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    edit: Callable[[str], str] = str  # a frame as it would be if ccxt had subscribed
    ack: Callable[[Any], Any] | None = (
        None  # what answers a subscription that was sent, where ccxt waits for it
    )
    leave: tuple[str, ...] = ()  # symbols whose snapshot was taken before their first update
    keys: bool = False  # whether the class wants keys for public data

    def __str__(self) -> str:
        return self.recording


@dataclass
class Heard:
    """What became of a recording. `ours`: frames that a quirk of ours took, so that ccxt did not see them; all others
    went through ccxt's handlers. `off_tick`: best prices and trades that are no multiple of the market's tick.
    `unlisted`: why its markets could not be read from what was recorded."""

    case: Case
    frames: int = 0
    ours: int = 0
    unlisted: str = ""
    markets: int = 0
    symbols: int = 0
    books: int = 0
    trades: int = 0
    bests: int = 0
    unknown: int = 0
    crossed: int = 0
    unsorted: int = 0
    empty_levels: int = 0
    off_tick: int = 0
    error: str = ""
    best: str = ""

    @property
    def row(self) -> str:
        case = self.case
        why = "; ".join(filter(None, (*case.lacks.values(), self.unlisted, self.error)))
        by = f"quirk {self.ours}" if self.ours else "ccxt"
        return (
            f"{case.recording:17} {case.exchange:17} {self.markets:7} {self.frames:6} {self.books:6} "
            f"{self.trades:6}  {by:10} {self.best:34} {why}"
        )


def steps(market: Any, mode: int) -> tuple[Decimal, Decimal]:
    terms = terms_of(market, mode)
    smallest = Decimal(1).scaleb(-SCALE)
    return terms.tick or smallest, terms.lot or smallest


def scale_of(step: Decimal) -> int:
    """Fine enough for what rests since before the step was made coarser."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(SCALE, -exponent)


async def play(case: Case, recording: Recording) -> Heard:
    """Through the source's own session: hooks, quirks, ccxt's handlers. Nothing waits for the recorded time."""
    heard = Heard(case, frames=len(recording.frames))
    kind = offline(getattr(ccxt.pro, case.exchange), recording, case.answers)
    now = [recording.frames[0][0]]
    markets = await _markets(case, kind)
    symbols = [symbol for symbol in _symbols(markets, recording) if symbol not in case.leave]
    if case.made:
        heard.unlisted = await _why_unlisted(case, kind)
    heard.symbols, heard.markets = len(symbols), 0 if case.made else len(markets)
    books, ticks = Books(20), dict[str, int]()

    def deliver(event: Any) -> None:
        _count(heard, event if isinstance(event, Bbo) else books.take(event), ticks)

    clock, streams, mode = VenueClock(), list[Stream](), kind().precisionMode
    for symbol in symbols:
        tick, lot = steps(markets[symbol], mode)
        made = Instrument(symbol=symbol, price_scale=scale_of(tick), qty_scale=scale_of(lot))
        ticks[symbol] = made.price_units(tick)
        streams.append(Stream(made, Listing(venue=case.exchange, symbol=symbol), clock, deliver))
    session = Session(kind, Streams(streams), 20, lambda: now[0])
    session.exchange = exchange = _exchange(session.kind, case)
    exchange.open()
    exchange.set_markets(list(markets.values()))
    await exchange.load_markets()
    session.streams.name(exchange.markets)
    hear = session.quirk.hear

    def counted(*said: Any) -> bool:
        taken = hear(*said)
        heard.ours += taken
        return taken

    session.quirk.hear = counted  # type: ignore[assignment, method-assign]
    listening = asyncio.create_task(session.listen(math.inf))
    for _ in range(100):  # an address may be asked for first
        await asyncio.sleep(0)
    if case.ack is not None:
        for message in exchange.sent:
            exchange.handle_message(next(iter(exchange.clients.values())), case.ack(message))
    for now[0], frame in recording.frames[:FRAMES]:
        for client in list(exchange.clients.values())[:1]:
            client.handle_text_or_binary_message(case.edit(frame))
        for _ in range(3):  # a snapshot is asked for in tasks of their own
            await asyncio.sleep(0)
    if listening.done():
        heard.error = repr(listening.exception())
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await session.close()
    return heard


def _exchange(kind: type, case: Case) -> Any:
    keys = {"apiKey": "none", "secret": "bm9uZQ==", "password": "none"} if case.keys else {}
    made = kind({"enableRateLimit": False, **keys})
    made.has["fetchCurrencies"] = False
    made.options |= case.options
    return made


async def _markets(case: Case, kind: type) -> dict[str, Any]:
    exchange = _exchange(kind, case)
    try:
        if case.made:
            exchange.set_markets([_market(exchange, *named) for named in case.made.items()])
        else:
            await exchange.load_markets()
        markets: dict[str, Any] = exchange.markets
        return markets
    finally:
        await exchange.close()


async def _why_unlisted(case: Case, kind: type) -> str:
    exchange = _exchange(kind, case)
    try:
        await exchange.load_markets()
    except KeyError as error:
        return f"no markets: {error} was not recorded"
    finally:
        await exchange.close()
    return "no markets of these ids"


def _market(exchange: Any, market_id: str, symbol: str) -> Any:
    base, _, quote = symbol.partition("/")
    said = {"id": market_id, "symbol": symbol, "base": base, "quote": quote, "type": "spot", "spot": True}
    said |= {
        "baseId": base,
        "quoteId": quote,
        "swap": False,
        "future": False,
        "option": False,
        "contract": False,
    }
    return exchange.safe_market_structure(said | {"active": True, "info": {"id": market_id}})


def _symbols(markets: Mapping[str, Any], recording: Recording) -> list[str]:
    """Those of which there are frames; of swaps and dated futures, which one class cannot watch together, swaps."""
    text = "\n".join(frame for _, frame in recording.frames[:FRAMES]).lower()
    words = set(re.findall(r"[a-z0-9_\-/]+", text)) | set(re.findall(r"[a-z0-9\-]+", text))
    found = [symbol for symbol, market in markets.items() if str(market["id"]).lower() in words]
    swaps = [symbol for symbol in found if markets[symbol]["swap"]]
    return (swaps or found)[:SYMBOLS]


def _count(heard: Heard, told: Any, ticks: Mapping[str, int]) -> None:
    tick = ticks[told.symbol]
    if isinstance(told, MarketTrade):
        heard.trades += 1
        heard.off_tick += told.price % tick != 0
        return
    if isinstance(told, Bbo):
        heard.bests += 1
        heard.off_tick += told.bid_px % tick != 0 or told.ask_px % tick != 0
        heard.crossed += told.bid_px >= told.ask_px
        return
    bids, asks = told.bid_px, told.ask_px
    if not bids and not asks:
        heard.unknown += 1
        return
    heard.books += 1
    heard.crossed += bool(bids and asks and bids[0] >= asks[0])
    heard.unsorted += bids != sorted(set(bids), reverse=True) or asks != sorted(set(asks))
    heard.empty_levels += not all(told.bid_qty) or not all(told.ask_qty)
    heard.off_tick += any(price % tick for price in (*bids[:1], *asks[:1]))
    if bids and asks:
        bid, ask = from_units(bids[0], told.price_scale), from_units(asks[0], told.price_scale)
        heard.best = f"{told.symbol} {bid:f} / {ask:f}"
