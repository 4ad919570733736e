"""A user's first minutes at the command line: `bestex up` and what is typed beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bestex.bus_address import read_note
from tests.waiting import WAIT_S

READY_S_MAX = 40.0
COMMAND_S_MAX = 40.0
BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]


@dataclass
class Platform:
    folder: Path
    process: subprocess.Popen[str]
    status: dict[str, Any]
    environment: dict[str, str]

    def bestex(self, line: str) -> tuple[int, list[Any]]:
        """The exit code and the JSON lines of one command, typed without any address."""
        outcome = subprocess.run(
            [*BESTEX, *line.split(), "--json"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        return outcome.returncode, [json.loads(one) for one in outcome.stdout.splitlines()]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("up")
    environment = {key: value for key, value in os.environ.items() if key != "NATS_URL"}
    process = subprocess.Popen(
        [*BESTEX, "up", "--json"], stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    )
    assert process.stdout is not None
    status = json.loads(process.stdout.readline())
    yield Platform(folder, process, status, environment)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        assert process.wait(READY_S_MAX) == 0
    assert [service["pid"] for service in status["services"] if is_alive(service["pid"])] == []


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_up_says_one_line_for_each_service_and_where_the_bus_is(platform: Platform) -> None:
    assert {one["state"] for one in platform.status["services"]} == {"ready"}
    note = read_note(platform.folder / ".bestex")
    assert note is not None
    assert note.url == platform.status["url"]


def test_doctor_finds_all_well_without_an_address(platform: Platform) -> None:
    code, (found,) = platform.bestex("doctor")
    assert (code, found["ok"]) == (0, True), found


def test_a_plan_sums_to_what_was_asked(platform: Platform) -> None:
    code, (plan,) = platform.bestex("plan BTC/USDT buy 1")
    assert (code, plan["routed_qty"]) == (0, "1")
    assert sum(float(leg["qty"]) for leg in plan["legs"]) == pytest.approx(1)


def test_a_submitted_order_is_worked_to_its_end_with_its_costs(platform: Platform) -> None:
    line = "submit BTC/USDT buy 0.2 --algo twap --duration 3s --set interval=1s --set force_completion=true"
    code, lines = platform.bestex(f"{line} --wait")
    summary = lines[-1]
    assert summary["state"] == "done"
    assert summary["fill_rate"] > 0.99  # a rest below every venue's minimum stays
    assert code == (0 if summary["cum_qty"] == summary["qty"] else 1)
    assert isinstance(summary["arrival_slippage_bps"], float)
    _, (status,) = platform.bestex(f"status {summary['parent_id']}")
    assert status["state"] == "done"
    assert len(status["events"]) > 3


def test_a_mistaken_order_is_rejected_with_a_sentence_and_exit_code_2(platform: Platform) -> None:
    code, (answer,) = platform.bestex("submit NOPE/USDT buy 1")
    assert (code, answer["state"], answer["reason"]) == (2, "rejected", "unknown_symbol")


def test_a_working_order_takes_modify_and_cancel(platform: Platform) -> None:
    assert platform.bestex("submit ETH/USDT buy 3 --algo twap --duration 5m --id mine")[0] == 0
    assert platform.bestex("modify mine --qty 2")[0] == 0
    assert platform.bestex("cancel mine")[0] == 0
    deadline = time.monotonic() + COMMAND_S_MAX
    status: dict[str, Any] = {}
    while status.get("state") != "done" and time.monotonic() < deadline:
        _, (status,) = platform.bestex("status mine")
    assert (status["state"], status["reason"], status["qty"]) == ("done", "canceled", "2")
    code, (answer,) = platform.bestex("cancel mine")
    assert (code, answer["answer"], answer["code"]) == (2, "rejected", "too_late")


def test_an_order_is_explained_from_all_streams_in_the_order_of_time(platform: Platform) -> None:
    assert platform.bestex("submit BTC/USDT buy 0.3 --algo market --id told --wait")[0] == 0
    code, (story,) = platform.bestex("explain told")
    assert code == 0
    events = story["events"]
    assert [event["stream"] for event in events][:2] == ["ORDERS", "SCHED"]
    assert {event["stream"].split("_")[0] for event in events} >= {"ORDERS", "SCHED", "ROUTE", "EXEC"}
    assert [event["stored_at"] for event in events] == sorted(event["stored_at"] for event in events)
    assert platform.bestex("explain nobody")[0] == 2


def program(platform: Platform, text: str) -> subprocess.CompletedProcess[str]:
    """What a user's own program prints, started where the platform runs."""
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        cwd=platform.folder,
        env=platform.environment,
        timeout=COMMAND_S_MAX,
        check=False,
    )


