"""Minute bars as quotes and trades: the stated intra-bar model, on made-up and on recorded days."""

from __future__ import annotations

import zipfile
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from bestex.clock import MINUTE, MS, SECOND, parse_time
from bestex.errors import RecordingError
from bestex.feed import DepthUpdate, FeedEvent
from bestex.importers.options import ImportOptions
from bestex.messages import MarketTrade
from bestex.recording import open_recording

MIDNIGHT = int(parse_time("2018-04-04T00:00:00Z"))


def packed(
    folder: Path, text: str, entry: str = "20180404_btcusd_minute_trade.csv", name: str = "day.zip"
) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, text)
    return path


def trades(events: list[FeedEvent]) -> list[tuple[int, int, int]]:
    return [(e.recv_ns, e.price, e.qty) for e in events if isinstance(e, MarketTrade)]


def test_a_bar_of_trades_is_its_four_prices_with_a_quarter_of_the_volume_each(tmp_path: Path) -> None:
    found = list(open_recording(packed(tmp_path, "60000,10.5,12,10.25,11,0.11\n")))
    assert trades(found) == [
        (MIDNIGHT + MINUTE, 1050, 3),
        (MIDNIGHT + MINUTE + 20 * SECOND, 1025, 3),  # the low is nearer to the open
        (MIDNIGHT + MINUTE + 40 * SECOND, 1200, 3),
        (MIDNIGHT + 2 * MINUTE - MS, 1100, 2),
    ]


def test_a_bar_whose_high_is_nearer_to_its_open_goes_there_first(tmp_path: Path) -> None:
    found = list(open_recording(packed(tmp_path, "0,10.5,10.75,9,11,4\n")))
    assert [price for _, price, _ in trades(found)] == [1050, 1075, 900, 1100]


def test_bars_of_quotes_are_books_that_never_cross(tmp_path: Path) -> None:
    row = "0,100.1,100.4,100,100.2,1.5,100.3,100.6,100.2,100.4,33.35399601000002\n"
    path = packed(tmp_path, row, "20180404_btcusd_minute_quote.csv")
    recording = open_recording(path, options=ImportOptions(symbol="BTC/EUR"))
    books = [(b.bid_px, b.ask_px, b.ask_qty) for b in recording.books(5) if not isinstance(b, MarketTrade)]
    ask = [3_335_399_601]  # to 1e-8: what follows is a float's noise
    assert books == [
        ([10010], [10030], ask),
        ([10000], [10020], ask),
        ([10040], [10060], ask),
        ([10020], [10040], ask),
    ]
    (stream,) = recording.streams
    assert (stream.symbol, stream.price_scale, stream.qty_scale) == ("BTC/EUR", 2, 8)


def test_bars_of_trades_quote_where_a_spread_is_asked_for(tmp_path: Path) -> None:
    path = packed(tmp_path, "0,100.5,100.5,100.5,100.5,8\n")
    (book, *rest) = open_recording(path, options=ImportOptions(spread_bps=20))
    assert isinstance(book, DepthUpdate)
    assert (book.bids, book.asks) == ([(10040, 2)], [(10060, 2)])
    assert len(rest) == 4, "the quote is the same at all four moments"


def test_what_a_bar_leaves_out_is_unchanged_and_what_it_traded_is_conserved(tmp_path: Path) -> None:
    rows = "".join(f"{minute * 60_000},1.5,1.6,1.4,1.5,{minute}\n" for minute in (0, 1, 2, 3, 7))
    found = trades(list(open_recording(packed(tmp_path, rows))))
    assert sum(qty for _, _, qty in found) == 13
    assert all(earlier[0] < later[0] for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("text", "entry", "wrong"),
    [
        ("0,1,2\n", "20180404_btcusd_minute_trade.csv", "trade.csv:1: a bar has 6 fields, not 3"),
        ("60000,1,1,1,1,1\n0,1,1,1,1,1\n", "20180404_btcusd_minute_trade.csv", ":2: 0 is no later time"),
        ("x,1,1,1,1,1\n", "20180404_btcusd_minute_trade.csv", "x is no later time of the day"),
        ("0,1,1.5,x,1,1\n", "20180404_btcusd_minute_trade.csv", "the bar at 0 ms: 'x' is no number"),
        ("0,1,1.5,1,1,-2\n", "20180404_btcusd_minute_trade.csv", "the bar at 0 ms: '-2' is no number above"),
        ("", "20180404_btcusd_minute_trade.csv", "there is no bar in it"),
        ("0,1", "readme.txt", "readme.txt is no file of minute bars"),
    ],
)
def test_what_is_no_minute_bar_is_refused_with_a_sentence(
    text: str, entry: str, wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordingError, match=wrong):
        open_recording(packed(tmp_path, text, entry))


def test_an_archive_of_nothing_and_half_of_one_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    whole = packed(tmp_path, "0,1,1,1,1,1\n" * 50).read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    for name in ("empty.zip", "half.zip"):
        with pytest.raises(RecordingError, match=name):
            open_recording(tmp_path / name)


def test_a_recorded_day_of_crypto_trades_what_its_bars_say(data_dir: Path) -> None:
    paths = [data_dir / "bars" / f"coinbase_btcusd_20180404_{kind}.zip" for kind in ("quote", "trade")]
    recording = open_recording(*paths)
    (stream,) = recording.streams
    assert (stream.venue, stream.symbol) == ("coinbase", "BTC/USD")
    events = list(recording)
    assert [event.recv_ns for event in events] == sorted(event.recv_ns for event in events)
    assert events[0].recv_ns == MIDNIGHT
    with zipfile.ZipFile(paths[1]) as archive:
        rows = archive.read(archive.namelist()[0]).decode().split()
    volume = sum((Decimal(row.rpartition(",")[2]) for row in rows), start=Decimal(0))
    assert abs(sum(qty for _, _, qty in trades(events)) - volume * 10**8) < len(rows)
    for book in recording.books(1):
        if not isinstance(book, MarketTrade):
            assert book.bid_px[0] < book.ask_px[0]


def test_a_recorded_day_of_equities_is_on_new_yorks_clock_and_at_a_ten_thousandth(data_dir: Path) -> None:
    recording = open_recording(data_dir / "bars" / "aapl_20140605_trade.zip")
    (stream,) = recording.streams
    assert (stream.venue, stream.symbol, stream.price_scale) == ("usa", "AAPL/USD", 2)
    first = next(iter(recording))
    assert isinstance(first, MarketTrade)
    assert first.recv_ns == parse_time("2014-06-05T08:15:00Z"), "15,300 s after midnight in New York"
    assert first.price == 64480
