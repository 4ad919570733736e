"""Minute bars, a zip a day in LEAN's format, as quotes and trades: what a bar does not say, a stated model does.

Rows of trades are ms since midnight, open, high, low, close, volume; those of quotes bid OHLC, last bid size, ask
OHLC, last ask size (https://www.lean.io/docs: Data Formats). Equities have New York's midnight and prices x 10,000,
crypto has UTC's and plain prices. Sizes of crypto carry the noise of binary floats and are taken to the nearest 1e-8.

The intra-bar model. A minute has four moments: its open at 0 s, its two extremes at 20 and 40 s, first the one nearer
to the open (the low where both are as near), and its close 1 ms before its end. Trades: a quarter of the volume at
each, exact in sum, of no known aggressor. Quotes: one level a side; highs go with highs and lows with lows, which
crosses no book that was not crossed; sizes are the bar's last. A minute without a bar changes nothing. With a spread,
bars of trades quote too, that far around each price, what is traded there a side. So the path through a bar is ours
and not the market's: what an order earns by being early or late within a minute says nothing.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bestex.clock import MINUTE, MS, SECOND
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.binance_wire import QUOTES
from bestex.importers.options import ImportOptions
from bestex.importers.scales import ExactUnits, Scales, digits, nearest_units, plain_text, pointed
from bestex.messages import MarketTrade
from bestex.units import split

MOMENTS_NS = (0, 20 * SECOND, 40 * SECOND, MINUTE - MS)
NOISE_SCALE = 8  # decimals of a crypto size that are the market's; what follows is a float's
EQUITY_EXPONENT = 4
BYTES_MAX = 256 * 1024 * 1024  # of one file, unpacked: some years of minutes
ROWS_MAX = 86_400  # of one day; a second each is finer than any bar
_ENTRY = re.compile(r"(\d{4})(\d\d)(\d\d)_([a-z0-9.]+)_minute_(trade|quote)\.csv")
_NAMED = re.compile(r"([a-z]+)_[a-z0-9.]+_\d{8}_(?:trade|quote)\.zip")
_FIELDS = {"trade": 6, "quote": 11}
_NEW_YORK = "America/New_York"


class _Bar(NamedTuple):
    """Text as it stands. `values` are all fields but the time."""

    at_ms: int
    values: tuple[str, ...]


class _Day(NamedTuple):
    entry: str
    date: str
    kind: str
    stream: FeedStream
    exponent: int


class MinuteBars:
    """The days of one zip, in order. RecordingError where it holds no minute bars, or a row is none."""

    def __init__(self, path: Path, options: ImportOptions) -> None:
        self._path, self._options = path, options
        self.damage = ""
        self._days = self._survey()
        self.start_ns, self.end_ns = 0, 0
        for event in self:
            self.start_ns = self.start_ns or event.recv_ns
            self.end_ns = event.recv_ns
        if not self.start_ns:
            raise RecordingError(f"{path.name}: there is no bar in it")

    @property
    def streams(self) -> tuple[FeedStream, ...]:
        return tuple(dict.fromkeys(day.stream for day in self._days))

    def _survey(self) -> list[_Day]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                entries = sorted(archive.infolist(), key=lambda info: Path(info.filename).name)
                days = [self._day(info) for info in entries if not info.is_dir()]
        except zipfile.BadZipFile as error:
            raise RecordingError(f"{self._path.name}: {error}") from None
        if not days:
            raise RecordingError(f"{self._path.name}: the archive is empty")
        tickers = sorted({_ticker(day.entry) for day in days})
        if self._options.symbol and len(tickers) > 1:
            raise RecordingError(f"{self._path.name}: holds {', '.join(tickers)}; leave out the symbol")
        return days

    def _day(self, info: zipfile.ZipInfo) -> _Day:
        named = _ENTRY.fullmatch(Path(info.filename).name.lower())
        if named is None:
            raise RecordingError(f"{self._path.name}: {info.filename} is no file of minute bars")
        if info.file_size > BYTES_MAX:
            raise RecordingError(f"{self._path.name}: {info.filename} has more than {BYTES_MAX} bytes")
        *date, ticker, kind = named.groups()
        bars = list(self._bars(info.filename, kind))
        market = self._options.market or self._guess(ticker, bars)
        exponent = EQUITY_EXPONENT if market == "equity" else 0
        prices, sizes = _columns(kind)
        scales = Scales()
        for bar in bars:
            with self._told(bar):
                for place in prices:
                    scales.see(pointed(plain_text(bar.values[place]), exponent), "0")
                for place in sizes:
                    scales.qty = max(scales.qty, digits(plain_text(bar.values[place]), scales.qty))
        stream = FeedStream(
            venue=self._venue(market),
            symbol=self._options.symbol or _symbol(ticker, market),
            price_scale=max(scales.price, 2),
            qty_scale=min(scales.qty, NOISE_SCALE),
        )
        return _Day(info.filename, "-".join(date), kind, stream, exponent)

    def _guess(self, ticker: str, bars: Sequence[_Bar]) -> str:
        """By the folder as LEAN lays it out, by a point in a price, by the form of the name."""
        folders = {part.lower() for part in self._path.resolve().parts[:-1]}
        for market in ("equity", "crypto"):
            if market in folders and "minute" in folders:
                return market
        if any("." in text for bar in bars for text in bar.values[:4]):
            return "crypto"
        pair = _split_pair(ticker) is not None and _NAMED.fullmatch(self._path.name.lower())
        return "crypto" if pair else "equity"

    def _venue(self, market: str) -> str:
        parts = [part.lower() for part in self._path.resolve().parts]
        named = _NAMED.fullmatch(parts[-1])
        if len(parts) > 4 and parts[-3] == "minute":
            name = parts[-4]
        elif named is not None:
            name = named[1]
        else:
            name = "usa" if market == "equity" else "bars"
        return self._options.venue(name)

    def _bars(self, entry: str, kind: str) -> Iterator[_Bar]:
        """The rows. Their times ascend, or the minute after would be told before the one before."""
        last_ms = -1
        with zipfile.ZipFile(self._path) as archive, archive.open(entry) as file:
            try:
                rows = csv.reader(TextIOWrapper(file, "utf-8-sig", newline=None))
                for row in rows:
                    where = f"{self._path.name}/{entry}:{rows.line_num}"
                    if not row:
                        continue
                    if len(row) != _FIELDS[kind]:
                        raise RecordingError(f"{where}: a bar has {_FIELDS[kind]} fields, not {len(row)}")
                    if not row[0].isdigit() or int(row[0]) <= last_ms or rows.line_num > ROWS_MAX:
                        raise RecordingError(f"{where}: {row[0][:40]} is no later time of the day in ms")
                    last_ms = int(row[0])
                    yield _Bar(last_ms, tuple(text.strip() for text in row[1:]))
            except (UnicodeDecodeError, csv.Error, zipfile.BadZipFile, EOFError) as error:
                raise RecordingError(f"{self._path.name}/{entry}: {error}") from None

    # -- the model -----------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[FeedEvent]:
        for day in self._days:
            yield from self._play(day)

    def _play(self, day: _Day) -> Iterator[FeedEvent]:
        begin = _midnight(day.date, day.exponent)
        prices = ExactUnits(day.stream.price_scale, day.exponent)
        scale = day.stream.qty_scale
        seq = 0
        shown: tuple[int, ...] = ()
        price_places, size_places = _columns(day.kind)
        for bar in self._bars(day.entry, day.kind):
            at_ns = begin(bar.at_ms)
            with self._told(bar):
                numbers = [prices[bar.values[place]] for place in price_places]
                sizes = [nearest_units(bar.values[place], scale) for place in size_places]
            is_trade = day.kind == "trade"
            moments = _trade_moments(numbers, sizes[0]) if is_trade else _quote_moments(numbers, sizes)
            for number, (after_ns, (price, qty, *book)) in enumerate(zip(MOMENTS_NS, moments, strict=True)):
                now_ns = at_ns + after_ns
                quote = tuple(book) or self._around(price, qty)
                if quote and quote != shown:
                    seq += 1
                    yield _update(day.stream, seq, now_ns, shown, quote)
                    shown = quote
                if qty and is_trade:
                    yield _trade(day.stream, f"{day.date}-{bar.at_ms}-{number}", now_ns, price, qty)

    def _around(self, price: int, qty: int) -> tuple[int, ...]:
        """A quote around a trade's price, rounded away from it."""
        if not self._options.spread_bps or not qty:
            return ()
        half = price * round(self._options.spread_bps * 500) // 10_000_000 or 1
        return price - half, qty, price + half, qty

    @contextmanager
    def _told(self, bar: _Bar) -> Iterator[None]:
        """What is wrong with a number, with the bar that it stands in."""
        try:
            yield
        except ValueError as error:
            raise RecordingError(f"{self._path.name}: the bar at {bar.at_ms} ms: {error}") from None


