"""What was spent of a venue's limits, and who goes next. Pure; `bestex.budget` waits and shares the counts.

A limit holds in *every* window of its length, however the venue's own windows lie: a window is counted in parts of
a twentieth, and two parts more than its length are remembered, so that what travels with different speed cannot
meet in one window either. Cancels go before questions, and those before new orders; a share of each limit is left
for those who go before, in this process and in every other one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import msgspec

PARTS = 20  # in which a window is counted: what was spent comes back in steps of a twentieth
KEPT = PARTS + 2  # the current part, and so many before it that 1.05 windows are covered
NEVER_NS = 1 << 62
WAITING_MAX = 10_000  # as many requests as a gateway's desk holds for a venue
FAIR = 8  # so many questions in a row may go before a new order that waits


class Kind(IntEnum):
    """In the order of their priority."""

    CANCEL = 0
    QUERY = 1
    NEW = 2  # whatever makes new risk: an order, an amendment


# How much of a limit each kind may fill: the rest is kept for those before it. A limit of 10 leaves one for cancels
# alone and one more for questions.
CEILINGS: Mapping[Kind, float] = {Kind.CANCEL: 1.0, Kind.QUERY: 0.9, Kind.NEW: 0.8}


class RateBudget(msgspec.Struct, frozen=True, kw_only=True):
    """`weight` per `window_ns` for `scope`: whatever the venue counts together. A scope that begins with `address` is
    shared by all accounts; every other one is of one account."""

    scope: str
    weight: float
    window_ns: int


# -- pure: what was spent --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """What was spent of one rate, as it is kept: by part, `newest` being the number of the last one."""

    newest: int = 0
    closed_until_ns: int = 0
    spent: list[float] = field(default_factory=lambda: [0.0] * KEPT)


class Rate:
    """One limit and what was spent of it. Times are of one clock that only goes forward."""

    def __init__(self, budget: RateBudget, share: float, row: Row | None = None) -> None:
        self.scope, self.window_ns = budget.scope, budget.window_ns
        self.limit = budget.weight * share
        self.row = row or Row()

    def roll(self, now_ns: int) -> None:
        """Forget what is too long ago."""
        row, part = self.row, now_ns * PARTS // self.window_ns
        if part > row.newest:
            for gone in range(max(row.newest + 1, part - KEPT + 1), part + 1):
                row.spent[gone % KEPT] = 0.0
            row.newest = part

    def spend(self, weight: float, now_ns: int) -> None:
        self.roll(now_ns)
        self.row.spent[self.row.newest % KEPT] += weight

    def earliest_ns(self, kind: Kind, weight: float, now_ns: int) -> int:
        """When so much may be spent if nothing else is meanwhile: now, later, or NEVER_NS."""
        self.roll(now_ns)
        row, room = self.row, self.limit * CEILINGS[kind] - weight
        if room < 0:
            return NEVER_NS
        at_ns, used = max(now_ns, row.closed_until_ns), sum(row.spent)
        part = row.newest - KEPT + 1
        while used > room + 1e-9 and part <= row.newest:
            used -= row.spent[part % KEPT]
            at_ns = max(at_ns, -(-(part + KEPT) * self.window_ns // PARTS))
            part += 1
        return at_ns

    def fill(self, now_ns: int) -> None:
        """What was spent is not known: all of it, now."""
        self.spend(self.limit, now_ns)


Charges = Mapping[str, float]


def earliest_ns(rates: Iterable[Rate], kind: Kind, charges: Charges, now_ns: int) -> int:
    found = (rate.earliest_ns(kind, charges[rate.scope], now_ns) for rate in rates if rate.scope in charges)
    return max(found, default=now_ns)


def spend(rates: Iterable[Rate], charges: Charges, now_ns: int) -> None:
    for rate in rates:
        if rate.scope in charges:
            rate.spend(charges[rate.scope], now_ns)


# -- pure: who goes next ---------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Ask:
    kind: Kind
    charges: Charges
    deadline_ns: int


@dataclass(slots=True)
class Turn:
    """`refused`: with the time at which each could have gone. `wake_ns`: when to look again; 0 for not by time."""

    granted: list[Ask] = field(default_factory=list)
    refused: list[tuple[Ask, int]] = field(default_factory=list)
    wake_ns: int = 0


class Queue:
    """Who waits in one process. First come, first served within a kind. Who cannot go holds back those after it that
    want the same; so a cancel that waits is not overtaken for ever by small questions."""

    def __init__(self) -> None:
        self.waiting: dict[Kind, deque[Ask]] = {kind: deque() for kind in Kind}
        self._questions = 0  # that went while a new order waited

    def __len__(self) -> int:
        return sum(map(len, self.waiting.values()))

    def offer(self, ask: Ask) -> bool:
        """False where too many wait. Cancels always fit: there are no more of them than open orders."""
        if len(self) >= WAITING_MAX and ask.kind is not Kind.CANCEL:
            return False
        self.waiting[ask.kind].append(ask)
        return True

    def withdraw(self, ask: Ask) -> None:
        if ask in self.waiting[ask.kind]:
            self.waiting[ask.kind].remove(ask)

    def scopes(self) -> set[str]:
        return {scope for asks in self.waiting.values() for ask in asks for scope in ask.charges}

    def turn(self, rates: Sequence[Rate], now_ns: int) -> Turn:
        """Let go whoever may go now, and refuse whoever could only go after its deadline."""
        turn = Turn()
        self.drop_late(turn, now_ns)
        while self._step(rates, turn, now_ns):
            pass
        deadlines = [ask.deadline_ns + 1 for asks in self.waiting.values() for ask in asks]
        turn.wake_ns = min([turn.wake_ns, *deadlines]) if turn.wake_ns else min(deadlines, default=0)
        return turn

    def drop_late(self, turn: Turn, now_ns: int) -> None:
        for asks in self.waiting.values():
            late = [ask for ask in asks if ask.deadline_ns < now_ns]
            for ask in late:
                asks.remove(ask)
                turn.refused.append((ask, now_ns))

    def _step(self, rates: Sequence[Rate], turn: Turn, now_ns: int) -> bool:
        """One decision; False where nobody can be decided on."""
        turn.wake_ns, held = 0, set[str]()
        for kind in self._order():
            if not self.waiting[kind]:
                continue
            ask = self.waiting[kind][0]
            if held.isdisjoint(ask.charges):
                at_ns = earliest_ns(rates, kind, ask.charges, now_ns)
                if at_ns <= now_ns or at_ns > ask.deadline_ns:
                    self.waiting[kind].popleft()
                    self._decide(rates, turn, ask, at_ns, now_ns)
                    return True
                turn.wake_ns = min(turn.wake_ns or at_ns, at_ns)
            held |= ask.charges.keys()
        return False

    def _order(self) -> Sequence[Kind]:
        fair = self._questions >= FAIR and self.waiting[Kind.NEW]
        return (Kind.CANCEL, Kind.NEW, Kind.QUERY) if fair else tuple(Kind)

    def _decide(self, rates: Sequence[Rate], turn: Turn, ask: Ask, at_ns: int, now_ns: int) -> None:
        if at_ns > now_ns:
            turn.refused.append((ask, at_ns))
            return
        spend(rates, ask.charges, now_ns)
        turn.granted.append(ask)
        if ask.kind is Kind.NEW or not self.waiting[Kind.NEW]:
            self._questions = 0
        elif ask.kind is Kind.QUERY:
            self._questions += 1
