"""The whole comparison, on recordings and on the market model, as it is asked for on the command line."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bestex import messages as m
from bestex.cli.main import run
from bestex.clock import SECOND
from bestex.shortfall import PARTS
from services.backtester.lab import scenario as s
from services.backtester.lab import windows as w
from services.backtester.lab.compare.run import with_preset
from services.backtester.lab.compare.work import Job, work
from tests import waiting
from tests.unit.backtester.lab import moving
from tests.unit.backtester.lab.compare.test_charts import Page

ROOT = Path(__file__).resolve().parents[5]
SHORT = ("--duration", "2s", "--every", "4s", "--warm-up", "7s", "--side", "buy", "--sizes", "0.5")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of spot and of a perpetual that costs half the fee."""
    path = tmp_path_factory.mktemp("made") / "both.rec"
    return moving.write(path, markets=(moving.SPOT, moving.PERP))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is cut is kept below the working directory."""
    monkeypatch.chdir(tmp_path)


def compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["lab", "compare", *arguments, "--jobs", "1", "--out", "report", "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def overall(found: dict[str, Any]) -> dict[str, Any]:
    return {one["variant"]: one for one in found["analysis"]["overall"]["groups"][0]["figures"]}


def test_the_strategy_that_is_cheaper_is_found_and_what_is_the_same_is_the_same(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of it at twice the fee costs 2.5 bps more, whatever the market does meanwhile."""
    found = compare(
        capsys,
        str(recording),
        "--algos",
        "market,market:duration=3s",
        "--strategies",
        "lowest_fees,split_evenly",
        *SHORT,
        "--parents",
        "8",
    )
    variants = overall(found)
    same, dear = variants["market:duration=3s/lowest_fees"], variants["market/split_evenly"]
    assert (same["verdict"], same["difference_bps"]["mean"], same["difference_bps"]["high"]) == (
        "identical",
        0,
        0,
    )
    assert dear["verdict"] == "dearer"
    assert 0 < dear["difference_bps"]["low"] < dear["difference_bps"]["mean"]
    assert dear["parts_bps"]["fees"] - same["parts_bps"]["fees"] == pytest.approx(2.5, abs=0.2)
    assert dear["difference_bps"]["times"] == dear["n"] == 8
    assert found["headline"].startswith("market/split_evenly is dearer than market/lowest_fees by 2.")
    assert found["data"][0]["file"] == "both.rec"
    assert len(found["data"][0]["sha256"]) == 64
    assert (found["asked"]["seed"], found["asked"]["baseline"]) == (1, "market/lowest_fees")
    assert found["build"]

    kept = json.loads(Path("report/compare.json").read_text())
    assert {name: kept[name] for name in found if name != "files"} == {
        name: found[name] for name in found if name != "files"
    }
    for parent in kept["parents"]:
        parts = [Decimal(parent["costs"][part]) for part in PARTS]
        assert sum(parts) == Decimal(parent["costs"]["total"])

    page = Page()
    page.feed(Path("report/compare.html").read_text())
    assert page.open == []
    assert page.fetched == []
    for wanted in (
        found["headline"],
        found["data"][0]["sha256"],
        found["build"],
        "market/split_evenly",
        "By volatility",
    ):
        assert wanted in page.text


def test_on_the_market_model_every_start_is_a_market_of_its_own_and_the_same_ones_come_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = (
        "--simulate",
        "equity",
        "--symbol",
        "ETH/USDT",
        "--algos",
        "market,twap",
        "--parents",
        "2",
        *SHORT,
    )
    found = compare(capsys, *arguments)
    first = Path("report/compare.json").read_bytes()
    assert overall(found)["twap"]["n"] == 2
    kept = json.loads(first)
    assert len({parent["arrival_px"] for parent in kept["parents"]}) == 2
    assert 'preset = "equity"' in kept["config"]
    assert run(["lab", "compare", *arguments, "--jobs", "2", "--out", "report"]) == 0
    told = capsys.readouterr().out
    assert Path("report/compare.json").read_bytes() == first
    assert found["headline"] in told
    assert "report/compare.html" in told


