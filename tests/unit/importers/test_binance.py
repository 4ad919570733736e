from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bestex.errors import RecordingError
from bestex.feed import DepthUpdate
from bestex.importers.binance import BinanceRecording
from bestex.importers.binance_check import check
from bestex.importers.binance_wire import name
from bestex.messages import MarketTrade
from tests.unit.importers.frames import Frames, good_spot

DAYS = {
    "spot": ["spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"],
    "usdm": ["usdm_btcusdt_20240808.gz"],
    "coinm": ["cm_btcusd_perp_20240808.gz", "cm_btcusd_perp_20240809.gz"],
}


@pytest.mark.parametrize("market", DAYS)
def test_the_recorded_days_rebuild_without_a_fault(market: str, data_dir: Path) -> None:
    result = check([data_dir / "binance" / file for file in DAYS[market]])
    assert result.outcome == "ok"
    assert (result.sequence_breaks, result.crossed, result.errors) == (0, 0, 0)
    assert result.bbo_matched == result.bbo_checked > 500
    assert result.clock_offset_ms == pytest.approx(-1274, abs=5)


def test_a_good_recording_is_ok_and_every_ticker_matches_before_and_after_its_update(tmp_path: Path) -> None:
    result = check([good_spot().write(tmp_path / "a.gz")])
    assert result.outcome == "ok"
    assert (result.venue, result.symbol) == ("binance_spot", "BTC/USDT")
    assert (result.bbo_checked, result.bbo_matched) == (2, 2)
    assert (result.messages, result.depth_updates, result.trades, result.snapshots) == (7, 3, 1, 1)


def test_a_ticker_that_differs_is_no_match(tmp_path: Path) -> None:
    frames = good_spot()
    frames.ticker(12, ("98.00", "4.01"), ("101.00", "3.00"))
    result = check([frames.write(tmp_path / "a.gz")])
    assert (result.bbo_checked, result.bbo_matched) == (3, 2)
    assert result.outcome == "1 book tickers differ"


def test_the_book_begins_with_the_snapshot_and_what_was_buffered(tmp_path: Path) -> None:
    events = list(BinanceRecording([good_spot().write(tmp_path / "a.gz")]))
    first, second, trade = events
    assert isinstance(first, DepthUpdate)
    assert first.snapshot
    assert sorted(first.bids) == [(98, 40), (100, 15)]  # at scales 0 and 1, the finest digits seen
    assert isinstance(second, DepthUpdate)
    assert (second.snapshot, second.seq, second.bids) == (False, 12, [(100, 0)])
    assert isinstance(trade, MarketTrade)
    assert (trade.price, trade.qty, trade.aggressor) == (101, 5, 1)


def test_a_lost_update_makes_the_book_unknown_until_a_new_snapshot(tmp_path: Path) -> None:
    frames = good_spot()
    frames.spot_depth(14, 15, [("97.00", "1.00")])  # 13 is missing
    frames.spot_depth(16, 17, [("96.00", "1.00")])
    frames.ticker(17, ("1.00", "1.00"), ("2.00", "1.00"))  # nothing to compare with
    frames.snapshot(16, [("97.00", "1.00")], [("101.00", "3.00")])
    frames.spot_depth(18, 18, [("97.00", "2.00")])
    frames.ticker(18, ("97.00", "2.00"), ("101.00", "3.00"))
    path = frames.write(tmp_path / "a.gz")
    result = check([path])
    assert result.sequence_breaks == 1
    assert (result.bbo_checked, result.bbo_matched) == (4, 3)
    wholes = [e for e in BinanceRecording([path]) if isinstance(e, DepthUpdate) and e.snapshot]
    assert [bool(e.bids) for e in wholes] == [True, False, True]


def test_every_gap_is_counted_even_while_the_book_is_unknown(tmp_path: Path) -> None:
    frames = good_spot()
    frames.spot_depth(14, 15, [])
    frames.spot_depth(17, 18, [])
    result = check([frames.write(tmp_path / "a.gz")])
    assert result.sequence_breaks == 2
    assert "not known at the end" in result.outcome


