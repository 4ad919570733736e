"""`bestex impact`: what it prints is a table, JSON or a configuration, and a mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bestex import config
from bestex.cli.main import run
from bestex.errors import ConfigError
from bestex.recording import RecordingWriter
from tests.unit.backtester.recorded import write

DEFAULT = (Path(config.__file__).parent / "default.toml").read_text()
SIMULATED = ["impact", "calibrate", "--simulate", "crypto", "--duration", "90s", "--symbol", "BTC/USDT"]
DAY = '[impact."BTC/USDT"]\ndaily_volume = "10000"\ndaily_volatility = "2%"\n'


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_calibration_can_be_used_as_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SIMULATED, "--toml"]) == 0
    path = tmp_path / "mine.toml"
    path.write_text(DEFAULT + capsys.readouterr().out)
    assert run(["impact", "estimate", "BTC/USDT", "25", "--config", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    settings = config.load(path).impact["BTC/USDT"]
    assert settings.daily_volume is not None
    assert found["share"] == pytest.approx(25 / float(settings.daily_volume))
    assert {part["venue"] for part in found["venues"]} == set(settings.venues)
    assert sum(float(part["qty"]) for part in found["venues"]) == pytest.approx(25)
    moves = [part["peak_bps"] for part in found["venues"]]
    assert moves == pytest.approx([moves[0]] * 4, rel=1e-3)
    assert found["at_once_bps"] == pytest.approx(moves[0], rel=1e-3)


def test_a_calibration_as_json_says_figures_and_refusals_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SIMULATED, "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)["calibrations"]
    assert found["together"]["prefactor"]["type"] == "figure"
    assert found["venues"][0]["half_life_s"]["type"] == "refused"
    assert found["venues"][0]["half_life_s"]["why"] == "too_few"


def test_a_quiet_recording_is_refused_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "quiet.rec", seconds=20)
    assert run(["impact", "calibrate", str(path), "--symbol", "BTC/USDT"]) == 1
    shown = capsys.readouterr().out
    assert "19 buckets with taker flow; 60 are the least" in " ".join(shown.split())
    assert "BTC/USDT:USDT" not in shown


def test_a_recording_of_nothing_is_refused_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RecordingWriter(tmp_path / "empty.rec", "nothing"):
        pass
    assert run(["impact", "calibrate", str(tmp_path / "empty.rec")]) == 1
    assert "there is no market in what was recorded" in capsys.readouterr().err


def test_an_order_is_estimated_by_the_configured_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(DEFAULT + DAY)
    line = ["impact", "estimate", "BTC/USDT", "100", "--duration", "1d", "--config", str(path)]
    assert run([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["peak_bps"] == pytest.approx(200 * 0.1)
    assert found["cost_bps"] == pytest.approx(200 * 0.1 * 2 / 3)
    assert found["temporary_bps"] == pytest.approx(0.142 * 200 * 0.01**0.6)
    assert run([*line, "--volume", "40000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["peak_bps"] == pytest.approx(10)
    assert run(line) == 0
    assert "is 1.000% of a day's volume and moves the price 20.00 bps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("calibrate", "name at least one recording"),
        ("calibrate nothing.rec", "there is no such file"),
        ("calibrate nothing.rec --simulate crypto", "leave out the recordings"),
        ("calibrate --simulate crypt", 'did you mean "crypto"'),
        ("calibrate --simulate crypto --bucket 150ms", "must be a multiple of 100ms"),
        ("calibrate --simulate crypto --bucket 0s", "--bucket: must be longer than nothing"),
        ("calibrate --simulate crypto --day soon", "--day: 'soon' is no duration"),
        ("calibrate --simulate crypto --toml --json", "choose one"),
        ("calibrate --simulate crypto --duration 2s --symbol BTC/USD", 'did you mean "BTC/USDT"'),
        ("estimate BTC/USD 1", 'did you mean "BTC/USDT"'),
        ("estimate BTC/USDT -1", "must be above zero"),
        ("estimate BTC/USDT 1", "give --volume and --volatility"),
        ("estimate BTC/USDT 1 --volume 5 --volatility much", "--volatility: 'much' is no ratio"),
        ("estimate BTC/USDT 1 --volume 5 --volatility 0%", "must be above 0%"),
    ],
)
def test_bad_usage_is_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["impact", *line.split()]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        ('[impact."BTC/USD"]', "impact.BTC/USD: no such instrument; there are BTC/USDT, ETH/USDT"),
        ('[impact."BTC/USDT".venues.sim_x]\ndepth = "1"', "venues.sim_x: there is no sim_x"),
        ('[impact."BTC/USDT"]\nprefactor = 0', "prefactor"),
        ('[impact."BTC/USDT"]\nprefactor = nan', "prefactor"),
        ('[impact."BTC/USDT"]\nprefaktor = 1', "prefaktor"),
        ('[impact."BTC/USDT"]\ndaily_volume = "0"', "impact.BTC/USDT.daily_volume: 0 must be above zero"),
        ('[impact."BTC/USDT"]\ndaily_volume = "NaN"', "daily_volume"),
        ('[impact."BTC/USDT"]\ndaily_volatility = "2000%"', "at most 1000%"),
        ('[impact."BTC/USDT"]\nhalf_life = "0s"', "half_life: must be longer than nothing"),
        ('[impact."BTC/USDT".venues.sim_a]\ndepth = "0"', "venues.sim_a.depth: 0 must be above zero"),
        ('[impact."BTC/USDT".venues.sim_a]\ndepth = "NaN"', "depth"),
        ('[impact."BTC/USDT".venues.sim_a]\ndepth = "1"\nhalf_life = "0s"', "sim_a.half_life"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(section: str, wrong: str) -> None:
    with pytest.raises(ConfigError, match="impact") as caught:
        config.parse(f"{DEFAULT}\n{section}\n")
    assert wrong in str(caught.value)