def test_on_a_cut_of_the_recorded_evening(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, cut = data_dir / "binance" / "spot_btcusdt_20240808.gz", Path("spot_btcusdt_20240808.gz")
    with gzip.open(whole, "rt") as lines, gzip.open(cut, "wt", compresslevel=1) as out:
        end_ns = 0
        for line in lines:
            at_ns = int(line.partition(" ")[0])
            end_ns = end_ns or at_ns + 40 * SECOND
            if at_ns > end_ns:
                break
            out.write(line)
    found = compare(
        capsys, str(cut), "--algos", "market,twap", "--sizes", "0.5,3", "--duration", "5s", "--every", "6s",
        "--warm-up", "5s", "--side", "sell",
    )  # fmt: skip
    variants = overall(found)
    assert variants["twap"]["n"] == variants["market"]["n"] >= 8
    assert variants["market"]["parts_bps"]["fees"] == pytest.approx(10, rel=0.01), (
        "an ordinary account's on spot"
    )
    assert [group["label"] for group in found["analysis"]["by_size"]["groups"]] == ["0.5", "3"]


def test_the_total_is_the_lab_s_and_its_parts_are_told_apart(recording: Path, tmp_path: Path) -> None:
    """An order of which nothing is filled, and one of which all is."""
    dataset = w.prepare([recording], tmp_path / "cache")
    span = w.Span(dataset.begin_ns + 10 * SECOND, dataset.begin_ns + 25 * SECOND)
    [window] = w.windows(dataset, [span])
    away = {"algo": "limit", "limit_price": Decimal(50_000)}
    for qty, more in ((Decimal("1.5"), {"algo": "market"}), (Decimal("0.7"), away)):
        order = m.ParentOrder(symbol="BTC/USDT", side=m.Side.BUY, qty=qty, parent_id="p", **more)
        placed = s.Placed(order=order, at_ns=span.begin_ns + 5 * SECOND)
        scenario = s.Scenario(window=window, placed=(placed,), config_text=dataset.config_text)
        found = work(Job(variant="a", scenario=scenario))
        [outcome] = s.run(scenario)
        assert found.costs is not None
        assert found.costs.bps("total") == pytest.approx(s.cost_bps(outcome), abs=0.01)
        if more is away:
            assert found.fill_rate == 0
            assert {found.costs.spread, found.costs.fees, found.costs.impact, found.costs.timing} == {
                Decimal(0)
            }
            assert found.costs.opportunity == found.costs.total > 0
        else:
            assert found.fill_rate == 1
            assert found.costs.opportunity == 0
            assert min(found.costs.spread, found.costs.fees, found.costs.impact) > 0
            assert found.volatility_bps is None, "five seconds are four changes"


WRONG = [
    (["--algos", "twap,vwop"], "there is no 'vwop'"),
    (["--algos", "twap", "--strategies", "sweep,best"], "there is no 'best'"),
    (["--algos", "twap,twap:speed=3"], "twap has no parameter speed; it has"),
    (["--algos", "twap,twap:interval"], 'write a parameter as ":name=value"'),
    (["--algos", "twap,,market"], "write names with commas"),
    (["--algos", "twap"], '"twap" alone has nothing to be compared with'),
    (["--algos", "twap,twap"], '"twap" is named twice'),
    (
        ["--algos", "twap,market", "--baseline", "pov"],
        '--baseline "pov" is none of the combinations; they are twap, market',
    ),
    (["--algos", "twap,market", "--sizes", "0.000001"], "not a multiple of BTC/USDT's lot 0.00001"),
    (["--algos", "twap,market", "--sizes", "1,1"], "--sizes: 1 is named twice"),
    (["--algos", "twap,market", "--sizes", "1,x"], "write numbers with commas"),
    (["--algos", "twap,market", "--sizes", "-1"], "each must be above zero"),
    (["--algos", "twap,market", "--side", "up"], '--side "up": buy, sell or both'),
    (["--algos", "twap,market", "--symbol", "X/Y"], 'there is no symbol "X/Y"; there are BTC/USDT'),
    (["--algos", "twap,market", "--duration", "5 minutes"], "--duration: '5 minutes' is no duration"),
    (["--algos", "twap,market", "--every", "0s"], "--every: must be longer than nothing"),
    (["--algos", "twap,market", "--warm-up", "1s"], "--warm-up 1s: at least 3s"),
    (["--algos", "twap,market", "--level", "1"], "--level 1: from 0.5 to below 1"),
    (["--algos", "twap,market", "--parents", "0"], "--parents 0: at least 1"),
    (
        ["--algos", "twap,market", "--simulate", "crypto"],
        "name recordings, or a market model with --simulate",
    ),
    (["--algos", "twap,market", "--jobs", "-1"], "--jobs -1"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG)
def test_what_cannot_be_compared_is_told_in_a_sentence(
    recording: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--duration" not in arguments:
        arguments = [*arguments, "--duration", "5s"]
    assert run(["lab", "compare", str(recording), *arguments, "--out", "report"]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not Path("report").exists()


def test_a_recording_too_short_for_one_parent_says_what_one_needs(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["lab", "compare", str(recording), "--algos", "twap,market", "--out", "report"]) == 2
    assert "the recording is 60 s long, and one parent needs 5m35s" in capsys.readouterr().err


def test_a_file_that_is_no_recording_and_one_that_is_not_there_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("notes.txt").write_text("nothing of a market\n")
    for name in ("notes.txt", "gone.rec"):
        assert run(["lab", "compare", name, "--algos", "twap,market", "--out", "report"]) == 2
        told = capsys.readouterr().err
        assert name in told
        assert told.count("\n") == 1


def test_a_model_with_several_symbols_asks_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "compare", "--simulate", "crypto", "--algos", "twap,market", "--out", "report"]) == 2
    assert (
        "there are several symbols; name one with --symbol; there are BTC/USDT, ETH/USDT"
        in capsys.readouterr().err
    )
    assert run(["lab", "compare", "--simulate", "bonds", "--algos", "twap,market", "--out", "report"]) == 2
    assert "no market preset 'bonds'" in capsys.readouterr().err


def test_a_combination_that_no_order_gets_by_is_refused_with_the_venue_s_reason(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        str(recording),
        "--algos",
        "market,limit",
        *SHORT,
        "--parents",
        "1",
        "--jobs",
        "1",
        "--out",
        "report",
    ]
    assert run(["lab", "compare", *arguments]) == 2
    told = capsys.readouterr().err
    assert "limit: none of its 1 parents has a cost" in told
    assert "missing_parameter" in told


def test_the_preset_is_set_whatever_stood_there() -> None:
    own = '[venues.a]\nadapter = "sim"\n'
    assert with_preset(own, "equity").endswith('[exchange]\npreset = "equity"\n')
    there = with_preset(f'[exchange] # here\nseed = 4\npreset = "crypto"\n\n{own}', "equity")
    assert there == f'[exchange] # here\npreset = "equity"\nseed = 4\n\n{own}'


def test_ctrl_c_ends_it_and_its_workers(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    command = [
        sys.executable, "-c", "from bestex.cli.main import main; main()", "lab", "compare", "--simulate", "crypto",
        "--symbol", "BTC/USDT", "--algos", "twap,market", "--parents", "2000", "--jobs", "2", "--out", "report",
    ]  # fmt: skip
    running = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        asyncio.run(waiting.until(lambda: len(workers(running.pid)) == 2))
        started = workers(running.pid)
        os.killpg(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130
    assert told == ""
    asyncio.run(waiting.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started)))
    assert not (tmp_path / "report").exists()


def workers(pid: int) -> list[int]:
    """Processes that it spawned and that are at work: from then on they leave ctrl-C to it."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command, status = Path(f"/proc/{child}/cmdline"), Path(f"/proc/{child}/status")
        try:
            ignored = int(status.read_text().partition("SigIgn:")[2].split()[0], 16)
            if "spawn_main" in command.read_text() and ignored >> (signal.SIGINT - 1) & 1:
                found.append(int(child))
        except (OSError, IndexError):
            continue  # it has ended meanwhile
    return found
