"""What is compared: an execution algorithm and a routing strategy, each with its parameters.

Written `twap`, `twap:interval=30s`, `twap:interval=30s:randomize=0`; a value that reads as a JSON number, boolean or
list is one, else it is text. Commas stand between one and the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bestex import parameters, plugins
from bestex.errors import UsageError

VARIANTS_MAX = 40  # more in one table nobody reads, and each costs as much time as the first


class Choice(NamedTuple):
    """One algorithm or strategy as it was written, with its parameters."""

    text: str
    name: str
    params: Mapping[str, Any]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A combination. An empty `strategy` is the configuration's."""

    name: str
    algo: str
    params: dict[str, Any] = {}
    strategy: str = ""
    strategy_params: dict[str, Any] = {}


def variants(algos: str, strategies: str) -> list[Variant]:
    """Every algorithm with every strategy, in the order written. UsageError for what there is not."""
    chosen = choices("--algos", algos, plugins.ALGOS)
    routed = choices("--strategies", strategies, plugins.STRATEGIES) if strategies else [Choice("", "", {})]
    if len(chosen) * len(routed) > VARIANTS_MAX:
        raise UsageError(
            f"{len(chosen)} algorithms with {len(routed)} strategies: at most {VARIANTS_MAX} at once"
        )
    found = [
        Variant(
            name=f"{algo.text}/{strategy.text}" if strategy.text else algo.text,
            algo=algo.name,
            params=dict(algo.params),
            strategy=strategy.name,
            strategy_params=dict(strategy.params),
        )
        for algo in chosen
        for strategy in routed
    ]
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f'"{twice}" is named twice')
    if len(found) < 2:
        raise UsageError(
            f'"{names[0]}" alone has nothing to be compared with; name two algorithms or strategies'
        )
    return found


def choices(option: str, text: str, registry: dict[str, str]) -> list[Choice]:
    """The names of a comma separated list, with their parameters."""
    found = []
    for written in text.split(","):
        name, *pairs = written.strip().split(":")
        if not name:
            raise UsageError(f'{option} "{text}": write names with commas between them, such as twap,pov')
        plugins.load(registry, name)  # refuses what is not there
        there = {one.name for one in parameters.of(registry, name)}
        params: dict[str, Any] = {}
        for pair in pairs:
            key, equals, value = pair.partition("=")
            if not equals or not key:
                raise UsageError(f'{option} {written.strip()}: write a parameter as ":name=value"')
            if key not in there:
                raise UsageError(f"{option} {name} has no parameter {key}; it has {', '.join(sorted(there))}")
            params[key] = _value(value)
        found.append(Choice(written.strip(), name, params))
    return found


def baseline_of(found: Sequence[Variant], name: str) -> str:
    """The one named, or the first. UsageError where there is none of that name."""
    names = [one.name for one in found]
    if not name:
        return names[0]
    if name not in names:
        raise UsageError(f'--baseline "{name}" is none of the combinations; they are {", ".join(names)}')
    return name


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except json.JSONDecodeError:
        return text
