"""Tables of quotes and trades, as others write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from bestex.errors import RecordingError, UsageError
from bestex.feed import DepthUpdate, FeedEvent
from bestex.importers.columns import time_ns
from bestex.importers.options import ImportOptions
from bestex.messages import MarketTrade
from bestex.recording import open_recording
from tests.unit.importers.tables import LEVEL_ONE, T0, table


def events(path: Path, **options: object) -> list[FeedEvent]:
    return list(open_recording(path, options=ImportOptions(**options)))  # type: ignore[arg-type]


def asks(path: Path, **options: object) -> list[list[tuple[int, int]]]:
    return [event.asks for event in events(path, **options) if isinstance(event, DepthUpdate)]


def test_publishers_are_venues_and_rows_what_changed_of_their_books(tmp_path: Path) -> None:
    recording = open_recording(table(tmp_path))
    first, other, second = recording
    assert first == DepthUpdate("publisher_2", "AAPL", 1, T0, T0, 2, 0, True, [], [(22283, 100)])
    assert other == DepthUpdate("publisher_39", "AAPL", 1, T0 + 17, T0 + 17, 2, 0, True, [], [(22280, 40)])
    assert isinstance(second, DepthUpdate)
    assert (second.snapshot, second.asks) == (False, [(22283, 0), (22284, 70)])
    assert (recording.start_ns, recording.end_ns) == (T0, T0 + 10**9)
    assert list(recording) == [first, other, second]  # a second reading begins again


def test_scales_are_the_finest_digits_of_the_text_and_prices_are_as_fine_everywhere(tmp_path: Path) -> None:
    text = "ts_event,publisher_id,ask_px_00,ask_sz_00\n1,2,10.5000,1.250\n2,3,10.125,3\n"
    first, second = open_recording(table(tmp_path, text)).streams
    assert (first.price_scale, first.qty_scale) == (3, 2)
    assert (second.price_scale, second.qty_scale) == (3, 0)


def test_columns_are_found_by_name_in_any_order_and_among_others(tmp_path: Path) -> None:
    text = "flags;ASK_SZ_00;bid_px_00;ts_event; ask_px_00;bid_sz_00;publisher_id\n0;7;99;5;101;3;2\n"
    (book,) = events(table(tmp_path, text))
    assert book == DepthUpdate("publisher_2", "AAPL", 1, 5, 5, 0, 0, True, [(99, 3)], [(101, 7)])


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\n", "\n"])
@pytest.mark.parametrize("last", ["", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_odd_line_ends_and_a_byte_order_mark_change_nothing(
    end: str, last: str, mark: bytes, tmp_path: Path
) -> None:
    text = mark + (LEVEL_ONE.rstrip("\n").replace("\n", end) + last).encode()
    assert events(table(tmp_path, text)) == events(table(tmp_path, name="aapl.plain"))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_table_is_the_same_table(pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    packed = table(tmp_path, pack(LEVEL_ONE.encode()), "aapl.csv.packed")
    assert events(packed) == events(table(tmp_path))


def test_deeper_levels_are_read_too(tmp_path: Path) -> None:
    text = (
        "ts_event,venue,bid_px_00,bid_sz_00,bid_px_01,bid_sz_01,ask_px_01,ask_sz_01,ask_px_00,ask_sz_00\n"
        "1,XNAS.ITCH,99,1,98,2,102,4,101,3\n2,XNAS.ITCH,98,2,97,9,102,4,101,3\n"
    )
    first, second = events(table(tmp_path, text))
    assert isinstance(first, DepthUpdate)
    assert isinstance(second, DepthUpdate)
    assert (first.venue, first.bids, first.asks) == ("xnas_itch", [(99, 1), (98, 2)], [(101, 3), (102, 4)])
    assert (second.bids, second.asks) == ([(99, 0), (97, 9)], [])


def test_a_row_of_a_trade_tells_the_trade_and_a_book_only_where_it_changed(tmp_path: Path) -> None:
    text = (
        "ts_recv,ts_event,action,side,price,size,sequence,symbol,publisher_id,ask_px_00,ask_sz_00\n"
        "12,10,A,N,101,5,7,XYZ,1,101,5\n14,13,T,B,101,2,8,XYZ,1,101,5\n14,13,M,N,101,3,9,XYZ,1,101,3\n"
        "20,19,T,A,100.5,1,10,XYZ,1,101,2\n"
    )
    first, trade, shrunk, sold, after = events(table(tmp_path, text))
    assert isinstance(first, DepthUpdate)
    assert (first.symbol, first.seq, first.venue_ns, first.recv_ns) == ("XYZ", 7, 10, 12)
    assert trade == MarketTrade("publisher_1", "XYZ", "8-3", 13, 14, 1, 0, 1010, 2, 1)
    assert isinstance(shrunk, DepthUpdate)
    assert shrunk.asks == [(1010, 3)]
    assert isinstance(sold, MarketTrade)
    assert (sold.price, sold.aggressor) == (1005, -1)
    assert isinstance(after, DepthUpdate)
    assert after.asks == [(1010, 2)]


def test_a_table_without_levels_is_one_of_trades(tmp_path: Path) -> None:
    text = (
        "ts_event,price,size,side,venue,trade_id\n"
        "1,10.5,3,buy,a,x1\n2,10.4,1,S,a,x2\n3,10.4,1,,a,x3\n4,10.4,0,B,a,x4\n"
    )
    found = events(table(tmp_path, text))
    assert [(e.trade_id, e.price, e.aggressor) for e in found if isinstance(e, MarketTrade)] == [
        ("x1", 105, 1),
        ("x2", 104, -1),
        ("x3", 104, 0),
    ]


def test_a_row_without_any_quote_says_that_the_book_is_unknown(tmp_path: Path) -> None:
    text = (
        "ts_event,publisher_id,ask_px_00,ask_sz_00\n"
        "1,2,101,5\n2,2,,\n3,2,nan,0\n4,2,9223372036854775807,0\n5,2,102,1\n"
    )
    found = events(table(tmp_path, text))
    books = [(e.snapshot, e.asks) for e in found if isinstance(e, DepthUpdate)]
    assert books == [(True, [(101, 5)]), (True, []), (True, []), (True, []), (True, [(102, 1)])]


def test_numbers_as_tools_write_them_are_exact(tmp_path: Path) -> None:
    text = "ts_event,publisher_id,ask_px_00,ask_sz_00\n1,2,1e-05,1.5E1\n2,2,+0.25,.5\n"
    assert asks(table(tmp_path, text)) == [[(1, 150)], [(1, 0), (25_000, 5)]]


def test_whole_prices_of_a_named_exponent_are_read_as_decimals(tmp_path: Path) -> None:
    text = "ts_event,publisher_id,ask_px_00,ask_sz_00\n1,2,61250000000,3\n2,2,500000000,3\n"
    path = table(tmp_path, text)
    assert asks(path, price_exponent=9) == [[(6125, 3)], [(6125, 0), (50, 3)]]
    assert asks(path)[0] == [(61_250_000_000, 3)]


def test_what_the_file_does_not_say_is_taken_from_the_person(tmp_path: Path) -> None:
    found = open_recording(
        table(tmp_path), options=ImportOptions(symbol="AAPL/USD", venues={"2": "xnas", "39": "xnys"})
    )
    assert [(stream.venue, stream.symbol) for stream in found.streams] == [
        ("xnas", "AAPL/USD"),
        ("xnys", "AAPL/USD"),
    ]
    with pytest.raises(RecordingError, match="the publishers 2 and 39 would both be the venue x; name them"):
        open_recording(table(tmp_path), options=ImportOptions(venues={"2": "x", "39": "x"}))
    with pytest.raises(UsageError, match="a venue's name"):
        ImportOptions(venues={"2": "X NAS"}).checked()


def test_a_symbol_that_the_file_says_itself_is_not_renamed(tmp_path: Path) -> None:
    path = table(tmp_path, "ts_event,symbol,ask_px_00,ask_sz_00\n1,XYZ,3,4\n1,ABC,3,4\n")
    assert [stream.symbol for stream in open_recording(path).streams] == ["ABC", "XYZ"]
    with pytest.raises(RecordingError, match="says itself what is traded: ABC, XYZ"):
        open_recording(path, options=ImportOptions(symbol="ABC"))


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-08-01T13:36:32.491911683Z", T0),
        ("2024-08-01 15:36:32.491911683+02:00", T0),
        ("2024-08-01T08:36:32.491911683-0500", T0),
        ("2024-08-01T13:36:32.4Z", T0 - 91_911_683),
        ("2024-08-01 13:36:32UTC", T0 - 491_911_683),
        ("1722519392491911683", T0),
        (" 1722519392491911683 ", T0),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    assert time_ns(text) == ns


def test_rows_a_little_out_of_order_are_put_into_order(tmp_path: Path) -> None:
    head = "ts_event,publisher_id,ask_px_00,ask_sz_00\n"
    late = f"{head}1000000000,2,101,1\n1500000000,3,102,1\n1200000000,2,103,1\n9000000000,2,104,1\n"
    ordered = f"{head}1000000000,2,101,1\n1200000000,2,103,1\n1500000000,3,102,1\n9000000000,2,104,1\n"
    assert events(table(tmp_path, late)) == events(table(tmp_path, ordered, "aapl.sorted"))


def test_a_last_row_that_is_cut_short_is_damage_and_the_rest_is_read(tmp_path: Path) -> None:
    recording = open_recording(table(tmp_path, LEVEL_ONE[:-12]))
    assert len(list(recording)) == 2
    assert recording.damage == "aapl.csv:4: ends within a row; read up to there"


def test_gzip_that_ends_early_is_damage(tmp_path: Path) -> None:
    rows = "".join(f"{n},2,{100 + n % 7},{n * n % 9973}\n" for n in range(20_000))
    packed = gzip.compress(f"ts_event,publisher_id,ask_px_00,ask_sz_00\n{rows}".encode())
    recording = open_recording(table(tmp_path, packed[: len(packed) // 2], "aapl.csv.gz"))
    assert 1_000 < len(list(recording)) < 20_000
    assert "compressed data ends early" in recording.damage or "ends within a row" in recording.damage


HEAD = "ts_event,publisher_id,ask_px_00,ask_sz_00\n"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "the file is empty"),
        (HEAD, "there are no rows"),
        (f"{HEAD}1,2,3\n1,2,3,4\n", "aapl.csv:2: the row has not 4 columns"),
        (f"{HEAD}1,2,3,4,5\n2,2,3,4\n", "aapl.csv:2: the row has not 4 columns"),
        (f"{HEAD}x,2,3,4\n", "aapl.csv:2: 'x' is no time"),
        (f"{HEAD}2024-08-01T13:36:32,2,3,4\n", "has no time zone"),
        (f"{HEAD}2024-13-01T13:36:32Z,2,3,4\n", "aapl.csv:2: month must be in"),
        (f"{HEAD}99999999999999999999,2,3,4\n", "is no time in ns"),
        (f"{HEAD}1,2,abc,4\n", "aapl.csv:2: 'abc' is no"),
        (f"{HEAD}1,2,-3,4\n", "aapl.csv:2: '-3' is no number above zero"),
        (f"{HEAD}1,2,3,inf\n", "aapl.csv:2: 'inf' is no number"),
        (f"{HEAD}1,2,0.1234567890123456789,4\n", "more than 18 decimals"),
        (f"{HEAD}1,2,0.00000000000000001,4\n2,2,1000,4\n", "aapl.csv:3: 1000 is too large"),
        (
            f"{HEAD}1,2,3,4\n9000000000,2,3,4\n9900000000,2,3,4\n5,2,3,4\n",
            "csv:5: .* more than 1 s after .*; sort",
        ),
        (
            "time,publisher_id,ask_px_00,ask_sz_00\n1,2,3,4\n",
            "no column is called ts_event; the first line has time",
        ),
        ("2024-08-01T13:36:32Z,2,222.83,100\n", "no column is called ts_event; the first line has 2024"),
        ("ts_event,publisher_id,ask_px_00\n1,2,3\n", "no column ask_sz_00"),
        ("ts_event,publisher_id\n1,2\n", "neither a level"),
        ("ts_event,ts_event,ask_px_00,ask_sz_00\n1,2,3,4\n", "two columns are called ts_event"),
        ("ts_event,instrument_id,ask_px_00,ask_sz_00\n1,2,3,4\n1,3,3,4\n", "2 instruments"),
    ],
)
def test_what_is_wrong_with_a_table_is_a_sentence_with_its_row(text: str, wrong: str, tmp_path: Path) -> None:
    path = table(tmp_path, text)
    with pytest.raises(RecordingError, match=wrong):
        list(open_recording(path))
