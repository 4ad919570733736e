"""What a search found: what it is worth where it was not fitted, and how much of it was only fitted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from services.backtester.lab.search.space import Dimension, Space
from services.backtester.lab.search.spec import Spec
from services.backtester.lab.statistics import Estimate


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """Costs are means in bps. `parameters`: the best of those that were tried on `train_cases`; what is left out is
    the default. `trials` counts those that ended early (`pruned`) too."""

    fold: int
    train_cases: list[int]
    test_cases: list[int]
    trials: int
    pruned: int
    parameters: dict[str, Any]
    train_cost: float
    train_default: float
    test_cost: float
    test_default: float


class Stability(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter's best values over the folds, None where it did not matter. `agreement`, from 0 to 1: of words
    the share of the most frequent one, of numbers 1 - (highest - lowest) / range, in logarithms where it was searched
    so; None where it mattered in fewer than two."""

    parameter: str
    range: str
    default: Any
    values: list[Any]
    agreement: float | None


class CaseResult(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario where it was tested; costs in bps. `fixed` are the first fold's parameters."""

    case: int
    fold: int
    at_ns: int
    side: str
    qty: str
    default: float
    fitted: float
    fixed: float | None
    filled: float


class Effort(msgspec.Struct, frozen=True, kw_only=True):
    """Since the search began, of this process and its workers. `busy`: how much of the workers' time was spent on
    sessions, however many others the processors had to serve; `cores`: processor time over time."""

    seconds: float
    cpu_seconds: float
    cores: float
    busy: float
    jobs: int
    evaluations: int


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """`parameters`: the best on all scenarios, to be used from now on. What they are worth is not their cost there
    but `out_of_sample`: fitted less default, on scenarios that were not fitted on, each with the parameters of its
    fold. Negative is cheaper. `in_sample` is the same where they were fitted, and `overfit` how much better that
    looks.

    `adaptive`, walking forward: parameters fitted again before each stretch less those of the first fit kept for
    good. `left_out`: scenarios without a book to decide on.
    """

    study: str
    code: str
    data: dict[str, str]
    seed: int
    spec: Spec
    space: list[str]
    cases: int
    left_out: int
    parameters: dict[str, Any]
    default_cost: float
    out_of_sample: Estimate
    in_sample: float
    overfit: float
    adaptive: Estimate | None
    folds: list[FoldResult]
    stability: list[Stability]
    importance: dict[str, float]
    tested: list[CaseResult]
    effort: Effort


def stability(
    space: Space, points: Sequence[dict[str, Any]], raw: Sequence[dict[str, Any]]
) -> list[Stability]:
    """`raw`: the same as they were suggested."""
    return [
        Stability(
            parameter=one.name,
            range=one.text,
            default=None if one.default is None else one.written(one.default),
            values=[point.get(one.name) for point in points],
            agreement=_agreement(one, [values[one.name] for values in raw if one.name in values]),
        )
        for one in space.dimensions
    ]


def _agreement(dimension: Dimension, values: Sequence[Any]) -> float | None:
    if len(values) < 2:
        return None
    if dimension.choices:
        return max(Counter(map(str, values)).values()) / len(values)
    low, high = min(values), max(values)
    if dimension.log:
        return float(1 - math.log(high / low) / math.log(dimension.high / dimension.low))
    return float(1 - (high - low) / (dimension.high - dimension.low))
