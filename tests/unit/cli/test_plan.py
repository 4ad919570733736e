"""`bestex plan` without a bus: on a file, and what it says where it cannot."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from bestex.cli.main import run
from tests.unit.test_book_file import given, venue


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.json"
    path.write_bytes(given(venue("a", "100", "600", taker_fee_bps="2"), venue("b", "100.1", "600")))
    return path


def test_a_plan_on_a_file_is_one_json_object_with_every_key(
    book: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["plan", "X/Y", "buy", "1000", "--book", str(book), "--json"]) == 0
    found = json.loads(capsysbinary.readouterr().out)
    assert {"total_cost", "avg_price", "expected_slippage_bps", "fees", "legs", "left_out", "gap_bps"} <= set(
        found
    )
    assert Decimal(found["total_cost"]) == 600 * 100 + 12 + 400 * Decimal("100.1")
    assert [(leg["venue"], leg["qty"]) for leg in found["legs"]] == [("a", "600"), ("b", "400")]
    assert {leg["venue"]: leg["fee"] for leg in found["legs"]} == {"a": "12", "b": "0"}


def test_a_person_reads_the_legs_and_what_other_strategies_cost(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "X/Y", "buy", "1000", "--book", str(book)]) == 0
    said = capsys.readouterr().out
    assert "buy 1000 of 1000 by sweep" in said
    assert "best_price" in said


def test_no_further_than_the_slippage(book: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    asked = ["plan", "X/Y", "buy", "1000", "--book", str(book), "--json"]
    assert run([*asked, "--max-slippage", "0.05%"]) == 0
    assert json.loads(capsysbinary.readouterr().out)["routed_qty"] == "600"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--book", "nowhere.json"], "nowhere.json cannot be read"),
        (["--recording", "nowhere.rec"], "nowhere.rec"),
        (["--max-slippage", "far"], "--max-slippage"),
    ],
)
def test_what_is_wrong_is_said(
    more: list[str], told: str, book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [] if more[0] != "--max-slippage" else ["--book", str(book)]
    assert run(["plan", "X/Y", "buy", "1000", *more, *both]) == 2
    assert told in capsys.readouterr().err


def test_a_plan_is_made_on_one_market(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "X/Y", "buy", "1", "--book", str(book), "--recording", str(book)]) == 2
    assert "one market" in capsys.readouterr().err
