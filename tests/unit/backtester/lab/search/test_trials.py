"""Trials are the same whatever the workers and the kills, and find what was planted. Costs are made up here."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bestex.errors import UsageError
from bestex.human import Duration
from services.backtester.lab.pool import Pool
from services.backtester.lab.search import storage as st
from services.backtester.lab.search import trials
from services.backtester.lab.search.cases import Score, Task
from services.backtester.lab.search.space import Space, make_space

CASES = tuple(range(10))
BEST_S = 3.0
TRIALS = 36


def space() -> Space:
    return make_space(
        ["twap"], ["sweep", "smart"], duration=Duration.parse("1m"), only=["interval", "patience"]
    )


def planted(task: Task) -> Score:
    """Cheapest at an interval of three seconds with `smart`; cases are dearer or cheaper, all alike."""
    point = json.loads(task.point)
    interval = float(Duration.parse(point["twap.interval"])) / 1e9
    cost = math.log(interval / BEST_S) ** 2 + (0.5 if point["strategy"] == "sweep" else 0.0) + task.case % 3
    return Score(cost, 1.0)


class Killed(Exception):
    """Stands for the end of the process."""


class Killer:
    """Evaluates like `planted`, so many times."""

    def __init__(self, lives: int) -> None:
        self.lives = lives

    def __call__(self, task: Task) -> Score:
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        return planted(task)


def open_study(where: str, name: str = "s") -> Any:
    return st.open_study(st.open_storage(where), name, {"data": "made up"})


def program(
    study: Any, seed: int = 1, worker: int = 0, count: int = TRIALS, told: Any = lambda: None
) -> trials.Program:
    return trials.search(study, space(), CASES, seed=seed, worker=worker, trials=count, told=told)


def work(where: str, jobs: int = 1, function: Any = planted, **more: Any) -> trials.Found:
    with Pool(jobs) as pool:
        [found] = pool.drive(function, [program(open_study(where), **more)])
    return found


def history(where: str) -> list[tuple[Any, ...]]:
    """Everything that was proposed, what it cost, and how it ended; in order."""
    there = sorted(
        open_study(where).trials, key=lambda one: (one.user_attrs["worker"], one.user_attrs["position"])
    )
    return [
        (one.user_attrs["position"], one.params, one.value, one.state.name, one.intermediate_values)
        for one in there
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[trials.Found, list[tuple[Any, ...]]]:
    """What comes out where nothing happens."""
    where = str(tmp_path_factory.mktemp("whole") / "study.journal")
    found = work(where)
    return found, history(where)


def test_the_planted_best_is_found(whole: tuple[trials.Found, list[tuple[Any, ...]]]) -> None:
    found, told = whole
    assert found.point["strategy"] == "smart"
    assert Duration.parse(found.point["twap.interval"]) / 1e9 == pytest.approx(BEST_S, rel=0.15)
    assert len(told) == found.trials == TRIALS
    assert len({json.dumps(params) for _, params, *_ in told}) == TRIALS, "each is another one"
    assert 0 < found.pruned < TRIALS
    assert told[0][1] | {"@smart.patience": 5.0} == {
        "twap.interval": 10.0,
        "strategy": "sweep",
        "@smart.patience": 5.0,
    }


def test_two_workers_find_what_one_finds(
    whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    where = str(tmp_path / "study.journal")
    assert work(where, jobs=2) == whole[0]
    assert history(where) == whole[1]


def test_another_seed_proposes_something_else(
    whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    work(str(tmp_path / "study.journal"), seed=2, count=10)
    assert history(str(tmp_path / "study.journal"))[1:] != whole[1][1:10]


@pytest.mark.parametrize("lives", [150])
def test_a_search_that_was_killed_while_it_priced_goes_on_as_if_it_had_not_been(
    lives: int, whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    where = str(tmp_path / "study.journal")
    with pytest.raises(Killed):
        work(where, function=Killer(lives))
    assert work(where) == whole[0]
    assert history(where) == whole[1], "no trial lost, none counted twice"


@pytest.mark.parametrize("method", ["add_trial", "tell"])
@pytest.mark.parametrize("lives", [21, 29])
def test_a_search_that_was_killed_while_it_wrote_goes_on_as_if_it_had_not_been(
    method: str,
    lives: int,
    whole: tuple[trials.Found, list[tuple[Any, ...]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where = str(tmp_path / "study.journal")
    study = open_study(where)
    write, left = getattr(study, method), iter(range(lives))

    def dies(*arguments: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return write(*arguments, **more)

    monkeypatch.setattr(study, method, dies)
    with pytest.raises(Killed), Pool(1) as pool:
        pool.drive(planted, [program(study)])
    assert work(where) == whole[0]
    assert history(where) == whole[1]


def test_a_line_that_a_killed_process_did_not_finish_is_no_damage(
    whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    where = tmp_path / "study.journal"
    work(str(where), count=16)
    lines = where.read_bytes().splitlines(keepends=True)
    where.write_bytes(b"".join(lines[:-3]) + lines[-3][: len(lines[-3]) // 2])
    study = open_study(str(where))
    with where.open("ab") as file:  # another machine's, while this one is at work
        file.write(lines[-1][:20])
    with Pool(1) as pool:
        [found] = pool.drive(planted, [program(study)])
    assert found == whole[0]
    assert history(str(where)) == whole[1]


def test_more_trials_go_on_where_fewer_ended(
    whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    where = str(tmp_path / "study.journal")
    for count in (3, 21):
        assert work(where, count=count).trials == count
    assert work(where) == whole[0]
    assert history(where) == whole[1], "wherever it paused"


def test_a_database_keeps_a_study_as_a_file_does(
    whole: tuple[trials.Found, list[tuple[Any, ...]]], tmp_path: Path
) -> None:
    where = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(Killed):
        work(where, function=Killer(50), count=11)
    work(where, count=11)
    assert history(where) == whole[1][:11]


def test_several_machines_share_a_study_and_its_number_of_trials(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    with Pool(1) as pool:  # both at once, each in the middle of the other's batches
        first, second = pool.drive(
            planted, [program(open_study(where), worker=0), program(open_study(where), worker=1)]
        )
    there = open_study(where).trials
    assert all(one.state.is_finished() for one in there)
    places = [(one.user_attrs["worker"], one.user_attrs["position"]) for one in there]
    assert len(set(places)) == len(places)
    assert {worker for worker, _ in places} == {0, 1}
    assert TRIALS <= len(places) < TRIALS + trials.BATCH, "no more than the batches that were at work"
    drawn = [json.dumps(one.params) for one in there]
    assert len(set(drawn)) == len(drawn), "nobody repeats what another has tried"
    cheapest = min(one.value for one in there if one.state.name == "COMPLETE")
    assert cheapest == min(first.cost, second.cost), "who ends last knows of all"


def test_two_processes_under_one_number_are_refused(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    with (
        st.alone(where, 0),
        st.alone(where, 1),
        pytest.raises(UsageError, match="worker 0"),
        st.alone(where, 0),
    ):
        pass
    with st.alone(where, 0):
        pass


def test_a_study_of_something_else_is_not_continued(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    open_study(where)
    with pytest.raises(UsageError, match="begun with another data"):
        st.open_study(st.open_storage(where), "s", {"data": "other"})


def test_a_database_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="storage") as caught:
        st.open_storage(f"sqlite:///{tmp_path}/absent/study.db")
    with pytest.raises(UsageError) as caught:
        st.open_storage("postgresql://me:secret@127.0.0.1:1/studies")
    assert "secret" not in str(caught.value)


def test_the_first_judgement_looks_at_a_quarter_of_the_cases_from_all_over() -> None:
    rungs = trials._rungs(list(range(20)))
    assert [len(rung) for rung in rungs] == [5, 5, 10]
    assert trials._rungs([1, 2, 3]) == [[1, 2, 3]]
    assert [len(rung) for rung in trials._rungs(list(range(7)))] == [4, 3]
