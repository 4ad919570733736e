"""The whole platform, started once as a user starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]
STOP_SECONDS_MAX = 30


@dataclass(frozen=True)
class Platform:
    """`credentials` is the key file of the user; the other roles' are beside it."""

    url: str
    credentials: str
    data_dir: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`bestex up`, ready: four simulated venues, two symbols, a bus of its own."""
    data_dir = tmp_path_factory.mktemp("platform")
    process = subprocess.Popen(
        [*BESTEX, "up", "--data-dir", str(data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=data_dir,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "ctrl-C" in line:
            break
    else:
        pytest.fail(f"bestex up ended with {process.wait()}: {''.join(said)}")
    note = json.loads((data_dir / "bus.json").read_text())
    yield Platform(note["url"], note["credentials"], data_dir, process)
    process.terminate()
    assert process.wait(STOP_SECONDS_MAX) == 0
