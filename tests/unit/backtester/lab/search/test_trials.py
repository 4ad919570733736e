"""Trials are the same whatever the workers and the kills, and find what was planted. Costs are made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bestex.errors import BestexError, UsageError
from bestex.human import Duration
from services.backtester.lab.pool import Pool
from services.backtester.lab.search import storage as st
from services.backtester.lab.search import trials
from tests.unit.backtester.lab.search.planted import (
    BEST_S,
    STUDY,
    TRIALS,
    History,
    Stopped,
    history,
    open_study,
    planted,
    program,
    work,
)

PART = 3 * trials.BATCH  # trials of a search that was killed: the last batch is modelled


class Killed(Exception):
    """Stands for the end of the process."""


def die() -> None:
    raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[trials.Found, History]:
    """What comes out where nothing happens."""
    where = str(tmp_path_factory.mktemp("whole") / "study.journal")
    found = work(where)
    return found, history(where)


def test_the_planted_best_is_found(whole: tuple[trials.Found, History]) -> None:
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


def test_another_seed_proposes_something_else(whole: tuple[trials.Found, History], tmp_path: Path) -> None:
    work(str(tmp_path / "study.journal"), seed=2, count=10)
    assert history(str(tmp_path / "study.journal"))[1:] != whole[1][1:10]


@pytest.mark.parametrize("lives", [150])
def test_a_search_that_was_killed_while_it_priced_goes_on_as_if_it_had_not_been(
    lives: int, whole: tuple[trials.Found, History], tmp_path: Path
) -> None:
    where = str(tmp_path / "study.journal")
    with pytest.raises(Killed):
        work(where, Stopped(lives, die), count=PART)
    work(where, count=PART)
    assert history(where) == whole[1][:PART], "no trial lost, none counted twice"


@pytest.mark.parametrize("method", ["add_trial", "tell"])
@pytest.mark.parametrize("lives", [13, 21])
def test_a_search_that_was_killed_while_it_wrote_goes_on_as_if_it_had_not_been(
    method: str,
    lives: int,
    whole: tuple[trials.Found, History],
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
        pool.drive(planted, [program(study, count=PART)])
    work(where, count=PART)
    assert history(where) == whole[1][:PART]


def test_a_line_that_a_killed_process_did_not_finish_is_no_damage(
    whole: tuple[trials.Found, History], tmp_path: Path
) -> None:
    where = tmp_path / "study.journal"
    work(str(where), count=16)
    lines = where.read_bytes().splitlines(keepends=True)
    where.write_bytes(b"".join(lines[:-3]) + lines[-3][: len(lines[-3]) // 2])
    study = open_study(str(where))
    with where.open("ab") as file:  # another machine's, while this one is at work
        file.write(lines[-1][:20])
    with Pool(1) as pool:
        pool.drive(planted, [program(study, count=PART)])
    assert history(str(where)) == whole[1][:PART]


def test_more_trials_go_on_where_fewer_ended(whole: tuple[trials.Found, History], tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    for count in (3, 21):
        assert work(where, count=count).trials == count
    assert work(where) == whole[0]
    assert history(where) == whole[1], "wherever it paused"


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


def test_where_others_have_asked_for_everything_and_told_nothing_it_is_said(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")

    def other() -> None:
        with pytest.raises(BestexError, match="other workers have asked for all 5 trials"):
            work(where, worker=1, count=5)

    assert work(where, Stopped(7, other), count=5).trials == 5
    assert work(where, worker=1, count=5).trials == 5


def test_two_processes_under_one_number_are_refused(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    with (
        st.alone(where, STUDY, 0),
        st.alone(where, STUDY, 1),
        pytest.raises(UsageError, match="worker 0"),
        st.alone(where, STUDY, 0),
    ):
        pass
    with st.alone(where, STUDY, 0):
        pass


def test_a_study_of_something_else_is_not_continued(tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    open_study(where)
    with pytest.raises(UsageError, match="begun with another data"):
        st.open_study(st.open_storage(where), STUDY, {"data": "other"})
    with pytest.raises(UsageError, match="begun with another data"):
        st.check_study(st.open_storage(where), STUDY, {"data": "other"})
    st.check_study(st.open_storage(where), STUDY, {"data": "made up"})
    st.check_study(st.open_storage(where), "new", {"data": "other"})


def test_the_first_judgement_looks_at_a_quarter_of_the_cases_from_all_over() -> None:
    rungs = trials._rungs(list(range(20)))
    assert [len(rung) for rung in rungs] == [5, 5, 10]
    assert trials._rungs([1, 2, 3]) == [[1, 2, 3]]
    assert [len(rung) for rung in trials._rungs(list(range(7)))] == [4, 3]
