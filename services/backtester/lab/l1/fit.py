"""Which parameters are best, and whether they still are on quotes that they were not chosen on.

Searched with Optuna's tree-structured Parzen estimator, seeded. What is minimised is the mean difference to Best
Ask, plus two standard errors of it, after the part that the market's drift explains is taken out. Drift is the
bulk of the noise: who waits pays it, whichever way it goes, and no parameter foresees it. The standard errors ask for
evidence: without it, of many candidates the luckiest would win, and with few windows luck is all there is.

Out of sample: the file's windows in blocks of time. Each block but the first is worked with what was fitted on the
blocks before it alone, less the windows next to it (walk-forward, purged), and the differences of all tested windows
make one mean with an interval by the stationary bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt

import numpy as np

from bestex.clock import rfc3339
from services.backtester.lab.l1.grid import Grid
from services.backtester.lab.l1.quotes import NEVER
from services.backtester.lab.l1.router import Parameters
from services.backtester.lab.l1.windows import Episodes, Floats, Result, costs_bps, evenly, savings_bps
from services.backtester.lab.statistics import Estimate, mean_interval

BLOCKS = 5
PURGED = 1  # windows next to the tested block: what they rest at their end, the tested ones may see
FIT_MIN = 6  # windows: a mean of fewer has no error to speak of, and the best ask alone is taken
DRAWN_MAX = 80  # windows that the response to a parameter is drawn of
CHUNKS = 4  # parts of the windows, each spread over all of them, after which a trial may be given up
STARTUP_TRIALS = 10
ERRORS = 2.0  # standard errors by which candidates must be better, for the luck of forty
SELDOM = 0.05  # of times the best ask is dearer than what is taken by the first anchor
REFERENCE = "best_ask"

Progress = Callable[[], None]


@dataclass(frozen=True)
class Space:
    """Where parameters are searched, in price units. `take` is what taking one share usually costs against the mid,
    fee included, `seldom` what it costs at the worst of twenty times; `move` how far the mid usually is from where it
    was a horizon before: what waiting may cost.

    From "never pays more than the best ask, and hardly that" to "takes all that is shown at once"; from "glad to have
    too much" to "never one too many".
    """

    take: float
    seldom: float
    move: float

    @property
    def penalty(self) -> tuple[float, float]:
        """Of lambda_under and of lambda_over."""
        return 0.5 * self.take, 50.0 * (self.take + self.move)

    @property
    def theta(self) -> tuple[float, float]:
        return 0.001 * self.take, 300.0 * self.take

    @property
    def anchors(self) -> tuple[Parameters, ...]:
        """Tried first: the best ask alone and nothing rests; all at once; what rests first, the best ask after that;
        a rest that is worth some waiting."""
        (_, most), (least, theta) = self.penalty, self.theta
        return (
            Parameters(over=most, under=self.seldom, theta=theta),
            Parameters(over=most, under=most, theta=least),
            Parameters(over=most, under=self.seldom, theta=least),
            Parameters(over=most, under=6.0 * self.take, theta=0.1 * self.take),
        )

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        return {"lambda_over": self.penalty, "lambda_under": self.penalty, "theta_queue": self.theta}


def space(grid: Grid, firsts: Sequence[int]) -> Space:
    """By the quotes of the windows that begin at these grid times. Nothing is below the least difference of asks."""
    asks = grid.quotes.ask
    different = np.unique(asks[asks < NEVER])
    tick = float(np.gcd.reduce(np.diff(different))) if len(different) > 1 else 1.0
    at = np.array(list(firsts), dtype=np.int64)
    at = at[~np.isnan(grid.mid[at])]
    if not len(at):
        return Space(tick, tick, tick)
    take = np.abs(grid.ask[at].min(axis=1) - grid.mid[at]) + np.abs(grid.fee[at]).min(axis=1)
    moves = np.abs(grid.mid[np.minimum(at + grid.steps, grid.last)] - grid.mid[at])
    moves = moves[~np.isnan(moves)]
    usual = max(float(np.median(take)), tick / 2)
    return Space(
        take=usual,
        seldom=max(float(np.quantile(take, 1 - SELDOM)), 1.5 * usual),
        move=max(float(moves.mean()) if len(moves) else 0.0, tick / 2),
    )


@dataclass(frozen=True)
class Trial:
    """`score` is what was minimised, bps."""

    parameters: Parameters
    score: float


@dataclass(frozen=True)
class Fitted:
    """The best of all that were `tried`."""

    best: Trial
    tried: list[Trial] = field(default_factory=list)

    @property
    def parameters(self) -> Parameters:
        return self.best.parameters


def score(costs: Floats, reference: Floats, drift: Floats) -> float:
    """Mean difference to the reference without the market's drift, plus its standard errors; bps."""
    rest = without(costs - reference, drift)
    return float(rest.mean() + ERRORS * rest.std(ddof=1) / sqrt(len(rest)))


def without(values: Floats, drift: Floats) -> Floats:
    """The values less what a straight line through zero drift explains of them."""
    if not len(values):
        return values
    about = drift - drift.mean()
    variance = float(about @ about)
    return values - (float(about @ values) / variance if variance > 0 else 0.0) * drift


