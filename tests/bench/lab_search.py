"""`python -m tests.bench.lab_search [--trials N] [--jobs N] [--json]`: what a search costs beside its sessions.

The floor is the same kind of session in this process, one after another, without any search. Processor time is
compared, because others may use the machine; `busy` is the share of the workers' time that went into sessions.
Needs the recorded market data.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from services.backtester.lab.pool import Pool, jobs_of
from services.backtester.lab.search import run, spec
from services.backtester.lab.search.cases import Given, Task, evaluate, make_cases

DATA = (
    Path(os.environ.get("BESTEX_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "binance"
)
FILES = ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz")


def measure(trials: int, jobs: int) -> dict[str, Any]:
    asked = spec.make(
        {
            "recordings": [str(DATA / name) for name in FILES],
            "algo": ["twap"],
            "strategy": ["sweep", "smart"],
            "symbol": "BTC/USDT",
            "qty": ["5"],
            "duration": "20s",
            "trials": trials,
            "folds": 2,
        },
        "bench",
    )
    with tempfile.TemporaryDirectory() as folder:
        where = run.Where(Path(folder), f"{folder}/study.journal", jobs)
        dataset = run.load(asked, where)
        cases = make_cases(asked, dataset)
        given = Given(tuple(cases), asked.space(), asked.symbol, str(asked.duration), dataset.config_text)
        with Pool(1, given):
            evaluate(Task("{}", 0))  # imports and the first parse are nobody's session
            began_s = time.process_time()
            for case in cases:
                evaluate(Task("{}", case.number))
            floor_s = (time.process_time() - began_s) / len(cases)
        found = run.search(asked, dataset, where)
    effort = found.effort
    return {
        "cases": found.cases,
        "trials": sum(fold.trials for fold in found.folds),
        "pruned": sum(fold.pruned for fold in found.folds),
        "evaluations": effort.evaluations,
        "seconds": effort.seconds,
        "cores": effort.cores,
        "busy": effort.busy,
        "cpu_ms_per_evaluation": 1e3 * effort.cpu_seconds / effort.evaluations,
        "floor_cpu_ms_per_session": 1e3 * floor_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.lab_search")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments.trials, jobs_of(arguments.jobs))
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:26} {value:.2f}" if isinstance(value, float) else f"{name:26} {value}")


if __name__ == "__main__":
    main()
