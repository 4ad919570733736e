"""Days of volume from recorded bars."""

from __future__ import annotations

import zipfile
from decimal import Decimal as D
from pathlib import Path

import pytest

from bestex.bars import volume_days
from bestex.clock import Time
from bestex.errors import RecordingError
from bestex.sessions import calendar

AT = Time(0)
ALWAYS = calendar("24/7")


def test_plain_rows_are_summed_by_the_minute_and_what_is_before_and_after_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(
        "time,volume\n2026-11-23T00:02:00Z,1.5\n2026-11-23T00:02:30Z,0.5\n2026-11-23T00:04:00Z,3\n"
        "2026-11-24T00:00:00+00:00,1e-3\n"
    )
    first, second = volume_days(path, "BTC/USDT", ALWAYS, AT, by="me")
    assert (first.date, second.date, first.by) == ("2026-11-23", "2026-11-24", "me")
    assert first.minutes[:6] == [None, None, D(2), D(0), D(3), None]
    assert len(first.minutes) == len(second.minutes) == 1440
    assert second.minutes[0] == D("0.001")


def test_what_was_traded_outside_the_session_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(
        "2026-11-27T14:29:00Z,7\n2026-11-27T14:30:00Z,1\n2026-11-27T17:59:00Z,2\n2026-11-27T18:00:00Z,9\n"
    )
    (day,) = volume_days(path, "SPY", calendar("XNYS"), AT)
    assert len(day.minutes) == 210
    assert [volume for volume in day.minutes if volume] == [D(1), D(2)]
    assert (day.minutes[0], day.minutes[-1]) == (D(1), D(2))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("2026-11-27T14:30:00Z,-1\n", "-1 is no volume"),
        ("2026-11-27T14:30:00Z,NaN\n", "NaN is no volume"),
        ("2026-11-27T14:30:00Z,x\n", "bars.csv"),
        ("2026-11-27T14:30:00,1\n", "no time zone"),
        ("2026-11-27T14:30:00Z\n", "line 1: write time,volume"),
        ("", "nothing in it"),
    ],
)
def test_what_is_no_such_file_is_refused_with_a_sentence(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(text)
    with pytest.raises(RecordingError, match=wrong):
        volume_days(path, "BTC/USDT", ALWAYS, AT)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bars.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("20180404_btcusd_minute_quote.csv", "0,1")
    with pytest.raises(RecordingError, match="is no file of minute bars of trades"):
        volume_days(path, "BTC/USDT", ALWAYS, AT)


def test_recorded_days_are_read_as_they_are(data_dir: Path) -> None:
    (coinbase,) = volume_days(data_dir / "bars" / "coinbase_btcusd_20180404_trade.zip", "BTC/USD", ALWAYS, AT)
    assert coinbase.date == "2018-04-04"
    assert coinbase.minutes[0] == D("7.143197")  # 7.14319709: a statistic has six digits
    assert coinbase.minutes[1007] == D("0.037333")
    assert coinbase.minutes[1008:] == [None] * (1440 - 1008), "the file ends at 16:47"
    (apple,) = volume_days(data_dir / "bars" / "aapl_20140605_trade.zip", "AAPL", calendar("XNYS"), AT)
    assert (apple.date, len(apple.minutes), apple.minutes.count(None)) == ("2014-06-05", 390, 0)
    assert str(apple.opens_at) == "2014-06-05T13:30:00.000000Z"
