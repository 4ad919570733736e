"""What an algorithm is: typed parameters, and one pure decision.

The scheduler's life cycle owns everything that algorithms share (accepting, pausing, modifying, cancelling,
sums, ends); an algorithm only says what is due. It keeps no state: whatever it needs follows from its
parameters and the parent's history, which is how it resumes exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from bestex import codec
from bestex.clock import Time
from bestex.errors import Code
from bestex.human import Duration, Ratio
from bestex.messages import Tif


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all algorithms' parameters: what every algorithm takes."""

    name: ClassVar[str]

    start_time: Annotated[Time | None, Meta(description="When to begin; at once where it is left out.")] = (
        None
    )
    end_time: Annotated[Time | None, Meta(description="When to end; overrides the duration.")] = None
    duration: Annotated[Duration, Meta(description="How long to work.")] = Duration.parse("5m")
    max_slippage: Annotated[
        Ratio | None, Meta(description="How far from the mid a slice may trade; the platform's default else.")
    ] = None
    slice_ttl: Annotated[Duration | None, Meta(description="How long the router may work on one slice.")] = (
        None
    )

    def stored(self) -> dict[str, Any]:
        """Every parameter, defaults too, as it goes into the history: read back, it is exactly this."""
        return {
            name: float(value) if isinstance(value, Ratio) else codec.to_builtins(value)
            for name, value in msgspec.structs.asdict(self).items()
        }

    def problem(self) -> str:
        """What is wrong with the values, as a sentence; empty where nothing is."""
        if self.end_time is not None and self.start_time is not None and self.end_time <= self.start_time:
            return "end_time must be after start_time"
        if self.end_time is None and self.duration <= 0:
            return "duration must be longer than nothing"
        if self.max_slippage is not None and not 0 < self.max_slippage < 1:
            return "max_slippage must be above 0% and below 100%"
        if self.slice_ttl is not None and self.slice_ttl <= 0:
            return "slice_ttl must be longer than nothing"
        return ""

    def plan(self, task: Task) -> list[Target]:
        """The planned curve: by `at_ns`, `qty` in total should have been sent. At most CURVE_POINTS_MAX."""
        return [Target(task.start_ns, task.qty)]

    def decide(self, task: Task, now_ns: int) -> Decision:
        """What is due at `now_ns`. Pure; called again after every change of the parent."""
        raise TypeError(f"{type(self).__name__} has no decision, for {task} at {now_ns} or ever")


CURVE_POINTS_MAX = 240  # more is finer than any plot, and a history is read by people


@dataclass(frozen=True, slots=True)
class Task:
    """A parent as its algorithm sees it. Quantities in the instrument's units."""

    qty: int
    cum: int
    open: int
    slices: int
    lot: int
    min_qty: int
    start_ns: int
    end_ns: int
    seed: int
    settled_ns: int
    last_reason: Code | None

    @property
    def unsent(self) -> int:
        """What is neither filled nor with the router."""
        return self.qty - self.cum - self.open

    @property
    def was_changed(self) -> bool:
        """Whether the last slice ended for the user's sake, or filled whole: then what is unsent was not tried
        yet, however often others were."""
        return self.last_reason in (Code.FILLED, Code.REPLACED)


@dataclass(frozen=True, slots=True)
class Target:
    at_ns: int
    qty: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Send this now. The router may work on it until `expires_ns`; `tif` GTC rests what does not cross. An algorithm
    may name a routing strategy for this slice alone, and parameters over the order's."""

    qty: int
    expires_ns: int
    tif: Tif = Tif.IOC
    collar: bool = True
    strategy: str = ""
    strategy_params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now. Ask again at `until_ns`, or earlier when something changes."""

    until_ns: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The algorithm is through with what could be done."""

    reason: Code
    text: str = ""


Decision = Slice | Wait | Finish


def resample(targets: list[Target]) -> list[Target]:
    """At most CURVE_POINTS_MAX of the points, the first and the last among them."""
    if len(targets) <= CURVE_POINTS_MAX:
        return targets
    last = len(targets) - 1
    picks = {i * last // (CURVE_POINTS_MAX - 1) for i in range(CURVE_POINTS_MAX)}
    return [targets[i] for i in sorted(picks)]
