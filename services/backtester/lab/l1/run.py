"""The whole exercise: read, work by both sets of rules, search, cross-validate; one result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path

import msgspec
import numpy as np

from bestex.clock import SECOND, rfc3339
from bestex.errors import UsageError
from bestex.fleet import build
from services.backtester.lab.l1 import fit, published, windows
from services.backtester.lab.l1.child import BASELINES, Child, Decide
from services.backtester.lab.l1.grid import Grid, make
from services.backtester.lab.l1.quotes import Level1, Terms, read
from services.backtester.lab.l1.results import Config, CrossValidation, Data, Fold, Report, Results, Strategy
from services.backtester.lab.l1.router import Parameters
from services.backtester.lab.statistics import mean_interval

DIGITS = 12  # of an average price
POINTS = 9  # of each curve of the parameters' response
# The requirements' ranges; the first of all is what a search finds where none is better than another.
PUBLISHED_RANGES = {
    "lambda_over": ("2.0", "5.0", "10.0"),
    "lambda_under": ("0.01", "0.05", "0.1"),
    "theta_queue": ("0.01", "0.05", "0.1"),
}
SIGNS = {"buy": 1, "sell": -1}
Curve = list[tuple[int, float, float]]  # ns, cash until then, and that against the first mid


@dataclass(frozen=True, kw_only=True)
class Options:
    path: Path
    side: str
    qty: Decimal
    lot: Decimal
    terms: Terms
    trials: int
    seed: int
    trade_share: float
    horizon_ns: int | None = None


@dataclass(frozen=True)
class Run:
    """The results, and what is only drawn."""

    results: Results
    tested: fit.OutOfSample
    curves: dict[str, dict[str, Curve]]
    response: dict[str, list[tuple[float, float]]]
    tried: list[tuple[dict[str, float], float]]


def trials_in_all(trials: int) -> int:
    """How often `progress` is called at most."""
    return trials * fit.BLOCKS


def run(options: Options, progress: Callable[[], None]) -> Run:
    """RecordingError for a file that is wrong, UsageError for an order that does not fit it."""
    quotes = read(options.path, SIGNS[options.side], options.terms, options.qty, options.lot)
    qty, lot = quotes.units(options.qty, "--qty"), quotes.units(options.lot, "--lot")
    if not (quotes.ask_size > 0).any():
        raise UsageError(f"{options.path}: no row shows anything to {options.side}")
    horizon_ns = windows.horizon_of(quotes) if options.horizon_ns is None else options.horizon_ns
    if horizon_ns < windows.STEPS * windows.STEP_MIN_NS:
        raise UsageError(f"--horizon: at least {windows.STEPS} ms, for {windows.STEPS} decisions")
    grid = make(quotes, horizon_ns // windows.STEPS, windows.STEPS, options.trade_share)
    there = windows.windows(grid)
    firsts = windows.evenly(there, min(windows.CHILDREN_MAX, max(qty // lot, 1)))
    child_qty = windows.parts(qty, len(firsts), lot)[0] if firsts else qty
    chosen = windows.evenly(there, windows.EPISODES_MAX)
    episodes = windows.Episodes(grid, chosen, child_qty or qty, lot)
    honest, fitted, tested, curves = _honest(options, grid, episodes, firsts, qty, lot, progress)
    as_published, published_curves = _as_published(options, quotes, qty, lot)
    results = Results(
        as_published=as_published,
        honest=honest,
        config=Config(
            version=build(),
            side=options.side,
            qty=options.qty,
            lot=options.lot,
            fee=options.terms.fee,
            rebate=options.terms.rebate,
            trials=options.trials,
            seed=options.seed,
            horizon_s=horizon_ns / SECOND,
            decisions=windows.STEPS,
            children=max(len(firsts), 1),
            child_qty=quotes.qty(episodes.qty),
            episodes=len(episodes),
            trade_share=options.trade_share,
            ranges={
                name: (_price(low, quotes), _price(high, quotes))
                for name, (low, high) in fit.space(grid, chosen).ranges.items()
            },
        ),
        data=Data(
            file=options.path.name,
            rows=len(quotes),
            publishers=list(quotes.publishers),
            sha256=quotes.sha256,
            since=rfc3339(int(quotes.at_ns[0])),
            until=rfc3339(int(quotes.at_ns[-1])),
            notes=quotes.notes,
        ),
    )
    answer = fit.response(episodes, fitted.parameters, POINTS) if len(episodes) else {}
    return Run(
        results=results,
        tested=tested,
        curves={"as_published": published_curves, "honest": curves},
        response={
            name: [(_price(value, quotes), bps) for value, bps in curve] for name, curve in answer.items()
        },
        tried=[(_named(one.parameters, quotes), one.score) for one in fitted.tried],
    )


def _price(units: float, quotes: Level1) -> float:
    return float(units / 10**quotes.price_scale)


# -- by the rules of others --------------------------------------------------------------------------------


def _as_published(options: Options, quotes: Level1, qty: int, lot: int) -> tuple[Report, dict[str, Curve]]:
    best = {name: float(values[0]) for name, values in PUBLISHED_RANGES.items()}
    snapshots = published.Published(quotes)
    done = _executions(snapshots, qty, lot)
    found = {name: _strategy(quotes, one.costs(quotes), one.filled) for name, one in done.items()}
    router = found.pop("router")
    folds, values = _published_folds(quotes, snapshots, qty, lot, best)
    notes = [published.PARAMETERS]
    if qty % lot:
        notes.append(
            "the quantity is no whole number of lots, so no split sums up to it and the router never trades"
        )
    elif not router.filled:
        notes.append("no snapshot displays the whole quantity, so the router never trades")
    notes += _partial(options, {"router": router, **found})
    report = Report(
        best_params=best,
        router=router,
        baselines=found,
        savings_bps={name: _savings(quotes, one, router) for name, one in found.items()},
        cross_validation=CrossValidation(
            scheme=f"the order worked in each of {fit.BLOCKS} blocks of time; there is nothing to fit",
            folds=folds,
            savings_bps={name: mean_interval(some, seed=options.seed) for name, some in values.items()},
        ),
        notes=notes,
    )
    return report, {name: _curve_of(quotes, one) for name, one in done.items()}


def _executions(snapshots: published.Published, qty: int, lot: int) -> dict[str, published.Execution]:
    found = {"router": snapshots.router(qty, lot)}
    for name in published.BASELINES:
        found[name] = getattr(snapshots, name)(qty)
    return found


def _published_folds(
    quotes: Level1, snapshots: published.Published, qty: int, lot: int, best: dict[str, float]
) -> tuple[list[Fold], dict[str, list[float]]]:
    times = snapshots.at_ns[snapshots.starts]
    folds: list[Fold] = []
    values: dict[str, list[float]] = {name: [] for name in published.BASELINES}
    for first, last in fit.blocks_of(len(times)):
        end_ns = int(times[last]) if last < len(times) else int(times[-1]) + 1
        done = _executions(published.Published(quotes, int(times[first]), end_ns), qty, lot)
        found = {name: _strategy(quotes, one.costs(quotes), one.filled) for name, one in done.items()}
        savings = {name: _savings(quotes, found[name], found["router"]) for name in published.BASELINES}
        for name, value in savings.items():
            if value is not None:
                values[name].append(value)
        since, until = rfc3339(int(times[first])), rfc3339(end_ns)
        folds.append(Fold(since=since, until=until, children=1, params=best, savings_bps=savings))
    return folds, values


def _curve_of(quotes: Level1, execution: published.Execution) -> Curve:
    order = np.argsort(execution.rows, kind="stable")
    costs = execution.costs(quotes)
    return _curve(
        quotes,
        [
            (int(quotes.at_ns[execution.rows[at]]), int(execution.qtys[at]), costs[at])
            for at in order.tolist()
        ],
        _first_mid(quotes),
    )


def _first_mid(quotes: Level1) -> float:
    """Of the first row that has an ask; its ask where it has no bid."""
    first = int(np.argmax(quotes.ask_size > 0))
    ask = float(quotes.ask[first])
    return (ask + float(quotes.bid[first])) / 2 if quotes.bid_size[first] > 0 else ask


# -- by ours -----------------------------------------------------------------------------------------------


def _honest(
    options: Options,
    grid: Grid,
    episodes: windows.Episodes,
    firsts: Sequence[int],
    qty: int,
    lot: int,
    progress: Callable[[], None],
) -> tuple[Report, fit.Fitted, fit.OutOfSample, dict[str, Curve]]:
    quotes = grid.quotes
    tested = fit.walk_forward(episodes, options.trials, options.seed, progress)
    fitted = fit.fit(episodes, range(len(episodes)), options.trials, options.seed, progress)
    deciders: dict[str, Decide] = {"router": episodes.router(fitted.parameters), **BASELINES}
    done = {name: windows.parent(grid, decide, qty, firsts, lot) for name, decide in deciders.items()}
    found = {name: _worked(quotes, children) for name, children in done.items()}
    router = found.pop("router")
    notes = []
    if len(episodes) < fit.FIT_MIN:
        notes.append(
            f"{len(episodes)} windows are too few to fit anything on: the best ask alone is taken; "
            "a shorter --horizon makes more"
        )
    notes += _partial(options, {"router": router, **found})
    notes += _doubts(tested)
    report = Report(
        best_params=_named(fitted.parameters, quotes),
        router=router,
        baselines=found,
        savings_bps={name: _savings(quotes, one, router) for name, one in found.items()},
        cross_validation=CrossValidation(
            scheme=f"walk-forward over {fit.BLOCKS} blocks of time, {fit.PURGED} window purged before each",
            folds=[_fold(episodes, block) for block in tested.blocks],
            savings_bps=tested.savings,
            savings_without_drift_bps=tested.driftless,
        ),
        notes=notes,
    )
    mid = _first_mid(quotes)
    return (
        report,
        fitted,
        tested,
        {name: _curve_of_children(grid, children, mid) for name, children in done.items()},
    )


def _fold(episodes: windows.Episodes, block: fit.Block) -> Fold:
    since, until = fit.times_of(episodes, block)
    savings = {
        name: float(windows.savings_bps(baseline[block.first : block.last], block.router).mean())
        for name, baseline in episodes.baselines.items()
    }
    return Fold(
        since=since,
        until=until,
        children=block.last - block.first,
        params=_named(block.parameters, episodes.grid.quotes),
        savings_bps=dict(savings),
    )


def _worked(quotes: Level1, children: Sequence[Child]) -> Strategy:
    fills = [fill for child in children for fill in child.fills]
    made = _strategy(quotes, [fill.cash for fill in fills], sum(fill.qty for fill in fills))
    return msgspec.structs.replace(
        made,
        rested=quotes.qty(sum(fill.qty for fill in fills if fill.rested)),
        forced=quotes.qty(sum(child.forced for child in children)),
        sold_back=quotes.qty(sum(child.over for child in children)),
    )


def _doubts(tested: fit.OutOfSample) -> list[str]:
    """Where the fitted router was worse than a baseline out of sample, said plainly."""
    return [
        f"out of sample the router was worse than {name} by {-one.mean:.3f} bps on average (the price went "
        f"{tested.drift:+.3f} bps in a window; without what that explains the saving is "
        f"{tested.driftless[name].mean or 0.0:+.3f} bps)"
        for name, one in tested.savings.items()
        if one.mean is not None and one.mean < 0
    ]


def _curve_of_children(grid: Grid, children: Sequence[Child], mid: float) -> Curve:
    return _curve(
        grid.quotes,
        [(int(grid.at_ns[fill.at]), fill.qty, fill.cash) for child in children for fill in child.fills],
        mid,
    )


def _named(parameters: Parameters, quotes: Level1) -> dict[str, float]:
    return {
        "lambda_over": _price(parameters.over, quotes),
        "lambda_under": _price(parameters.under, quotes),
        "theta_queue": _price(parameters.theta, quotes),
    }


# -- both --------------------------------------------------------------------------------------------------


def _strategy(quotes: Level1, costs: Sequence[int], filled: int) -> Strategy:
    cash, qty = quotes.cash(sum(costs)), quotes.qty(filled)
    with localcontext() as context:
        context.prec = DIGITS
        average = abs(cash / qty) if filled else None
    return Strategy(cash=cash, avg_px=average, filled=qty, fills=len(costs))


def _savings(quotes: Level1, baseline: Strategy, router: Strategy) -> float | None:
    """(baseline average - router average) / baseline average x 10,000; the other way round where we sell."""
    if not router.avg_px or not baseline.avg_px:
        return None
    return quotes.sign * float((baseline.avg_px - router.avg_px) / baseline.avg_px) * 1e4


def _partial(options: Options, found: dict[str, Strategy]) -> list[str]:
    return [
        f"{name} filled {one.filled:f} of {options.qty:f}: the file shows no more in time"
        for name, one in found.items()
        if 0 < one.filled < options.qty
    ]


def _curve(quotes: Level1, fills: Sequence[tuple[int, int, int]], mid: float) -> Curve:
    scale = quotes.sign / 10 ** (quotes.price_scale + quotes.qty_scale)
    made: Curve = []
    cash = qty = 0
    for at_ns, part, cost in fills:
        cash += cost
        qty += part
        made.append((at_ns, cash * scale, (cash - qty * mid) * abs(scale)))
    return made
