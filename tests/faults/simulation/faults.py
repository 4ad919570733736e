"""What can go wrong, as data: a plan of faults is part of a scenario, can be printed, and can be made smaller.

Processes are counted by what they do to the world outside (`Steps`), lines and venues by their messages, so that a
fault strikes the same step again whenever its scenario is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

RequestWhat = Literal["lost", "answer_lost", "late", "answer_late", "rate_limited"]
UserEventWhat = Literal["lost", "late", "twice"]


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="fault"):
    """Times are milliseconds from the scenario's start."""


class Kill(Fault, frozen=True, kw_only=True, tag="kill"):
    """kill -9 at the process's `step`-th act, before it or right after it; started again after `down_ms`."""

    process: str
    step: int
    after: bool = False
    down_ms: int = 1_000


class Freeze(Fault, frozen=True, kw_only=True, tag="freeze"):
    """SIGSTOP and SIGCONT, at a time or right after the process's `step`-th act. `successor`: another one is started
    in its place meanwhile, as by a supervisor that thinks it dead, so that two are at the same work when it wakes."""

    process: str
    at_ms: int = 0
    step: int = -1
    for_ms: int
    successor: bool = False


class ClockJump(Fault, frozen=True, kw_only=True, tag="clock"):
    """The process's clock is set by this much, once."""

    process: str
    at_ms: int
    by_ms: int


class Cut(Fault, frozen=True, kw_only=True, tag="cut"):
    """The process's connection to the bus breaks."""

    process: str
    at_ms: int
    for_ms: int


class BusCrash(Fault, frozen=True, kw_only=True, tag="bus"):
    """kill -9 of the bus; the newest acknowledgements of each consumer had not reached its disk."""

    at_ms: int
    for_ms: int
    forgotten_acks: int = 0


class LineFault(Fault, frozen=True, kw_only=True, tag="line"):
    """One message between a process and the bus: lost, late (with all behind it, or overtaken), or twice."""

    process: str
    number: int
    inward: bool = False
    dropped: bool = False
    delay_ms: int = 0
    overtaken: bool = False
    copies: int = 0

    @property
    def delay_ns(self) -> int:
        return self.delay_ms * 1_000_000


class RequestFault(Fault, frozen=True, kw_only=True, tag="request"):
    """The `number`-th request to a venue: lost on the way there, its answer lost (the venue has done it), either of
    them late, or refused for its rate."""

    venue: str
    number: int
    what: RequestWhat
    delay_ms: int = 0


class UserEventFault(Fault, frozen=True, kw_only=True, tag="user_event"):
    """The `number`-th message of a venue's user stream: lost, late, or twice."""

    venue: str
    number: int
    what: UserEventWhat
    delay_ms: int = 0


class SessionCut(Fault, frozen=True, kw_only=True, tag="session"):
    """The gateway's connection to a venue breaks: requests go unanswered, user events are lost for good."""

    venue: str
    at_ms: int
    for_ms: int


class Lag(Fault, frozen=True, kw_only=True, tag="lag"):
    """For a time the venue's queries answer from a replica that is `by_ms` behind."""

    venue: str
    at_ms: int
    for_ms: int
    by_ms: int


AnyFault = (
    Kill | Freeze | ClockJump | Cut | BusCrash | LineFault | RequestFault | UserEventFault | SessionCut | Lag
)


# Shown every step before it and after it: its number, what it is, whether it is done.
Watch = Callable[[int, str, bool], None]


class Killed(BaseException):
    """Ends whatever a process was doing at this instant; nothing of it may run on."""


class Steps:
    """Everything that a process does to the world outside, counted over all of its lives."""

    def __init__(
        self,
        faults: list[Kill | Freeze],
        die: Callable[[Any, Kill], None],
        freeze: Callable[[Any, Freeze], None],
    ) -> None:
        kills = [fault for fault in faults if isinstance(fault, Kill)]
        self._kills = {(kill.step, kill.after): kill for kill in kills}
        self._freezes = {f.step: f for f in faults if isinstance(f, Freeze) and f.step >= 0}
        self._die, self._freeze = die, freeze
        self.trace: list[str] | None = None  # what each step was, where somebody wants to know
        self.watch: Watch | None = None
        self.count = 0
        self.struck: list[AnyFault] = []

    def take(self, life: Any, what: str, act: Callable[[], None]) -> None:
        """Let `life` do it, unless it is to die before. Raises Killed."""
        step = self.count
        self.count += 1
        if self.trace is not None:
            self.trace.append(what)
        if self.watch is not None:
            self.watch(step, what, False)
        if self._kills:
            self._strike(life, step, after=False)
        act()
        if self.watch is not None:
            self.watch(step, what, True)
        if self._kills:
            self._strike(life, step, after=True)
        if step in self._freezes:
            freeze = self._freezes.pop(step)
            self.struck.append(freeze)
            self._freeze(life, freeze)

    def _strike(self, life: Any, step: int, *, after: bool) -> None:
        kill = self._kills.pop((step, after), None)
        if kill is not None:
            self.struck.append(kill)
            self._die(life, kill)
            raise Killed


Step = Callable[[str, Callable[[], None]], None]  # `Steps.take` of one life


class _NoFault:
    dropped = False
    overtaken = False
    delay_ns = 0
    copies = 0


NO_FAULT = _NoFault()


class Line:
    """The faults of one process's line, by the number of the message over all of its connections."""

    def __init__(self, faults: list[LineFault], seed: int) -> None:
        self.seed = seed
        self._out = {fault.number: fault for fault in faults if not fault.inward}
        self._in = {fault.number: fault for fault in faults if fault.inward}
        self._sent = self._heard = 0
        self.struck: list[AnyFault] = []

    def outward(self) -> LineFault | _NoFault:
        self._sent += 1
        return self._strike(self._out, self._sent) if self._out else NO_FAULT

    def inward(self) -> LineFault | _NoFault:
        self._heard += 1
        return self._strike(self._in, self._heard) if self._in else NO_FAULT

    def _strike(self, faults: dict[int, LineFault], number: int) -> LineFault | _NoFault:
        fault = faults.get(number)
        if fault is None:
            return NO_FAULT
        self.struck.append(fault)
        return fault
