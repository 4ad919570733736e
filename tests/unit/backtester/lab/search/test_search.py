"""Whole searches with the live code: what was planted is found, tested elsewhere, and survives `kill -9`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bestex import codec, fleet
from bestex.cli import main
from bestex.clock import SECOND
from bestex.errors import ConfigError, UsageError
from bestex.human import Duration
from services.backtester.lab.search import cases, report, run
from services.backtester.lab.search import spec as sp
from services.backtester.lab.search.result import SearchResult
from services.backtester.lab.search.storage import open_storage
from tests import waiting
from tests.unit.backtester.lab import moving

ROOT = Path(__file__).resolve().parents[5]
TRIALS, FOLDS = 10, 2
STARTED_S = 60.0  # for the first trials of a process of its own, on a machine under load


def fields(recording: Path, **more: Any) -> dict[str, Any]:
    return {
        "recordings": [str(recording)],
        "algo": ["market", "twap"],
        "symbol": "BTC/USDT",
        "side": "buy",
        "qty": ["0.5"],
        "duration": "2s",
        "warm_up": "1s",
        "every": "6s",
        "trials": TRIALS,
        "folds": FOLDS,
        "range": {"interval": "100ms:2s:log"},
        "only": ["interval"],
        "seed": 3,
        **more,
    }


def searched(spec: sp.Spec, folder: Path, jobs: int = 1) -> SearchResult:
    where = run.Where(folder / "cache", str(folder / "study.journal"), jobs)
    return run.search(spec, run.load(spec, where), where)


def same(one: SearchResult) -> dict[str, Any]:
    """All but how long it took, and where the recording was."""
    found: dict[str, Any] = json.loads(codec.to_json(one))
    del found["effort"], found["spec"]["recordings"]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def falling(folder: Path) -> Path:
    """Whoever waits buys cheaper."""
    return moving.write(folder / "falling.rec", seconds=120, steps=(0, 0, -5, -10))


@pytest.fixture(scope="module")
def found(falling: Path, folder: Path) -> SearchResult:
    return searched(sp.make(fields(falling), "test"), folder)


def test_where_prices_fall_a_buyer_is_told_to_wait_and_the_test_confirms_it(found: SearchResult) -> None:
    """The more parts an order has, the later it is filled on average."""
    for point in (*(fold.parameters for fold in found.folds), found.parameters):
        assert point["algo"] == "twap"
        assert Duration.parse(point["twap.interval"]) < Duration.parse("750ms")
    assert found.out_of_sample.high is not None
    assert found.out_of_sample.high < 0
    assert "are cheaper than the default" in report.verdict(found)
    [algo] = [one for one in found.stability if one.parameter == "algo"]
    assert (algo.agreement, algo.values) == (1.0, ["twap"] * FOLDS)


def test_a_study_of_something_else_is_refused_before_anything_is_worked(
    found: SearchResult, falling: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "evaluate", None)
    with pytest.raises(UsageError, match="another settings and another space"):
        searched(sp.make(fields(falling, name=found.study, set={"catch_up": "2"}), "test"), folder)


def test_what_is_said_of_a_fold_is_the_mean_of_its_tested_orders(found: SearchResult) -> None:
    assert found.cases == 18
    for fold in found.folds:
        rows = [row for row in found.tested if row.fold == fold.fold]
        assert [row.case for row in rows] == fold.test_cases
        assert fold.test_cost == pytest.approx(sum(row.fitted for row in rows) / len(rows))
        assert fold.test_default == pytest.approx(sum(row.default for row in rows) / len(rows))
        assert fold.train_cost <= fold.train_default + 1e-9, "the default is the first trial"
        assert fold.trials == TRIALS
    difference = [row.fitted - row.default for row in found.tested]
    assert found.out_of_sample.mean == pytest.approx(sum(difference) / len(difference))
    assert found.overfit == pytest.approx((found.out_of_sample.mean or 0) - found.in_sample)


def test_fitting_again_is_compared_with_fitting_once_where_both_were_tested(found: SearchResult) -> None:
    later = [row for row in found.tested if row.fold > 1]
    assert found.adaptive is not None
    assert found.adaptive.n == len(later)
    fixed = [row.fitted - (row.fixed or 0.0) for row in later]
    assert found.adaptive.mean == pytest.approx(sum(fixed) / len(fixed))
    assert [row.fixed for row in found.tested if row.fold == 1] == [
        row.fitted for row in found.tested if row.fold == 1
    ]


def test_a_result_names_its_data_its_code_and_its_seed(found: SearchResult, falling: Path) -> None:
    assert found.data == {"falling.rec": run.load(found.spec, where_of(falling)).sha256["falling.rec"]}
    assert (found.code, found.seed) == (fleet.build(), 3)
    assert found.space == ["algo=market,twap", "twap.interval=100ms:2s:log"]


def where_of(falling: Path) -> run.Where:
    return run.Where(falling.parent / "cache", "", 1)


def test_the_page_holds_everything_that_it_shows(found: SearchResult, tmp_path: Path) -> None:
    paths = report.write(found, tmp_path)
    assert [path.name for path in paths] == ["result.json", "search.png", "report.html"]
    html = paths[2].read_text()
    assert html.count("<img") == html.count('src="data:image/png;base64,') == 1
    assert "http" not in html.replace("http-equiv", "")
    assert report.verdict(found) in html
    assert json.loads(paths[0].read_bytes())["out_of_sample"]["mean"] == found.out_of_sample.mean


def test_a_search_that_is_killed_goes_on_and_finds_the_same_with_two_workers(
    found: SearchResult,
    falling: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The whole command, killed for real when some trials are told and others are at work."""
    arguments = [
        "lab", "search", str(falling), "--algo", "market,twap", "--symbol", "BTC/USDT", "--side", "buy",
        "--qty", "0.5", "--duration", "2s", "--warm-up", "1s", "--every", "6s", "--trials", str(TRIALS),
        "--folds", str(FOLDS), "--range", "interval=100ms:2s:log", "--only", "interval", "--seed", "3",
        "--out", "out", "--json",
    ]  # fmt: skip
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BESTEX")},
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
    }
    command = [sys.executable, "-c", "from bestex.cli.main import main; main()", *arguments]
    journal = tmp_path / "out" / "study.journal"
    first = subprocess.Popen(
        [*command, "--jobs", "1"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        asyncio.run(waiting.until(lambda: journal.exists() and told(journal) >= 4, STARTED_S))
    finally:
        first.kill()
        first.wait()
    done = told(journal)
    assert 4 <= done < TRIALS * (FOLDS + 1)
    monkeypatch.chdir(tmp_path)
    assert main.run([*arguments, "--jobs", "2"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    del outcome["effort"], outcome["spec"]["recordings"]
    assert outcome == {**same(found), "study": outcome["study"]}
    assert told(journal) == TRIALS * (FOLDS + 1), "none lost, none twice"
    assert proposed(journal) == proposed(folder / "study.journal")


def proposed(journal: Path) -> list[list[tuple[Any, ...]]]:
    """What each study asked for and was told, in order."""
    import optuna

    storage = open_storage(str(journal))
    names = sorted(optuna.get_all_study_names(storage))
    return [
        [(one.user_attrs, one.params, one.values, one.state) for one in study.trials]
        for study in (optuna.load_study(storage=storage, study_name=name) for name in names)
    ]


def told(journal: Path) -> int:
    """Trials that have ended: operation 6 of Optuna's journal sets a trial's state."""
    lines = [line for line in journal.read_text().splitlines() if line.endswith("}")]
    return sum(json.loads(line)["op_code"] == 6 for line in lines)


def test_a_synthetic_day_is_searched_without_a_recording(tmp_path: Path) -> None:
    text = (
        '[venues.sim_a]\nadapter = "sim"\n'
        '[instruments."X/Y"]\nprice_scale = 2\nqty_scale = 5\nstart_price = "60000"\n'
        '[instruments."X/Y".venues.sim_a]\ntick = "0.01"\nlot = "0.00001"\ntaker_bps = "1"\n'
    )
    more = {
        "recordings": [],
        "synthetic": "100s",
        "algo": ["twap"],
        "symbol": "X/Y",
        "trials": 2,
        "side": "both",
    }
    spec = sp.make(fields(Path(), **more, validation="purged"), "test")
    where = run.Where(tmp_path, str(tmp_path / "study.journal"), 1, config_text=text)
    result = run.search(spec, run.load(spec, where), where)
    assert result.adaptive is None
    assert {row.side for row in result.tested} == {"buy", "sell"}
    assert len(result.tested) == result.cases, "each is tested once"


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"recordings": []}, "not both"),
        ({"synthetic": "10m"}, "not both"),
        ({"qty": []}, "qty"),
        ({"qty": ["-1"]}, "above zero"),
        ({"trials": 1}, "trials"),
        ({"folds": 1}, "folds"),
        ({"duration": "0s"}, "longer than nothing"),
        ({"validation": "purged", "stretches": 2}, "walking forward only"),
        ({"name": "a/b"}, "name"),
        ({"trails": 10}, "trails"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(more: dict[str, Any], text: str, falling: Path) -> None:
    with pytest.raises(UsageError, match=text):
        sp.make(fields(falling, **more), "test")


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ({"symbol": "ETH/USDT"}, UsageError, "there is no ETH/USDT; there are BTC/USDT"),
        ({"duration": "110s"}, UsageError, "too short"),
        ({"every": "10ms"}, UsageError, "longer --every"),
        ({"folds": 12}, UsageError, "fewer --folds"),
        ({"set": {"randomize": 5}}, UsageError, "default parameters is refused, invalid_parameter"),
    ],
)
def test_data_that_do_not_suffice_are_named(
    more: dict[str, Any], error: type[Exception], text: str, falling: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=text):
        searched(sp.make(fields(falling, **more), "test"), tmp_path)


def test_where_nobody_says_how_often_some_thirty_orders_lie_over_all_of_the_recording(
    falling: Path, tmp_path: Path
) -> None:
    asked = {
        name: value for name, value in fields(falling, qty=["1", "2"], side="both").items() if name != "every"
    }
    spec = sp.make(asked, "test")
    dataset = run.load(spec, run.Where(tmp_path, "", 1))
    found = cases.make_cases(spec, dataset)
    assert 30 <= len(found) <= 32
    assert found[0].window.begin_ns == dataset.begin_ns
    assert found[-1].window.end_ns > dataset.end_ns - 5 * SECOND
    turns = [(case.side.value, int(case.qty)) for case in found[:5]]
    assert turns == [("buy", 1), ("sell", 1), ("buy", 2), ("sell", 2), ("buy", 1)]


def test_a_configuration_with_recordings_of_its_own_is_refused(falling: Path, tmp_path: Path) -> None:
    spec = sp.make(fields(falling), "test")
    text = run.load(spec, run.Where(tmp_path, "", 1)).config_text
    with pytest.raises(ConfigError, match="on the command line"):
        run.load(spec, run.Where(tmp_path, "", 1, config_text=f'{text}binance_perp = ["a.rec"]\n'))


def test_the_same_question_has_the_same_name_and_another_has_another(falling: Path, tmp_path: Path) -> None:
    spec = sp.make(fields(falling), "test")
    dataset = run.load(spec, run.Where(tmp_path, "", 1))
    name = run.study_name(spec, dataset)
    assert name.startswith("market-twap-")
    assert run.study_name(replace(spec, trials=500), dataset) == name, "it may go on for longer"
    assert run.study_name(replace(spec, seed=4), dataset) != name
    assert run.study_name(replace(spec, name="mine"), dataset) == "mine"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "deploy" / "studies").glob("*.toml")), ids=lambda path: path.stem
)
def test_every_study_of_the_deployment_can_be_read(path: Path) -> None:
    spec = sp.read(path)
    assert spec.name == path.stem
    assert spec.space().dimensions
    changed = sp.read(path, recordings=["a.rec"], synthetic=None, trials=400)
    assert (changed.recordings, changed.synthetic, changed.trials) == (["a.rec"], None, 400)


def test_a_study_that_is_not_there_is_named_with_those_that_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main.run(["lab", "study", "twap_place"]) == main.USAGE
    assert "post_or_cross, twap_pace" in capsys.readouterr().err
