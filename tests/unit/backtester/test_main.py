"""The backtester as a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.backtester import recorded

ROOT = Path(__file__).resolve().parents[3]
ORDERS: list[dict[str, Any]] = [
    {
        "after": "3s",
        "order": {
            "symbol": "BTC/USDT",
            "side": "buy",
            "qty": "7",
            "algo": "twap",
            "parent_id": "a",
            "params": {"duration": "20s", "interval": "5s"},
        },
    },
    {
        "after": "3s",
        "cancel_after": "9s",
        "order": {"symbol": "BTC/USDT", "side": "sell", "qty": "1", "algo": "twap", "parent_id": "b"},
    },
    {"order": {"symbol": "BTC/USDT", "side": "sell", "qty": "-1", "algo": "market", "parent_id": "c"}},
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    command = [sys.executable, "-m", "services.backtester", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.json"
    path.write_text(json.dumps(ORDERS))
    return path


def test_orders_of_a_file_are_worked_on_a_recording(orders: Path, tmp_path: Path) -> None:
    recording = recorded.write(tmp_path / "made.rec")
    done = run(str(orders), "--recording", str(recording), "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["ended"], outcome["anomalies"]) == (True, 0)
    found = {parent["parent_id"]: parent for parent in outcome["parents"]}
    assert (found["a"]["reason"], found["b"]["reason"], found["c"]["code"]) == (
        "filled",
        "canceled",
        "invalid_qty",
    )
    assert outcome["fills"] > 0


def test_without_a_recording_the_market_model_trades_and_people_can_read_it(orders: Path) -> None:
    done = run(str(orders), "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "a BTC/USDT filled: 7 filled at " in done.stdout
    assert "0 anomalies" in done.stdout


def test_a_file_that_is_no_list_of_orders_is_named(tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_text('[{"order": {"side": "up"}}]')
    done = run(str(tmp_path / "orders.json"))
    assert (done.returncode, "orders.json" in done.stderr, "Traceback" in done.stderr) == (2, True, False)
