"""What a campaign does: how many faults of which kind, and when. A function of its seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Literal

from tests.emulators.faults import Fault as VenueFault
from tests.emulators.faults import How, What

FREEZE_S_MIN, FREEZE_S_MAX = 1.0, 60.0
FREEZE_SHARE = 6  # no freeze takes more than this part of the campaign: a short one has short ones
FREEZE_SKEW = 4  # most are short: while the router is frozen, there is nothing else to be seen
KILLS_PER_FREEZE = 25
KILLS_PER_OTHER = 4
DOWN_S_MAX = 2.0  # how long a killed server stays down before it is started again
PARTITION_S_MIN, PARTITION_S_MAX = 3.0, 20.0
QUIET_S = 1.0  # before the first fault: orders are at work then


TROUBLES_PER_KILL = 2
FAULT_TIMES_MAX = 3
LATE_S = 3.0  # longer than an answer is waited for
NEVER_S = 10.0  # after this a request that got no answer is let go

# Of requests: lost before they were done, or done and the answer lost, spoilt, doubled or late. That an order was
# refused is only said of one that was.
_REQUESTS: tuple[tuple[What, Literal["before", "after"], How, float], ...] = (
    ("new", "before", "timeout", NEVER_S),
    ("new", "after", "timeout", NEVER_S),
    ("new", "before", "reset", 0.0),
    ("new", "after", "reset", 0.0),
    ("new", "after", "truncated", 0.0),
    ("new", "after", "garbled", 0.0),
    ("new", "before", "server_error", 0.0),
    ("new", "after", "server_error", 0.0),
    ("new", "after", "busy", 0.0),
    ("new", "before", "rate_limited", 0.0),
    ("new", "before", "maintenance", 0.0),
    ("new", "after", "delay", 0.5),
    ("new", "after", "delay", LATE_S),
    ("new", "after", "double", 0.0),
    ("cancel", "before", "timeout", NEVER_S),
    ("cancel", "after", "timeout", NEVER_S),
    ("cancel", "after", "server_error", 0.0),
    ("amend", "before", "timeout", NEVER_S),
    ("amend", "after", "timeout", NEVER_S),
    ("query", "before", "server_error", 0.0),
    ("query", "after", "truncated", 0.0),
    ("query", "after", "delay", LATE_S),
    ("list", "before", "timeout", NEVER_S),
    ("list", "before", "rate_limited", 0.0),
    ("list", "after", "garbled", 0.0),
    ("any", "before", "server_error", 0.0),
)
_STREAMS: tuple[VenueFault, ...] = (
    VenueFault(how="mute_user", seconds=2.0),
    VenueFault(how="mute_user", seconds=8.0),
    VenueFault(how="late_user", seconds=1.0, times=5),
    VenueFault(how="late_user", seconds=4.0, times=5),
    VenueFault(how="double_user", times=10),
    VenueFault(how="cut_user"),
    VenueFault(how="cut_market"),
    VenueFault(how="gap"),
    VenueFault(how="bad_checksum"),
)


VenuesOf = Literal["sim", "ccxt", "ccxt-perp"]


class Kind(StrEnum):
    KILL = "kill"
    FREEZE = "freeze"
    REPLACE = "replace"  # frozen, and another process is started for the same work meanwhile
    STOP = "stop"  # asked to end, as at a deployment
    PARTITION = "partition"


@dataclass(frozen=True)
class Settings:
    """`minutes` is over how long the faults are spread; the orders take a little longer to end. `split`: a process
    for each venue, symbol and algorithm; else one for each service. `venues`: simulated ones, or emulated exchanges
    behind ccxt."""

    service_kills: int
    server_kills: int
    minutes: float
    replicas: int = 1
    seed: int = 1
    in_flight: int = 60
    split: bool = True
    venues: VenuesOf = "sim"

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


@dataclass(frozen=True)
class Trouble:
    """What an exchange is told to do wrong at that time; no faults mean that all its connections are cut."""

    at_s: float
    exchange: str
    faults: tuple[VenueFault, ...]


def venue_troubles(settings: Settings, exchanges: Sequence[str]) -> list[Trouble]:
    """Some for every kill of a service, each kind as often as the others."""
    chance = Random(f"venues {settings.seed}")
    kinds = len(_REQUESTS) + len(_STREAMS) + 1
    order: list[int] = []
    troubles = []
    for at_s in _spread(chance, TROUBLES_PER_KILL * settings.service_kills, settings.seconds):
        if not order:
            order = chance.sample(range(kinds), kinds)
        number = order.pop()
        faults: tuple[VenueFault, ...] = ()
        if number < len(_REQUESTS):
            what, when, how, seconds = _REQUESTS[number]
            times = chance.randint(1, FAULT_TIMES_MAX)
            faults = (VenueFault(how=how, what=what, when=when, times=times, seconds=seconds),)
        elif number < len(_REQUESTS) + len(_STREAMS):
            faults = (_STREAMS[number - len(_REQUESTS)],)
        troubles.append(Trouble(at_s, chance.choice(exchanges), faults))
    return troubles


def _freeze_s(chance: Random, longest_s: float) -> float:
    return FREEZE_S_MIN + (longest_s - FREEZE_S_MIN) * chance.random() ** FREEZE_SKEW


def _spread(chance: Random, count: int, seconds: float) -> list[float]:
    """`count` times, one in each equal part."""
    step_s = seconds / count if count else 0.0
    return [QUIET_S + step_s * (number + chance.random()) for number in range(count)]
