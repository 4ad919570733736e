import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nats
import pytest
from nats.js.api import StorageType

from bestex.errors import BusError
from bestex.server import NatsServer
from tests.conftest import ENGINE_SECONDS_MAX, docker_answers


async def store(url: str, text: str) -> None:
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="KEEP", subjects=["keep"], storage=StorageType.FILE)
    await jetstream.publish("keep", text.encode())
    await client.close()


async def last(url: str) -> str:
    client = await nats.connect(url)
    message = await client.jetstream().get_last_msg("KEEP", "keep")
    await client.close()
    return (message.data or b"").decode()


async def test_what_was_acknowledged_survives_a_kill(nats_server: NatsServer) -> None:
    url = nats_server.url
    await store(url, "a fill")
    nats_server.kill()
    assert not nats_server.is_running
    assert nats_server.restart() == url, "clients reconnect to the address they know"
    assert await last(url) == "a fill"


async def test_it_starts_anew_on_a_store_that_was_stopped_cleanly(nats_server: NatsServer) -> None:
    await store(nats_server.url, "a fill")
    nats_server.stop()
    nats_server.restart()
    assert await last(nats_server.url) == "a fill"


def test_two_servers_never_share_a_store(nats_server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(BusError, match=f"process {nats_server.pid}"):
        NatsServer().start(tmp_path / "nats")


def test_a_store_is_free_once_its_server_is_gone(nats_server: NatsServer, tmp_path: Path) -> None:
    nats_server.kill()
    successor = NatsServer()
    successor.start(tmp_path / "nats")
    successor.stop()


def test_it_listens_on_loopback_only(nats_server: NatsServer) -> None:
    assert nats_server.url.startswith("nats://127.0.0.1:")
    assert nats_server.monitor_url.startswith("http://127.0.0.1:")


def test_a_port_that_is_taken_is_refused_with_the_servers_own_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = NatsServer()
        with pytest.raises(BusError, match="address already in use"):
            server.start(tmp_path, taken.getsockname()[1])
    assert not server.is_running
    assert server.pid == 0


def test_stopping_what_does_not_run_does_nothing() -> None:
    NatsServer().stop()


def test_a_running_server_is_not_started_twice(nats_server: NatsServer, tmp_path: Path) -> None:
    with pytest.raises(BusError, match="running already"):
        nats_server.start(tmp_path / "other")


def test_the_store_stays_locked_when_the_process_that_started_the_server_is_gone(tmp_path: Path) -> None:
    starter = (
        "import os, sys; from bestex.server import NatsServer; server = NatsServer();"
        "server.start(sys.argv[1]); print(server.pid, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", starter, str(tmp_path)], stdout=subprocess.PIPE, timeout=30)
    orphan = int(done.stdout)
    try:
        with pytest.raises(BusError, match=f"process {orphan}"):
            NatsServer().start(tmp_path)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_no_engine_is_found_quickly_where_none_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    began = time.monotonic()
    assert not docker_answers()
    assert time.monotonic() - began < ENGINE_SECONDS_MAX + 1
