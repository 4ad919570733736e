"""A newcomer's algorithm: the template copied into a package of its own, and one line."""

from __future__ import annotations

import inspect
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bestex import messages as m
from bestex import names, plugins
from bestex.cli.main import run
from bestex.clock import SECOND
from bestex.errors import Code
from bestex.tickets import json_schema
from tests.unit.scheduler.play import Play

TEMPLATE = Path(__file__).resolve().parents[3] / "services" / "scheduler" / "algos" / "_template.py"


@pytest.fixture
def _patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "newcomer"
    package.mkdir()
    (package / "__init__.py").write_text("")
    text = TEMPLATE.read_text()
    (package / "patient.py").write_text(
        text.replace("Template", "Patient").replace('"template"', '"patient"')
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(plugins.ALGOS, "patient", "newcomer.patient:Patient")
    for name in ("newcomer", "newcomer.patient"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("_patient")
def test_its_orders_are_worked_to_their_end() -> None:
    play = Play()
    play.order("patient", "1", duration="60s", share="50%")
    play.to_end(100)
    assert play.done is not None
    assert (play.done.reason, play.done.cum_qty) == (Code.FILLED, Decimal(1))
    assert play.sizes[:3] == [50_000, 25_000, 12_500]
    assert sum(play.sizes) == 100_000


@pytest.mark.usefixtures("_patient")
def test_it_is_paused_modified_cancelled_and_killed_like_any_other() -> None:
    play = Play()
    play.order("patient", "1", duration="60s", share="10%", max_slice="0.05")
    play.until(SECOND // 4)
    play.request("pause")
    play.until(5 * SECOND)
    sent = len(play.sizes)
    play.request("resume")
    play.request("modify", qty="0.5")
    play = play.killed()
    play.until(5 * SECOND + SECOND // 4)
    assert len(play.sizes) > sent
    assert max(play.sizes) == 5_000
    play.request("cancel")
    play.to_end(100)
    assert play.done is not None
    assert play.done.reason is Code.CANCELED


@pytest.mark.usefixtures("_patient")
def test_what_it_refuses_is_refused_with_its_own_sentence() -> None:
    [answer] = Play().order("patient", "1", share="200%")
    assert isinstance(answer, m.ParentRejected)
    assert (answer.code, answer.text) == (
        Code.INVALID_PARAMETER,
        "share must be above 0% and at most 100%",
    )


@pytest.mark.usefixtures("_patient")
def test_commands_tickets_and_programs_know_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["algos"]) == 0
    assert "patient  Sends a fixed share of what is left" in capsys.readouterr().out
    assert run(["algos", "patient"]) == 0
    assert "How much of the rest each slice takes." in capsys.readouterr().out
    assert run(["schedule", "BTC/USDT", "buy", "1", "--algo", "patient", "--assume", "mid=60000"]) == 0
    assert "buy 1 BTC/USDT by patient" in capsys.readouterr().out
    assert json_schema("patient")["properties"]["params"]["properties"]["share"]["default"] == "25%"
    assert names.find("Patient").name == "patient"
    assert "share" in inspect.signature(names.find("execute_patient")).parameters
