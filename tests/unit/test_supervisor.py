from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from bestex import config
from bestex.bus_address import BusNote, find_url, note_path, read_note, remove_note, write_note
from bestex.errors import UsageError
from bestex.ports import free_port
from bestex.session import Options, prepare
from bestex.supervisor import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    STABLE_S,
    STAYS_DOWN,
    Child,
    Restarts,
    ServiceSpec,
    State,
    Supervisor,
    service_specs,
)

ALGOS = ("market", "twap")


def default() -> config.Config:
    return config.load(None, {})


def test_a_laptop_gets_one_process_of_each_kind() -> None:
    names = [spec.name for spec in service_specs(default(), ALGOS)]
    assert names == ["exchange", "collector", "aggregator", "router", "gateway", "scheduler", "recorder"]


def test_split_gives_each_venue_symbol_and_algorithm_a_process() -> None:
    specs = service_specs(default(), ALGOS, split=True)
    assert [s.names for s in specs if s.service == "gateway"] == [(v,) for v in default().enabled_venues()]
    assert [s.names for s in specs if s.service == "scheduler"] == [("market",), ("twap",)]
    assert [s.name for s in specs if s.service == "aggregator"] == [
        "aggregator-BTC-USDT",
        "aggregator-ETH-USDT",
    ]
    assert len({s.name for s in specs}) == len(specs)


def test_without_simulated_venues_there_is_no_exchange() -> None:
    real = config.load(None, {f"BESTEX__VENUES__{venue}__ADAPTER": "recording" for venue in default().venues})
    assert "exchange" not in [spec.name for spec in service_specs(real, ALGOS)]


@pytest.mark.parametrize(("mode", "is_there"), [("paper", True), ("live", False)])
def test_a_real_venue_needs_the_exchange_on_paper_alone(mode: str, is_there: bool) -> None:
    named = {f"BESTEX__VENUES__{venue}__ADAPTER": "ccxt" for venue in default().venues}
    real = config.load(None, named | {f"BESTEX__VENUES__{venue}__MODE": mode for venue in default().venues})
    assert ("exchange" in [spec.name for spec in service_specs(real, ALGOS)]) is is_there


def test_pauses_double_up_to_a_bound_and_are_forgiven_after_a_stable_life() -> None:
    restarts = Restarts()
    pauses = [restarts.next_pause_s(0.5) for _ in range(10)]
    assert pauses[:3] == [BACKOFF_S_MIN, 2 * BACKOFF_S_MIN, 4 * BACKOFF_S_MIN]
    assert pauses[-1] == BACKOFF_S_MAX
    assert restarts.next_pause_s(STABLE_S) == BACKOFF_S_MIN
    assert restarts.count == 11


@pytest.mark.parametrize("code", STAYS_DOWN)
async def test_whoever_says_that_a_person_must_look_stays_down_and_is_quoted(
    code: int, tmp_path: Path
) -> None:
    told: list[str] = []
    supervisor = Supervisor(default(), [], tmp_path, {}, nats_url="nats://127.0.0.1:9", tell=told.append)
    child = Child(ServiceSpec("router", "router"), tmp_path / "router.log")
    child.log_path.write_text("why it is so")
    child.process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"raise SystemExit({code})")
    await supervisor._keep(child)
    assert (child.state, child.restarts.count) == (State.DOWN, 0)
    assert told == [f"router {STAYS_DOWN[code]} and stays down: why it is so"]


def test_a_note_is_believed_only_while_its_writer_lives(tmp_path: Path) -> None:
    here = BusNote(url="nats://127.0.0.1:7", pid=1)
    write_note(tmp_path, here)
    assert read_note(tmp_path) == here
    dead = 2**22 + 1  # above the largest process id of Linux
    write_note(tmp_path, BusNote(url="nats://127.0.0.1:7", pid=dead))
    assert read_note(tmp_path) is None
    remove_note(tmp_path)
    assert not note_path(tmp_path).exists()


def test_the_bus_is_where_the_environment_says_else_the_note_else_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    loaded = config.load(None, {"BESTEX__DATA_DIR": str(tmp_path)})
    assert find_url(loaded) == loaded.bus.url
    write_note(tmp_path, BusNote(url="nats://127.0.0.1:7", pid=1))
    assert find_url(loaded) == "nats://127.0.0.1:7"
    monkeypatch.setenv("NATS_URL", "nats://elsewhere:4222")
    assert find_url(loaded) == "nats://elsewhere:4222"


def test_speed_needs_a_recording_and_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--replay"):
        prepare(Options(data_dir=tmp_path, speed=2))
    with pytest.raises(UsageError, match="above 0"):
        prepare(Options(data_dir=tmp_path, speed=0))


def test_a_session_keeps_everything_in_its_data_directory(tmp_path: Path) -> None:
    session = prepare(Options(data_dir=tmp_path, any_port=True))
    assert Path(session.config.data_dir) == tmp_path
    assert Path(session.config.recorder.database).parent == tmp_path
    assert session.environment["BESTEX__EXCHANGE__PORT"] == str(session.config.exchange.port)


def test_a_session_of_its_own_bus_takes_the_port_of_the_first_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_port()
    monkeypatch.setenv("BESTEX__BUS__URL", f"nats://127.0.0.1:{free},nats://127.0.0.1:1")
    assert prepare(Options(data_dir=tmp_path)).nats_port == free


def test_two_sessions_that_are_prepared_at_once_share_no_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTEX__BUS__URL", f"nats://127.0.0.1:{free_port()}")
    one, other = (prepare(Options(data_dir=tmp_path / name)) for name in ("one", "other"))
    ports = [one.nats_port, other.nats_port, one.config.exchange.port, other.config.exchange.port]
    assert len(set(ports)) == len(ports)


def test_beyond_loopback_the_bus_speaks_tls_and_on_it_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    here = prepare(Options(data_dir=tmp_path, any_port=True))
    assert here.setup is not None
    assert (here.setup.tls, here.config.bus.ca) == (False, "")
    assert here.config.bus.keys_dir == str(here.setup.keys_dir)
    abroad = prepare(Options(data_dir=tmp_path, any_port=True, host="10.1.2.3"))
    assert abroad.setup is not None
    assert abroad.setup.tls
    assert abroad.config.bus.ca == str(abroad.setup.ca)


def test_a_bus_that_runs_elsewhere_gets_no_keys_from_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:7")
    session = prepare(Options(data_dir=tmp_path, any_port=True))
    assert session.setup is None
    assert session.config.bus.keys_dir == ""


def test_importing_the_library_imports_nothing_heavy() -> None:
    code = "import bestex, sys; print(sorted({'nats', 'numpy', 'msgspec', 'asyncio'} & set(sys.modules)))"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
