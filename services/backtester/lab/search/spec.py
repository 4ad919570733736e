"""What a search is asked for: by the command's options, or by a file of `deploy/studies`."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bestex import codec
from bestex.clock import SECOND
from bestex.errors import UsageError
from bestex.human import Duration
from services.backtester.lab.search.folds import FOLDS_MAX, Validation
from services.backtester.lab.search.space import Space, make_space

TRIALS_MAX = 100_000
Texts = list[str]


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`recordings`: files, named from where the command runs; `synthetic`: instead of them so long a day of the
    market model. `qty`: one size, or several that take turns. `every`: from one start to the next; `warm_up`: of the
    market before each. `stretches` and `embargo`: see `folds`. `range`, `set` and `only`: see `space`."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    recordings: Texts = []
    synthetic: Duration | None = None
    algo: Texts
    strategy: Texts = []
    symbol: str
    side: Literal["buy", "sell", "both"] = "both"
    qty: Annotated[list[Decimal], Meta(min_length=1, max_length=100)]
    duration: Duration
    warm_up: Duration = Duration(5 * SECOND)
    every: Duration | None = None
    trials: Annotated[int, Meta(ge=2, le=TRIALS_MAX)] = 200
    folds: Annotated[int, Meta(ge=2, le=FOLDS_MAX)] = 5
    validation: Validation = "walk_forward"
    stretches: Annotated[int, Meta(ge=0, le=FOLDS_MAX)] = 0
    embargo: Duration = Duration(0)
    range: dict[str, str] = {}
    set: dict[str, Any] = {}
    only: Texts = []
    seed: Annotated[int, Meta(ge=0)] = 0

    def space(self) -> Space:
        return make_space(
            self.algo,
            self.strategy,
            duration=self.duration,
            ranges=self.range,
            fixed=self.set,
            only=self.only,
        )

    def problem(self) -> str:
        """What is wrong with the values, as a sentence; empty where nothing is."""
        if bool(self.recordings) is (self.synthetic is not None):
            return "name recordings, or how long a synthetic day to make, and not both"
        if self.duration <= 0 or (self.every is not None and self.every <= 0):
            return "duration and every must be longer than nothing"
        if any(not qty.is_finite() or qty <= 0 for qty in self.qty):
            return "every qty must be above zero"
        if self.stretches and self.validation != "walk_forward":
            return "stretches are counted when walking forward only"
        return ""


def make(fields: dict[str, Any], source: str) -> Spec:
    """UsageError with what is wrong."""
    try:
        spec = codec.convert(fields, Spec, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        raise UsageError(f"{source}: {error}") from None
    if problem := spec.problem():
        raise UsageError(f"{source}: {problem}")
    return spec


def read(path: Path, **changes: Any) -> Spec:
    """A file of fields as above. The study is called as the file is, where it does not say."""
    try:
        fields = tomllib.loads(path.read_text(), parse_float=str)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    return make({"name": path.stem, **fields, **changes}, str(path))
