"""The venue's limits, as the adapter keeps them: what a request weighs, who waits, what a refusal closes.

Questions are weighed where ccxt sends them, so that none goes by (markets, clocks, pages, listen keys). What enters,
changes or cancels an order is paid for before it is signed, because a signature has the time in it and the last look
at halts and clock comes after the wait.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import ccxt
import structlog

from bestex.budget import Charges, Gate, Kind, RateBudget
from bestex.budget_file import BudgetFile
from bestex.clock import MS, SECOND
from bestex.config import Config
from bestex.keys import Keys
from services.gateway.venues.ccxt.quirks.base import Quirk

FOLDER = "budget"  # in the data directory
# Of an exchange whose limits nobody has written down: ccxt's own pace, over ten seconds.
GUESSED_NS = 10 * SECOND
GUESSED_MIN = 4.0

_paid: ContextVar[bool] = ContextVar("_paid", default=False)


class Limits:
    """`watch` is given the exchange once it is made; before that nothing is sent."""

    def __init__(self, venue: str, exchange: str, config: Config, keys: Keys, quirk: Quirk) -> None:
        self._quirk, self._timeout_ns = quirk, int(config.execution.timeout)
        self._share = config.venues[venue].rate_share
        sandbox = "-sandbox" if config.venues[venue].options.get("sandbox") else ""
        self._path = Path(config.data_dir) / FOLDER / f"{exchange}{sandbox}"
        # Not the key itself: the file's rows are by a digest of this.
        self._owner = hashlib.sha256(keys.get("key").encode()).hexdigest()
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self.gate: Gate | None = None

    def start(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def stop(self) -> None:
        if self.gate is not None:
            self.gate.close()
            self.gate = None

    def watch(self, exchange: Any) -> None:
        """From here on every request of `exchange` waits for the venue's limits."""
        self.stop()
        budgets = self._quirk.capabilities.rates or (_guess(exchange),)
        self._all = {budget.scope: 1.0 for budget in budgets}
        self.gate = Gate(
            BudgetFile(self._path), budgets, owner=self._owner, share=self._share, now_ns=self._now_ns
        )
        send = exchange.fetch2

        async def limited(path: str, *arguments: Any, **named: Any) -> Any:
            if _paid.get():
                return await send(path, *arguments, **named)
            if why := await self.take(Kind.QUERY, path, self._now_ns() + self._timeout_ns):
                raise ccxt.RateLimitExceeded(f"{path} was not asked: {why}")
            try:
                return await send(path, *arguments, **named)
            except ccxt.BaseError as error:
                self.heed(exchange, error, path)
                raise

        exchange.fetch2 = limited

    def charges(self, what: str) -> Charges:
        found = self._quirk.charges(what)
        return self._all if found is None else found

    async def take(self, kind: Kind, what: str, deadline_ns: int) -> str:
        """Empty where `what` may be sent now; else why not before `deadline_ns`."""
        if self.gate is None:
            return ""
        return await self.gate.take(kind, self.charges(what), deadline_ns)

    @contextmanager
    def paid(self) -> Iterator[None]:
        """What is sent within was waited for already."""
        token = _paid.set(True)
        try:
            yield
        finally:
            _paid.reset(token)

    def heed(self, exchange: Any, error: BaseException, what: str) -> None:
        """Where the venue says that it was too much, leave alone for as long as it says what it says that of."""
        closure = self._quirk.limited(error, exchange.last_response_headers or {}, exchange.nonce())
        if closure is None or self.gate is None:
            return
        scopes = closure.scopes or self.charges(what).keys()
        self._log.warning(
            "the venue's limits were met", scopes=sorted(scopes), wait_s=closure.wait_ms / 1_000
        )
        self.gate.shut(scopes, closure.wait_ms * MS)


def _guess(exchange: Any) -> RateBudget:
    per_window = GUESSED_NS / MS / max(float(exchange.rateLimit or 0), 1.0)
    return RateBudget(scope="address", weight=max(per_window, GUESSED_MIN), window_ns=GUESSED_NS)
