"""The demonstration in small: every service as a process of its own, one of them killed midway."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DEMO_S_MAX = 60.0  # it takes about fifteen; a machine under load takes longer


@pytest.mark.parametrize(
    "victim", ["gateway", *(pytest.param(one, marks=pytest.mark.campaign) for one in ("router", "scheduler"))]
)
def test_every_parent_ends_and_no_promise_is_broken_though_a_service_is_killed(victim: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NATS_URL"}
    demo = subprocess.run(
        [sys.executable, "-m", "bestex.demo", "--small", "--kill", victim],
        capture_output=True,
        text=True,
        timeout=DEMO_S_MAX,
        env={**environment, "COLUMNS": "200"},
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert f"killed {victim}" in demo.stdout
    assert f"6 of 6 parents ended, {victim} was killed and restarted, 0 anomalies" in demo.stdout
