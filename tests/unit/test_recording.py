from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bestex.clock import SECOND
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.instruments import Instrument, Instruments, Listing
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import MAGIC, Header, RecordingFile, RecordingWriter, convert, open_recording
from bestex.recording_live import LiveRecorder
from tests.unit.importers.frames import good_spot

T0 = 1_700_000_000 * SECOND


def update(at_ns: int, bid: int, *, whole: bool = False, venue: str = "sim_a", scale: int = 2) -> DepthUpdate:
    return DepthUpdate(venue, "BTC/USDT", 1, T0 + at_ns, T0 + at_ns, scale, 5, whole, [(bid, 7)], [])


def trade(at_ns: int, venue: str = "sim_a") -> MarketTrade:
    return MarketTrade(venue, "BTC/USDT", "t1", 0, T0 + at_ns, 2, 5, 100, 3, -1)


def write(path: Path, events: list[FeedEvent], streams: tuple[FeedStream, ...] = ()) -> Path:
    with RecordingWriter(path, "a test", streams) as writer:
        for event in events:
            writer.write(event)
    return path


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    events: list[FeedEvent] = [
        update(0, 100, whole=True),
        trade(5),
        update(6 * SECOND, 101),
        trade(7 * SECOND),
    ]
    recording = open_recording(write(tmp_path / "a", events))
    assert list(recording) == events
    assert list(recording) == events  # a second reading begins again
    assert (recording.start_ns, recording.end_ns, recording.damage) == (T0, T0 + 7 * SECOND, "")


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [trade(1)])
    with pytest.raises(RecordingError, match="cannot be written"):
        RecordingWriter(path, "again")
    assert len(list(open_recording(path))) == 1


def test_a_killed_writers_file_is_read_up_to_its_last_whole_block(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "a", "a test")
    writer.write(trade(1))
    writer.end_block()
    writer.write(trade(2))  # never reaches the disk
    recording = open_recording(tmp_path / "a")
    assert list(recording) == [trade(1)]
    assert "not closed by its writer" in recording.damage


def test_a_file_cut_anywhere_yields_a_beginning_of_what_was_written_and_says_so(tmp_path: Path) -> None:
    events: list[FeedEvent] = [trade(n * 3 * SECOND) for n in range(6)]
    whole = write(tmp_path / "whole", events).read_bytes()
    header_end = len(MAGIC) + 9 + int.from_bytes(whole[len(MAGIC) + 1 : len(MAGIC) + 5], "little")
    for length in range(header_end, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        recording = open_recording(tmp_path / "cut")
        found = list(recording)
        assert found == events[: len(found)]
        assert recording.damage


def test_a_flipped_bit_ends_the_reading_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [trade(0), trade(6 * SECOND), trade(7 * SECOND)])
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    recording = open_recording(path)
    assert list(recording) in ([], [trade(0), trade(6 * SECOND)])
    assert "damaged at byte" in recording.damage


def test_a_file_of_a_later_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr("bestex.recording.Header", partial(Header, version=9))
        path = write(tmp_path / "a", [])
    with pytest.raises(RecordingError, match="of version 9; this program reads version 1"):
        RecordingFile(path)


def test_a_stream_that_became_finer_is_read_at_its_finest_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [update(0, 100, scale=2), update(1, 1005, scale=3)])
    first, second = open_recording(path)
    assert isinstance(first, DepthUpdate)
    assert isinstance(second, DepthUpdate)
    assert (first.price_scale, first.bids[0][0]) == (3, 1000)
    assert (second.price_scale, second.bids[0][0]) == (3, 1005)
    (instrument,) = open_recording(path).instruments
    assert instrument.price_scale == 3


def test_several_recordings_are_merged_by_time_and_into_one_instrument_table(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [trade(1), trade(4)])
    b = write(tmp_path / "b", [trade(2, "sim_b"), trade(3, "sim_b")])
    recording = open_recording(a, b)
    assert [event.recv_ns - T0 for event in recording] == [1, 2, 3, 4]
    (instrument,) = recording.instruments
    assert [listing.venue for listing in instrument.listings] == ["sim_a", "sim_b"]


def test_the_receive_times_are_kept_and_corrected_on_reading(tmp_path: Path) -> None:
    stream = FeedStream(
        venue="sim_a", symbol="BTC/USDT", price_scale=2, qty_scale=5, clock_offset_ns=1_270_000_000
    )
    events: list[FeedEvent] = [update(0, 100), update(5, 101)]
    path = write(tmp_path / "a", events, (stream,))
    assert list(open_recording(path)) == events
    assert open_recording(path).streams[0].clock_offset_ns == 1_270_000_000


def test_a_converted_recording_holds_the_same_events_as_the_raw_one(tmp_path: Path) -> None:
    raw = good_spot(behind_ms=1270).write(tmp_path / "raw.gz")
    count = convert([raw], tmp_path / "own")
    own, direct = open_recording(tmp_path / "own"), open_recording(raw)
    assert list(own) == list(direct)
    assert len(list(own)) == count == 3
    assert own.instruments == direct.instruments
    assert own.start_ns == next(iter(own)).recv_ns >= direct.start_ns


def test_the_full_book_view_shows_the_best_levels_after_each_update(tmp_path: Path) -> None:
    raw = good_spot().write(tmp_path / "raw.gz")
    first, second, _ = open_recording(raw).books(1)
    assert isinstance(first, VenueBook)
    assert isinstance(second, VenueBook)
    assert (first.seq, first.bid_px, first.ask_px) == (1, [100], [101])
    assert (second.seq, second.bid_px, second.ask_qty) == (2, [98], [30])


def test_a_recording_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        open_recording(tmp_path / "missing")
    with pytest.raises(RecordingError, match="no file"):
        open_recording()


def book(at_ns: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> VenueBook:
    sides = ([p for p, _ in bids], [q for _, q in bids], [p for p, _ in asks], [q for _, q in asks])
    return VenueBook("binance_perp", "BTC/USD:BTC", at_ns, 0, T0 + at_ns, 1, 0, *sides)


def test_books_of_the_live_bus_are_kept_as_changes_and_come_back_whole(tmp_path: Path) -> None:
    books = [
        book(1, [(100, 5), (99, 4)], [(101, 1)]),
        book(2, [(100, 6), (98, 4)], [(101, 1)]),
        book(3, [], []),
        book(4, [(90, 1)], [(91, 1)]),
    ]
    listing = Listing(
        venue="binance_perp", symbol="BTC/USD:BTC", kind="perp", contract_size=100, inverse=True
    )
    instrument = Instrument(symbol="BTC/USD", price_scale=1, qty_scale=0, listings=(listing,))
    with RecordingWriter(tmp_path / "a", "a test") as writer:
        recorder = LiveRecorder(writer, Instruments((instrument,)))
        for message in books:
            recorder.record(message)
        recorder.record_bytes("bestex.v1.stats.BTC-USDT", b"{}")
    assert recorder.skipped == 1
    recording = open_recording(tmp_path / "a")
    assert list(recording.books(20)) == books
    changes = list(recording)[1]
    assert isinstance(changes, DepthUpdate)
    assert sorted(changes.bids) == [(98, 4), (99, 0), (100, 6)]
    assert changes.asks == []
    assert (recording.streams[0].contract_size, recording.streams[0].inverse) == (100, True)
