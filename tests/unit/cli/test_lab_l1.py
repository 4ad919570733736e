"""`bestex lab l1` from a file to a report."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bestex.cli.main import run
from tests.unit.backtester.lab.l1 import level1
from tests.unit.backtester.lab.l1.level1 import Row

BASELINES = ["best_ask", "twap", "vwap", "sweep"]
FEES = ["--fee", "0.003", "--rebate", "0.002"]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return level1.day(tmp_path_factory.mktemp("cli") / "day.csv", 21, 0.3)


def worked(capsysbinary: pytest.CaptureFixture[bytes], *line: str) -> dict[str, Any]:
    assert run(["lab", "l1", *line, "--json"]) == 0
    said = capsysbinary.readouterr()
    assert said.err == b""
    found: dict[str, Any] = json.loads(said.out)
    return found


class Sources(HTMLParser):
    """What a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        self.found += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_file_becomes_results_pictures_and_a_page(
    day: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / "out"
    line = [str(day), "--qty", "5000", *FEES, "--trials", "2", "--seed", "7", "--out", str(out)]
    found = worked(capsysbinary, *line)
    assert json.loads((out / "results.json").read_text()) == found
    assert found["data"]["sha256"] == hashlib.sha256(day.read_bytes()).hexdigest()
    assert found["data"]["rows"] == len(day.read_text().splitlines()) - 1
    assert found["data"]["publishers"] == ["1", "2", "3"]
    assert (found["config"]["seed"], found["config"]["trials"]) == (7, 2)
    for mode in ("as_published", "honest"):
        report = found[mode]
        assert set(report["best_params"]) == {"lambda_over", "lambda_under", "theta_queue"}
        assert list(report["baselines"]) == list(report["savings_bps"]) == BASELINES
        for one in (report["router"], *report["baselines"].values()):
            assert Decimal(one["filled"]) == 5000
            assert Decimal(one["cash"]) / 5000 == pytest.approx(Decimal(one["avg_px"]))
            assert one["fills"] > 0
        ours, best_ask = (
            (Decimal(report[of]["avg_px"]) for of in ("router",)),
            report["baselines"]["best_ask"],
        )
        theirs = Decimal(best_ask["avg_px"])
        assert report["savings_bps"]["best_ask"] == pytest.approx(float((theirs - next(ours)) / theirs) * 1e4)
        assert report["cross_validation"]["folds"]
        assert set(report["cross_validation"]["savings_bps"]) == set(BASELINES)
    assert "change nothing" in found["as_published"]["notes"][0]
    for name in ("cost", "response", "savings"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = Sources()
    page.feed((out / "report.html").read_text())
    assert len(page.found) == 3
    assert all(source.startswith("data:image/png;base64,") for source in page.found)
    assert worked(capsysbinary, *line) == found


def test_a_sale_goes_to_the_bids(day: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = worked(capsysbinary, str(day), "--side", "sell", "--qty", "2000", *FEES, "--trials", "1")
    for mode in ("as_published", "honest"):
        report = found[mode]
        assert Decimal(report["router"]["cash"]) > 0
        ours, theirs = (Decimal(one["avg_px"]) for one in (report["router"], report["baselines"]["vwap"]))
        assert report["savings_bps"]["vwap"] == pytest.approx(float((ours - theirs) / theirs) * 1e4)


def test_people_are_told_the_same_in_a_table(day: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "l1", str(day), "--qty", "1000", "--trials", "1"]) == 0
    said = capsys.readouterr().out
    assert "as_published" in said
    assert "best_ask" in said
    assert "change nothing" in said


def test_an_order_above_the_days_volume_is_filled_in_part_and_that_is_said(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    rows = [Row(second, 1, 101, 100, 99, 100) for second in range(120)]
    path = level1.write(tmp_path / "thin.csv", rows)
    found = worked(capsysbinary, str(path), "--qty", "100000", "--trials", "1")
    assert Decimal(found["honest"]["baselines"]["sweep"]["filled"]) == 100
    assert Decimal(found["as_published"]["baselines"]["sweep"]["filled"]) == 12_000
    for mode in ("as_published", "honest"):
        assert any("sweep filled" in note and "no more" in note for note in found[mode]["notes"])


@pytest.mark.parametrize(
    "rows",
    [
        [Row(0, 1, 101, 100, 99, 100)],
        [Row(0, 1, 101, 100), Row(0, 2, 100, 100)],
        [Row(0, 1, 101, 0, 99, 5), Row(1, 1, 101, 100, 99, 5), Row(50_000, 1, 101, 50, 99, 5)],
    ],
    ids=["one row", "one time", "a day of silence"],
)
def test_a_file_of_hardly_anything_is_worked(
    rows: list[Row], tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = level1.write(tmp_path / "small.csv", rows)
    out = tmp_path / "out"
    more = ["--out", str(out)] if len(rows) == 1 else []
    found = worked(capsysbinary, str(path), "--qty", "100", "--trials", "2", *more)
    assert Decimal(found["honest"]["router"]["filled"]) == 100
    assert (out / "report.html").is_file() is bool(more)


def test_coins_are_worked_in_fractions(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    lines = ["ask_sz_00,ask_px_00,publisher_id,ts_event,bid_px_00,bid_sz_00"]
    lines += [
        f"0.{second % 7 + 1},6000{second % 3}.5,binance,{level1.START_NS + second * 10**9},60000.25,0.4"
        for second in range(300)
    ]
    path = tmp_path / "coins.csv"
    path.write_text("\n".join(lines))
    found = worked(capsysbinary, str(path), "--qty", "0.5", "--lot", "0.01", "--trials", "2")
    assert Decimal(found["honest"]["router"]["filled"]) == Decimal("0.5")


BAD = {
    "no file": ("", [], "there is no such file"),
    "empty": ("", [], "empty"),
    "columns": ("a,b\n1,2\n", [], "line 1: no column ts_event"),
    "a word": ("ts_event,publisher_id,ask_px_00,ask_sz_00\n1,1,x,5\n", [], 'line 2: ask_px_00 is "x"'),
    "nothing shown": (
        "ts_event,publisher_id,ask_px_00,ask_sz_00\n1,1,1,0\n",
        [],
        "no row shows anything to buy",
    ),
    "no bids": ("ts_event,publisher_id,ask_px_00,ask_sz_00\n1,1,1,5\n", ["--side", "sell"], "bid_px_00"),
    "trials": ("x", ["--trials", "0"], "--trials 0"),
    "seed": ("x", ["--seed", "-1"], "--seed -1"),
    "horizon": ("x", ["--horizon", "soon"], "--horizon"),
    "share": ("x", ["--trade-share", "120%"], "--trade-share"),
    "fee": ("x", ["--fee", "nan"], "not finite"),
}


@pytest.mark.parametrize(("text", "options", "told"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_one_sentence_and_code_2(
    text: str, options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "quotes.csv"
    if told != "there is no such file":
        path.write_text(text)
    assert run(["lab", "l1", str(path), "--qty", "100", *options]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_the_recorded_evening_is_worked_as_a_file(
    data_dir: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    from tests.bench.lab_l1 import evening_file

    path = evening_file(tmp_path / "evening.csv", data_dir / "binance", seconds=60)
    found = worked(capsysbinary, str(path), "--qty", "5", "--lot", "0.01", "--trials", "2")
    assert found["data"]["publishers"] == ["1", "2"]
    assert Decimal(found["honest"]["router"]["filled"]) == 5
    assert found["config"]["episodes"] >= 15
