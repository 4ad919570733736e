"""`bestex lab compare`: which algorithm and which strategy would have cost less, and how sure that is."""

from __future__ import annotations

import importlib
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

from bestex.cli.common import COMMON, Common, console, print_json, table
from bestex.cli.recordings import existing
from bestex.errors import ConfigError, RecordingError, UsageError

CACHE = Path("lab", "cache")  # below data_dir: what is converted and cut once
PARENTS_SIMULATED = 20  # start times on the market model, where none are asked for


def compare(
    *files: Path,
    algos: str,
    out: Path,
    strategies: str = "",
    sizes: str = "1",
    symbol: str = "",
    side: str = "both",
    duration: str = "5m",
    every: str = "2m",
    warm_up: str = "30s",
    parents: int | None = None,
    baseline: str = "",
    simulate: str = "",
    level: float = 0.95,
    jobs: int = 0,
    seed: int = 1,
    common: Common = COMMON,
) -> int:
    """Work the same orders by every combination over the same market, and say what the difference is worth.

    bestex lab compare spot.rec perp.rec --algos twap,is --sizes 0.5,2 --out report
    bestex lab compare spot.rec --algos twap:interval=10s,twap:interval=1m --out report
    bestex lab compare --simulate crypto --algos twap --strategies sweep,smart --parents 40 --out report

    Every order has a session of its own on the live code. Differences are paired, with intervals by the block
    bootstrap, and corrected for their number (Holm). Writes compare.html, which opens without a network, and
    compare.json.

    Parameters
    ----------
    algos
        Algorithms, comma separated, each with parameters as in twap:interval=30s.
    out
        The folder to write to.
    strategies
        Routing strategies in the same way (else the configured one): every algorithm with every strategy.
    sizes
        Quantities, comma separated.
    symbol
        The symbol, where there are several.
    side
        buy, sell or both.
    duration
        How long an order may work.
    every
        The time from one start to the next.
    warm_up
        How long the services see the market before each start; its volatility is measured in this time.
    parents
        At most so many start times (else as many as fit; 20 with --simulate).
    baseline
        What to compare with (else the first combination), such as twap/sweep.
    simulate
        Instead of recordings, the market model of this preset: crypto or equity. Each start is a market of its own.
    level
        Of the intervals.
    jobs
        Worker processes; 0 for one a processor.
    seed
        Of the sessions, the market model and the resampling.
    """
    if parents == 0:
        raise UsageError("--parents 0: at least 1")
    # The backtester stands above this library: it is looked up, as algorithms and venues are.
    lab = importlib.import_module("services.backtester.lab.compare.run")
    request = lab.Request(
        paths=existing(files) if files else (),
        preset=simulate,
        config_text=_config_text(common, bool(files)),
        algos=algos,
        strategies=strategies,
        sizes=_sizes(sizes),
        symbol=symbol,
        side=side,
        duration_ns=_ns("--duration", duration),
        every_ns=_ns("--every", every),
        warm_up_ns=_ns("--warm-up", warm_up),
        parents=(PARENTS_SIMULATED if simulate else 0) if parents is None else parents,
        baseline=baseline,
        seed=seed,
        level=level,
        jobs=jobs,
        cache_dir=Path(common.load().data_dir) / CACHE,
    )
    try:
        found = lab.compare(request)
    except RecordingError as error:
        raise UsageError(str(error)) from None  # it was named, and so it is a mistake in what was asked
    written = lab.write(found, out)
    if common.json:
        shown = {name: getattr(found, name) for name in found.__struct_fields__ if name != "parents"}
        print_json({**shown, "files": [str(path) for path in written]})
    else:
        _print(found, written)
    return 0


def _config_text(common: Common, has_recordings: bool) -> str:
    """The file that was named; else nothing on recordings, which say it themselves, and the packaged one."""
    if common.config is not None:
        try:
            return common.config.read_text()
        except OSError as error:
            raise ConfigError(f"{common.config}: cannot be read: {error.strerror}") from None
    return "" if has_recordings else (resources.files("bestex") / "default.toml").read_text()


def _sizes(text: str) -> tuple[Decimal, ...]:
    try:
        found = tuple(Decimal(part.strip()) for part in text.split(","))
    except InvalidOperation:
        raise UsageError(f'--sizes "{text}": write numbers with commas between them, such as 0.5,2') from None
    if not all(size.is_finite() and size > 0 for size in found):
        raise UsageError(f'--sizes "{text}": each must be above zero')
    return found


def _ns(option: str, text: str) -> int:
    from bestex.human import Duration

    try:
        return int(Duration.parse(text))
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _print(found: Any, written: list[Path]) -> None:
    figures = found.analysis.overall.groups[0].figures
    parts = ("n", "filled", *figures[0].parts_bps, "total")
    made_of = table("bps", *parts, right=("bps", *parts))
    results = ("total", "difference", "interval", "p Holm", "verdict")
    against = table("bps", *results, right=("bps", *results))
    for one in figures:
        made_of.add_row(
            one.variant,
            str(one.n),
            "" if one.fill_rate is None else f"{one.fill_rate:.0%}",
            *(_signed(value) for value in one.parts_bps.values()),
            _signed(one.total_bps.mean),
        )
        interval = one.difference_bps
        against.add_row(
            one.variant,
            _signed(one.total_bps.mean),
            "" if interval is None else _signed(interval.mean),
            ""
            if interval is None or interval.low is None
            else f"{interval.low:+.2f} to {interval.high:+.2f}",
            "" if one.p_holm is None else f"{one.p_holm:.3f}",
            one.verdict,
        )
    out = console()
    out.print(made_of)
    out.print(against)
    print(found.headline)
    for note in found.analysis.notes:
        print(f"- {note}")
    for path in written:
        print(path)


def _signed(value: float | None) -> str:
    text = "" if value is None else f"{value:+.2f}"
    return text if text.strip("+-0.") else text[1:]
