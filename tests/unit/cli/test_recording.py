"""`bestex recording`: every command on files, and every mistake a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bestex.cli.main import run
from bestex.recording import open_recording
from tests.unit.importers.frames import good_spot
from tests.unit.importers.tables import LEVEL_ONE, table

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("days") / "day.rec"
    assert run(["recording", "make", str(path), "--venues", "3", "--duration", "10m", "--seed", "7"]) == 0
    return path


def asked(capsys: Capture, *words: object, code: int = 0) -> Any:
    capsys.readouterr()
    assert run(["recording", *map(str, words), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def mistake(capsys: Capture, *words: object) -> str:
    capsys.readouterr()
    assert run(["recording", *map(str, words)]) in (1, 2)
    return capsys.readouterr().err


def test_a_made_up_day_says_what_it_was_made_of_and_is_made_again(
    day: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ("make", tmp_path / "again.rec", "--venues", "3", "--duration", "10m", "--seed", "7")
    again = asked(capsys, *words)
    assert (again["seed"], again["preset"]) == (7, "equity")
    assert again["build"]
    assert (tmp_path / "again.rec").read_bytes() == day.read_bytes()
    (found,) = asked(capsys, "info", day)["recordings"]
    assert found["sha256"] == again["sha256"]
    assert found["source"].startswith("the market model's equity, seed 7, bestex ")
    assert [stream["venue"] for stream in found["streams"]] == ["sim_a", "sim_b", "sim_c"]
    assert sum(stream["updates"] + stream["trades"] for stream in found["streams"]) == found["events"] > 1_000


def test_a_chosen_figure_is_in_the_day_and_in_its_source(tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "day.rec"
    words = (
        "make",
        out,
        "--venues",
        "x,y",
        "--duration",
        "1m",
        "--preset",
        "crypto",
        "--set",
        "y.noise=2000",
    )
    made = asked(capsys, *words, "--start", "2026-01-02T00:00:00Z", "--symbol", "ETH/USDT", "--price", "3000")
    assert made["figures"] == {"y.noise": 2000}
    (found,) = asked(capsys, "info", out)["recordings"]
    assert "y.noise=2000" in found["source"]
    assert found["start"] == "2026-01-02T00:00:00.000000Z"
    x, y = found["streams"]
    assert y["symbol"] == "ETH/USDT"
    assert y["trades"] > 2 * x["trades"]


def test_parts_and_the_whole_have_the_same_events(day: Path, tmp_path: Path, capsys: Capture) -> None:
    a, b, whole = (tmp_path / name for name in ("a.rec", "b.rec", "whole.rec"))
    asked(capsys, "cut", day, "--to", "4m", "--out", a)
    cut = asked(capsys, "cut", day, "--from", "2025-11-03T08:04:00Z", "--out", b)
    assert cut["sources"][0]["file"] == str(day)
    asked(capsys, "merge", b, a, "--out", whole)
    assert list(open_recording(whole)) == list(open_recording(day))
    (info,) = asked(capsys, "info", b)["recordings"]
    assert info["start"] == "2025-11-03T08:04:00.000000Z"
    assert all(stream["begins_whole"] for stream in info["streams"])


def test_a_venue_cut_out_and_put_back_with_its_clock_set(day: Path, tmp_path: Path, capsys: Capture) -> None:
    asked(capsys, "cut", day, "--venues", "sim_a", "--out", tmp_path / "a.rec")
    asked(capsys, "cut", day, "--venues", "sim_b,sim_c", "--symbol", "ABC/EUR", "--out", tmp_path / "b.rec")
    late = ("--offset", "a.rec=-30ms")
    asked(capsys, "merge", tmp_path / "a.rec", tmp_path / "b.rec", *late, "--out", tmp_path / "all.rec")
    before = [event.recv_ns for event in open_recording(day) if event.venue == "sim_a"]
    after = [event.recv_ns for event in open_recording(tmp_path / "all.rec") if event.venue == "sim_a"]
    assert after == [at_ns - 30_000_000 for at_ns in before]


def test_books_by_the_second_and_trades_by_the_minute(day: Path, tmp_path: Path, capsys: Capture) -> None:
    books = asked(capsys, "resample", day, "--books", "1s", "--out", tmp_path / "small.rec")
    assert 600 < books["events"] < len(list(open_recording(day)))
    asked(capsys, "resample", day, "--trades", "1m", "--out", tmp_path / "bars.csv")
    lines = (tmp_path / "bars.csv").read_text().splitlines()
    assert lines[0] == "time,venue,symbol,open,high,low,close,volume,trades"
    assert lines[1].startswith("2025-11-03T08:00:00.000000Z,sim_a,ABC/EUR,")


def test_an_export_is_converted_back(day: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("polars", reason="Parquet needs bestex[lab]")
    asked(capsys, "export", day, "--parquet", tmp_path / "day.parquet")
    asked(capsys, "convert", tmp_path / "day.parquet", tmp_path / "again.rec")
    assert list(open_recording(tmp_path / "again.rec")) == list(open_recording(day))
    asked(capsys, "export", day, "--csv", tmp_path / "day.csv", "--levels", "2")
    table_of = asked(capsys, "convert", tmp_path / "day.csv", "--out", tmp_path / "two.rec")
    assert table_of["events"] == len(list(open_recording(day)))


def test_a_level_one_file_becomes_a_recording_of_named_venues(tmp_path: Path, capsys: Capture) -> None:
    names = ("--venue", "2=xnas", "--venue", "39=xnys", "--symbol", "AAPL/USD")
    told = asked(capsys, "convert", table(tmp_path), tmp_path / "aapl.rec", *names)
    assert told["events"] == 3
    streams = open_recording(tmp_path / "aapl.rec").streams
    assert [(stream.venue, stream.symbol) for stream in streams] == [
        ("xnas", "AAPL/USD"),
        ("xnys", "AAPL/USD"),
    ]


def test_info_shows_a_table_and_says_what_is_damaged(tmp_path: Path, capsys: Capture) -> None:
    cut_short = table(tmp_path, LEVEL_ONE[:-12])
    assert run(["recording", "info", str(cut_short)]) == 1
    shown = capsys.readouterr().out
    assert "damaged: aapl.csv:4: ends within a row" in shown
    assert "publisher_39" in shown
    (quick,) = asked(capsys, "info", table(tmp_path, name="whole.csv"), "--quick")["recordings"]
    assert "sha256" not in quick


def test_several_raw_files_are_converted_into_the_last_one(tmp_path: Path, capsys: Capture) -> None:
    raw = good_spot().write(tmp_path / "raw.gz")
    assert asked(capsys, "convert", raw, tmp_path / "spot.rec")["events"] == 3


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("make OLD", "exists already"),
        ("make nowhere/x.rec", "there is no such directory"),
        ("make NEW --preset bonds", 'there is no preset "bonds"'),
        ("make NEW --venues 0", "--venues 0: there are 1 to 26"),
        ("make NEW --venues a,a", "--venues a,a: write a number, or different names"),
        ("make NEW --venues P,Q", "--venues P,Q: write a number, or different names of a-z"),
        ("make NEW --duration 0s", "--duration: must be longer than nothing"),
        ("make NEW --duration 400d", "--duration: at most 31d"),
        ("make NEW --price 1", "the start price is under 200 ticks"),
        ("make NEW --price 34.00001", "--price: 34.00001 is finer"),
        ("make NEW --set news", "--set news: write --set name=value"),
        ("make NEW --set news=much", "--set news=much: write a number"),
        ("make NEW --set news=-1", "news: -1 is not from 0"),
        ("make NEW --start noon", "--start noon: write 2026-11-27T14:30:00Z"),
        ("cut OLD --from 20m --out NEW", "nothing lies from"),
        ("cut OLD --to 2020-01-01T00:00:00Z --out NEW", "nothing lies from"),
        ("cut OLD --from 5m --to 4m --out NEW", "is not before --to"),
        ("cut OLD --from soon --out NEW", "--from soon: write 2026-11-27T14:30:00Z, or 90s"),
        ("cut OLD --from 2026-11-27T14:30:00 --out NEW", "has no time zone"),
        ("cut OLD --symbol XYZ --out NEW", 'there is no symbol "XYZ"; there are ABC/EUR'),
        ("cut OLD --venues sim_z --out NEW", 'there is no venue "sim_z"; did you mean'),
        ("merge OLD --out NEW", "at least two recordings"),
        ("merge OLD OLD --out NEW", "two of the recordings tell of the book"),
        ("merge OLD OLD --offset other=1s --out NEW", 'there is no recording "other"'),
        ("merge OLD OLD --offset day.rec=soon --out NEW", "--offset: 'soon' is no duration"),
        ("resample OLD --out NEW", "name a step"),
        ("resample OLD --books 1s --trades 1s --out NEW", "name a step"),
        ("resample OLD --books 0s --out NEW", "--books: must be longer"),
        ("export OLD", "name where to write"),
        ("export OLD --csv NEW --levels 200", "a table has 1 to 100 levels"),
        ("convert OLD", "name what to read and, last, where to write"),
        ("convert nothing.csv NEW", "there is no such file"),
        ("convert OLD OLD", "exists already"),
        ("convert OLD NEW --venue 2=X", "a venue's name is"),
        (
            "convert TABLE NEW --venue 4=x",
            "--venue 4: no such publisher; the venues are publisher_2, publisher_39",
        ),
        ("convert OLD NEW --price-exponent 40", "a price exponent is from 0 to 18"),
        ("info EMPTY", "the file is empty"),
        ("info TEXT", "no Binance frames found"),
        ("info OLD --gap never", "--gap: 'never' is no duration"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_no_file(
    words: str, wrong: str, day: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello\n")
    places = {"OLD": day, "NEW": tmp_path / "new", "EMPTY": tmp_path / "empty", "TEXT": tmp_path / "text"}
    places["TABLE"] = table(tmp_path)
    told = mistake(capsys, *(places.get(word, word) for word in words.split()))
    assert wrong in told
    assert told.startswith("bestex: ")
    assert told.count("\n") == 1
    assert not (tmp_path / "new").exists()
