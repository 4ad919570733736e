"""Which scenarios are fitted on and which are tested on: never the same, and never neighbours of each other.

Walk-forward: fitted on what was before, tested on the stretch that follows. Purged cross-validation: each stretch is
tested once and fitted on all others (López de Prado, "Advances in Financial Machine Learning", 2018, chapter 7). In
both, what of a scenario to be fitted on lies in the tested stretch, or within the embargo around it, takes the whole
scenario out. A scenario's extent is that of its window, its warm-up included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from bestex.errors import UsageError

Validation = Literal["walk_forward", "purged"]

FOLDS_MAX = 100  # each is a study of its own
TRAIN_MIN = 4  # scenarios: with fewer, whatever is fitted is chance


class Slot(NamedTuple):
    """A scenario's place: its number and its window."""

    number: int
    begin_ns: int
    end_ns: int


class Fold(NamedTuple):
    """Numbers of scenarios, in order of time."""

    number: int
    train: tuple[int, ...]
    test: tuple[int, ...]


def divide(
    slots: Sequence[Slot], folds: int, validation: Validation, embargo_ns: int, stretches: int = 0
) -> list[Fold]:
    """`folds` of them, the earliest first. `slots` in order of time. `stretches`: walking forward, how many stretches
    before the tested one are fitted on, 0 for all. UsageError where a fold would have too little to be fitted on."""
    if not 2 <= folds <= FOLDS_MAX:
        raise UsageError(f"--folds {folds}: from 2 to {FOLDS_MAX}")
    parts = _stretches(slots, folds + 1 if validation == "walk_forward" else folds)
    made = []
    for number in range(folds):
        if validation == "walk_forward":
            tested, first = parts[number + 1], max(0, number + 1 - stretches) if stretches else 0
            fitted = [slot for part in parts[first : number + 1] for slot in part]
        else:
            tested = parts[number]
            fitted = [slot for part in parts if part is not tested for slot in part]
        kept = purge(fitted, tested, embargo_ns)
        if len(kept) < TRAIN_MIN or not tested:
            raise UsageError(
                f"fold {number + 1} has {len(kept)} scenarios to be fitted on and {len(tested)} to be tested on, and "
                f"needs {TRAIN_MIN} and 1: use fewer --folds, a shorter --every, --duration or --embargo, or a "
                "longer recording"
            )
        made.append(Fold(number + 1, tuple(one.number for one in kept), tuple(one.number for one in tested)))
    return made


def purge(fitted: Sequence[Slot], tested: Sequence[Slot], embargo_ns: int) -> list[Slot]:
    """Those of `fitted` that end before the stretch that is tested, or begin after it, by more than the embargo."""
    if not tested:
        return list(fitted)
    begin_ns = min(slot.begin_ns for slot in tested) - embargo_ns
    end_ns = max(slot.end_ns for slot in tested) + embargo_ns
    return [slot for slot in fitted if slot.end_ns < begin_ns or slot.begin_ns > end_ns]


def _stretches(slots: Sequence[Slot], count: int) -> list[Sequence[Slot]]:
    """Contiguous ones, as equal in number as can be."""
    return [slots[len(slots) * n // count : len(slots) * (n + 1) // count] for n in range(count)]


def spread(numbers: Sequence[int]) -> list[int]:
    """The same so that every beginning of the list lies over all of it: van der Corput's order, base 2."""
    bits = max(len(numbers) - 1, 1).bit_length()
    order = sorted(range(len(numbers)), key=lambda i: int(f"{i:0{bits}b}"[::-1], 2))
    return [numbers[i] for i in order]
