from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bestex.cli.main import _COMMANDS, run

NOWHERE = "nats://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NATS_URL", NOWHERE)
    monkeypatch.chdir(tmp_path)


def test_help_imports_neither_the_bus_nor_the_services() -> None:
    code = (
        "import sys; from bestex.cli.main import run; run(['--help']); "
        "print(sorted({'nats', 'numpy', 'aiohttp', 'msgspec'} & set(sys.modules)), file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stderr.strip() == "[]"
    assert "bestex submit BTC/USDT buy 1 --algo twap" in outcome.stdout


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_command_explains_itself_and_takes_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: bestex {name}" in shown
    assert "--json" in shown or "COMMAND" in shown


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sbumit", 'Did you mean "submit"'),
        ("submit BTC/USDT byu 1", "buy"),
        ("submit BTC/USDT buy x", '"x" is no number; write 1 or 0.25'),
        ("submit BTC/USDT buy", "QTY requires an argument"),
        ("submit BTC/USDT buy 1 --algo twpa", 'did you mean "twap"'),
        ("submit BTC/USDT buy 1 --strategy sweeep", 'did you mean "sweep"'),
        ("submit BTC/USDT buy 1 --set durration=5m", 'did you mean "duration"'),
        ("submit BTC/USDT buy 1 --set duration", "write --set name=value"),
        ("modify p1", "nothing to change"),
        ("recording check", "name at least one recording"),
        ("recording check nothing.gz", "there is no such file"),
        ("recording stats --simulate crypt", 'did you mean "crypto"'),
        ("recording stats --simulate crypto --duration soon", "--duration: 'soon' is no duration"),
        ("recording stats --simulate crypto --duration 0s", "must be longer than nothing"),
        ("recording stats day.rec --simulate crypto", "leave out the recordings"),
        ("retrace nowhere", "there is no such directory"),
        ("up --speed 3", "--speed needs --replay"),
        ("status --config nothing.toml", "cannot be read"),
        ("algos twpa", 'did you mean "twap"'),
    ],
)
def test_bad_usage_is_one_sentence_that_says_what_to_type(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("bestex: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("line", ["status", "submit BTC/USDT buy 1", "plan BTC/USDT buy 1", "audit", "watch"])
def test_a_bus_that_is_not_there_is_named_with_what_to_do(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"bestex: no bus at {NOWHERE}")
    assert "start one with `bestex up`" in said


def test_doctor_says_what_is_wrong_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["ok"]
    assert found["findings"][0]["remedy"]


def test_algorithms_are_listed_with_type_default_and_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["algos", "--json"]) == 0
    algos = json.loads(capsys.readouterr().out)
    assert {"market", "limit", "twap"} <= set(algos)
    interval = algos["twap"]["parameters"]["interval"]
    assert interval == {"type": "duration", "default": "10s", "text": "Time between slices."}
    assert run(["strategies", "--json"]) == 0
    assert {"sweep", "best_price"} <= set(json.loads(capsys.readouterr().out))


def test_a_simulated_day_has_the_same_table_as_a_recording(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["recording", "stats", "--simulate", "crypto", "--duration", "20s"]
    assert run([*line, "--json"]) == 0
    markets = json.loads(capsys.readouterr().out)["markets"]
    assert [market["symbol"] for market in markets] == ["BTC/USDT", "ETH/USDT"]
    assert [venue["venue"] for venue in markets[0]["venues"]] == ["sim_a", "sim_b", "sim_c", "sim_d"]
    assert all(venue["spread_bps"] > 0 for market in markets for venue in market["venues"])
    assert run([*line, "--json", "--seed", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["markets"] != markets
    assert run(line) == 0
    assert "spread, time-weighted, bps" in capsys.readouterr().out


def test_the_venues_own_best_prices_are_those_of_the_rebuilt_book(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recording", "check", str(data_dir / "binance" / "spot_btcusdt_20240808.gz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sequence_breaks"], found["crossed"]) == (0, 0)
    assert found["bbo_matched"] == found["bbo_checked"] > 0
