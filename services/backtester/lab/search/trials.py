"""One study of Optuna's as a program for the pool: it yields what is to be evaluated, and is sent the costs.

The same seed gives the same trials whatever the number of workers and however often the process was killed:

- Trials are asked for in batches of a fixed size. What is proposed within a batch depends on the batches before it,
  and on who stands before it in its own batch, whose outcome nobody knows.
- Each proposal is drawn by a sampler seeded from the study's seed and the trial's position, in a copy of the study in
  memory, and put into the storage whole, in one step.
- Nothing of a batch is told before all of it is asked for and priced. What a killed process left running is priced
  again, with the parameters that it has; what is told is never told again.

Several machines share a study of a storage that they all reach, each under a worker number of its own; whose trial a
trial is stands in it. Then what is proposed depends on who was faster, as ever, and who ends last knows of all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bestex import ids
from bestex.errors import BestexError, UsageError
from services.backtester.lab.search.cases import Score, Task, point_text
from services.backtester.lab.search.folds import spread
from services.backtester.lab.search.space import Space

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import TPESampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

BATCH = 8  # a part of what a study is: another one would propose other trials
STARTUP = 2 * BATCH  # random trials before the sampler models anything
RUNG_MIN = 3  # scenarios that a first judgement needs
RUNGS = (4, 2, 1)  # judged after a quarter of the scenarios, after half, and after all

WORKER, POSITION = "worker", "position"  # attributes of a trial
Program = Generator[Sequence[Task], list[Score], "Found"]


class Found(NamedTuple):
    """The best point, as it travels and as it was suggested, its mean cost where it was fitted, and how many trials
    there were and how many of them ended early."""

    point: dict[str, Any]
    raw: dict[str, Any]
    cost: float
    trials: int
    pruned: int


def search(
    study: Study,
    space: Space,
    cases: Sequence[int],
    *,
    seed: int,
    worker: int,
    trials: int,
    told: Callable[[], None],
) -> Program:
    """Until the study has `trials`. `told` is called after each of them, those of an earlier run included."""
    rungs = _rungs(spread(cases))
    counted = 0
    while True:
        batch = _Batch(study, space, seed, worker, trials)
        while counted < batch.told_before:
            told()
            counted += 1
        if not batch.positions:
            return best(study, space)
        waiting = batch.asked()
        scores: dict[int, list[float]] = {position: [] for position in waiting}
        pruned: set[int] = set()
        for step, rung in enumerate(rungs):
            alive = [position for position in waiting if position not in pruned]
            points = {position: point_text(space.written(waiting[position].params)) for position in alive}
            tasks = [Task(points[position], case) for position in alive for case in rung]
            results = yield tasks
            for place, position in enumerate(alive):
                found = results[place * len(rung) : (place + 1) * len(rung)]
                scores[position] += [one.cost for one in found]
            if step < len(rungs) - 1:
                for position in alive:
                    waiting[position].report(_mean(scores[position]), step)
                pruned |= {position for position in alive if waiting[position].should_prune()}
        batch.tell({position: (_mean(scores[position]), position in pruned) for position in waiting}, waiting)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _rungs(cases: Sequence[int]) -> list[Sequence[int]]:
    """What is evaluated before the first judgement, between that and the next, and so on."""
    ends = sorted({-(-len(cases) // part) for part in RUNGS if len(cases) // part >= RUNG_MIN} | {len(cases)})
    return [cases[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


class _Batch:
    """The first batch that is not told yet, in a copy of the study in memory."""

    def __init__(self, study: Study, space: Space, seed: int, worker: int, trials: int) -> None:
        from optuna.trial import TrialState

        self._study, self._space, self._seed, self._worker = study, space, seed, worker
        there = [one for one in study.get_trials(deepcopy=False) if one.state is not TrialState.FAIL]
        own = {one.user_attrs[POSITION]: one for one in there if one.user_attrs[WORKER] == worker}
        others = [one for one in there if one.user_attrs[WORKER] != worker]
        limit = max(trials - len(others), 0)
        open_ = [n for n in range(limit) if n not in own or not own[n].state.is_finished()]
        self.told_before = sum(one.state.is_finished() for one in own.values())
        first = open_[0] // BATCH * BATCH if open_ else limit
        self.positions = range(first, min(first + BATCH, limit)) if open_ else range(0)
        self._own = own
        self._history = [one for one in others if one.state.is_finished()]
        self._history += [one for position, one in own.items() if position < first]
        self._history.sort(key=lambda one: one.number)

    def asked(self) -> dict[int, Trial]:
        """The batch's trials that are to be priced, by position, in the copy; those that the storage did not have yet
        are in it now."""
        import optuna
        from optuna.trial import Trial, TrialState, create_trial

        copy = optuna.create_study(pruner=_pruner())
        copy.add_trials(self._history)
        waiting: dict[int, Trial] = {}
        for position in self.positions:
            copy.sampler = _sampler(self._seed, self._worker, position)
            known = self._own.get(position)
            if known is None:
                if position == 0 and self._worker == 0:
                    copy.enqueue_trial(self._space.begin())
                trial = copy.ask()
                self._space.suggest(trial)
                frozen = copy.get_trials(deepcopy=False)[trial.number]
                self._study.add_trial(
                    create_trial(
                        state=TrialState.RUNNING,
                        params=frozen.params,
                        distributions=frozen.distributions,
                        user_attrs={WORKER: self._worker, POSITION: position},
                        system_attrs=frozen.system_attrs,  # where the sampler notes what it drew
                    )
                )
            else:
                # What others of the batch cost is not known yet, even where it was told before a kill.
                copy.add_trial(
                    create_trial(
                        state=TrialState.RUNNING,
                        params=known.params,
                        distributions=known.distributions,
                        user_attrs=known.user_attrs,
                        system_attrs=known.system_attrs,
                    )
                )
                trial = Trial(copy, copy.get_trials(deepcopy=False)[-1]._trial_id)
            if known is None or not known.state.is_finished():
                waiting[position] = trial
        return waiting

    def tell(self, costs: dict[int, tuple[float, bool]], waiting: dict[int, Trial]) -> None:
        """UsageError where somebody else has told one of them."""
        from optuna.trial import Trial, TrialState

        stored = {
            one.user_attrs[POSITION]: one
            for one in self._study.get_trials(deepcopy=False)
            if one.user_attrs[WORKER] == self._worker and one.state is TrialState.RUNNING
        }
        for position, (cost, is_pruned) in costs.items():
            if position not in stored:
                raise UsageError(
                    f"another process searches {self._study.study_name} as worker {self._worker}: "
                    "give each one a --worker number of its own"
                )
            trial = Trial(self._study, stored[position]._trial_id)
            steps = waiting[position].storage.get_trial(waiting[position]._trial_id).intermediate_values
            for step in sorted(steps.keys() - stored[position].intermediate_values.keys()):
                trial.report(steps[step], step)
            if is_pruned:
                self._study.tell(stored[position].number, state=TrialState.PRUNED)
            else:
                self._study.tell(stored[position].number, cost)


def best(study: Study, space: Space) -> Found:
    """Of the trials that were priced on all scenarios; of equals the one proposed first. BestexError where other
    workers have asked for all and told none yet."""
    from optuna.trial import TrialState

    there = study.get_trials(deepcopy=False)
    complete = [one for one in there if one.state is TrialState.COMPLETE]
    pruned = sum(one.state is TrialState.PRUNED for one in there)
    if not complete:
        raise BestexError(
            f"other workers have asked for all {len(there)} trials of {study.study_name} and told none yet: do the "
            "same again when they have, or ask for more --trials"
        )
    found = min(complete, key=_rank)
    return Found(
        space.written(found.params), dict(found.params), _value(found), len(complete) + pruned, pruned
    )


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None, "what is complete has a value"
    return trial.value


def _rank(trial: FrozenTrial) -> tuple[float, int, int]:
    return _value(trial), trial.user_attrs[POSITION], trial.user_attrs[WORKER]


def _sampler(seed: int, worker: int, position: int) -> TPESampler:
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ExperimentalWarning
        )  # groups: what depends on what is modelled together
        return TPESampler(
            seed=ids.seed("search", "trial", seed, worker, position) & 0xFFFF_FFFF,  # what numpy takes
            n_startup_trials=STARTUP,
            multivariate=True,
            group=True,
            constant_liar=True,
        )


def _pruner() -> BasePruner:
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=BATCH, n_warmup_steps=0)
