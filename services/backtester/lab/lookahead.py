"""Whether a backtest sees the future: it is run twice, up to a time, on two recordings that differ from then on.

Whatever is decided before the future begins must be the same to the last byte; where it is not, something has looked
ahead. Cores cannot by themselves: they see inputs stamped at or before now, and the feed releases its events by time.
What a new algorithm, strategy or model could still do is to open the recording's file: `watched` catches that in
the act. The comparison catches whatever else there is, such as a hand on the feed's own state.

The other future is the first one in a mirror: from the time on, every price p is 2 x mid - p, bids are asks and
buyers sellers, and sizes are others. It is a possible market, and goes up where the real one goes down.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bestex import codec
from bestex.depth import DepthBook
from bestex.errors import BestexError, UsageError
from bestex.feed import FeedEvent
from bestex.messages import MarketTrade
from bestex.recording import RecordingFile, RecordingWriter, open_recording
from services.backtester.session import VirtualSession

Make = Callable[[Sequence[Path]], VirtualSession]  # a session on these recordings, its orders submitted
SIZE_PERCENT = 70  # of a mirrored size; what is nothing by that is one unit


class LookedAhead(BestexError):
    """What is being tested has looked at the future."""


class Checked(msgspec.Struct, frozen=True):
    """One time at which the future was replaced. `messages` were compared; `difference` is the first, if any."""

    at_ns: int
    messages: int
    difference: str = ""


class LookAhead(msgspec.Struct, frozen=True):
    checks: list[Checked]

    @property
    def ok(self) -> bool:
        return not any(check.difference for check in self.checks)


def check(paths: Sequence[Path], make: Make, times_ns: Sequence[int], scratch: Path) -> LookAhead:
    """`paths` in our own format. `make` is called twice for each time, on the recordings and on altered ones in
    `scratch`; what it makes may open neither while it decides. LookedAhead where it does; UsageError where a time is
    not within the recordings."""
    start_ns, end_ns = open_recording(*paths).start_ns, open_recording(*paths).end_ns
    found = []
    for number, at_ns in enumerate(times_ns):
        if not start_ns < at_ns < end_ns:
            raise UsageError(f"the future cannot begin at {at_ns}: the recordings are {start_ns} to {end_ns}")
        altered = [other_future(path, scratch / f"{number}-{n}.rec", at_ns) for n, path in enumerate(paths)]
        found.append(_compared(_told(make, paths, at_ns), _told(make, altered, at_ns), at_ns))
        for path in altered:
            path.unlink()
    return LookAhead(found)


def _told(make: Make, paths: Sequence[Path], until_ns: int) -> list[tuple[int, str, bytes]]:
    """All that was said and stored before the time, in order."""
    told: list[tuple[int, str, bytes]] = []
    with watched(paths):
        session = make(paths)
        session.world.listeners.append(
            lambda subject, message: told.append((session.now_ns, subject, codec.to_json(message)))
        )
        session.run(until_ns - 1)
    return told


def _compared(
    one: Sequence[tuple[int, str, bytes]], other: Sequence[tuple[int, str, bytes]], at_ns: int
) -> Checked:
    for first, second in zip(one, other, strict=False):
        if first != second:
            texts = (f"{subject} {body.decode()} at {when}" for when, subject, body in (first, second))
            return Checked(at_ns, len(one), " but with another future ".join(texts))
    if len(one) != len(other):
        longer = max(one, other, key=len)[min(len(one), len(other))]
        return Checked(at_ns, len(one), f"{longer[1]} at {longer[0]} is said with one future alone")
    return Checked(at_ns, len(one))


# -- in the act ------------------------------------------------------------------------------------------------------

_guarded: list[frozenset[str]] = []
_hooked = False


@contextmanager
def watched(paths: Sequence[Path]) -> Iterator[None]:
    """Nothing that decides may open these files. Raises LookedAhead into whoever tries."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_on_event)
        _hooked = True
    _guarded.append(frozenset(os.path.realpath(path) for path in paths))
    try:
        yield
    finally:
        _guarded.pop()


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guarded or event != "open" or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    path = os.path.realpath(os.fsdecode(arguments[0]))
    if not any(path in files for files in _guarded):
        return
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in ("decide", "apply"):
            core = type(frame.f_locals.get("self")).__name__
            raise LookedAhead(f"{core} has opened {path} while it decided: that is the future")
        if frame.f_back is None:
            return
        frame = frame.f_back


# -- another future --------------------------------------------------------------------------------------------------


def other_future(path: Path, out: Path, at_ns: int) -> Path:
    """The recording with everything from `at_ns` on in a mirror. RecordingError where it is not in our format."""
    source = RecordingFile(path)
    mirrors: dict[tuple[str, str], _Mirror] = {}
    with RecordingWriter(out, f"{path.name}, with another future", source.streams) as writer:
        for event in source:
            mirror = mirrors.setdefault((event.venue, event.symbol), _Mirror())
            if event.recv_ns < at_ns:
                mirror.keep(event)
                writer.write(event)
            else:
                for mirrored in mirror.turn(event):
                    writer.write(mirrored)
    return out


class _Mirror:
    """One market's book up to the time, and what follows in the mirror at its mid then."""

    def __init__(self) -> None:
        self._book = DepthBook()
        self._double_mid: int | None = None
        self._turned = False
        self._last_price = 0

    def keep(self, event: FeedEvent) -> None:
        if isinstance(event, MarketTrade):
            self._last_price = event.price
        elif event.snapshot:
            self._book.replace(event.bids, event.asks)
        else:
            self._book.apply(event.bids, event.asks)

    def turn(self, event: FeedEvent) -> Iterator[FeedEvent]:
        if self._double_mid is None:
            self._double_mid = self._mid(event)
        if isinstance(event, MarketTrade):
            price, aggressor = self._double_mid - event.price, -event.aggressor
            if price > 0:
                yield msgspec.structs.replace(event, price=price, qty=_other(event.qty), aggressor=aggressor)
            return
        if not self._turned and not event.snapshot:
            # The book as it stands turns over as well: a difference is to what was shown.
            self._book.apply(event.bids, event.asks)
            bids, asks = list(self._book.bids), list(self._book.asks)
            event = msgspec.structs.replace(event, snapshot=True, bids=bids, asks=asks)
        self._turned = True
        yield msgspec.structs.replace(event, bids=self._levels(event.asks), asks=self._levels(event.bids))

    def _mid(self, event: FeedEvent) -> int:
        """Twice the mid of what is shown, else of what comes, else the last price."""
        bid, ask = self._book.best_bid, self._book.best_ask
        if bid is None or ask is None:
            if isinstance(event, MarketTrade):
                return 2 * event.price
            if not event.bids or not event.asks:
                return 2 * (self._last_price or (event.bids or event.asks or [(0, 0)])[0][0])
            return max(price for price, _ in event.bids) + min(price for price, _ in event.asks)
        return bid[0] + ask[0]

    def _levels(self, levels: list[tuple[int, int]]) -> list[tuple[int, int]]:
        assert self._double_mid is not None, "it has turned"
        return [(self._double_mid - price, _other(qty)) for price, qty in levels if price < self._double_mid]


def _other(qty: int) -> int:
    return max(qty * SIZE_PERCENT // 100, 1) if qty else 0
