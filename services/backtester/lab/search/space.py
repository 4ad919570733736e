"""What is searched over: the parameters of algorithms and strategies, with ranges read off their structs.

A dimension is named `twap.interval`, or `@smart.patience` where it is a strategy's. Where several algorithms or
strategies are named, which of them is a dimension too, and each one's own parameters matter only with it;
`Meta(extra={"when": "slices=0"})` says the same of single parameters. The range is what the user wrote, else what the
struct says for a search, else from an eighth to eight times the default, within the bounds of the type. A parameter
without a default to begin from is not searched unless it is given a range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from bestex import parameters, plugins
from bestex.clock import MS, SECOND
from bestex.errors import UsageError
from bestex.human import Duration, Ratio
from bestex.parameters import Parameter

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

FACTOR = 8.0  # around a default: an order of magnitude either way, nearly
DIMENSIONS_MAX = 50  # more are not searched by some hundred trials
DIGITS = 6  # of a figure that is tried: what a person would write down
ALGO, STRATEGY = "algo", "strategy"

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Dimension:
    """`kind` as in `Parameter.kind`. Numbers: `low` to `high`, a Duration in seconds; words: `choices`. `when`: the
    dimension or fixed parameter that it depends on, and the values with which it matters (or, `unless`, does not).
    `default`: where the search begins, None where that is outside."""

    name: str
    kind: type | None
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()
    default: Any = None
    when: tuple[tuple[str, tuple[str, ...], bool], ...] = ()

    def suggest(self, trial: BaseTrial) -> Any:
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        if self.kind is int:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)

    def written(self, value: Any) -> Any:
        """A suggested value as it travels in an order."""
        if self.choices or self.kind is int:
            return value
        if self.kind is Duration:
            return str(Duration(max(round(value * SECOND / MS), 1) * MS))
        rounded = float(f"{value:.{DIGITS}g}")
        return f"{Decimal(repr(rounded)):f}" if self.kind is Decimal else rounded

    @property
    def text(self) -> str:
        if self.choices:
            return ",".join(str(one).lower() if isinstance(one, bool) else str(one) for one in self.choices)
        low, high = (
            self.written(end) if self.kind is Duration else f"{end:g}" for end in (self.low, self.high)
        )
        return f"{low}:{high}" + (":log" if self.log else "")


@dataclass(frozen=True, slots=True)
class Space:
    """`fixed`: parameters that are set and not searched, by the names that dimensions have."""

    algos: tuple[str, ...]
    strategies: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    fixed: Mapping[str, Any]

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """One point, as it travels."""
        raw: dict[str, Any] = {}
        for dimension in self.dimensions:
            if self._matters(dimension, raw):
                raw[dimension.name] = dimension.suggest(trial)
        return self.written(raw)

    def written(self, raw: Values) -> dict[str, Any]:
        """Of suggested values, those that are dimensions."""
        return {
            dimension.name: dimension.written(raw[dimension.name])
            for dimension in self.dimensions
            if dimension.name in raw
        }

    def _matters(self, dimension: Dimension, raw: Values) -> bool:
        for name, values, unless in dimension.when:
            there = raw[name] if name in raw else self.fixed.get(name)
            if there is None:
                there = self._default(name)
            if (str(there) in values) is unless:
                return False
        return True

    def _default(self, name: str) -> Any:
        owner, _, parameter = name.partition(".")
        if not parameter:
            return (self.algos if name == ALGO else self.strategies)[0]
        registry = plugins.STRATEGIES if owner.startswith("@") else plugins.ALGOS
        known = parameters.of(registry, owner.removeprefix("@"))
        return next((one.written for one in known if one.name == parameter), None)

    def begin(self) -> dict[str, Any]:
        """The defaults as suggestions, as far as they are within."""
        return {one.name: one.default for one in self.dimensions if one.default is not None}

    def order_fields(self, point: Values) -> dict[str, Any]:
        """Algorithm, strategy and the parameters of both, of a point as it travels; {} is the default."""
        algo = str(point.get(ALGO, self.algos[0]))
        strategy = str(point.get(STRATEGY, self.strategies[0] if self.strategies else ""))
        merged = {**self.fixed, **point}

        def of(owner: str) -> dict[str, Any]:
            return {
                name.partition(".")[2]: value
                for name, value in merged.items()
                if name.startswith(f"{owner}.")
            }

        return {
            "algo": algo,
            "params": of(algo),
            "strategy": strategy,
            "strategy_params": of(f"@{strategy}") if strategy else {},
        }

    @property
    def text(self) -> list[str]:
        """The space in words, which also tells two spaces apart."""
        told = [f"{one.name}={one.text}" for one in self.dimensions]
        return told + [f"{name}={value} (fixed)" for name, value in sorted(self.fixed.items())]


def make_space(
    algos: Sequence[str],
    strategies: Sequence[str] = (),
    *,
    duration: Duration,
    ranges: Mapping[str, str] | None = None,
    fixed: Mapping[str, Any] | None = None,
    only: Sequence[str] = (),
) -> Space:
    """`ranges` and `fixed` by a parameter's name, or by `algo.name` where several have it; a strategy's are written
    `@smart.patience` where an algorithm has the same. `only`: those to be searched, all others stay. UsageError for
    what does not exist or cannot be read."""
    if not algos:
        raise UsageError("name an algorithm to search: --algo twap")
    found: list[Dimension] = []
    owners: list[tuple[str, str, dict[str, str], list[Parameter]]] = []
    for kind, names, registry, mark in (
        (ALGO, algos, plugins.ALGOS, ""),
        (STRATEGY, strategies, plugins.STRATEGIES, "@"),
    ):
        if len(set(names)) < len(names):
            raise UsageError(f"--{kind}: each one once")
        if len(names) > 1:
            found.append(Dimension(kind, str, choices=tuple(names), default=names[0]))
        owners += [(mark + name, kind, registry, parameters.of(registry, name)) for name in names]
    given = _resolved(ranges or {}, owners, "--range")
    held = _resolved(fixed or {}, owners, "--set")
    wanted = _resolved(dict.fromkeys(only, ""), owners, "--only")
    if doubly := given.keys() & held.keys():
        raise UsageError(f"{', '.join(sorted(doubly))}: either set or searched")
    for owner, kind, _, known in owners:
        several = len(algos if kind == ALGO else strategies) > 1
        for parameter in known:
            name = f"{owner}.{parameter.name}"
            if name in held or (wanted and name not in wanted and name not in given):
                continue
            if parameter.name in ("duration", "start_time", "end_time"):
                if name in given:
                    raise UsageError(f"{name}: what is compared is compared over the same time")
                continue
            made = _dimension(name, parameter, given.get(name, ""), duration, asked=name in wanted)
            if made is not None:
                found.append(_conditional(made, parameter, owner, kind if several else ""))
    if not found:
        raise UsageError(f"{', '.join(algos)}: there is nothing to search; give a --range name=low:high")
    if len(found) > DIMENSIONS_MAX:
        raise UsageError(
            f"{len(found)} parameters are more than the {DIMENSIONS_MAX} that are searched at once"
        )
    return Space(tuple(algos), tuple(strategies), _ordered(found), held)


def _resolved(
    given: Mapping[str, Any], owners: Sequence[tuple[str, str, dict[str, str], list[Parameter]]], option: str
) -> dict[str, Any]:
    """By full name."""
    resolved: dict[str, Any] = {}
    for name, value in given.items():
        there = {f"{owner}.{one.name}": one.name for owner, _, _, known in owners for one in known}
        matching = [full for full, short in there.items() if name in (full, full.removeprefix("@"), short)]
        if not matching:
            raise UsageError(f"{option} {name}: no such parameter; there are {', '.join(sorted(there))}")
        resolved |= dict.fromkeys(matching, value)
    return resolved


def _conditional(made: Dimension, parameter: Parameter, owner: str, kind: str) -> Dimension:
    when = list(made.when)
    if kind:
        when.append((kind, (owner.removeprefix("@"),), False))
    if parameter.when:
        name, operator, values = parameter.when.partition("!=" if "!=" in parameter.when else "=")
        when.append((f"{owner}.{name}", tuple(values.split("|")), operator == "!="))
    return Dimension(
        made.name, made.kind, made.low, made.high, made.log, made.choices, made.default, tuple(when)
    )


def _ordered(found: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """What others depend on comes first."""
    names = {one.name for one in found}
    placed: list[Dimension] = []
    waiting = list(found)
    while waiting:
        there = {one.name for one in placed}
        ready = [one for one in waiting if all(name in there or name not in names for name, _, _ in one.when)]
        assert ready, "parameters do not depend on each other in a circle"
        placed += ready
        waiting = [one for one in waiting if one not in ready]
    return tuple(placed)


def _dimension(
    name: str, parameter: Parameter, given: str, duration: Duration, *, asked: bool
) -> Dimension | None:
    """None where it is not searched."""
    written = given or parameter.search
    if written:
        return _written(name, parameter, written)
    if not parameter.own and not asked:
        return None
    if parameter.choices or parameter.kind is bool:
        choices: tuple[Any, ...] = parameter.choices or (False, True)
        default = parameter.written if parameter.written in choices else None
        return Dimension(name, parameter.kind, choices=choices, default=default)
    around = _around(parameter, duration)
    if around is None:
        if asked:
            raise UsageError(
                f"--only {name}: it has no default to begin from; give a --range {name}=low:high"
            )
        return None
    low, high, default = around
    return Dimension(name, parameter.kind, low, high, log=True, default=default)


def _around(parameter: Parameter, duration: Duration) -> tuple[float, float, float] | None:
    """Low, high and the default, where that is a number above zero."""
    default = parameter.default
    if parameter.kind not in (Duration, Ratio, Decimal, int, float) or not default or default < 0:
        return None
    middle = float(default) / SECOND if parameter.kind is Duration else float(default)
    low, high = middle / FACTOR, middle * FACTOR
    if parameter.kind is Duration:
        high = min(high, duration / SECOND)
        middle = min(middle, high)
    elif parameter.kind is Ratio and middle <= 1:
        high = min(high, 1.0)
    elif parameter.kind is int:
        low, high = max(1.0, math.floor(low)), math.ceil(high)
    if parameter.low is not None:
        low = max(low, parameter.low[0])
    if parameter.high is not None:
        high = min(high, parameter.high[0])
    return (low, high, int(middle) if parameter.kind is int else middle) if 0 < low < high else None


def _written(name: str, parameter: Parameter, text: str) -> Dimension:
    """`low:high`, `low:high:log` or `one,another`. UsageError names what cannot be read."""
    if ":" not in text:
        words = [_read(name, parameter, word) for word in text.split(",")]
        if len(words) < 2 or len(set(map(str, words))) < len(words):
            raise UsageError(f"{name}: write low:high, low:high:log, or two values or more, not {text!r}")
        choices = tuple(_plain(word) for word in words)
        default = _plain(parameter.default) if parameter.default is not None else None
        return Dimension(
            name, parameter.kind, choices=choices, default=default if default in choices else None
        )
    low, _, rest = text.partition(":")
    high, _, how = rest.partition(":")
    if how not in ("", "log", "linear"):
        raise UsageError(f"{name}: {how!r} is neither log nor linear")
    ends = [_number(name, parameter, word) for word in (low, high)]
    if not ends[0] < ends[1]:
        raise UsageError(f"{name}: {text!r} is empty")
    if how == "log" and ends[0] <= 0:
        raise UsageError(f"{name}: a logarithmic range begins above zero, not at {low}")
    for bound, above in ((parameter.low, False), (parameter.high, True)):
        end = ends[1 if above else 0]
        if bound is not None and ((end > bound[0]) if above else (end < bound[0])):
            raise UsageError(f"{name}: {parameter.range}; {text!r} goes beyond")
    default = None
    if parameter.default is not None:
        found = _number(name, parameter, parameter.default)
        default = (int(found) if parameter.kind is int else found) if ends[0] <= found <= ends[1] else None
    return Dimension(name, parameter.kind, ends[0], ends[1], log=how == "log", default=default)


def _read(name: str, parameter: Parameter, text: str) -> Any:
    """A value of the parameter's type."""
    if parameter.choices:
        if text not in parameter.choices:
            raise UsageError(f"{name}: {text!r} is none of {', '.join(parameter.choices)}")
        return text
    if parameter.kind is bool:
        if text not in ("true", "false"):
            raise UsageError(f"{name}: {text!r} is neither true nor false")
        return text == "true"
    if parameter.kind is str:
        return text
    if parameter.kind is Duration:
        return _of(Duration, name, text)
    number = _number(name, parameter, text)
    return int(number) if parameter.kind is int else number


def _plain(value: Any) -> Any:
    """As Optuna stores it, and as it travels."""
    return str(value) if isinstance(value, Duration | Decimal) else msgspec.to_builtins(value)


def _number(name: str, parameter: Parameter, value: Any) -> float:
    if parameter.kind is Duration:
        return float(_of(Duration, name, value)) / SECOND
    if parameter.kind is Ratio:
        return float(_of(Ratio, name, value))
    if parameter.kind not in (Decimal, int, float):
        raise UsageError(f"{name}: {parameter.type_name} has no range; write its values, one,another")
    try:
        number = float(value)
        if not math.isfinite(number) or (parameter.kind is int and number != int(number)):
            raise ValueError
    except ValueError:
        raise UsageError(f"{name}: {value!r} is no {parameter.type_name}") from None
    return number


def _of(kind: type[Duration] | type[Ratio], name: str, value: Any) -> Duration | Ratio:
    try:
        return kind.parse(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
