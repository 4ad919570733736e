"""One symbol's book rebuilt from Binance's depth differences, and compared with its book ticker.

The rules are those of "How to manage a local order book correctly" in the pages named in `binance_wire`:
buffer, take a REST snapshot with `lastUpdateId` L, drop what is older, and start at the first difference that
spans it: spot `U <= L + 1 <= u`, futures `U <= L <= u`. Then spot goes on with `U` = previous `u` + 1, futures
with `pu` = previous `u`. Futures ids jump, so a difference with `pu <= L < U` spans L as well: nothing of this
symbol happened in between.

A break makes the book unknown until a snapshot joins what came after it. A snapshot that arrives while the
book is known is only remembered: the sequence is proof enough, and the snapshot may be older than the book.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from bestex.depth import DepthBook, LevelReader

MAX_BUFFERED = 10_000  # differences kept while a snapshot is awaited: a quarter of an hour at 100 ms
MAX_REMEMBERED = 4_096  # tops and tickers that wait for the other; the two are a second apart at most

Levels = list[tuple[int, int]]
Top = tuple[int, int, int, int]  # bid price, bid quantity, ask price, ask quantity; 0, 0 for an empty side


class Diff(NamedTuple):
    """A depth difference in units; `pu` is None on spot."""

    first: int
    last: int
    pu: int | None
    event_ns: int
    bids: Levels
    asks: Levels

    def spans(self, snapshot_id: int) -> bool:
        if self.pu is None:
            return self.first <= snapshot_id + 1 <= self.last
        return min(self.first, self.pu) <= snapshot_id <= self.last

    def is_older_than(self, snapshot_id: int) -> bool:
        return self.last <= snapshot_id if self.pu is None else self.last < snapshot_id


class Snapshot(NamedTuple):
    last: int
    bids: Levels
    asks: Levels


class Change(NamedTuple):
    """What became of the book. A `whole` one replaces it; without levels it says that the book is unknown."""

    whole: bool
    bids: Levels
    asks: Levels


class BookBuilder:
    """`compares` False leaves out the comparison and its book, for readers that build books themselves."""

    def __init__(self, price_scale: int, qty_scale: int, *, compares: bool = True) -> None:
        self._compares = compares
        self.reader = LevelReader(price_scale, qty_scale)
        self.book = DepthBook()
        self.is_known = False
        self.last_id = 0
        self.sequence_breaks = 0
        self.duplicates = 0
        self.crossed = 0
        self.bbo_checked = 0
        self.bbo_matched = 0
        self._last_event_ns = 0
        self._snapshot: Snapshot | None = None
        self._buffer: deque[Diff] = deque(maxlen=MAX_BUFFERED)
        self._tops: dict[int, Top] = {}
        self._tickers: dict[int, Top] = {}

    @property
    def needs_snapshot(self) -> bool:
        """Whether the book is unknown, and no snapshot waits for the difference that joins it."""
        return not self.is_known and self._snapshot is None

    def on_snapshot(self, snapshot: Snapshot) -> Change | None:
        self._snapshot = snapshot
        return None if self.is_known else self._join(count_failure=True)

    def distrust(self) -> None:
        """The book is unknown until a new snapshot joins the differences that follow, however unbroken they are."""
        self.is_known, self._snapshot = False, None
        self._buffer.clear()
        self.book.clear()

    def on_diff(self, diff: Diff) -> Change | None:
        previous, restarted = self.last_id, diff.event_ns > self._last_event_ns
        if diff.last <= previous and not restarted:
            self.duplicates += 1
            return None
        follows = diff.first == previous + 1 if diff.pu is None else diff.pu == previous
        broken = previous != 0 and not follows
        was_known = self.is_known
        self.last_id, self._last_event_ns = diff.last, diff.event_ns
        if broken:
            self.sequence_breaks += 1
            self.is_known = False
            self._buffer.clear()
            self.book.clear()
            if self._snapshot is not None and self._snapshot.last <= previous:
                self._snapshot = None
        if self.is_known:
            if self._compares:
                self._apply(diff)
            return Change(False, diff.bids, diff.asks)
        self._buffer.append(diff)
        joined = self._join(count_failure=not broken)
        return joined or (Change(True, [], []) if was_known else None)

    def _join(self, *, count_failure: bool) -> Change | None:
        """Start the book from the snapshot and the buffered differences, where they meet."""
        snapshot = self._snapshot
        if snapshot is None:
            return None
        while self._buffer and self._buffer[0].is_older_than(snapshot.last):
            self._buffer.popleft()
        if not self._buffer:
            return None
        if not self._buffer[0].spans(snapshot.last):
            self._snapshot = None
            self.sequence_breaks += count_failure
            return None
        self.book.replace(snapshot.bids, snapshot.asks)
        for diff in self._buffer:
            self._apply(diff)
        self._buffer.clear()
        self._snapshot = None
        self.is_known = True
        change = Change(True, list(self.book.bids), list(self.book.asks))
        if not self._compares:
            self.book.clear()
        return change

    def _apply(self, diff: Diff) -> None:
        self.book.apply(diff.bids, diff.asks)
        bid, ask = self.book.best_bid or (0, 0), self.book.best_ask or (0, 0)
        if bid[0] and ask[0] and bid[0] >= ask[0]:
            self.crossed += 1
        top = (*bid, *ask)
        ticker = self._tickers.pop(diff.last, None)
        if ticker is not None:
            self._compare(top, ticker)
        _remember(self._tops, diff.last, top)

    def on_ticker(self, update_id: int, ticker: Top) -> None:
        if not self._compares:
            return
        top = self._tops.get(update_id)
        if top is not None:
            self._compare(top, ticker)
        else:
            _remember(self._tickers, update_id, ticker)

    def _compare(self, top: Top, ticker: Top) -> None:
        self.bbo_checked += 1
        self.bbo_matched += top == ticker


def _remember(memory: dict[int, Top], update_id: int, top: Top) -> None:
    memory[update_id] = top
    if len(memory) > MAX_REMEMBERED:
        del memory[next(iter(memory))]
