"""What a campaign does: how many faults of which kind, and when. A function of its seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

FREEZE_S_MIN, FREEZE_S_MAX = 1.0, 60.0
FREEZE_SHARE = 6  # no freeze takes more than this part of the campaign: a short one has short ones
FREEZE_SKEW = 4  # most are short: while the router is frozen, there is nothing else to be seen
KILLS_PER_FREEZE = 25
KILLS_PER_OTHER = 4
DOWN_S_MAX = 2.0  # how long a killed server stays down before it is started again
PARTITION_S_MIN, PARTITION_S_MAX = 3.0, 20.0
QUIET_S = 1.0  # before the first fault: orders are at work then


class Kind(StrEnum):
    KILL = "kill"
    FREEZE = "freeze"
    REPLACE = "replace"  # frozen, and another process is started for the same work meanwhile
    STOP = "stop"  # asked to end, as at a deployment
    PARTITION = "partition"


@dataclass(frozen=True)
class Settings:
    """`minutes` is over how long the faults are spread; the orders take a little longer to end. `split`: a process
    for each venue, symbol and algorithm; else one for each service."""

    service_kills: int
    server_kills: int
    minutes: float
    replicas: int = 1
    seed: int = 1
    in_flight: int = 60
    split: bool = True

    @property
    def seconds(self) -> float:
        return self.minutes * 60


@dataclass(frozen=True)
class Fault:
    """`target` is a service's name, or a server's number as text. `for_s`: how long it stays so."""

    at_s: float
    kind: Kind
    target: str
    for_s: float = 0.0


def service_faults(settings: Settings, names: Sequence[str]) -> list[Fault]:
    """Kills spread over the time, and a freeze for every KILLS_PER_FREEZE of them."""
    chance = Random(f"services {settings.seed}")
    longest_s = max(FREEZE_S_MIN, min(FREEZE_S_MAX, settings.seconds / FREEZE_SHARE))
    faults = [
        Fault(at_s, Kind.KILL, chance.choice(names))
        for at_s in _spread(chance, settings.service_kills, settings.seconds)
    ]
    for number, at_s in enumerate(
        _spread(chance, -(-settings.service_kills // KILLS_PER_FREEZE), settings.seconds)
    ):
        kind = (Kind.FREEZE, Kind.REPLACE, Kind.STOP)[number % 3]
        faults.append(Fault(at_s, kind, chance.choice(names), _freeze_s(chance, longest_s)))
    return sorted(faults, key=lambda fault: fault.at_s)


def server_faults(settings: Settings) -> list[Fault]:
    """Kills, and for every KILLS_PER_OTHER of them a clean restart, a freeze or, of three servers, a partition."""
    chance = Random(f"servers {settings.seed}")
    longest_s = max(FREEZE_S_MIN, min(FREEZE_S_MAX, settings.seconds / FREEZE_SHARE))
    others = [*([Kind.PARTITION] if settings.replicas > 1 else []), Kind.FREEZE, Kind.STOP]

    def target() -> str:
        return str(chance.randrange(settings.replicas))

    faults = [
        Fault(at_s, Kind.KILL, target(), chance.uniform(0, DOWN_S_MAX))
        for at_s in _spread(chance, settings.server_kills, settings.seconds)
    ]
    for number, at_s in enumerate(
        _spread(chance, -(-settings.server_kills // KILLS_PER_OTHER), settings.seconds)
    ):
        kind = others[number % len(others)]
        for_s = {
            Kind.STOP: chance.uniform(0, DOWN_S_MAX),
            Kind.FREEZE: _freeze_s(chance, longest_s),
            Kind.PARTITION: min(chance.uniform(PARTITION_S_MIN, PARTITION_S_MAX), longest_s),
        }[kind]
        faults.append(Fault(at_s, kind, target(), for_s))
    return sorted(faults, key=lambda fault: fault.at_s)


def _freeze_s(chance: Random, longest_s: float) -> float:
    return FREEZE_S_MIN + (longest_s - FREEZE_S_MIN) * chance.random() ** FREEZE_SKEW


def _spread(chance: Random, count: int, seconds: float) -> list[float]:
    """`count` times, one in each equal part."""
    step_s = seconds / count if count else 0.0
    return [QUIET_S + step_s * (number + chance.random()) for number in range(count)]
