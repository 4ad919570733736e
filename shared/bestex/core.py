"""The contract between a core, which decides, and a shell, which acts.

A core is a decider. `decide(message, now_ns)` turns one input into facts; `apply(event)` makes a fact's event
part of the core's state and returns the effects that follow from it. A core never awaits, logs, reads a clock
or draws unseeded randomness. Recovery only applies the events of the journal; it never decides again.

The shell (`bestex.runtime` on the bus, `bestex.replay` on virtual time) calls `decide`, applies the facts at
once, appends them to the journal in order, and releases a fact's effects only when the journal has confirmed
the fact. So memory may run ahead of the journal; nothing that anybody else can see ever does. A write that is
refused means that another writer holds the history: the process stops and reloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bestex.errors import Code

# -- inputs (besides the bus's own messages) -----------------------------------------------------------------


class RawOrder(msgspec.Struct, frozen=True):
    """What a user published on `order.>`, unparsed, with its place in the ORDERS stream."""

    subject: str
    data: bytes
    seq: int


class Wakeup(msgspec.Struct, frozen=True):
    """A timer that the core asked for has come due."""

    key: str


class Recovered(msgspec.Struct, frozen=True):
    """The journal has been applied whole; live inputs follow."""


class BusLost(msgspec.Struct, frozen=True):
    """The connection to the bus is down: nothing is stored, and no command arrives. Calls still pass that are
    right whoever makes them; all else waits."""


class BusBack(msgspec.Struct, frozen=True):
    """The connection is up again, and this process is still the one at its work."""


# -- facts and effects ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fact:
    """An event for the journal. Its subject's history is compared and set; `once` facts are created once.

    Facts of one `lane` are stored in the order in which they were decided. A `once` fact that is already
    stored counts as stored: its subject is a function of what happened.
    """

    subject: str
    event: Any
    lane: str
    once: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """A command that follows from a stored fact. Created once, so recovery may publish it again."""

    subject: str
    message: Any


class Emit(msgspec.Struct, frozen=True):
    """A live-plane message: latest wins, never stored. A bounded, overwritable metric is one too."""

    subject: str
    message: Any


@dataclass(frozen=True, slots=True)
class Wake:
    """Call me at `at_ns`. Replaces the key's earlier one; `at_ns` 0 withdraws it."""

    key: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Call:
    """An act outside the bus. Done at most once, never in recovery; its outcome returns as an input.

    `always`: right whoever does it and whenever, as a cancel is. It passes though the bus is lost.
    """

    request: Any
    always: bool = False


@dataclass(frozen=True, slots=True)
class Alarm:
    """`error` was contained: it stopped what `subject` names, with that `code` in its history, and nothing else. The
    shell logs it with its traceback and counts it. Released at once, and never on a tape: the facts say what follows.
    """

    code: Code
    subject: str
    error: Exception


Effect = Publish | Emit | Wake | Call | Alarm


class Core(Protocol):
    def decide(self, message: Any, now_ns: int) -> Sequence[Fact | Effect]:
        """Facts to store, and effects that wait for no fact. Never changes what `apply` is there to change,
        except for what it merely hears (books, trades)."""

    def apply(self, event: Any) -> Sequence[Effect]:
        """Make `event` part of the state; the effects are released once it is stored."""
