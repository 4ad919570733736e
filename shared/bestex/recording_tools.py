"""Recordings from recordings: a part of one, several as one, and one seen at a fixed step. Streams of events in time
order go in and come out, so memory does not grow with them; nothing is rounded and nothing is made up.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from bestex.depth import DepthBook
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.recognise import Source
from bestex.messages import MarketTrade

Key = tuple[str, str]  # venue, symbol
Levels = list[tuple[int, int]]


class _Book:
    """A stream's book as the events so far tell it, and the last of them."""

    def __init__(self) -> None:
        self.book = DepthBook()
        self.last: DepthUpdate | None = None

    def take(self, update: DepthUpdate) -> None:
        if update.snapshot:
            self.book.replace(update.bids, update.asks)
        else:
            self.book.apply(update.bids, update.asks)
        self.last = update

    def levels(self) -> tuple[Levels, Levels]:
        """All levels, best first."""
        return sorted(self.book.bids, reverse=True), sorted(self.book.asks)

    def snapshot(self, at_ns: int) -> DepthUpdate | None:
        """The whole book as of `at_ns`; None where it is unknown or empty."""
        bids, asks = self.levels()
        if self.last is None or not (bids or asks):
            return None
        return msgspec.structs.replace(self.last, recv_ns=at_ns, snapshot=True, bids=bids, asks=asks)


def key_of(event: FeedEvent | FeedStream) -> Key:
    return event.venue, event.symbol


def cut(
    events: Iterable[FeedEvent], from_ns: int, to_ns: int, keys: Collection[Key] | None = None
) -> Iterator[FeedEvent]:
    """The events from `from_ns` on and before `to_ns`, of the streams in `keys` (all without).

    First come the books as they stood then for a reader of the whole, as snapshots, so that the part stands by
    itself.
    """
    books: dict[Key, _Book] = {}
    has_begun = False
    for event in events:
        if event.recv_ns >= to_ns:
            break
        key = key_of(event)
        if keys is not None and key not in keys:
            continue
        if event.recv_ns >= from_ns:
            if not has_begun:
                has_begun = True
                yield from _snapshots(books, from_ns)
                books.clear()
            yield event
        elif isinstance(event, DepthUpdate):
            books.setdefault(key, _Book()).take(event)
    if not has_begun:  # nothing happened in between; the books stood there all the same
        yield from _snapshots(books, from_ns)


def _snapshots(books: Mapping[Key, _Book], at_ns: int) -> Iterator[DepthUpdate]:
    for key in sorted(books):
        whole = books[key].snapshot(at_ns)
        if whole is not None:
            yield whole


class Shifted:
    """A source whose clock is put right by `offset_ns`: added to every receive time, and told to the streams."""

    def __init__(self, source: Source, offset_ns: int) -> None:
        self._source, self._offset_ns = source, offset_ns
        self.streams: tuple[FeedStream, ...] = tuple(
            msgspec.structs.replace(stream, clock_offset_ns=stream.clock_offset_ns + offset_ns)
            for stream in source.streams
        )
        self.start_ns, self.end_ns = source.start_ns + offset_ns, source.end_ns + offset_ns

    @property
    def damage(self) -> str:
        return self._source.damage

    def __iter__(self) -> Iterator[FeedEvent]:
        for event in self._source:
            yield msgspec.structs.replace(event, recv_ns=event.recv_ns + self._offset_ns)


class _Seam:
    """Which of several sources tells a stream's book, and the book where it changes."""

    def __init__(self) -> None:
        self.source = -1
        self.left: set[int] = set()
        self.book = _Book()


def merge(sources: Sequence[Source]) -> Iterator[FeedEvent]:
    """All events by time, and by the order of the sources where times are equal.

    Where one source goes on with a stream's book where another ended, its first snapshot is left out if it says what
    is known already: cuts that follow each other make the whole again. RecordingError where two sources tell of the
    same book in turns, or one goes backwards.
    """
    seams: dict[Key, _Seam] = {}
    told = [_numbered(number, source) for number, source in enumerate(sources)]
    for number, event in heapq.merge(*told, key=lambda one: one[1].recv_ns):
        if isinstance(event, DepthUpdate):
            seam = seams.setdefault(key_of(event), _Seam())
            if seam.source != number and not _takes_over(seam, number, event):
                continue
            seam.book.take(event)
        yield event


def _takes_over(seam: _Seam, number: int, event: DepthUpdate) -> bool:
    """Another source goes on with a book: whether it says something new."""
    if number in seam.left:
        raise RecordingError(
            f"two of the recordings tell of the book of {event.venue} {event.symbol} at the same time; "
            "cut one of them"
        )
    seam.left.add(seam.source)
    seam.source = number
    if not event.snapshot:
        return True
    bids, asks = seam.book.levels()
    is_known = bool(bids or asks) and (sorted(event.bids, reverse=True), sorted(event.asks)) == (bids, asks)
    return not is_known


def _numbered(number: int, source: Source) -> Iterator[tuple[int, FeedEvent]]:
    last_ns = 0
    for event in source:
        if event.recv_ns < last_ns:
            raise RecordingError(
                f"the recording of {event.venue} {event.symbol} goes backwards in time by "
                f"{(last_ns - event.recv_ns) / 1e9:g} s; its events are not in order"
            )
        last_ns = event.recv_ns
        yield number, event


def at_steps(events: Iterable[FeedEvent], step_ns: int) -> Iterator[FeedEvent]:
    """The books as they stand at each whole step; trades stay as they are.

    A book is told at the end of a step in which it changed, with all that changed in it, so that nobody knows of it
    before it was so. Between two trades of one step nothing of a book is told.
    """
    assert step_ns > 0, "a step takes time"
    books: dict[Key, _Stepped] = {}
    step: int | None = None
    for event in events:
        due = -(-event.recv_ns // step_ns)  # an event at a step's very end is in it
        if step is not None and due > step:
            yield from _told(books, step * step_ns)
        step = due
        if isinstance(event, MarketTrade):
            yield event
        else:
            books.setdefault(key_of(event), _Stepped()).take(event)
    if step is not None:
        yield from _told(books, step * step_ns)


class _Stepped:
    """What changed of a book since it was last told. `whole`: a snapshot came, so that all of it is told."""

    def __init__(self) -> None:
        self.whole = True
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.last: DepthUpdate | None = None

    def take(self, update: DepthUpdate) -> None:
        if update.snapshot:
            self.whole, self.bids, self.asks = True, {}, {}
        elif self.last is None:
            self.whole = False  # the recording knows no beginning of this book
        self.bids.update(update.bids)
        self.asks.update(update.asks)
        self.last = update

    def told(self, at_ns: int) -> DepthUpdate | None:
        if self.last is None:
            return None
        sides = [
            [(price, qty) for price, qty in levels.items() if qty or not self.whole]
            for levels in (self.bids, self.asks)
        ]
        update = msgspec.structs.replace(
            self.last, recv_ns=at_ns, snapshot=self.whole, bids=sides[0], asks=sides[1]
        )
        self.whole, self.bids, self.asks, self.last = False, {}, {}, None
        return update


def _told(books: Mapping[Key, _Stepped], at_ns: int) -> Iterator[DepthUpdate]:
    for key in sorted(books):
        update = books[key].told(at_ns)
        if update is not None:
            yield update
