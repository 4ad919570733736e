"""Parquet: our own exported files, and tables of others."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent, FeedStream
from bestex.importers.parquet import EVENTS
from bestex.messages import MarketTrade, VenueBook
from bestex.recording import Recording, RecordingWriter, open_recording
from bestex.recording_export import events_to_parquet, table_to_csv, table_to_parquet

polars = pytest.importorskip("polars", reason="Parquet needs bestex[lab]")
T0 = 1_700_000_000_123_456_789
STREAMS = (
    FeedStream(venue="sim_a", symbol="BTC/USDT", price_scale=2, qty_scale=5, tick=10, clock_offset_ns=-7),
    FeedStream(venue="p", symbol="B/U:B", price_scale=0, qty_scale=0, kind="perp", inverse=True),
)
EVENTS_OF_A_DAY: list[FeedEvent] = [
    DepthUpdate("sim_a", "BTC/USDT", 1, T0, T0, 2, 5, True, [(100, 7), (90, 1)], [(110, 3)]),
    MarketTrade("sim_a", "BTC/USDT", "t1", 0, T0 + 5, 2, 5, 110, 1, 1),
    DepthUpdate("sim_a", "BTC/USDT", 2, T0 + 1, T0 + 6, 2, 5, False, [], [(110, 2)]),
    DepthUpdate("p", "B/U:B", 9, T0, T0 + 9, 0, 0, True, [(1, 1)], []),
    MarketTrade("p", "B/U:B", "t2", T0, T0 + 9, 0, 0, 1, 2, -1),
    DepthUpdate("sim_a", "BTC/USDT", 3, T0, T0 + 10**9, 2, 5, True, [], []),
]


@pytest.fixture
def day(tmp_path: Path) -> Path:
    with RecordingWriter(tmp_path / "day.rec", "a test", STREAMS) as writer:
        for event in EVENTS_OF_A_DAY:
            writer.write(event)
    return tmp_path / "day.rec"


def test_exported_events_are_read_back_as_they_were(day: Path, tmp_path: Path) -> None:
    recording = open_recording(day)
    assert events_to_parquet(recording.streams, recording, tmp_path / "day.parquet") == 6
    again = open_recording(tmp_path / "day.parquet")
    assert list(again) == list(recording) == EVENTS_OF_A_DAY
    assert again.streams == recording.streams == STREAMS
    assert (again.start_ns, again.end_ns) == (recording.start_ns, recording.end_ns)


def sizes(recording: Recording) -> list[tuple[Any, ...]]:
    books = [book for book in recording.books(2) if isinstance(book, VenueBook)]
    return [(book.venue, book.recv_ns, book.bid_qty, book.ask_qty) for book in books]


def test_a_table_in_parquet_is_the_table_in_csv_and_both_hold_the_books(day: Path, tmp_path: Path) -> None:
    recording = open_recording(day)
    table_to_csv(recording.streams, recording, tmp_path / "day.csv", 2)
    table_to_parquet(recording.streams, recording, tmp_path / "day.parquet", 2)
    from_csv, from_parquet = (open_recording(tmp_path / f"day.{kind}") for kind in ("csv", "parquet"))
    assert list(from_csv) == list(from_parquet)
    assert sizes(from_csv) == sizes(recording)
    trades = [event for event in from_csv if isinstance(event, MarketTrade)]
    assert [(t.trade_id, t.qty, t.aggressor) for t in trades] == [("t1", 1, 1), ("t2", 2, -1)]


def test_a_table_holds_decimals_and_times_that_others_can_read(day: Path, tmp_path: Path) -> None:
    recording = open_recording(day)
    table_to_parquet(recording.streams, recording, tmp_path / "day.parquet", 1)
    frame = polars.read_parquet(tmp_path / "day.parquet")
    assert frame["bid_px_00"][0] == Decimal("1.00")
    assert frame["ts_event"].dtype == polars.Datetime("ns", "UTC")
    assert frame["ts_recv"].dt.timestamp("ns")[0] == T0


def write(path: Path, **columns: Any) -> Path:
    polars.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize(
    "prices", [[222.83, 222.8], ["222.83", "222.80"], [Decimal("222.830"), Decimal("222.8")]]
)
def test_prices_may_be_floats_text_or_decimals(prices: list[Any], tmp_path: Path) -> None:
    path = write(
        tmp_path / "aapl.parquet",
        ts_event=[T0, T0 + 1],
        publisher_id=[2, 3],
        ask_px_00=prices,
        ask_sz_00=[1, 2],
    )
    first, second = open_recording(path)
    assert first == DepthUpdate("publisher_2", "AAPL", 1, T0, T0, 2, 0, True, [], [(22283, 1)])
    assert isinstance(second, DepthUpdate)
    assert second.asks == [(22280, 2)]


def test_times_may_be_stamps_with_a_time_zone_and_nulls_are_no_quote(tmp_path: Path) -> None:
    stamps = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    path = write(tmp_path / "a.parquet", ts_event=stamps, ask_px_00=[1e-05, None], ask_sz_00=[1, None])
    first, second = open_recording(path)
    assert isinstance(first, DepthUpdate)
    assert isinstance(second, DepthUpdate)
    assert (first.recv_ns, first.price_scale, first.asks) == (1_767_225_600 * 10**9, 5, [(1, 1)])
    assert (second.snapshot, second.asks) == (True, [])


def test_what_is_wrong_with_a_file_is_a_sentence(day: Path, tmp_path: Path) -> None:
    naive = write(tmp_path / "naive", ts_event=[datetime(2026, 1, 1)], ask_px_00=[1], ask_sz_00=[1])
    with pytest.raises(RecordingError, match="ts_event has no time zone"):
        open_recording(naive)
    with pytest.raises(RecordingError, match="no column is called ts_event"):
        open_recording(write(tmp_path / "other", time=[1], price=[2]))
    whole = naive.read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordingError, match="half: no whole Parquet file"):
        open_recording(tmp_path / "half")
    without = polars.DataFrame({name: [1] for name in EVENTS})
    without.write_parquet(tmp_path / "without")
    with pytest.raises(RecordingError, match=r"its metadata lack bestex\.streams"):
        open_recording(tmp_path / "without")
    recording = open_recording(day)
    with pytest.raises(RecordingError, match="levels, not 0"):
        table_to_csv(recording.streams, recording, tmp_path / "x.csv", 0)


def test_an_export_that_fails_leaves_no_file_and_says_why(day: Path, tmp_path: Path) -> None:
    recording = open_recording(day)

    def broken() -> Any:
        yield from list(recording)[:2]
        raise RecordingError("a block cannot be decoded")

    with pytest.raises(RecordingError, match=r"^a block cannot be decoded$"):
        events_to_parquet(recording.streams, broken(), tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()
    with pytest.raises(RecordingError, match=r"^a block cannot be decoded$"):
        table_to_csv(recording.streams, broken(), tmp_path / "a.csv", 1)
    assert not (tmp_path / "a.csv").exists()
