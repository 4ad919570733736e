"""What a venue allows to be asked in a time, shared by all processes of this machine that use the same account.

    gate = Gate(BudgetFile(path), rates, owner="account", now_ns=clock.now_ns)
    if why := await gate.take(Kind.NEW, 1, deadline_ns):
        ...  # not to be sent, because of `why`

`bestex.budget_queue` decides; `Gate` waits, and keeps the counts where other processes find them
(`bestex.budget_file`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bestex.budget_queue import (
    CEILINGS,
    NEVER_NS,
    WAITING_MAX,
    Ask,
    Charges,
    Kind,
    Queue,
    Rate,
    RateBudget,
    Row,
    Turn,
    spend,
)
from bestex.clock import MS, SECOND
from bestex.errors import ConfigError

__all__ = ["BudgetStore", "Charges", "Gate", "Kind", "RateBudget"]

CLOSED_NS_MAX = 3 * 86_400 * SECOND  # the longest ban that any venue names; what is longer is misread
LOCK_PATIENCE_NS = 20 * MS  # a lock is held for some 50 us; who holds it longer has been stopped
LOCK_PAUSE_S = 0.0005


class BudgetStore(Protocol):
    """Where the counts of several processes are. Read and written only while it is locked."""

    def lock(self) -> bool:
        """False where another process has it; never waits."""

    def unlock(self) -> None: ...

    def read(self, owner: str, rate: RateBudget, now_ns: int) -> Row | None:
        """None where there is no place for one more rate."""

    def write(self, owner: str, rate: RateBudget, row: Row) -> None: ...

    def close(self) -> None: ...


class Gate:
    """The budget of one account at one venue, as one process takes from it.

    `share`: the part of the limits that is this machine's, where other machines use the account or the address too.
    `now_ns`: the clock of the deadlines that are named. The counts are by the monotonic clock, which all processes
    of a machine share and nobody sets. A process that was stopped with the store's lock in its hands holds up new
    orders; cancels and questions pass after a moment, and are counted later.

    ConfigError where a share of a limit lets nothing pass.
    """

    def __init__(
        self,
        store: BudgetStore,
        budgets: Sequence[RateBudget],
        *,
        owner: str = "",
        share: float = 1.0,
        now_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        for budget in budgets:
            if budget.weight * share * CEILINGS[Kind.NEW] < 1:
                raise ConfigError(
                    f"rate_share: {share:g} of {budget.weight:g} for {budget.scope} lets nothing pass"
                )
        self._store, self._budgets, self._owner, self._share = store, tuple(budgets), owner, share
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._scopes = {budget.scope for budget in budgets}
        self._queue = Queue()
        self._answers: dict[Ask, asyncio.Future[str]] = {}
        self._uncounted: list[Charges] = []  # what passed while the store could not be locked
        self._busy_since_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, kind: Kind, weight: float | Charges, deadline_ns: int) -> str:
        """Wait until so much may be spent, and spend it: empty then. Else why not, as soon as it is known that it
        would be after `deadline_ns`. `weight`: by scope, or the same for all of them. ValueError for an unknown
        scope."""
        charges = weight if isinstance(weight, Mapping) else dict.fromkeys(self._scopes, weight)
        if unknown := charges.keys() - self._scopes:
            raise ValueError(f"no rate is known of {', '.join(sorted(unknown))}")
        if not charges:
            return ""
        left_ns = deadline_ns - self._now_ns()
        ask = Ask(kind, charges, self._monotonic_ns() + left_ns)
        if left_ns <= 0:
            return "its time has passed"
        if not self._queue.offer(ask):
            return f"{WAITING_MAX} requests wait for the venue's limits"
        answer = self._answers[ask] = asyncio.get_running_loop().create_future()
        self._turn()
        try:
            why: str = await answer
            return why
        except asyncio.CancelledError:
            self._queue.withdraw(ask)
            raise
        finally:
            del self._answers[ask]

    def shut(self, scopes: Iterable[str], wait_ns: int) -> None:
        """The venue has said to leave these alone for so long: nobody passes who wants one of them."""
        until_ns = self._monotonic_ns() + min(max(wait_ns, 0), CLOSED_NS_MAX)
        chosen = self._scopes.intersection(scopes)

        def shut(rate: Rate) -> None:
            if rate.scope in chosen:
                rate.row.closed_until_ns = max(rate.row.closed_until_ns, until_ns)

        self._change(shut)

    def reopen(self) -> None:
        """Somebody knows that the venue answers again."""

        def reopen(rate: Rate) -> None:
            rate.row.closed_until_ns = 0

        self._change(reopen)

    def shut_for_ns(self) -> int:
        """How long the longest of the closures still lasts; 0 without one."""
        left: list[int] = []
        now_ns = self._monotonic_ns()
        self._change(lambda rate: left.append(rate.row.closed_until_ns - now_ns))
        return max([0, *left])

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._store.close()

    # -- taking turns ------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ns = self._monotonic_ns()
        if not self._store.lock():
            self._stuck(now_ns)
            return
        self._busy_since_ns = 0
        try:
            asked = {scope for charges in self._uncounted for scope in charges} | self._queue.scopes()
            chosen = [budget for budget in self._budgets if budget.scope in asked]
            rates = self._load(chosen, now_ns)
            for charges in self._uncounted:
                spend(rates, charges, now_ns)
            self._uncounted.clear()
            turn = self._queue.turn(rates, now_ns)
            self._save(chosen, rates)
        finally:
            self._store.unlock()
        for ask in turn.granted:
            self._answer(ask, "")
        for ask, at_ns in turn.refused:
            self._answer(ask, _why(at_ns, now_ns))
        if turn.wake_ns:
            pause_s = max(turn.wake_ns - now_ns, 0) / SECOND
            self._timer = asyncio.get_running_loop().call_later(pause_s, self._turn)

    def _stuck(self, now_ns: int) -> None:
        """Another process has the counts: it is asked again in a moment. One that keeps them has been stopped."""
        self._busy_since_ns = self._busy_since_ns or now_ns
        turn = Turn()
        self._queue.drop_late(turn, now_ns)
        for ask, _ in turn.refused:
            self._answer(ask, "another process holds the venue's budget")
        if now_ns - self._busy_since_ns > LOCK_PATIENCE_NS:
            for kind in (Kind.CANCEL, Kind.QUERY):
                while self._queue.waiting[kind]:
                    ask = self._queue.waiting[kind].popleft()
                    self._uncounted.append(ask.charges)
                    self._answer(ask, "")
        if len(self._queue) or self._uncounted:
            self._timer = asyncio.get_running_loop().call_later(LOCK_PAUSE_S, self._turn)

    def _answer(self, ask: Ask, why: str) -> None:
        answer = self._answers.get(ask)
        if answer is not None and not answer.done():
            answer.set_result(why)

    def _load(self, budgets: Sequence[RateBudget], now_ns: int) -> list[Rate]:
        rates = []
        for budget in budgets:
            row = self._store.read(self._owner_of(budget), budget, now_ns)
            rates.append(Rate(budget, self._share, row or Row(closed_until_ns=NEVER_NS)))
        return rates

    def _save(self, budgets: Sequence[RateBudget], rates: Sequence[Rate]) -> None:
        for budget, rate in zip(budgets, rates, strict=True):
            self._store.write(self._owner_of(budget), budget, rate.row)

    def _owner_of(self, budget: RateBudget) -> str:
        return "" if budget.scope.startswith("address") else self._owner

    def _change(self, change: Callable[[Rate], None]) -> None:
        """Waits for the lock, for a moment at most: what is closed must be so before the next request."""
        give_up_ns = self._monotonic_ns() + LOCK_PATIENCE_NS
        while not self._store.lock():
            if self._monotonic_ns() > give_up_ns:
                return
            time.sleep(LOCK_PAUSE_S)
        try:
            rates = self._load(self._budgets, self._monotonic_ns())
            for rate in rates:
                change(rate)
            self._save(self._budgets, rates)
        finally:
            self._store.unlock()
        if len(self._queue):
            self._turn()


def _why(at_ns: int, now_ns: int) -> str:
    if at_ns >= NEVER_NS:
        return "the venue's limits never let it pass"
    if at_ns <= now_ns:
        return "its time passed while it waited for the venue's limits"
    return f"the venue's limits let it pass in {(at_ns - now_ns) / SECOND:.2f} s, after its time"