def test_a_repeated_line_is_a_duplicate_and_no_break(tmp_path: Path) -> None:
    frames = good_spot()
    frames.lines.insert(5, frames.lines[4])
    result = check([frames.write(tmp_path / "a.gz")])
    assert (result.duplicates, result.sequence_breaks, result.outcome) == (1, 0, "ok")


def test_a_snapshot_older_than_the_first_update_does_not_join(tmp_path: Path) -> None:
    frames = Frames()
    frames.snapshot(3, [("99.00", "1.00")], [])
    frames.spot_depth(6, 10, [("100.00", "1.50")])
    result = check([frames.write(tmp_path / "a.gz")])
    assert (result.sequence_breaks, result.bbo_checked) == (1, 0)


def test_the_first_update_may_follow_the_snapshot_without_overlap(tmp_path: Path) -> None:
    frames = Frames()
    frames.spot_depth(1, 5, [("99.00", "9.00")])
    frames.snapshot(5, [("100.00", "1.00")], [])  # exactly what the update before it ended with
    frames.spot_depth(6, 6, [("101.00", "1.00")])
    path = frames.write(tmp_path / "a.gz")
    assert check([path]).outcome == "ok"
    (event,) = BinanceRecording([path])
    assert isinstance(event, DepthUpdate)
    assert sorted(event.bids) == [(100, 1), (101, 1)]


def test_without_a_snapshot_there_is_no_book_and_it_is_said(tmp_path: Path) -> None:
    frames = Frames()
    frames.spot_depth(1, 5, [("99.00", "9.00")])
    frames.ticker(5, ("99.00", "9.00"), ("0.00", "0.00"))
    result = check([frames.write(tmp_path / "a.gz")])
    assert result.outcome == "no snapshot, so no book"
    assert (result.bbo_checked, result.sequence_breaks) == (0, 0)


def test_a_second_file_goes_on_where_the_first_ended_in_whatever_order_they_are_named(tmp_path: Path) -> None:
    frames = good_spot()
    late = Frames()
    late.at_ms = frames.at_ms
    late.spot_depth(13, 14, [("99.00", "1.00")])
    late.ticker(14, ("99.00", "1.00"), ("101.00", "3.00"))
    result = check([late.write(tmp_path / "b.gz"), frames.write(tmp_path / "a.gz")])
    assert (result.outcome, result.bbo_checked, result.bbo_matched) == ("ok", 3, 3)


def test_futures_follow_by_the_previous_id_and_their_ids_may_jump(tmp_path: Path) -> None:
    frames = Frames("BTCUSD_PERP")
    frames.futures_depth(20, 30, 15, [("100.0", "5")])
    frames.snapshot(25, [("99.0", "7")], [("101.0", "1")])
    frames.futures_depth(47, 50, 30, [("100.0", "0")])
    frames.futures_depth(60, 70, 51, [("98.0", "1")])
    path = frames.write(tmp_path / "a.gz")
    result = check([path])
    assert result.sequence_breaks == 1
    (stream,) = BinanceRecording([path]).streams
    assert (stream.venue, stream.symbol) == ("binance_perp", "BTC/USD:BTC")
    assert (stream.contract_size, stream.inverse, stream.qty_scale) == (100, True, 0)


def test_a_finer_number_late_in_the_file_sets_the_scale_of_all(tmp_path: Path) -> None:
    frames = good_spot()
    frames.trade(8, "101.0005", "0.0000001", buyer_is_maker=True)
    first, *_, last = BinanceRecording([frames.write(tmp_path / "a.gz")])
    assert isinstance(first, DepthUpdate)
    assert (100 * 10**4, 15 * 10**6) in first.bids
    assert isinstance(last, MarketTrade)
    assert (last.price, last.qty, last.aggressor) == (1_010_005, 1, -1)


def test_a_clock_that_runs_behind_is_put_right_by_the_fastest_message(tmp_path: Path) -> None:
    path = good_spot(behind_ms=1270).write(tmp_path / "a.gz")
    recording = BinanceRecording([path])
    latencies = [event.recv_ns - event.venue_ns for event in recording if event.venue_ns]
    assert recording.clock_offset_ns == 1_265_000_000  # the fastest takes 5 ms
    assert min(latencies) >= 0


