from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from rich.console import Console

from bestex import plugins
from bestex.cli import common
from bestex.cli.common import PIPE_COLUMNS_MIN, console, figure, losses_told
from bestex.cli.main import _COMMANDS, run
from bestex.cli.show import parents_table
from bestex.errors import Code
from bestex.messages import Side
from bestex.status import ParentStatus, State

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
        ("submit BTC/USDT buy nan", '"nan" is not finite'),
        ("submit BTC/USDT buy 0", "0 must be above zero"),
        ("submit BTC/USDT buy 1 --limit -5", "-5 must be above zero"),
        ("submit BTC/USDT buy 1 2 3", "there is no place for 2 3 (see `bestex submit --help`)"),
        ("submit BTC/USDT buy 1 --venues sim_a,", "write names with commas between them"),
        ("submit BTC/USDT buy", "QTY requires an argument"),
        ("submit BTC/USDT buy 1 --algo twpa", 'did you mean "twap"'),
        ("submit BTC/USDT buy 1 --strategy sweeep", 'did you mean "sweep"'),
        ("submit BTC/USDT buy 1 --set durration=5m", 'did you mean "duration"'),
        ("submit BTC/USDT buy 1 --set duration", "write --set name=value"),
        ("submit BTC/USDT buy 1 --route max_splits", "write --route name=value"),
        (
            "submit BTC/USDT buy 1 --route max_split=1",
            'no parameter of sweep "max_split"; did you mean "max_splits"',
        ),
        ("strategies best_liqidity", 'did you mean "best_liquidity"'),
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
        ("algos foo", f'there is no algorithm "foo"; there are {", ".join(sorted(plugins.ALGOS))}'),
        ("record x.rec --symbol BTC/USD", 'did you mean "BTC/USDT"'),
        ("record x.rec --seconds -1", "must be above 0"),
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


def test_a_directory_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["up", "--data-dir", str(tmp_path / "file" / "data")]) == 1
    assert capsys.readouterr().err == f"bestex: {tmp_path}/file/data: Not a directory\n"


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
    assert interval == {"type": "duration", "range": "", "default": "10s", "text": "Time between slices."}


def test_every_parameter_of_every_strategy_has_its_type_and_a_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["strategies", "--json"]) == 0
    strategies = json.loads(capsys.readouterr().out)
    assert list(strategies) == sorted(plugins.STRATEGIES)
    for name, entry in strategies.items():
        assert entry["text"].endswith("."), name
        assert {"include_spot", "max_slippage_percent", "max_splits"} <= set(entry["parameters"])
        for parameter, described in entry["parameters"].items():
            assert described["type"], (name, parameter)
            assert described["text"].endswith("."), (name, parameter)


@pytest.mark.parametrize(
    ("parameter", "kind", "bounds", "default"),
    [
        ("include_perp", "bool", "", "True"),
        ("price_levels", "int", "0 or more, at most 1000", "0"),
        ("max_slippage_percent", "float", "0 or more, below 100", ""),
        ("max_volume_pct", "ratio", "above 0%, at most 100%", "100%"),
        ("min_split_size", "decimal", "0 or more", "0"),
        ("liquidity_type", "base or quote", "", "base"),
        ("min_liquidity_percent", "float", "0, or from 1 to 100", "0"),
    ],
)
def test_a_strategy_by_name_shows_what_each_parameter_may_be(
    parameter: str, kind: str, bounds: str, default: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["strategies", "split_by_liquidity", "--json"]) == 0
    described = json.loads(capsys.readouterr().out)["split_by_liquidity"]["parameters"][parameter]
    assert (described["type"], described["range"], described["default"]) == (kind, bounds, default)


def test_the_list_of_strategies_is_one_line_each_and_one_of_them_is_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["strategies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(plugins.STRATEGIES)
    assert run(["strategies", "sweep"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sweep  ")
    assert "max_price_impact_percent" in shown


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


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        ("60024.2734614", "60024.2735"),
        ("120040.147404984752", "120040.1474"),
        ("0.000012345678949", "0.000012345679"),
        ("1.00", "1"),
        ("123456789012", "123456789012"),
        ("0", "0"),
    ],
)
def test_a_shown_figure_keeps_what_can_be_read(exact: str, shown: str) -> None:
    assert figure(Decimal(exact)) == shown


def test_a_figure_that_is_not_there_is_empty() -> None:
    assert figure(None) == ""


def test_a_pipe_is_as_wide_as_a_table_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == PIPE_COLUMNS_MIN
    monkeypatch.setenv("COLUMNS", "200")
    assert console().width == 200


def test_what_users_wrote_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("[/red] [bold]")
    assert capsys.readouterr().out == "[/red] [bold]\n"


async def test_a_bus_that_stays_away_is_told_once_and_its_return_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Connection:
        is_connected = True

    async def until_told(text: str) -> str:
        said = ""
        async with asyncio.timeout(5):
            while text not in said:
                await asyncio.sleep(0)
                said += capsys.readouterr().err
        return said

    monkeypatch.setattr(common, "LOSS_S", 0.001)
    connection = Connection()
    async with losses_told(connection):  # type: ignore[arg-type]
        connection.is_connected = False
        assert (await until_told("lost")).startswith("bestex: the bus is lost, waiting for it")
        connection.is_connected = True
        assert await until_told("back") == "bestex: the bus is back\n"


@pytest.mark.parametrize("width", [80, PIPE_COLUMNS_MIN])
def test_a_parent_is_one_line_of_the_table_on_a_terminal_of(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ParentStatus(
        parent_id="k3j9d0a7c1e5g2h4",
        symbol="BTC/USDT",
        state=State.DONE,
        side=Side.SELL,
        algo="market",
        qty=Decimal("12.00001"),
        cum_qty=Decimal("11.00001"),
        avg_px=Decimal("60024.2734614"),
        fees=Decimal("1234.5678901"),
        reason=Code.CANCELED,
    )
    out = Console(width=width)
    out.print(parents_table([one], out))
    (line,) = [text for text in capsys.readouterr().out.splitlines() if "k3j9d0a7c1e5g2h4" in text]
    for part in ("BTC/USDT", "sell", "12.00001", "11.00001", "60024.2735", "canceled"):
        assert part in line


def test_a_reader_who_had_enough_of_a_pipe_is_no_error() -> None:
    code = """
from bestex.cli.common import console
from bestex.cli import main, show

def chatter(*args, **kwargs):
    out = console()
    while True:
        out.print("a line")

show.status = chatter
raise SystemExit(main.run(["status"]))
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "a line\n"
    writer.stdout.close()
    assert writer.stderr is not None
    assert (writer.stderr.read(), writer.wait(10)) == ("", 0)
