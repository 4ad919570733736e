"""All benchmarks, or those that are named: `python -m tests.bench`. Prints a table and writes `results.json` beside.

Each runs in a process of its own, one after the other, as it does alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bestex.server import find_binary

RESULTS = Path(__file__).parent / "results.json"
BENCHMARKS = ("books", "diffs", "orders", "recovery", "route", "algos", "venues", "backtest")
BENCHMARK_S_MAX = 300  # each takes under two minutes on a machine that does nothing else
LIBRARIES = ("nats-py", "uvloop", "msgspec", "aiohttp")


class Aim(NamedTuple):
    """`value` is to be `bound` or better; what is better, `sign` tells: 1 more, -1 less."""

    benchmark: str
    what: str
    value: float
    bound: float
    sign: int

    @property
    def met(self) -> bool:
        return self.sign * self.value >= self.sign * self.bound


def aims(results: dict[str, dict[str, Any]]) -> list[Aim]:
    """The figures that have an aim, of the benchmarks that ran."""
    made = []
    books, diffs, orders, recovery, route, algos, venues, backtest = (results[name] for name in BENCHMARKS)
    if "skipped" not in books:
        made += [
            Aim("books", "updates/s", books["updates_per_s"], books["floor_updates_per_s"] / 2, 1),
            Aim("books", "p50, us", books["p50_us"], 2 * books["floor_p50_us"], -1),
        ]
    made += [
        Aim("diffs", f"{size} levels, diffs/s", diffs["diffs_per_s"][size], aim, 1)
        for size, aim in diffs["aim_per_s"].items()
    ]
    made += [
        Aim("orders", "parent to venue p50, us", orders["p50_us"], 1.5 * orders["floor_p50_us"], -1),
        Aim("orders", "parent to fill p50, us", orders["fill_p50_us"], 1.5 * orders["floor_fill_p50_us"], -1),
        Aim("orders", "bytes per working parent", orders["bytes_per_parent"], 4096, -1),
    ]
    made += [
        Aim("recovery", f"{name[:-2].replace('_', ' ')}, s", value, 2, -1)
        for name, value in recovery.items()
        if name.endswith("_s")
    ]
    made += [
        Aim("route", "sweep p50, us", route["sweep_p50_us"], 100, -1),
        Aim("route", "times faster than the mixed-integer program", route["times_faster_than_milp"], 200, 1),
        Aim("route", "cont_kukanov over five queues p50, us", route["ck_p50_us"], 1_000, -1),
        Aim("route", "gap at most, bps", route["gap_bps_max"], 0.01, -1),
    ]
    made += [
        Aim("algos", f"{name}, decisions/s", rate, 50_000, 1)
        for name, rate in algos["decisions_per_s"].items()
    ]
    made += [
        Aim("algos", "slices/s", algos["slices_per_s"], 990, 1),
        Aim("algos", "lateness p99, ms", algos["lateness_p99_ms"], 20, -1),
        Aim("venues", "order round trip p50, us", venues["order_p50_us"], 1.5 * venues["floor_p50_us"], -1),
        Aim("venues", "cancel behind 100 orders p50, ms", venues["cancel_behind_100_p50_ms"], 5, -1),
        *(
            Aim("venues", f"{name}, books and trades of one core against ccxt's loops, times", of, 3, 1)
            for name in ("binance", "bybit")
            for of in [venues[f"{name}_times_ccxt_shows"]]
        ),
    ]
    if "skipped" not in backtest:
        made += [
            # Half of what a leading compiled peer takes on a like machine, from objects in memory.
            Aim("backtest", "a recorded evening, s", backtest["seconds"], 0.74, -1),
            Aim("backtest", "peak, MB", backtest["peak_mb"], 500, -1),
        ]
    return made


def measure(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        timeout=BENCHMARK_S_MAX,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def machine() -> dict[str, Any]:
    bus = subprocess.run([str(find_binary()), "--version"], check=True, capture_output=True, text=True).stdout
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cores": os.cpu_count(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "nats-server": bus.rpartition("v")[2].strip(),
        **{name: version(name) for name in LIBRARIES},
    }


def show(results: dict[str, dict[str, Any]], console: Console) -> None:
    table = Table("", "", "measured", "aim", "", title="against the aims")
    for aim in aims(results):
        word = "at least" if aim.sign > 0 else "at most"
        table.add_row(
            aim.benchmark,
            aim.what,
            f"{aim.value:,.0f}" if aim.value >= 10 else f"{aim.value:.2f}",
            f"{word} {aim.bound:,.0f}",
            "[green]met" if aim.met else "[red]missed",
        )
    console.print(table)
    rest = Table("", "", "", title="all figures")
    for name, result in results.items():
        for key, value in result.items():
            for size, figure in value.items() if isinstance(value, dict) else [("", value)]:
                text = f"{figure:,}" if isinstance(figure, int | float) else str(figure)
                rest.add_row(name, f"{key} {size}", text)
    console.print(rest)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument(
        "names", nargs="*", metavar="BENCHMARK", help=f"of {', '.join(BENCHMARKS)}; all if none"
    )
    names: list[str] = parser.parse_args().names
    if unknown := set(names).difference(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    console = Console()
    about = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    # What is measured alone is put in the place of its old figures, and says when and where it was.
    before: dict[str, Any] = json.loads(RESULTS.read_text()) if names else about
    anew: dict[str, Any] = dict(before.get("anew", {}))
    results = {name: before[name] for name in BENCHMARKS if names}
    for name in names or BENCHMARKS:
        with console.status(f"measuring {name}"):
            results[name] = measure(name)
        if names:
            anew[name] = about
    show(results, console)
    met = {f"{aim.benchmark}: {aim.what}": aim.met for aim in aims(results)}
    heads = {key: before[key] for key in ("at", "machine")}
    RESULTS.write_text(json.dumps({**heads, "anew": anew, **results, "aims_met": met}, indent=2) + "\n")
    console.print(f"written to {RESULTS.name}")


if __name__ == "__main__":
    main()