def test_a_program_works_an_order_in_one_line_and_hears_the_market_meanwhile(platform: Platform) -> None:
    outcome = program(
        platform,
        "import json; from bestex.run import execute_twap; e = execute_twap('BTC/USDT', 'buy', '0.2', "
        "duration='4s', interval='1s', force_completion=True, parent_id='program'); "
        "print(json.dumps(e.summary('60000').as_dict()))",
    )
    assert outcome.returncode == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert (found["parent_id"], found["algo"], found["order_quantity"]) == ("program", "twap", "0.2")
    assert found["fill_rate"] > 0.99
    assert sum(float(fill["quantity"]) for fill in found["fills"]) == pytest.approx(
        float(found["total_quantity"])
    )
    assert found["num_slices"] >= 3
    prices = [found[name] for name in ("arrival_price", "interval_vwap", "interval_twap")]
    assert [float(price) for price in prices] == pytest.approx([float(found["avg_fill_price"])] * 3, rel=0.01)
    again = program(
        platform,
        "from bestex.run import execute_twap; e = execute_twap('BTC/USDT', 'buy', '0.2', duration='4s', "
        "interval='1s', force_completion=True, parent_id='program'); "
        "print(e.status.cum_qty, len(e.fills), e.interval_vwap)",
    )
    assert again.stdout.split() == [found["total_quantity"], str(found["num_fills"]), "None"], again.stderr


def test_a_program_whose_order_is_refused_learns_the_code(platform: Platform) -> None:
    outcome = program(
        platform,
        "import asyncio, bestex\n"
        "try: asyncio.run(bestex.execute_limit('BTC/USDT', 'buy', '1'))\n"
        "except bestex.OrderRejected as error: print(error.code, error.text)",
    )
    assert outcome.stdout.strip() == "missing_parameter limit needs a limit_price", outcome.stderr


def test_a_schedule_is_planned_on_the_live_market_and_sends_nothing(platform: Platform) -> None:
    before = len(platform.bestex("status --all")[1][0]["parents"])
    code, (planned,) = platform.bestex("schedule BTC/USDT buy 1 --algo twap --duration 10m")
    assert (code, planned["event"], planned["schedule"][-1][1]) == (0, "accepted", "1")
    assert float(planned["arrival_px"]) > 0
    assert platform.bestex("schedule BTC/USDT buy 1 --algo limit")[0] == 2
    assert len(platform.bestex("status --all")[1][0]["parents"]) == before


def test_a_day_of_volume_that_was_brought_is_in_the_plan(platform: Platform) -> None:
    rows = [f"2026-11-01T{minute // 60:02}:{minute % 60:02}:00Z,{1 + minute // 60}" for minute in range(1440)]
    (platform.folder / "day.csv").write_text("\n".join(["time,volume", *rows]))
    assert platform.bestex("volume import BTC/USDT day.csv")[0] == 0
    deadline = time.monotonic() + WAIT_S
    while platform.bestex("volume BTC/USDT")[0] != 0:  # until the recorder has passed it on
        assert time.monotonic() < deadline
    code, (planned,) = platform.bestex("schedule BTC/USDT buy 1 --algo vwap --duration 6h")
    assert code == 0
    assert "the volume profile of 1 day" in planned["reason"]


def test_what_became_of_a_plan_is_drawn_beside_it(platform: Platform) -> None:
    line = "submit BTC/USDT buy 0.2 --algo twap --duration 3s --set interval=1s --id drawn --wait"
    assert platform.bestex(line)[0] in (0, 1)
    code, (found,) = platform.bestex("schedule --parent drawn --html drawn.html")
    assert code == 0
    assert found["plans"][0][-1]["qty"] == 0.2
    assert found["filled"][-1]["qty"] > 0.1
    assert 'class="filled"' in (platform.folder / "drawn.html").read_text()
    assert platform.bestex("schedule --parent nobody")[0] == 2


def test_the_audit_finds_nothing(platform: Platform) -> None:
    code, (report,) = platform.bestex("audit")
    assert (code, report["anomalies"]) == (0, 0), report


def test_a_killed_service_is_started_again(platform: Platform) -> None:
    before = next(one["pid"] for one in platform.status["services"] if one["name"] == "router")
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + READY_S_MAX
    well = False
    while not well and time.monotonic() < deadline:
        _, (found,) = platform.bestex("doctor")
        routers = [one["text"] for one in found["findings"] if one["what"] == "router"]
        well = found["ok"] and not any(f"process {before}," in text for text in routers)
    assert well


def test_services_die_with_a_supervisor_that_is_killed(platform: Platform) -> None:
    platform.process.kill()
    platform.process.wait()
    deadline = time.monotonic() + READY_S_MAX
    pids = [service["pid"] for service in platform.status["services"]]
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, pids))
    assert read_note(platform.folder / ".bestex") is None
