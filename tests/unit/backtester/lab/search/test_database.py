"""Studies in a database: several machines share them, and none of their trials is lost or counted twice."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bestex.cli import main
from bestex.errors import BestexError, UsageError
from bestex.ports import free_port
from services.backtester.lab.search import database, run, trials
from services.backtester.lab.search import spec as sp
from services.backtester.lab.search import storage as st
from tests import waiting
from tests.unit.backtester.lab import moving
from tests.unit.backtester.lab.search import planted
from tests.unit.backtester.lab.search.planted import STUDY, History, Stopped, history, open_study, work
from tests.unit.backtester.lab.search.postgres import PASSWORD, USER, Postgres, missing

COUNT = 18  # trials: more than two batches, and modelled ones among them


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    if reason := missing():
        pytest.skip(reason)
    postgres = Postgres()
    try:
        postgres.create()
        yield postgres
    finally:
        postgres.remove()


numbers = itertools.count()


@pytest.fixture
def where(server: Postgres) -> str:
    """A database without tables."""
    name = f"studies_{next(numbers)}"
    server.do(f"CREATE DATABASE {name}")
    return server.url(name)


@pytest.fixture(scope="module")
def in_a_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[trials.Found, History]:
    path = str(tmp_path_factory.mktemp("file") / "study.journal")
    return work(path, count=COUNT), history(path)


def test_a_worker_alone_finds_in_postgresql_what_it_finds_in_a_file_though_the_server_ends_in_between(
    in_a_file: tuple[trials.Found, History], where: str, server: Postgres, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BestexError, match="the same command goes on") as caught:
        work(where, Stopped(130, server.stop), count=COUNT)
    assert not isinstance(caught.value, UsageError)
    assert PASSWORD not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
    server.start()
    assert 0 < sum(state != "RUNNING" for *_, state, _ in history(where)) < COUNT
    assert work(where, count=COUNT) == in_a_file[0]
    assert history(where) == in_a_file[1], "no trial lost, none counted twice"


def test_another_database_keeps_a_study_as_a_file_does(
    in_a_file: tuple[trials.Found, History], tmp_path: Path
) -> None:
    class Killed(Exception):
        """Stands for the end of the process."""

    def die() -> None:
        raise Killed

    path = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(Killed):
        work(path, Stopped(50, die), count=11)
    work(path, count=11)
    assert history(path) == in_a_file[1][:11]


@pytest.fixture(scope="module")
def machine() -> Callable[..., BaseProcess]:
    """Starts one: a process of its own, forked from one that has read all modules before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", planted.__name__, "optuna", "psycopg", "alembic.command"])

    def start(*arguments: object) -> BaseProcess:
        process = context.Process(target=planted.main, args=tuple(map(str, arguments)))
        process.start()
        return process

    return start


def test_two_machines_share_a_study_and_one_of_them_is_killed_and_started_again(
    machine: Callable[..., BaseProcess], where: str, tmp_path: Path
) -> None:
    """Both begin at once in a database without tables. One stands still in its first batch, and the other is killed
    in its second one."""
    count = 3 * trials.BATCH
    said, go_on, never = [tmp_path / "first", tmp_path / "second"], tmp_path / "go-on", tmp_path / "never"
    running = [machine(where, 0, count, 50, said[0], go_on), machine(where, 1, count, 110, said[1], never)]
    first, second = running
    try:

        def both() -> bool:
            assert first.is_alive()
            assert second.is_alive()
            return all(path.exists() for path in said)

        asyncio.run(waiting.until(both))
        second.kill()
        second.join()
        before = attempts(where)
        ended = {place: one for place, one in before.items() if one[1] != "RUNNING"}
        left = {place: one for place, one in before.items() if one[1] == "RUNNING"}
        assert {worker for worker, _ in ended} == {1}
        assert {worker for worker, _ in left} == {0, 1}
        again = machine(where, 1, count)
        running.append(again)
        go_on.touch()
        for one in (first, again):
            one.join(waiting.WAIT_S)
            assert one.exitcode == 0
    finally:
        for one in running:
            one.kill()
            one.join()
    after = attempts(where)
    assert all(state != "RUNNING" for _, state, _ in after.values())
    assert count <= len(after) < count + trials.BATCH, "no more than the batches that were at work"
    assert {place: after[place] for place in ended} == ended, "what was told is told once"
    assert {place: after[place][0] for place in left} == {place: one[0] for place, one in left.items()}
    drawn = [json.dumps(params) for params, *_ in after.values()]
    assert len(set(drawn)) == len(drawn), "nobody repeats what another has tried"
    for worker in (0, 1):
        positions = sorted(position for of, position in after if of == worker)
        assert positions == list(range(len(positions)))


