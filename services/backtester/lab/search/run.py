"""A whole search: a study for each fold and one of all scenarios, at once on all workers; then the test."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Generator, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bestex import fleet, ids
from bestex.clock import SECOND
from bestex.errors import ConfigError, UsageError
from services.backtester.lab.pool import Pool, progress
from services.backtester.lab.search import trials
from services.backtester.lab.search.cases import Case, Given, Score, Task, evaluate, make_cases, point_text
from services.backtester.lab.search.folds import Fold, divide
from services.backtester.lab.search.result import (
    CaseResult,
    Effort,
    FoldResult,
    SearchResult,
    stability,
)
from services.backtester.lab.search.space import Space
from services.backtester.lab.search.spec import Spec
from services.backtester.lab.search.storage import alone, beginning, check_study, open_storage, open_study
from services.backtester.lab.statistics import paired_difference
from services.backtester.lab.windows import Dataset, modelled, prepare
from services.backtester.session import START_NS

if TYPE_CHECKING:
    from optuna.study import Study

DEFAULT = "{}"  # the point at which nothing is changed
ALL = "all"  # the study that is fitted on everything, beside those of the folds
IMPORTANCE_MIN = 20  # complete trials that say what mattered
NO_BOOK = "no book"

Scores = Generator[Sequence[Task], list[Score], list[Score]]


class Where(NamedTuple):
    """`storage`: a file or a database's URL. `config_text`: the whole configuration; "" is the recordings' own, and
    for a synthetic day the packaged one."""

    cache_dir: Path
    storage: str
    jobs: int
    worker: int = 0
    config_text: str = ""


class _Tested(NamedTuple):
    fitted: list[list[Score]]
    fixed: list[list[Score]]


def study_name(spec: Spec, dataset: Dataset) -> str:
    """As asked for, else the same for the same question to the same data."""
    if spec.name:
        return spec.name
    return f"{'-'.join(spec.algo)}-{ids.base36(ids.digest('study', *_identity(spec, dataset).values()), 8)}"


def load(spec: Spec, where: Where) -> Dataset:
    """RecordingError and ConfigError as ever."""
    if spec.synthetic is None:
        dataset = prepare([Path(path) for path in spec.recordings], where.cache_dir, where.config_text)
    else:
        text = where.config_text or (resources.files("bestex") / "default.toml").read_text()
        dataset = modelled(text, START_NS, int(spec.synthetic))
    _check(spec, dataset)
    return dataset


def _check(spec: Spec, dataset: Dataset) -> None:
    from services.backtester.lab.scenario import config_of

    config = config_of(dataset.config_text)
    if any(config.exchange.recordings.values()):
        raise ConfigError("exchange.recordings: name the recordings on the command line instead")
    if spec.symbol not in config.instruments:
        raise UsageError(f"there is no {spec.symbol}; there are {', '.join(sorted(config.instruments))}")


def _identity(spec: Spec, dataset: Dataset) -> dict[str, Any]:
    """What a study cannot change any more; how long it goes on may change."""
    fields = {name: str(getattr(spec, name)) for name in spec.__struct_fields__}
    settings = {
        name: text for name, text in fields.items() if name not in ("name", "trials", "recordings", "range")
    }
    return {
        "data": dict(sorted(dataset.sha256.items())),
        "configuration": ids.base36(ids.digest(dataset.config_text), 12),
        "settings": settings,
        "space": spec.space().text,
        "code": fleet.build(),
        "batch": trials.BATCH,
    }


def search(spec: Spec, dataset: Dataset, where: Where) -> SearchResult:
    """Goes on where an earlier run of the same study was stopped, however it was. UsageError for what cannot be asked
    for; BestexError where a worker died, or a database does not answer any more."""
    began_s, cpu_s = time.monotonic(), _cpu_s()
    space, name = spec.space(), study_name(spec, dataset)
    cases = make_cases(spec, dataset)
    given = Given(tuple(cases), space, spec.symbol, str(spec.duration), dataset.config_text)
    with alone(where.storage, name, where.worker):
        storage = open_storage(where.storage)
        identity = _identity(spec, dataset)
        check_study(storage, f"{name}/{ALL}", identity)  # before the minutes that the defaults may take
        with Pool(where.jobs, given) as pool:
            [defaults] = pool.drive(evaluate, [_scores([Task(DEFAULT, case.number) for case in cases])])
            usable = _usable(cases, defaults)
            folds = divide(
                [case.slot for case in usable],
                spec.folds,
                spec.validation,
                int(spec.embargo),
                spec.stretches,
            )
            all_cases = tuple(case.number for case in usable)
            fitted_on = [*(fold.train for fold in folds), all_cases]
            parts = [*(f"fold-{fold.number}" for fold in folds), ALL]
            with beginning(where.storage):
                studies = [open_study(storage, f"{name}/{part}", identity) for part in parts]
            _foresee(spec, fitted_on, (time.monotonic() - began_s) / len(cases))
            with progress(spec.trials * len(studies), "trials") as told:
                found = pool.drive(
                    evaluate,
                    [
                        trials.search(
                            study,
                            space,
                            numbers,
                            seed=spec.seed,
                            worker=where.worker,
                            trials=spec.trials,
                            told=told,
                        )
                        for study, numbers in zip(studies, fitted_on, strict=True)
                    ],
                )
            tested = _test(pool, folds, found)
        seconds, used_s = time.monotonic() - began_s, _cpu_s() - cpu_s
    effort = Effort(
        seconds=seconds,
        cpu_seconds=used_s,
        cores=used_s / seconds,
        busy=pool.busy_s / seconds / where.jobs,
        jobs=where.jobs,
        evaluations=pool.evaluations,
    )
    return _result(
        spec, dataset, name, space, usable, len(cases), defaults, folds, found, studies, tested, effort
    )


def _scores(tasks: Sequence[Task]) -> Scores:
    return (yield tasks)


def _usable(cases: Sequence[Case], defaults: Sequence[Score]) -> list[Case]:
    """Those with a book to decide on. UsageError where the default itself cannot be worked."""
    refused = next((one.trouble for one in defaults if one.trouble not in ("", NO_BOOK)), "")
    if refused:
        raise UsageError(f"an order with default parameters is refused, {refused}")
    usable = [case for case, score in zip(cases, defaults, strict=True) if not score.trouble]
    if not usable:
        raise UsageError(
            "there is no book at any start: is the --symbol in the recordings, and --warm-up long enough?"
        )
    return usable


def _foresee(spec: Spec, fitted_on: Sequence[Sequence[int]], each_s: float) -> None:
    """On stderr of a terminal: how long it may take, from what the defaults took. About half of that is pruned."""
    if sys.stderr.isatty():
        most_s = spec.trials * sum(map(len, fitted_on)) * each_s
        print(
            f"{len(fitted_on)} studies of {spec.trials} trials: {most_s / 60:.1f} minutes at most",
            file=sys.stderr,
        )


def _test(pool: Pool, folds: Sequence[Fold], found: Sequence[trials.Found]) -> _Tested:
    """Each fold's test with its own best, and with the first fold's."""
    points = [point_text(one.point) for one in found]
    programs = [
        _scores([Task(point, case) for case in fold.test])
        for chosen in (points[: len(folds)], points[:1] * len(folds))
        for point, fold in zip(chosen, folds, strict=True)
    ]
    scores = pool.drive(evaluate, programs)
    return _Tested(scores[: len(folds)], scores[len(folds) :])


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _result(
    spec: Spec,
    dataset: Dataset,
    name: str,
    space: Space,
    usable: Sequence[Case],
    count: int,
    defaults: Sequence[Score],
    folds: Sequence[Fold],
    found: Sequence[trials.Found],
    studies: Sequence[Study],
    tested: _Tested,
    effort: Effort,
) -> SearchResult:
    by_number = {case.number: case for case in usable}

    def default_of(numbers: Sequence[int]) -> float:
        return sum(defaults[number].cost for number in numbers) / len(numbers)

    fold_results = [
        FoldResult(
            fold=fold.number,
            train_cases=list(fold.train),
            test_cases=list(fold.test),
            trials=best.trials,
            pruned=best.pruned,
            parameters=best.point,
            train_cost=best.cost,
            train_default=default_of(fold.train),
            test_cost=sum(score.cost for score in scores) / len(scores),
            test_default=default_of(fold.test),
        )
        for fold, best, scores in zip(folds, found, tested.fitted, strict=False)
    ]
    forward = spec.validation == "walk_forward"
    rows = [
        CaseResult(
            case=number,
            fold=fold.number,
            at_ns=by_number[number].at_ns,
            side=by_number[number].side.value,
            qty=f"{by_number[number].qty:f}",
            default=defaults[number].cost,
            fitted=fitted.cost,
            fixed=fixed.cost if forward else None,
            filled=fitted.filled,
        )
        for fold, fitted_scores, fixed_scores in zip(folds, tested.fitted, tested.fixed, strict=True)
        for number, fitted, fixed in zip(fold.test, fitted_scores, fixed_scores, strict=True)
    ]
    slots = [case.slot for case in usable]
    apart_ns = slots[1].begin_ns - slots[0].begin_ns if len(slots) > 1 else SECOND
    overlap = max(1.0, (slots[0].end_ns - slots[0].begin_ns) / apart_ns) if dataset.paths else 1.0
    out_of_sample = paired_difference(
        [row.fitted for row in rows],
        [row.default for row in rows],
        [row.at_ns for row in rows],
        seed=spec.seed,
        block_min=overlap,
    )
    later = [row for row in rows if row.fixed is not None and row.fold > 1]
    adaptive = paired_difference(
        [row.fitted for row in later],
        [row.fixed or 0.0 for row in later],
        [row.at_ns for row in later],
        seed=spec.seed,
        block_min=overlap,
    )
    in_sample = sum(one.train_cost - one.train_default for one in fold_results) / len(fold_results)
    return SearchResult(
        study=name,
        code=fleet.build(),
        data=dataset.sha256,
        seed=spec.seed,
        spec=spec,
        space=space.text,
        cases=len(usable),
        left_out=count - len(usable),
        parameters=found[-1].point,
        default_cost=default_of([case.number for case in usable]),
        out_of_sample=out_of_sample,
        in_sample=in_sample,
        overfit=(out_of_sample.mean or 0.0) - in_sample,
        adaptive=adaptive if forward else None,
        folds=fold_results,
        stability=stability(space, [one.point for one in found[:-1]], [one.raw for one in found[:-1]]),
        importance=_importance(studies[-1]),
        tested=rows,
        effort=effort,
    )


def _importance(study: Study) -> dict[str, float]:
    """PED-ANOVA's, of the study of all scenarios: what mattered for being among the best, most first; it sums to 1.

    Watanabe, Bansal and Hutter (2023), "PED-ANOVA", IJCAI. Empty where too few trials say it.
    """
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < IMPORTANCE_MIN or len({trial.value for trial in complete}) < 2:
        return {}
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {name: float(share) for name, share in found.items()}
