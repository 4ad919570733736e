"""`bestex lab search` and `study`: parameters that cost least, and what they are worth where they were not fitted."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from bestex.cli.common import COMMON, Common, assignments, console, print_json, table, texts
from bestex.cli.orders import Settings
from bestex.errors import ConfigError, UsageError

Ranges = Annotated[list[str] | None, Parameter(name="--range", negative="")]
Validation = Literal["walk_forward", "purged"]
STUDIES = Path("deploy/studies")  # where a study is looked for by its name

# The backtester stands above this library: it is looked up, as algorithms and venues are.
_LAB = "services.backtester.lab.search"


def search(
    *recordings: Path,
    algo: str,
    symbol: str,
    qty: str,
    duration: str,
    strategy: str = "",
    side: Literal["buy", "sell", "both"] = "both",
    range_: Ranges = None,
    set_: Settings = None,
    only: str = "",
    trials: int = 200,
    folds: int = 5,
    validation: Validation = "walk_forward",
    stretches: int = 0,
    embargo: str = "0s",
    every: str = "",
    warm_up: str = "5s",
    synthetic: str = "",
    seed: int = 0,
    study: str = "",
    jobs: int = 0,
    storage: str = "",
    worker: int = 0,
    out: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Parameters of an algorithm, a routing strategy or both that cost least, tested where they were not fitted.

    bestex lab search spot.rec --algo twap --symbol BTC/USDT --qty 5 --duration 20s
    bestex lab search day.rec --algo twap,is --strategy sweep,smart --symbol BTC/USDT --qty 1,5 --duration 1m
    bestex lab search --synthetic 20m --algo pov --symbol BTC/USDT --qty 2 --duration 30s --range rate=1%:40%:log

    Each trial works an order at many times of the recordings, in sessions of their own, by the live code. Stopped or
    killed, the same command goes on where it was.

    Parameters
    ----------
    algo
        One algorithm, or several with commas: then which one is searched as well.
    qty
        One size, or several with commas, which take turns.
    duration
        How long each order works, such as 20s.
    strategy
        One routing strategy, or several with commas; the configured one without its parameters where left out.
    side
        Both take turns.
    range_
        Where to search: name=low:high, name=low:high:log or name=one,another; as often as needed.
    set_
        A parameter that is set and not searched, name=value; as often as needed.
    only
        Search these parameters alone, comma separated.
    trials
        Of each study: there is one for each fold, and one of everything.
    folds
        How often to fit and test.
    validation
        walk_forward fits on what was before; purged on all but the tested stretch.
    stretches
        Walking forward, fit on so many stretches before; 0 for all.
    embargo
        Nothing is fitted on so close to what is tested.
    every
        From one order's start to the next; some 30 orders where left out.
    warm_up
        Of market data before each order.
    synthetic
        Instead of recordings, so long a day of the configuration's market model.
    seed
        Of the search, the sessions and the intervals.
    study
        Its name; the same question to the same data has the same one where left out.
    jobs
        Worker processes; 0 for one a processor.
    storage
        A file, or the URL of a database that several machines share, such as postgresql://me@host/studies (its
        password stands best in ~/.pgpass or PGPASSWORD); a file in --out where left out.
    worker
        A number of its own for each machine that shares a study.
    out
        Folder for results; one in the data directory where left out.
    """
    fields: dict[str, Any] = {
        "name": study,
        "recordings": [str(path) for path in recordings],
        "algo": _names(algo),
        "strategy": _names(strategy),
        "symbol": symbol,
        "side": side,
        "qty": _names(qty),
        "duration": duration,
        "warm_up": warm_up,
        "trials": trials,
        "folds": folds,
        "validation": validation,
        "stretches": stretches,
        "embargo": embargo,
        "range": texts(range_ or (), "--range"),
        "set": assignments(set_ or (), "--set"),
        "only": _names(only),
        "seed": seed,
    }
    fields |= {"every": every} if every else {}
    fields |= {"synthetic": synthetic} if synthetic else {}
    spec = importlib.import_module(f"{_LAB}.spec").make(fields, "search")
    _run(spec, jobs, storage, worker, out, common)


