"""Raw Binance frames, one `<recv_ns> <json>` a line, gzip or plain, to normalised events.

Files are read twice: first for what they hold (symbols, markets, the finest digits, the clock), then for the
events, so that no later, finer number finds a scale too coarse. Files of one call, in the order of their first
receive time, are one recording: a symbol's book goes on from one to the next. A symbol without any snapshot
has no book, and says so: differences alone would show a book with holes that nobody knows of.

Clock. The fastest message's receive time less its event time is the receiving clock's lead plus the shortest
latency. Where it is negative, the clock runs behind by at least that much, and as much is added to all receive
times, so that the fastest message arrives the moment it was sent: latencies are true up to a constant. Minima
of blocks of messages that lie far from their median are taken for damaged time stamps and left out.
"""

from __future__ import annotations

import heapq
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bestex.clock import SECOND
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.binance_book import BookBuilder, Change, Diff, Snapshot
from bestex.importers.binance_wire import Body, Kind, name, parse, to_ns
from bestex.importers.lines import LineReader
from bestex.importers.scales import Scales
from bestex.messages import MarketTrade
from bestex.units import MAX_SCALE

MAX_ERRORS_SHOWN = 10
CLOCK_BLOCK = 256  # messages a minimum is taken over
MAX_CLOCK_JITTER_NS = 10 * SECOND  # a minimum further from the median of minima is a damaged time stamp

Key = tuple[bool, str]  # futures or not, Binance's symbol


class Clock:
    """The receiving clock against the venue's."""

    def __init__(self) -> None:
        self._minima: list[int] = []
        self._block: list[int] = []

    def see(self, recv_ns: int, event_ns: int) -> None:
        self._block.append(recv_ns - event_ns)
        if len(self._block) == CLOCK_BLOCK:
            self._end_block()

    def _end_block(self) -> None:
        if self._block:
            self._minima.append(min(self._block))
            self._block.clear()

    def behind_ns(self) -> int:
        """By how much the clock runs behind at least; 0 where nothing shows that it does."""
        self._end_block()
        if not self._minima:
            return 0
        middle = statistics.median_low(self._minima)
        fastest = min(m for m in self._minima if abs(m - middle) <= MAX_CLOCK_JITTER_NS)
        return max(0, -fastest)


class FileSurvey(msgspec.Struct):
    """What a first reading shows of one file: its symbols, and which of them are futures."""

    path: Path
    first_ns: int = 0
    last_ns: int = 0
    symbols: dict[str, bool] = {}

    def key(self, raw: str) -> Key:
        """Frames that name no symbol, "", as most snapshots do, belong to the file's only one."""
        if not raw:
            if len(self.symbols) != 1:
                raise ValueError(f"a snapshot without a symbol in a file of {len(self.symbols)} symbols")
            (raw,) = self.symbols
        return self.symbols[raw], raw