def attempts(where: str) -> dict[tuple[int, int], tuple[Any, str, Any]]:
    """Parameters, state and value by worker and position. AssertionError where two trials have the same."""
    there = open_study(where).trials
    found = {
        (one.user_attrs["worker"], one.user_attrs["position"]): (one.params, one.state.name, one.value)
        for one in there
    }
    assert len(found) == len(there)
    return found


def test_a_second_process_under_the_same_number_is_refused_at_once(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "HELD_WAIT_S", 0.05)
    with st.alone(where, STUDY, 0):
        with pytest.raises(UsageError, match="as worker 0") as caught, st.alone(where, STUDY, 0):
            pass
        with st.alone(where, STUDY, 1), st.alone(where, "another", 0):
            pass
    with st.alone(where, STUDY, 0):
        pass
    assert PASSWORD not in str(caught.value)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving.write(tmp_path_factory.mktemp("recording") / "moving.rec", seconds=86)


def test_a_search_with_the_live_code_is_kept_whole_and_another_machine_finds_all_of_it_done(
    recording: Path, where: str
) -> None:
    asked = {
        "recordings": [str(recording)],
        "algo": ["twap"],
        "symbol": "BTC/USDT",
        "qty": ["0.5"],
        "duration": "1s",
        "warm_up": "1s",
        "every": "6s",
        "trials": 2,
        "folds": 2,
        "validation": "purged",
        "only": ["interval"],
        "range": {"interval": "100ms:900ms"},
    }
    found = []
    for worker in (0, 1):
        place = run.Where(recording.parent / "cache", where, 1, worker)
        spec = sp.make(asked, "test")
        found.append(replace(run.search(spec, run.load(spec, place), place), effort=None))
    assert found[0] == found[1]
    assert [fold.trials for fold in found[0].folds] == [2, 2]


@pytest.fixture
def command(
    recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The whole command, here; its exit code and what it says."""
    monkeypatch.chdir(recording.parent)
    arguments = [
        "lab", "search", recording.name, "--algo", "twap", "--symbol", "BTC/USDT", "--qty", "0.5",
        "--duration", "10s", "--only", "interval", "--jobs", "1", "--json",
    ]  # fmt: skip

    def do(*more: str) -> tuple[int, str, str]:
        code = main.run([*arguments, *more])
        told = capsys.readouterr()
        return code, told.out, told.err

    return do


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda server: server.url("postgres", password=f"{PASSWORD}-no"), "password authentication failed"),
        (lambda server: server.url("nowhere"), 'database "nowhere" does not exist'),
        (lambda server: server.url("postgres", "guest", PASSWORD), "permission denied"),
        (lambda _: f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{free_port()}/x", "Connection refused"),
        (lambda _: f"postgresql://{USER}:{PASSWORD}@studies.invalid/x", "failed to resolve host"),
        (lambda _: f"postgresql://{USER}:{PASSWORD}@127.0.0.1:port/x", "no URL such as"),
        (lambda _: f"postgresql://{USER}:a@{PASSWORD}@127.0.0.1/x", "write %40"),
        (lambda _: f"postgresql://127.0.0.1/x?user={USER}&password=a@{PASSWORD}", "write %40"),
        (lambda _: f"postgresq://{USER}:{PASSWORD}@127.0.0.1/x", "no such kind of database"),
        (lambda _: "sqlite:////nowhere/study.db", "unable to open database file"),
    ],
    ids=["password", "database", "rights", "server", "name", "port", "at", "query", "kind", "folder"],
)
def test_a_database_that_cannot_be_used_is_a_sentence_without_its_password(
    make: Callable[[Postgres], str],
    text: str,
    server: Postgres,
    command: Callable[..., tuple[int, str, str]],
) -> None:
    where = make(server)
    if "guest" in where:
        server.do(f"CREATE USER guest PASSWORD '{PASSWORD}'")
    code, out, err = command("--storage", where)
    assert (code, out) == (main.USAGE, "")
    assert text in err
    assert err.count("\n") == 1
    assert PASSWORD not in err