def _ticker(entry: str) -> str:
    return Path(entry).name.split("_")[1]


def _columns(kind: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The places of prices and of sizes among a bar's values."""
    return ((0, 1, 2, 3), (4,)) if kind == "trade" else ((0, 1, 2, 3, 5, 6, 7, 8), (4, 9))


def _path_of(bar: Sequence[int]) -> tuple[int, int, int, int]:
    """Which of open, high, low, close comes when: the places of the four."""
    opens, high, low, _ = bar
    return (0, 1, 2, 3) if high - opens < opens - low else (0, 2, 1, 3)


def _trade_moments(prices: Sequence[int], volume: int) -> list[tuple[int, ...]]:
    """Price and quantity at each moment."""
    parts = split(volume, [1, 1, 1, 1])
    return [(prices[place], qty) for place, qty in zip(_path_of(prices), parts, strict=True)]


def _quote_moments(prices: Sequence[int], sizes: Sequence[int]) -> list[tuple[int, ...]]:
    """Twice the mid, nothing, and then bid, its size, ask and its size at each moment."""
    bids, asks = prices[:4], prices[4:]
    mids = [bid + ask for bid, ask in zip(bids, asks, strict=True)]
    return [(mids[place], 0, bids[place], sizes[0], asks[place], sizes[1]) for place in _path_of(mids)]


def _update(stream: FeedStream, seq: int, at_ns: int, old: Sequence[int], new: Sequence[int]) -> DepthUpdate:
    sides = []
    for place in (0, 2):
        before = [(old[place], 0)] if old and old[place] != new[place] and old[place + 1] else []
        now = [(new[place], new[place + 1])] if new[place] and (new[place + 1] or old) else []
        sides.append(before + now)
    return DepthUpdate(
        stream.venue, stream.symbol, seq, at_ns, at_ns, stream.price_scale, stream.qty_scale, not old, *sides
    )


def _trade(stream: FeedStream, trade_id: str, at_ns: int, price: int, qty: int) -> MarketTrade:
    return MarketTrade(
        stream.venue,
        stream.symbol,
        trade_id,
        at_ns,
        at_ns,
        stream.price_scale,
        stream.qty_scale,
        price,
        qty,
        0,
    )


def _midnight(date: str, exponent: int) -> Callable[[int], int]:
    """Ms of that day on the market's clock to ns since 1970."""
    zone: tzinfo = UTC
    if exponent:
        try:
            zone = ZoneInfo(_NEW_YORK)
        except ZoneInfoNotFoundError:
            raise RecordingError(
                f"this machine does not know the time zone {_NEW_YORK}; install tzdata"
            ) from None
    day = datetime.fromisoformat(date)

    def begin(at_ms: int) -> int:
        minutes, rest = divmod(at_ms, 60_000)
        wall = (day + timedelta(minutes=minutes)).replace(tzinfo=zone)
        return int(wall.timestamp()) * SECOND + rest * MS

    return begin


def _split_pair(ticker: str) -> tuple[str, str] | None:
    text = ticker.upper()
    quote = next((q for q in QUOTES if text.endswith(q) and len(text) > len(q) + 1), None)
    return None if quote is None else (text.removesuffix(quote), quote)


def _symbol(ticker: str, market: str) -> str:
    pair = _split_pair(ticker) if market == "crypto" else None
    return f"{ticker.upper()}/USD" if pair is None else "/".join(pair)
