"""Worker processes: results in order, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bestex.errors import BestexError, UsageError
from services.backtester.lab.pool import Pool, jobs_of
from tests import waiting

ROOT = Path(__file__).resolve().parents[4]


def squared(number: int) -> int:
    """The later ones are done first."""
    time.sleep(0.02 * (4 - number % 5))
    return number * number


def killed(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refused(number: int) -> int:
    if number == 3:
        raise UsageError("three is too much")
    return number


def asleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def test_results_come_in_the_order_of_the_items_whatever_the_timing() -> None:
    counted: list[int] = []
    with Pool(2) as pool:
        assert pool.map(squared, range(10), lambda: counted.append(1)) == [n * n for n in range(10)]
        assert pool.map(squared, [7]) == [49], "it goes on"
    assert len(counted) == 10
    with Pool(1) as alone:
        assert alone.map(squared, [1, 2]) == [1, 4]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_raised_as_it_was(jobs: int) -> None:
    with Pool(jobs) as pool, pytest.raises(UsageError, match="three is too much"):
        pool.map(refused, range(10))


def test_a_worker_that_dies_is_an_error_and_never_silently_tried_again() -> None:
    with pytest.raises(BestexError, match="a worker process died"), Pool(2) as pool:
        pool.map(killed, range(10))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(number: signal.Signals, tmp_path: Path) -> None:
    """In the middle of what they do: after ctrl-C, which a terminal sends to all of them, and after a kill."""
    program = (
        "from services.backtester.lab.pool import Pool\n"
        "from tests.unit.backtester.lab.test_pool import asleep\n"
        "if __name__ == '__main__':\n"
        f"    with Pool(2) as pool:\n        pool.map(asleep, [{str(tmp_path)!r}] * 4)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    running = subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        asyncio.run(waiting.until(lambda: len(at_work(tmp_path)) == 2))
        workers = at_work(tmp_path)
        if number is signal.SIGINT:
            os.killpg(running.pid, number)
        else:
            running.kill()
        running.wait(30)
        asyncio.run(waiting.until(lambda: not any(is_alive(pid) for pid in workers)))
    finally:
        running.kill()
        _, told = running.communicate()
    if number is signal.SIGINT:
        assert told.count("Traceback") == 1, "the workers say nothing"
        assert "KeyboardInterrupt" in told


def at_work(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.iterdir() if path.name.isdigit()]


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_number_of_workers_is_asked_for_or_that_of_the_processors() -> None:
    assert jobs_of(3) == 3
    assert 1 <= jobs_of(0) <= (os.cpu_count() or 1)
    with pytest.raises(UsageError):
        jobs_of(-1)
