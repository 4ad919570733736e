"""What `bestex bus init deploy/bus` makes, made once beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from bestex import bus_setup
from bestex import config as configuration

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def bus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = configuration.load(ROOT / "deploy" / "config" / "bestex.toml", {})
    return bus_setup.init(tmp_path_factory.mktemp("bus"), config, ("nats", "localhost")).folder
