"""Recordings cut, merged and resampled; events told in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestex.clock import SECOND
from bestex.errors import RecordingError
from bestex.feed import Books, DepthUpdate, FeedEvent, FeedStream
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import Recording, RecordingWriter, open_recording
from bestex.recording_export import bars
from bestex.recording_survey import survey
from bestex.recording_tools import Shifted, at_steps, cut, merge

T0 = 1_700_000_000 * SECOND


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def update(
    seconds: float, bids: list[tuple[int, int]], *, whole: bool = False, venue: str = "a", symbol: str = "X"
) -> DepthUpdate:
    return DepthUpdate(venue, symbol, 1, at(seconds), at(seconds), 2, 0, whole, bids, [])


def trade(seconds: float, price: int = 100, qty: int = 1, venue: str = "a") -> MarketTrade:
    return MarketTrade(venue, "X", "t", at(seconds), at(seconds), 2, 0, price, qty, 1)


class Told:
    """A source of given events."""

    damage = ""

    def __init__(self, *events: FeedEvent) -> None:
        self.events = events
        keys = dict.fromkeys((event.venue, event.symbol) for event in events)
        self.streams = tuple(
            FeedStream(venue=venue, symbol=symbol, price_scale=2, qty_scale=0) for venue, symbol in keys
        )
        self.start_ns, self.end_ns = events[0].recv_ns, events[-1].recv_ns

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.events)


DAY: list[FeedEvent] = [
    update(0, [(100, 5), (99, 4)], whole=True),
    update(1, [(99, 0), (98, 3)]),
    trade(2),
    update(3, [(100, 6)]),
    trade(4),
]


def test_a_part_begins_with_the_books_as_they_stood() -> None:
    first, *rest = cut(DAY, at(2), at(4))
    assert isinstance(first, DepthUpdate)
    assert (first.recv_ns, first.venue_ns, first.snapshot) == (at(2), at(1), True)
    assert first.bids == [(100, 5), (98, 3)]
    assert rest == DAY[2:4], "its end is not in it"


def test_a_part_in_which_nothing_happened_still_shows_the_books() -> None:
    (first,) = cut(DAY, at(1.5), at(2))
    assert isinstance(first, DepthUpdate)
    assert first.bids == [(100, 5), (98, 3)]


def test_a_part_from_the_beginning_is_as_it_was() -> None:
    assert list(cut(DAY, at(0), at(9))) == DAY


def test_a_book_that_is_unknown_is_not_made_up() -> None:
    day = [DAY[0], update(1, [], whole=True), trade(2), update(3, [(90, 1)], whole=True)]
    assert list(cut(day, at(2), at(9))) == day[2:]


def test_a_part_of_some_streams_has_only_theirs() -> None:
    day = [*DAY[:2], update(1, [(50, 1)], whole=True, venue="b"), trade(2, venue="b"), *DAY[2:]]
    found = list(cut(day, at(1.5), at(9), {("b", "X")}))
    assert [event.venue for event in found] == ["b", "b"]


def test_parts_that_follow_each_other_make_the_whole_again() -> None:
    parts = [Told(*cut(DAY, at(lo), at(hi))) for lo, hi in ((0, 1.5), (1.5, 3), (3, 9))]
    assert list(merge(parts)) == DAY
    assert list(merge(parts[::-1])) == DAY


def test_a_snapshot_that_says_something_new_is_kept() -> None:
    later = update(9, [(100, 6), (97, 1)], whole=True)
    assert list(merge([Told(*DAY), Told(later)])) == [*DAY, later]


def test_two_recordings_of_one_book_at_the_same_time_are_refused() -> None:
    with pytest.raises(
        RecordingError, match="two of the recordings tell of the book of a X at the same time"
    ):
        list(merge([Told(*DAY), Told(*DAY)]))


def test_quotes_and_trades_of_one_market_may_come_from_two_recordings() -> None:
    quotes = [event for event in DAY if isinstance(event, DepthUpdate)]
    trades = [event for event in DAY if isinstance(event, MarketTrade)]
    assert list(merge([Told(*quotes), Told(*trades)])) == DAY


def test_events_that_go_backwards_are_refused() -> None:
    with pytest.raises(RecordingError, match="of a X goes backwards in time by 1 s"):
        list(merge([Told(trade(2), trade(1))]))


def test_a_clock_is_put_right_and_the_file_keeps_the_times_as_received(tmp_path: Path) -> None:
    shifted = Shifted(Told(*DAY), -SECOND // 2)
    merged = list(merge([shifted, Told(trade(1.75, venue="b"))]))
    assert [event.recv_ns for event in merged] == [
        at(seconds) for seconds in (-0.5, 0.5, 1.5, 1.75, 2.5, 3.5)
    ]
    with RecordingWriter(tmp_path / "a", "a test", shifted.streams) as writer:
        for event in shifted:
            writer.write(event)
    again = open_recording(tmp_path / "a")
    assert list(again) == list(shifted)
    assert again.streams[0].clock_offset_ns == -SECOND // 2


def test_books_at_a_step_are_those_of_its_end_and_nobody_knows_them_before() -> None:
    day: list[FeedEvent] = [
        update(0.2, [(100, 5), (99, 4)], whole=True),
        update(0.4, [(100, 0)]),
        trade(0.5),
        update(2.1, [(99, 1)]),
        update(3.0, [(98, 2)]),
        trade(5),
    ]
    shown = list(at_steps(day, SECOND))
    assert [(event.recv_ns - T0) / SECOND for event in shown] == [0.5, 1, 3, 5]
    first, last = shown[1], shown[2]
    assert isinstance(first, DepthUpdate)
    assert isinstance(last, DepthUpdate)
    assert (first.snapshot, first.bids) == (True, [(99, 4)])
    assert (last.snapshot, last.bids) == (False, [(99, 1), (98, 2)]), "its end belongs to a step"


def test_resampled_books_are_the_books_that_stood_then() -> None:
    day: list[FeedEvent] = [update(0, [(100, 1)], whole=True)]
    day += [update(n / 10, [(100 + n % 7, n % 3), (90 + n % 5, n % 4)]) for n in range(1, 200)]
    all_books = Books(20)
    stood: dict[int, VenueBook] = {}
    for event in day:
        book = all_books.take(event)
        assert isinstance(book, VenueBook)
        stood[-(-(book.recv_ns - T0) // SECOND)] = book
    resampled = Books(20)
    for event in at_steps(day, SECOND):
        book = resampled.take(event)
        assert isinstance(book, VenueBook)
        last = stood[(book.recv_ns - T0) // SECOND]
        assert (book.bid_px, book.bid_qty) == (last.bid_px, last.bid_qty)


def test_bars_hold_what_was_traded_in_each_step() -> None:
    day = [
        trade(1, 100, 2),
        trade(2, 105, 1),
        *DAY[:1],
        trade(59.999, 95, 4),
        trade(60, 96, 1),
        trade(181, 97, 3),
    ]
    start = "2023-11-14T22:13:"  # T0 is 20 s after a whole minute
    found = [row for row in bars(day, 20 * SECOND) if row[0].startswith(start)]
    assert found[0] == (f"{start}20.000000Z", "a", "X", "1.00", "1.05", "1.00", "1.05", "3", "2")
    rows = list(bars(day, 60 * SECOND))
    assert [row[3:] for row in rows] == [
        ("1.00", "1.05", "1.00", "1.05", "3", "2"),
        ("0.95", "0.96", "0.95", "0.96", "5", "2"),
        ("0.97", "0.97", "0.97", "0.97", "3", "1"),
    ]


def test_a_survey_counts_what_is_there(tmp_path: Path) -> None:
    with RecordingWriter(tmp_path / "a.rec", "a test") as writer:
        for event in [*DAY, update(30, [], whole=True), update(31, [(1, 1)], venue="b")]:
            writer.write(event)
    recording = open_recording(tmp_path / "a.rec")
    found = survey(tmp_path / "a.rec", recording, recording, 10 * SECOND)
    one, other = found.streams
    assert (found.events, found.format, len(found.sha256), found.source) == (7, "bestex", 64, "a test")
    assert (one.updates, one.snapshots, one.breaks, one.trades) == (4, 2, 1, 2)
    assert (one.gaps, one.longest_gap_s, one.begins_whole, one.backwards) == (1, 26.0, True, 0)
    assert (other.updates, other.begins_whole, other.gaps) == (1, False, 0)


def test_one_venue_in_two_recordings_at_two_scales_is_one_listing() -> None:
    fine = Told(trade(1))
    fine.streams = (FeedStream(venue="a", symbol="X", price_scale=2, qty_scale=0, tick=1_000),)
    coarse = Told(trade(2))
    coarse.streams = (FeedStream(venue="a", symbol="X", price_scale=0, qty_scale=1, tick=5),)
    (instrument,) = Recording([fine, coarse]).instruments
    (listing,) = instrument.listings
    assert (instrument.price_scale, instrument.qty_scale) == (2, 1)
    assert (listing.tick, listing.lot) == (500, 1)