def study(
    name: str,
    /,
    *recordings: Path,
    trials: int | None = None,
    seed: int | None = None,
    jobs: int = 0,
    storage: str = "",
    worker: int = 0,
    out: Path | None = None,
    common: Common = COMMON,
) -> None:
    """A search that a file describes.

    bestex lab study twap_interval
    bestex lab study my_study.toml spot.rec --trials 400

    Parameters
    ----------
    name
        A file, or the name of one in deploy/studies.
    recordings
        Instead of the file's.
    trials
        Instead of the file's.
    seed
        Instead of the file's.
    jobs
        Worker processes; 0 for one a processor.
    storage
        A file, or the URL of a database that several machines share, such as postgresql://me@host/studies (its
        password stands best in ~/.pgpass or PGPASSWORD); a file in --out where left out.
    worker
        A number of its own for each machine that shares a study.
    out
        Folder for results; one in the data directory where left out.
    """
    path = Path(name)
    if not path.is_file() and (STUDIES / f"{name}.toml").is_file():
        path = STUDIES / f"{name}.toml"
    if not path.is_file():
        there = ", ".join(sorted(one.stem for one in STUDIES.glob("*.toml"))) or "none"
        raise UsageError(f"{name} is no file, and no study of {STUDIES}; there are {there}")
    changes: dict[str, Any] = {}
    if recordings:
        changes = {"recordings": [str(one) for one in recordings], "synthetic": None}
    changes |= {} if trials is None else {"trials": trials}
    changes |= {} if seed is None else {"seed": seed}
    _run(importlib.import_module(f"{_LAB}.spec").read(path, **changes), jobs, storage, worker, out, common)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _run(spec: Any, jobs: int, storage: str, worker: int, out: Path | None, common: Common) -> None:
    run = importlib.import_module(f"{_LAB}.run")
    report = importlib.import_module(f"{_LAB}.report")
    pool = importlib.import_module("services.backtester.lab.pool")
    if worker < 0:
        raise UsageError(f"--worker {worker}: 0 or above")
    lab_dir = Path(common.load().data_dir) / "lab"
    where = run.Where(
        cache_dir=lab_dir / "cache",
        storage=storage,
        jobs=pool.jobs_of(jobs),
        worker=worker,
        config_text=_config_text(common.config),
    )
    dataset = run.load(spec, where)
    folder = out or lab_dir / run.study_name(spec, dataset)
    where = where._replace(storage=storage or str(folder / "study.journal"))
    found = run.search(spec, dataset, where)
    paths = report.write(found, folder)
    if common.json:
        print_json(found)
        return
    _print(found, report)
    print("\n".join(map(str, paths)))


def _config_text(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _print(found: Any, report: Any) -> None:
    rows = table(
        "fold", "fitted on", "tested on", "in sample", "default", "tested", "default", "parameters",
        right=("fold", "fitted on", "tested on", "in sample", "default", "tested"),
    )  # fmt: skip
    for one in found.folds:
        costs = (one.train_cost, one.train_default, one.test_cost, one.test_default)
        counts = (str(one.fold), str(len(one.train_cases)), str(len(one.test_cases)))
        rows.add_row(*counts, *(f"{cost:.3f}" for cost in costs), report.words(one.parameters))
    out = console()
    out.print(rows)
    stable = table(
        "parameter", "searched", "default", "best", "agreement", "importance", right=("agreement",)
    )
    for dimension in found.stability:
        share = found.importance.get(dimension.parameter)
        stable.add_row(
            dimension.parameter,
            dimension.range,
            report.word(dimension.default),
            report.word(found.parameters.get(dimension.parameter)),
            "-" if dimension.agreement is None else f"{dimension.agreement:.0%}",
            "-" if share is None else f"{share:.0%}",
        )
    out.print(stable)
    if not found.importance:
        print("importance: too few trials to say what mattered")
    print("costs: implementation shortfall in bps, fees and what was left included; less is cheaper")
    print(report.verdict(found))
    print(f"fitted less default, out of sample: {report.estimate(found.out_of_sample)}")
    print(report.overfit(found))
    if found.adaptive is not None:
        print(f"fitted again less fitted once: {report.estimate(found.adaptive)}")
    print(f"{found.cases} orders, {report.effort(found)}")