class BinanceRecording:
    """One or several raw files as one sequence of events in order of receipt.

    Iterating again begins again. While it runs, `builders` and the counters fill; they belong to the last
    iteration. `compares` False spares the comparison with the book ticker, and the book that it needs.
    RecordingError where no line of any file is a frame of a known symbol.
    """

    def __init__(self, paths: Sequence[str | Path], *, compares: bool = True) -> None:
        self._compares = compares
        self._clock = Clock()
        self._scales: dict[Key, Scales] = defaultdict(Scales)
        missing = [str(path) for path in paths if not Path(path).is_file()]
        if missing:
            raise RecordingError(f"no such file: {', '.join(missing)}")
        self.files = sorted((self._survey(Path(path)) for path in paths), key=lambda file: file.first_ns)
        self.first_ns = min((file.first_ns for file in self.files if file.last_ns), default=0)
        self.last_ns = max((file.last_ns for file in self.files), default=0)
        self.clock_offset_ns = self._clock.behind_ns()
        self.unnamed: dict[Key, str] = {}
        self._streams = self._name_streams()
        if not self._streams:
            raise RecordingError(f"{', '.join(str(path) for path in paths)}: no Binance frames found")
        self._reset()

    @property
    def start_ns(self) -> int:
        """Of the first message, on the corrected clock."""
        return self.first_ns + self.clock_offset_ns

    @property
    def end_ns(self) -> int:
        return self.last_ns + self.clock_offset_ns

    @property
    def damage(self) -> str:
        """What the last reading could not read, "" for nothing."""
        return f"{self.error_count} lines could not be read: {self.errors[0]}" if self.errors else ""

    @property
    def streams(self) -> tuple[FeedStream, ...]:
        return tuple(self._streams.values())

    def _reset(self) -> None:
        self.messages = self.ignored = self.error_count = 0
        self.counts = dict.fromkeys(Kind, 0)
        self.errors: list[str] = []
        self.builders = {
            key: BookBuilder(stream.price_scale, stream.qty_scale, compares=self._compares)
            for key, stream in self._streams.items()
        }

    def _survey(self, path: Path) -> FileSurvey:
        file = FileSurvey(path, symbols={})
        finest: dict[str, Scales] = defaultdict(Scales)  # by the frame's own symbol, "" without one
        for line in LineReader(path):
            try:
                recv_ns, kind, body = parse(line)
            except (ValueError, RecursionError):
                continue  # reported with its number by the second reading
            file.first_ns = file.first_ns or recv_ns
            file.last_ns = max(file.last_ns, recv_ns)
            if kind is Kind.OTHER:
                continue
            raw = body.s or body.symbol
            finest[raw].see_all(_levels(kind, body))
            if not raw:
                continue
            futures = body.pu is not None or bool(body.X) or (kind is Kind.TICKER and bool(body.e))
            file.symbols[raw] = file.symbols.get(raw, False) or futures or "_" in raw
            if body.E and kind is not Kind.SNAPSHOT:
                self._clock.see(recv_ns, to_ns(body.E))
        for raw, scales in finest.items():
            if raw or len(file.symbols) == 1:
                self._scales[file.key(raw)].join(scales)
        return file

    def _name_streams(self) -> dict[Key, FeedStream]:
        streams = {}
        for (futures, raw), scales in self._scales.items():
            try:
                named = name(raw, futures=futures)
            except ValueError as error:
                self.unnamed[futures, raw] = str(error)
                continue
            streams[futures, raw] = FeedStream(
                venue=named.venue,
                symbol=named.symbol,
                price_scale=min(scales.price, MAX_SCALE),
                qty_scale=min(scales.qty, MAX_SCALE),
                kind="perp" if futures else "spot",
                contract_size=named.contract_size,
                inverse=named.inverse,
                clock_offset_ns=self.clock_offset_ns,
            )
        return streams

    def __iter__(self) -> Iterator[FeedEvent]:
        self._reset()
        return heapq.merge(*map(self._play, self._chains()), key=lambda event: event.recv_ns)

    def _chains(self) -> list[list[FileSurvey]]:
        """Files that continue each other, because they share a symbol; chains run side by side."""
        chains: list[tuple[set[Key], list[FileSurvey]]] = []
        for file in self.files:
            keys = {(futures, raw) for raw, futures in file.symbols.items()}
            for known, files in chains:
                if keys & known:
                    known |= keys
                    files.append(file)
                    break
            else:
                chains.append((keys, [file]))
        return [files for _, files in chains]

    def _play(self, files: Sequence[FileSurvey]) -> Iterator[FeedEvent]:
        latest_ns = 0
        for file in files:
            lines = LineReader(file.path)
            number = 0
            for number, line in enumerate(lines, 1):
                if not line:
                    continue
                self.messages += 1
                try:
                    recv_ns, kind, body = parse(line)
                    latest_ns = max(latest_ns, recv_ns + self.clock_offset_ns)
                    event = self._read(file, latest_ns, kind, body)
                except (ValueError, RecursionError) as error:
                    self._report(file, number, str(error))
                    continue
                self.counts[kind] += 1
                if event is not None:
                    yield event
            if lines.damage:
                self._report(file, number, lines.damage)

    def _report(self, file: FileSurvey, number: int, what: str) -> None:
        self.error_count += 1
        if len(self.errors) < MAX_ERRORS_SHOWN:
            self.errors.append(f"{file.path.name}:{number}: {what}")

    def _read(self, file: FileSurvey, recv_ns: int, kind: Kind, body: Body) -> FeedEvent | None:
        if kind is Kind.OTHER:
            return None
        key = file.key(body.s or body.symbol)
        if key in self.unnamed:
            raise ValueError(self.unnamed[key])
        builder, stream = self.builders[key], self._streams[key]
        reader = builder.reader
        venue_ns = to_ns(body.T or body.E)
        if kind is Kind.TRADE:
            ((price, qty),) = reader.read(_levels(kind, body))
            return _trade(stream, recv_ns, venue_ns, body, price, qty)
        if kind is Kind.TICKER:
            ((bid, bid_qty), (ask, ask_qty)) = reader.read(_levels(kind, body))
            builder.on_ticker(body.u, (bid, bid_qty, ask, ask_qty))
            return None
        if kind is Kind.SNAPSHOT:
            snapshot = Snapshot(body.lastUpdateId, reader.read(body.bids), reader.read(body.asks))
            change = builder.on_snapshot(snapshot)
        else:
            assert isinstance(body.b, list)
            assert isinstance(body.a, list)
            bids, asks = reader.read(body.b), reader.read(body.a)
            change = builder.on_diff(Diff(body.U, body.u, body.pu, to_ns(body.E), bids, asks))
        return change and _update(stream, builder.last_id, recv_ns, venue_ns, change)


def _levels(kind: Kind, body: Body) -> list[tuple[str, str]]:
    """Every price with its quantity; bids first, as far as there are sides."""
    match kind:
        case Kind.TRADE:
            return [(body.p, body.q)]
        case Kind.TICKER:
            return [(str(body.b), str(body.B)), (str(body.a), str(body.A))]
        case Kind.SNAPSHOT:
            return [*body.bids, *body.asks]
    assert isinstance(body.b, list)
    assert isinstance(body.a, list)
    return [*body.b, *body.a]


def _update(stream: FeedStream, seq: int, recv_ns: int, venue_ns: int, change: Change) -> DepthUpdate:
    return DepthUpdate(
        stream.venue,
        stream.symbol,
        seq,
        venue_ns,
        recv_ns,
        stream.price_scale,
        stream.qty_scale,
        change.whole,
        change.bids,
        change.asks,
    )


def _trade(stream: FeedStream, recv_ns: int, venue_ns: int, body: Body, price: int, qty: int) -> MarketTrade:
    """`m`: the buyer was the maker, so the seller took."""
    aggressor = -1 if body.m else 1
    return MarketTrade(
        stream.venue,
        stream.symbol,
        str(body.t),
        venue_ns,
        recv_ns,
        stream.price_scale,
        stream.qty_scale,
        price,
        qty,
        aggressor,
    )