def fit(episodes: Episodes, which: Sequence[int], trials: int, seed: int, progress: Progress) -> Fitted:
    """The best parameters on the episodes with these numbers, after so many trials; deterministic."""
    import optuna

    found = space(episodes.grid, [episodes.firsts[number] for number in which])
    if len(which) < FIT_MIN:
        for _ in range(trials):
            progress()
        return Fitted(Trial(found.anchors[0], 0.0))
    reference = costs_bps(episodes.baselines[REFERENCE])
    chunks = (
        [list(which[start::CHUNKS]) for start in range(CHUNKS)] if len(which) >= CHUNKS * FIT_MIN else [which]
    )
    tried: list[Trial] = []

    def objective(trial: optuna.Trial) -> float:
        parameters = Parameters(
            over=trial.suggest_float("over", *found.penalty, log=True),
            under=trial.suggest_float("under", *found.penalty, log=True),
            theta=trial.suggest_float("theta", *found.theta, log=True),
        )
        router = episodes.router(parameters)
        seen: list[int] = []
        results: list[Result] = []
        value = 0.0
        progress()
        for step, chunk in enumerate(chunks):
            seen += chunk
            results += episodes.results(router, chunk)
            value = score(costs_bps(results), reference[seen], episodes.drift[seen])
            trial.report(value, step)
            if step < len(chunks) - 1 and trial.should_prune():
                raise optuna.TrialPruned
        tried.append(Trial(parameters, value))
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1),
    )
    for anchor in found.anchors[:trials]:
        study.enqueue_trial({"over": anchor.over, "under": anchor.under, "theta": anchor.theta})
    study.optimize(objective, n_trials=trials)
    # The first of equals is the earliest anchor: nothing fancier is chosen than what pays.
    return Fitted(min(tried, key=lambda one: one.score), tried)


@dataclass(frozen=True)
class Block:
    """One tested block of time: episodes `first` to `last` (exclusive), and the parameters chosen before it."""

    first: int
    last: int
    parameters: Parameters
    router: list[Result]


@dataclass(frozen=True)
class OutOfSample:
    """`savings` against each baseline over all tested windows, bps; `driftless` the same without the part that the
    market's drift explains, whose mean over the windows was `drift`, bps of the price as we see it; `each` the
    savings of every window."""

    blocks: list[Block]
    savings: dict[str, Estimate]
    driftless: dict[str, Estimate]
    drift: float
    each: dict[str, Floats]


def blocks_of(count: int) -> list[tuple[int, int]]:
    """[first, last) of each block of time; one after the other, all alike by one."""
    blocks = min(BLOCKS, count)
    return [(number * count // blocks, (number + 1) * count // blocks) for number in range(blocks)]


def walk_forward(episodes: Episodes, trials: int, seed: int, progress: Progress) -> OutOfSample:
    """Each block after the first, with what was best before it."""
    done: list[Block] = []
    for first, last in blocks_of(len(episodes))[1:]:
        fitted = fit(episodes, range(max(first - PURGED, 0)), trials, seed, progress)
        results = episodes.results(episodes.router(fitted.parameters), range(first, last))
        done.append(Block(first, last, fitted.parameters, results))
    tested = [number for block in done for number in range(block.first, block.last)]
    at = [int(episodes.grid.at_ns[episodes.firsts[number]]) for number in tested]
    drift = episodes.drift[tested]
    savings, driftless, each = {}, {}, {}
    for name, baseline in episodes.baselines.items():
        parts = [savings_bps(baseline[block.first : block.last], block.router) for block in done]
        joined = np.concatenate(parts) if parts else np.zeros(0)
        each[name] = joined
        savings[name] = mean_interval(joined, at, seed=seed)
        driftless[name] = mean_interval(without(joined, drift), at, seed=seed)
    return OutOfSample(done, savings, driftless, float(drift.mean()) if len(drift) else 0.0, each)


def times_of(episodes: Episodes, block: Block) -> tuple[str, str]:
    """From when to when a block is, RFC 3339."""
    grid = episodes.grid
    first, last = episodes.firsts[block.first], episodes.firsts[block.last - 1] + grid.steps
    return rfc3339(int(grid.at_ns[first])), rfc3339(int(grid.at_ns[last]))


def response(episodes: Episodes, best: Parameters, points: int) -> dict[str, list[tuple[float, float]]]:
    """How the mean cost, bps against arrival, answers to each parameter, the others at their best: (value, bps). On
    some of the windows, spread over all, that is quick enough to be drawn each time."""
    some = evenly(range(len(episodes)), DRAWN_MAX)
    found: dict[str, list[tuple[float, float]]] = {}
    for name, (low, high) in space(episodes.grid, episodes.firsts).ranges.items():
        curve = []
        for number in range(points):
            value = exp(log(low) + (log(high) - log(low)) * number / (points - 1))
            tried = Parameters(
                over=value if name == "lambda_over" else best.over,
                under=value if name == "lambda_under" else best.under,
                theta=value if name == "theta_queue" else best.theta,
            )
            costs = costs_bps(episodes.results(episodes.router(tried), some))
            curve.append((value, float(costs.mean())))
        found[name] = curve
    return found
