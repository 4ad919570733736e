"""`bestex lab l1`: the level-1 exercise, by the rules of others and by honest ones."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from bestex.cli.common import COMMON, Common, Number, console, figure, print_json, table
from bestex.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIALS_MAX = 10_000  # a search of so many takes an hour and finds nothing that a hundredth of it does not
LAB = {"polars", "optuna", "matplotlib", "scipy"}  # what the extra `lab` brings


def _amount(hint: type, tokens: Sequence[Token]) -> Decimal:  # noqa: ARG001 - the signature is cyclopts's
    text = tokens[0].value
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f'"{text}" is no number; write 0.003') from None
    if not amount.is_finite():
        raise ValueError(f'"{text}" is not finite; write 0.003')
    return amount


Amount = Annotated[Decimal, Parameter(converter=_amount, n_tokens=1)]


def l1(
    file: Path,
    /,
    *,
    qty: Number,
    side: Literal["buy", "sell"] = "buy",
    lot: Number = Decimal(100),
    fee: Amount = Decimal(0),
    rebate: Amount = Decimal(0),
    trials: int = 40,
    seed: int = 1,
    horizon: str = "",
    trade_share: str = "0.5%",
    out: Path | None = None,
    common: Common = COMMON,
) -> None:
    """One order on a CSV file of best quotes: the router, fitted, against Best Ask, TWAP, VWAP and a sweep.

    bestex lab l1 quotes.csv --qty 5000 --fee 0.003 --rebate 0.002 --out results
    bestex lab l1 quotes.csv --side sell --qty 5000 --json

    Columns: ts_event, publisher_id, ask_px_00, ask_sz_00, and, where there are bids, bid_px_00, bid_sz_00; fee and
    rebate per share where they differ. Two sets of rules are worked: the published ones, by which every snapshot is
    bought as if nothing had been, and honest ones, by which what was taken stays gone until there is new size.

    Parameters
    ----------
    qty
        How much, in shares.
    side
        buy, or sell to the bids.
    lot
        Steps of the published router's split, and multiples of what rests.
    fee
        For each share taken, in cash; negative where the venue pays.
    rebate
        For each share that rested and filled, in cash; negative where it costs.
    trials
        Of the search, once for the whole file and once for each block of the cross-validation.
    seed
        Of the search and of the intervals.
    horizon
        Of each child, such as 60s; a minute, or less for a short file.
    trade_share
        How much of a decrease at the best bid was traded, and not cancelled.
    out
        A folder for results.json, pictures and report.html.
    """
    from bestex.human import Duration, Ratio

    if not file.is_file():
        raise UsageError(f"{file}: there is no such file")
    if not 1 <= trials <= TRIALS_MAX:
        raise UsageError(f"--trials {trials}: from 1 to {TRIALS_MAX}")
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed {seed}: from 0 to {2**32 - 1}")
    try:
        share = float(Ratio.parse(trade_share))
    except ValueError as error:
        raise UsageError(f"--trade-share: {error}") from None
    if not 0 <= share <= 1:
        raise UsageError(f"--trade-share {trade_share}: from 0 to 100%")
    try:
        horizon_ns = int(Duration.parse(horizon)) if horizon else None
    except ValueError as error:
        raise UsageError(f"--horizon: {error}") from None
    work, report = _lab()
    options = work.Options(
        path=file,
        side=side,
        qty=qty,
        lot=lot,
        terms=work.Terms(fee=fee, rebate=rebate),
        trials=trials,
        seed=seed,
        trade_share=share,
        horizon_ns=horizon_ns,
    )
    try:
        with _progress(work.trials_in_all(trials)) as progress:
            done = work.run(options, progress)
        written = report.write(done, out) if out is not None else []
    except RecordingError as error:
        raise UsageError(str(error)) from None
    if common.json:
        print_json(done.results)
        return
    _print(done.results)
    for path in written:
        print(path)


def _lab() -> tuple[Any, Any]:
    """The lab stands above this library: it is looked up, as algorithms and venues are."""
    try:
        for name in LAB:
            importlib.import_module(name)
        work = importlib.import_module("services.backtester.lab.l1.run")
        return work, importlib.import_module("services.backtester.lab.l1.report")
    except ModuleNotFoundError as error:
        if error.name not in LAB:
            raise
        raise UsageError(f"{error.name} is not installed: the lab needs the extra `lab`") from None


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, where a person looks."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("search", total=total)
        yield lambda: bar.advance(task)


def _print(results: Any) -> None:
    config, data = results.config, results.data
    print(
        f"{config.side} {config.qty:f} on {data.rows} rows of {len(data.publishers)} publishers; "
        f"{config.children} children of {config.child_qty:f} in {config.horizon_s:g} s each"
    )
    for note in data.notes:
        print(note)
    for mode in ("honest", "as_published"):
        report = getattr(results, mode)
        rows = table("", *_FIGURES, right=_FIGURES)
        rows.add_row("router", *_cells(report.router), "", "")
        for name, one in report.baselines.items():
            tested = report.cross_validation.savings_bps[name]
            mean = "" if tested.mean is None else f"{tested.mean:+.3f}"
            if tested.low is not None:
                mean += f" ±{(tested.high - tested.low) / 2:.3f}"
            saved = report.savings_bps[name]
            rows.add_row(name, *_cells(one), "" if saved is None else f"{saved:+.3f}", mean)
        print(f"{mode}; saved by the router, and out of sample, in bps:")
        console().print(rows)
        print("best: " + ", ".join(f"{name} {value:.6g}" for name, value in report.best_params.items()))
        for note in report.notes:
            print(note)


_FIGURES = ("cash", "average", "filled", "fills", "saved", "out of sample")


def _cells(one: Any) -> tuple[str, str, str, str]:
    return figure(one.cash), figure(one.avg_px), figure(one.filled), str(one.fills)