def test_a_clock_that_is_not_behind_is_left_alone(tmp_path: Path) -> None:
    assert BinanceRecording([good_spot().write(tmp_path / "a.gz")]).clock_offset_ns == 0


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"1723161255100000000 {not json",
        b"1723161255100000000 {}",
        b'1723161255100000000 {"data":{"e":"depthUpdate","s":"BTCUSDT","U":13,"u":13,"b":[["1"]],"a":[]}}',
        b'1723161255100000000 {"data":{"e":"trade","s":"BTCUSDT","t":1,"p":"x","q":"1","m":true}}',
        b"\xff\xfe",
    ],
)
def test_a_garbled_line_is_counted_with_its_number_and_nothing_else_suffers(
    line: bytes, tmp_path: Path
) -> None:
    frames = good_spot()
    frames.lines.insert(3, line)
    result = check([frames.write(tmp_path / "a.gz")])
    assert result.errors == 1
    assert result.first_errors[0].startswith("a.gz:4: ")
    assert (result.sequence_breaks, result.bbo_matched) == (0, 2)


def test_a_truncated_file_is_read_up_to_its_end(tmp_path: Path) -> None:
    path = good_spot().write(tmp_path / "a.gz")
    path.write_bytes(path.read_bytes()[:-12])
    result = check([path])
    assert result.errors >= 1
    assert "gzip" in result.first_errors[-1]
    assert result.bbo_matched >= 1


def test_two_compressed_pieces_in_one_file_are_read_as_one(tmp_path: Path) -> None:
    lines = good_spot().lines
    path = tmp_path / "a.gz"
    path.write_bytes(b"".join(gzip.compress(b"\n".join(part) + b"\n") for part in (lines[:3], lines[3:])))
    assert check([path]).outcome == "ok"


def test_other_streams_and_liquidations_are_passed_over(tmp_path: Path) -> None:
    frames = good_spot()
    frames.add({"stream": "btcusdt@aggTrade", "data": {"e": "aggTrade", "s": "BTCUSDT", "a": 1, "p": "1"}})
    frames.add({"stream": "btcusdt@depth20", "data": {"lastUpdateId": 99, "bids": [], "asks": []}})
    frames.add({"result": None, "id": 1})
    frames.trade(9, "1.00", "1.00", buyer_is_maker=True, X="INSURANCE_FUND")
    result = check([frames.write(tmp_path / "a.gz")])
    assert (result.ignored, result.errors, result.trades, result.snapshots) == (4, 0, 1, 1)


def test_different_symbols_run_side_by_side_in_order_of_receipt(tmp_path: Path) -> None:
    paths = [good_spot(symbol).write(tmp_path / f"{symbol}.gz") for symbol in ("BTCUSDT", "ETHUSDT")]
    events = list(BinanceRecording(paths))
    assert {event.symbol for event in events} == {"BTC/USDT", "ETH/USDT"}
    assert [event.recv_ns for event in events] == sorted(event.recv_ns for event in events)
    assert len(events) == 6


@pytest.mark.parametrize(
    ("raw", "futures", "venue", "symbol"),
    [
        ("BTCUSDT", False, "binance_spot", "BTC/USDT"),
        ("SOLFDUSD", False, "binance_spot", "SOL/FDUSD"),
        ("ETHBTC", False, "binance_spot", "ETH/BTC"),
        ("USDCUSDT", False, "binance_spot", "USDC/USDT"),
        ("ETHUSDC", True, "binance_perp", "ETH/USDC:USDC"),
        ("BNBUSD_PERP", True, "binance_perp", "BNB/USD:BNB"),
        ("BTCUSD_240927", True, "binance_perp", "BTC/USD:BTC-240927"),
        ("BTCUSDT_240927", True, "binance_perp", "BTC/USDT:USDT-240927"),
    ],
)
def test_symbols_are_split_by_their_quote_asset(raw: str, futures: bool, venue: str, symbol: str) -> None:
    assert name(raw, futures=futures)[:2] == (venue, symbol)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"hello\nworld\n")
    with pytest.raises(RecordingError, match="no Binance frames"):
        BinanceRecording([path])
    with pytest.raises(RecordingError, match="no such file"):
        BinanceRecording([tmp_path / "missing.gz"])
