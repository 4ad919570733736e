"""The fixtures that every test shares: a real bus, and the recorded market data."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bestex.server import NatsServer

ROOT = Path(__file__).resolve().parent.parent

# How fast inputs are made says something about the machine, which others use too, and nothing about the code.
settings.register_profile("bestex", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bestex")
# Of processes, of venues, and of what they do not say in time.
WAITING = frozenset({"contract", "e2e", "integration", "collector", "emulators"})
NATS_IMAGE = "nats:2.15-alpine"
NATS_PORT = 4222
ENGINE_SECONDS_MAX = 2  # a Docker engine that is there answers in milliseconds


def pytest_sessionstart(session: pytest.Session) -> None:
    """Of several workers each imports the tests from another place on, and keeps what it has compiled for the others:
    that takes longer than all else before the first test."""
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if worker is None or workers is None:
        return
    wanted = [ROOT / argument.partition("::")[0] for argument in session.config.args]
    paths = sorted(
        {path for one in wanted for path in (one, *one.rglob("test_*.py")) if path.suffix == ".py"}
    )
    first = len(paths) * int(worker.removeprefix("gw")) // int(workers)
    for path in paths[first:] + paths[:first]:
        with suppress(Exception):  # it is told where the tests are collected
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if {"nats_url", "nats_server"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("bus")
    items[:] = by_turns(items)


def by_turns(items: list[pytest.Item]) -> list[pytest.Item]:
    """A file of tests that mostly wait and one of tests that mostly work in turn, so that several workers neither all
    wait nor all work; each as they were within, and those of the many small files last."""
    files: dict[bool, dict[Path, list[pytest.Item]]] = {True: {}, False: {}}
    for item in items:
        waits = not WAITING.isdisjoint(item.path.relative_to(ROOT).parts)
        files[waits].setdefault(item.path, []).append(item)
    in_turn = zip_longest(files[False].values(), files[True].values(), fillvalue=())
    return [item for both in in_turn for one in both for item in one]


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real nats-server with JetStream, shared by all tests: a test uses symbols and ids of its own.

    NATS_URL's, else one in a container where a Docker engine answers, else the local binary.
    """
    if url := os.environ.get("NATS_URL"):
        yield url
        return
    container = start_container() if docker_answers() else None
    if container is not None:
        yield container.url
        container.stop()
        return
    server = NatsServer()
    yield server.start(tmp_path_factory.mktemp("nats"))
    server.stop()


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server of this test's own, running, for tests that kill and restart the bus."""
    server = NatsServer()
    server.start(tmp_path / "nats")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of recorded market data: $BESTEX_DATA, else beside the project."""
    folder = Path(os.environ.get("BESTEX_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no recorded market data: name its folder in BESTEX_DATA")
    return folder


@dataclass(frozen=True)
class Container:
    """A nats-server in a container: the part of NatsServer that `nats_url` needs."""

    url: str
    stop: Callable[[], None]


def docker_answers() -> bool:
    import docker  # costs a quarter of a second, which unit tests do not need

    try:
        client = docker.from_env(timeout=ENGINE_SECONDS_MAX)
    except docker.errors.DockerException:
        return False
    client.close()
    return True


def start_container() -> Container | None:
    """None, with a warning, where the engine cannot have the image or cannot run it."""
    from docker.errors import DockerException
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = (
        DockerContainer(NATS_IMAGE)
        .with_command(["nats-server", "--jetstream"])
        .waiting_for(LogMessageWaitStrategy("Server is ready"))
    )
    container.ports = {f"{NATS_PORT}/tcp": ("127.0.0.1",)}  # type: ignore[dict-item]  # loopback, any port
    try:
        container.start()
    except DockerException as error:
        container.stop()
        warnings.warn(f"no container of {NATS_IMAGE}, the local nats-server serves: {error}", stacklevel=1)
        return None
    return Container(f"nats://127.0.0.1:{container.get_exposed_port(NATS_PORT)}", container.stop)
