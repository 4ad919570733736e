"""Are raw frames whole: rebuild the books, and compare them with what the venue said its best prices were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bestex.clock import MS, rfc3339
from bestex.importers.binance import BinanceRecording
from bestex.importers.binance_wire import Kind


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the frames of one recording; sums over its symbols.

    `bbo_checked` counts the pairs of book ticker and depth update with the same update id, whichever came
    first; `bbo_matched` those of them with equal best prices and sizes on both sides. `clock_offset_ms` is
    how far the receiving clock is ahead of the venue's: negative where it runs behind. `outcome` is a
    sentence, "ok" where book, sequence, comparison and lines are all without fault.
    """

    outcome: str
    venue: str
    symbol: str
    messages: int
    depth_updates: int
    trades: int
    book_tickers: int
    snapshots: int
    ignored: int
    duplicates: int
    sequence_breaks: int
    crossed: int
    bbo_checked: int
    bbo_matched: int
    errors: int
    first_errors: list[str]
    first_at: str
    last_at: str
    clock_offset_ms: float
    price_scale: int
    qty_scale: int


def check(paths: Sequence[str | Path]) -> CheckResult:
    """Rebuild the books of the raw files, given as one stream, and compare. RecordingError where none is one."""
    recording = BinanceRecording(paths)
    for _ in recording:
        pass
    builders = recording.builders.values()
    counts = recording.counts
    breaks = sum(builder.sequence_breaks for builder in builders)
    crossed = sum(builder.crossed for builder in builders)
    checked = sum(builder.bbo_checked for builder in builders)
    matched = sum(builder.bbo_matched for builder in builders)
    faults = []
    if not counts[Kind.SNAPSHOT]:
        faults.append("no snapshot, so no book")
    elif not all(builder.is_known for builder in builders):
        faults.append("the book is not known at the end")
    if breaks:
        faults.append(f"{breaks} sequence breaks")
    if crossed:
        faults.append(f"{crossed} times crossed")
    if matched != checked:
        faults.append(f"{checked - matched} book tickers differ")
    if recording.error_count:
        faults.append(f"{recording.error_count} lines could not be read")
    return CheckResult(
        outcome="; ".join(faults) or "ok",
        venue=", ".join(dict.fromkeys(stream.venue for stream in recording.streams)),
        symbol=", ".join(dict.fromkeys(stream.symbol for stream in recording.streams)),
        messages=recording.messages,
        depth_updates=counts[Kind.DEPTH],
        trades=counts[Kind.TRADE],
        book_tickers=counts[Kind.TICKER],
        snapshots=counts[Kind.SNAPSHOT],
        ignored=counts[Kind.OTHER],
        duplicates=sum(builder.duplicates for builder in builders),
        sequence_breaks=breaks,
        crossed=crossed,
        bbo_checked=checked,
        bbo_matched=matched,
        errors=recording.error_count,
        first_errors=recording.errors,
        first_at=rfc3339(recording.first_ns),
        last_at=rfc3339(recording.last_ns),
        clock_offset_ms=-recording.clock_offset_ns / MS,
        price_scale=max(stream.price_scale for stream in recording.streams),
        qty_scale=max(stream.qty_scale for stream in recording.streams),
    )
