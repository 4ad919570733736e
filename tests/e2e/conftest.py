"""The whole platform, started once as a user starts it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bestex import bus_keys, rights
from bestex.audit import AuditReport, run_audit
from bestex.bus_access import Access

BESTEX = [sys.executable, "-c", "from bestex.cli.main import main; main()"]
STOP_SECONDS_MAX = 30


@dataclass(frozen=True)
class Platform:
    """`credentials` is the key file of the user; the other roles' are beside it."""

    url: str
    credentials: str
    data_dir: Path
    process: subprocess.Popen[str]

    async def audit(self, *, complete: bool = False) -> AuditReport:
        key = bus_keys.key_path(Path(self.credentials).parent, rights.MONITOR)
        monitor = Access(self.url, rights.MONITOR, key)
        return await run_audit(monitor, journals=self.data_dir / "exchange", complete=complete)


@pytest.fixture(scope="package")
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
    started = Platform(note["url"], note["credentials"], data_dir, process)
    yield started
    report = asyncio.run(started.audit(complete=True))
    process.terminate()
    assert process.wait(STOP_SECONDS_MAX) == 0
    assert report.ok, report.text()


@pytest.fixture(autouse=True)
async def every_test_ends_in_an_audit(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Of the platform as it runs; those that bring a platform of their own audit that."""
    started = request.getfixturevalue("platform") if "platform" in request.fixturenames else None
    yield
    if started is not None:
        report = await started.audit()
        assert report.ok, report.text()
