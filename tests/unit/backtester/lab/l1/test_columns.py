"""Files as people have them, and what is said of those that cannot be."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest
import zstandard

from bestex.errors import RecordingError, UsageError
from services.backtester.lab.l1.quotes import NEVER, Level1, Terms, read

HEAD = "ts_event,publisher_id,ask_px_00,ask_sz_00,bid_px_00,bid_sz_00"
ROWS = (
    "2024-08-01T13:36:32.491911683Z,2,100.02,200,100.00,300",
    "2024-08-01T13:36:33Z,10,100.015,100,99.99,50",
    "2024-08-01T13:36:33.5Z,2,100.02,150,100.00,300",
)
FIRST_NS = 1_722_519_392_491_911_683


def parsed(tmp_path: Path, text: str | bytes, sign: int = 1, terms: Terms | None = None) -> Level1:
    path = tmp_path / "quotes.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read(path, sign, terms or Terms())


def lines(*rows: str, head: str = HEAD) -> str:
    return "\n".join((head, *rows)) + "\n"


def test_prices_and_sizes_are_whole_numbers_of_one_scale(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines(*ROWS), terms=Terms(fee=Decimal("0.0003"), rebate=Decimal("0.002")))
    assert quotes.at_ns[0] == FIRST_NS
    assert (quotes.price_scale, quotes.qty_scale) == (4, 0)
    assert quotes.ask.tolist() == [1_000_200, 1_000_150, 1_000_200]
    assert quotes.fee.tolist() == [3] * 3
    assert quotes.rebate.tolist() == [20] * 3
    assert quotes.publishers == ("2", "10")
    assert quotes.venue.tolist() == [0, 1, 0]
    assert quotes.notes == []


ODD_LINES = {
    "windows": "\r\n".join((HEAD, *ROWS)),
    "old mac": "\r".join((HEAD, *ROWS)),
    "byte order mark": "\ufeff" + lines(*ROWS),
    "blank lines": "\n\n" + "\n\n".join((HEAD, *ROWS)) + "\n\n",
    "semicolons": lines(*ROWS, head=HEAD).replace(",", ";"),
    "tabs": lines(*ROWS).replace(",", "\t"),
    "spaces": lines(*(row.replace(",", " , ") for row in ROWS), head=HEAD.replace(",", ", ")),
    "quoted": lines(*(",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS)),
    "zones": lines(*(row.replace("T13:", " 15:").replace("Z", "+02:00") for row in ROWS)),
    "columns in another order, and more of them": lines(
        *(",".join([row.split(",")[3], "x", *row.split(",")[:3], *row.split(",")[4:]]) for row in ROWS),
        head="ask_sz_00,action,ts_event,publisher_id,ask_px_00,bid_px_00,bid_sz_00",
    ),
    "longer rows": lines(*(f"{row},7,8" for row in ROWS)),
}


@pytest.mark.parametrize("text", ODD_LINES.values(), ids=ODD_LINES.keys())
def test_files_are_read_as_people_have_them(text: str, tmp_path: Path) -> None:
    plain, odd = parsed(tmp_path, lines(*ROWS)), parsed(tmp_path, text)
    for name in ("at_ns", "venue", "ask", "ask_size", "bid", "bid_size"):
        assert getattr(odd, name).tolist() == getattr(plain, name).tolist(), name
    assert odd.notes == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_packed_files_are_read(pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    assert len(parsed(tmp_path, pack(lines(*ROWS).encode()))) == 3


def test_nanoseconds_are_times_too(tmp_path: Path) -> None:
    assert parsed(tmp_path, lines(f"{FIRST_NS},1,2,3,1,3")).at_ns.tolist() == [FIRST_NS]


def test_times_without_a_zone_are_utc_and_that_is_said(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines(ROWS[0].replace("Z", "")))
    assert quotes.at_ns.tolist() == [FIRST_NS]
    assert "UTC" in quotes.notes[0]


def test_rows_out_of_order_are_sorted_and_that_is_said(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines(ROWS[0], ROWS[2], ROWS[1]))
    assert quotes.ask_size.tolist() == [200, 100, 150]
    assert "line 4" in quotes.notes[0]


def test_rows_of_one_time_keep_their_order(tmp_path: Path) -> None:
    same = [row.replace(row.split(",")[0], "5000000000") for row in ROWS]
    assert parsed(tmp_path, lines(*same)).ask_size.tolist() == [200, 100, 150]


def test_a_row_that_is_crossed_in_itself_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines(ROWS[0], "2024-08-01T13:36:33Z,2,100.00,5,100.01,5"))
    assert len(quotes) == 1
    assert "line 3" in quotes.notes[0]


def test_a_side_without_size_is_no_quote(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines("1,1,,0,99,5", "2,1,100,5,0,0"))
    assert quotes.ask.tolist() == [NEVER, 100]
    assert quotes.bid.tolist() == [99, -NEVER]


def test_the_files_own_fees_come_before_the_given_ones(tmp_path: Path) -> None:
    head = HEAD + ",fee,rebate"
    text = lines("1,1,100,5,99,5,0.01,-0.02", "2,1,100,5,99,5,,", head=head)
    quotes = parsed(tmp_path, text, terms=Terms(fee=Decimal("0.3"), rebate=Decimal(1)))
    assert quotes.fee.tolist() == [1, 30]
    assert quotes.rebate.tolist() == [-2, 100]


def test_without_bids_nothing_rests_and_that_is_said(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines("1,1,100,5", head="ts_event,publisher_id,ask_px_00,ask_sz_00"))
    assert not quotes.rests
    assert "bids" in quotes.notes[0]


def test_a_venue_may_be_named_by_words(tmp_path: Path) -> None:
    quotes = parsed(tmp_path, lines("1,XPAR,100,5,99,5", "2,CXE,100,5,99,5"))
    assert quotes.publishers == ("CXE", "XPAR")


BAD = {
    "nothing": (b"", "the file is empty"),
    "blank": (b"\n \n", "the file is empty"),
    "no row": (HEAD, "no row below the header"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "no text file"),
    "a broken archive": (gzip.compress(lines(*ROWS).encode())[:-20], "cannot be unpacked"),
    "bytes": ((HEAD + "\n").encode() + b"\xff\xfe,1,2,3,4,5\n", "cannot be read as columns"),
    "other columns": ("a,b\n1,2\n", "line 1: no column ts_event and no publisher_id"),
    "no ask": (lines("1,1,5", head="ts_event,publisher_id,ask_sz_00"), "no column ask_px_00"),
    "a column twice": (lines("1,1,1,1,1,1,1", head=HEAD + ",ts_event"), "more than one column ts_event"),
    "not a number": (lines(*ROWS, "3,1,abc,5,99,5").replace("2024-08-01T13:36:3", "5"), "neither ISO 8601"),
    "no price": (lines("1,1,100,5,99,5", "2,1,abc,5,99,5"), 'line 3: ask_px_00 is "abc"'),
    "not a price": (lines("1,1,100,5,99,5", "2,1,nan,5,99,5"), 'line 3: ask_px_00 is "nan"'),
    "an infinite size": (lines("1,1,100,inf,99,5"), 'line 2: ask_sz_00 is "inf"'),
    "a negative size": (lines("1,1,100,5,99,5", "", "2,1,100,-5,99,5"), "line 4: ask_sz_00 is negative"),
    "a negative bid size": (lines("1,1,100,5,99,-1"), "line 2: bid_sz_00 is negative"),
    "a negative price": (lines("1,1,-100,5,99,5"), "line 2: ask_px_00 is not above 0"),
    "a price of nothing": (lines("1,1,0,5,99,5"), "line 2: ask_px_00 is not above 0"),
    "a size without a price": (lines("1,1,,5,99,5"), "line 2: ask_px_00 is empty"),
    "a row that ends early": (lines("1,1,100,5,99,5", "2,1,100"), "line 3: ask_sz_00 is empty"),
    "a time that is none": (lines("1,1,100,5,99,5", "x,1,100,5,99,5"), 'line 3: ts_event is "x"'),
    "a day that is none": (lines("2024-02-30T00:00:00Z,1,100,5,99,5"), "line 2: ts_event"),
    "a negative time": (lines("-1,1,100,5,99,5"), "line 2: ts_event"),
    "a venue without a name": (lines("1,,100,5,99,5"), "line 2: publisher_id is empty"),
    "too fine": (lines("1,1,100.0000000000001,5,99,5"), "line 2: ask_px_00 is 100.0000000000001: more than"),
    "too large": (lines("1,1,1e17,5,99,5"), "too large"),
    "all crossed": (lines("1,1,100,5,101,5"), "line 2: the bid is above the ask, as in every other row"),
    "a quote that does not end": (lines('1,1,"100,5,99,5'), "cannot be read as columns"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told_with_its_line(text: str | bytes, told: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError) as caught:
        parsed(tmp_path, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_selling_needs_bids(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bid_px_00"):
        parsed(tmp_path, lines("1,1,100,5", head="ts_event,publisher_id,ask_px_00,ask_sz_00"), sign=-1)


def test_a_quantity_finer_than_the_sizes_makes_them_finer(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text(lines(*ROWS))
    quotes = read(path, 1, Terms(), Decimal("0.25"))
    assert quotes.ask_size.tolist() == [20_000, 10_000, 15_000]
    assert quotes.units(Decimal("0.25"), "--qty") == 25
    with pytest.raises(UsageError, match="too large"):
        quotes.units(Decimal(10) ** 18, "--qty")
