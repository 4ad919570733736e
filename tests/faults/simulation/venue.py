"""The gateway's own adapter of the simulated exchange over a line of ours, with the faults of a venue on it.

Only the transport is replaced: what is sent, how an answer is read and what counts as unknown is the adapter's own
code. `TRUSTING` does without the venue's own look at the deadline, as many exchanges do: there only the gateway's
last look stands between a late order and the market.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any, TypeVar

import msgspec

from bestex import sim_wire as w
from bestex.clock import MS
from bestex.config import Config
from bestex.errors import Code
from bestex.units import total
from services.gateway import port as p
from services.gateway.venues import sim_inputs
from services.gateway.venues.sim import Failure, SimVenue
from tests.faults.simulation.faults import AnyFault, Lag, RequestFault, Step, UserEventFault
from tests.faults.simulation.market import LATENCY_NS, VirtualMarket
from tests.faults.simulation.world import START_NS, ProcessLoop, World

TRADES_MAX = 100_000  # of one account in a run
JITTER = 0.5  # of the way's time
RECONNECT_S = 0.25
TRUSTING = "venue_b"  # looks at no deadline
TRUSTING_LATE_NS = 200 * MS  # what a network holds up longer than this, nobody but such a venue could stop


F = TypeVar("F", RequestFault, UserEventFault)


@dataclass
class VenueFaults:
    """What goes wrong at one venue, and how many requests and user events there have been over all sessions."""

    requests: dict[int, RequestFault] = field(default_factory=dict)
    events: dict[int, UserEventFault] = field(default_factory=dict)
    lags: list[Lag] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    struck: list[AnyFault] = field(default_factory=list)

    def request(self) -> RequestFault | None:
        self.counts["requests"] += 1
        return self._strike(self.requests.get(self.counts["requests"]))

    def event(self) -> UserEventFault | None:
        self.counts["events"] += 1
        return self._strike(self.events.get(self.counts["events"]))

    def _strike(self, fault: F | None) -> F | None:
        if fault is not None:
            self.struck.append(fault)
        return fault

    def behind_ns(self, now_ns: int) -> int:
        """How far the replica that answers queries is behind at this moment."""
        at_ms = (now_ns - START_NS) // MS
        return max((lag.by_ms for lag in self.lags if 0 <= at_ms - lag.at_ms < lag.for_ms), default=0) * MS


class VirtualVenue(SimVenue):
    """One session of one gateway process. `cut` and `close` break it."""

    def __init__(
        self,
        name: str,
        config: Config,
        clock: Any,
        world: World,
        market: VirtualMarket,
        loop: ProcessLoop,
        step: Step,
        faults: VenueFaults,
    ) -> None:
        super().__init__(name, config, clock)
        self._world, self._market, self._loop = world, market, loop
        self._instruments = config.make_instruments().by_symbol
        self._step, self._faults = step, faults
        self._rng = Random(f"{name} {loop.time()}")
        self._open = False
        self._broken = False
        self._user_ns = 0

    # -- session -----------------------------------------------------------------------------------------------

    async def connect(self, say: p.Say, now_ns: Callable[[], int]) -> None:
        self._say, self._now_ns = say, now_ns
        self._changed = asyncio.Event()
        self._keeper = asyncio.create_task(self._keep())

    async def disconnect(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        self.close()

    async def _keep(self) -> None:
        while True:
            if not self._open and not self._broken:
                self._open = True
                self._market.attend(self._name, self._happened)
                self._say(p.SessionState(self._name, p.Session.UP))
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(RECONNECT_S)

    def block(self) -> None:
        """The venue cannot be reached until it is mended."""
        self._broken = True

    def cut(self) -> None:
        self.block()
        was_open = self._open
        self.close()
        if was_open:
            self._loop.enter(self._lost)

    def mend(self) -> None:
        self._broken = False
        if self._keeper is not None:
            self._loop.enter(self._changed.set)

    def _lost(self) -> None:
        self._abandon(Failure(True, Code.VENUE_DOWN, "the connection was lost"))
        self._say(p.SessionState(self._name, p.Session.DOWN, "the connection was lost"))

    def close(self) -> None:
        """Nobody listens at this end any more."""
        if self._open:
            self._open = False
            self._market.leave(self._name, self._happened)

    def _way_ns(self) -> int:
        return int(LATENCY_NS * (1 + JITTER * self._rng.random()))

    # -- the user stream -----------------------------------------------------------------------------------------

    def _happened(self, entry: w.JournalEntry) -> None:
        orders = [state for state in entry.orders if state.account == self._account]
        trades = [trade for trade in entry.trades if trade.account == self._account]
        said = sim_inputs.happened(orders, trades)
        if not said:
            return
        fault = self._faults.event()
        if fault is not None and fault.what == "lost":
            return
        self._user_ns = max(self._user_ns, self._world.now_ns + self._way_ns())
        at_ns = self._user_ns
        if fault is not None and fault.what == "late":
            at_ns += fault.delay_ms * MS  # later events overtake it
        for _ in range(2 if fault is not None and fault.what == "twice" else 1):
            self._world.at(at_ns, self._heard, said)

    def _heard(self, said: list[p.Said]) -> None:
        if self._open:
            self._loop.enter(self._say_all, said)

    def _say_all(self, said: list[p.Said]) -> None:
        for one in said:
            self._say(one)

    # -- requests ------------------------------------------------------------------------------------------------

    async def _ask(self, request: w.AnyRequest) -> w.Answer | Failure:
        if not self._open:
            return Failure(False, Code.VENUE_DOWN, f"no connection to {self._name}")
        if self._name == TRUSTING and isinstance(request, w.Submit | w.Replace | w.Firm):
            request = msgspec.structs.replace(request, deadline_ns=0)
        self._last_id += 1
        number = self._last_id
        waiting: asyncio.Future[w.Answer | Failure] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(self._timeout_s):
                what = f"{type(request).__name__} {getattr(request, 'client_id', '')}"
                self._step(what, partial(self._send, msgspec.structs.replace(request, id=number)))
                return await waiting
        except TimeoutError:
            return Failure(True, Code.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        finally:
            self._waiting.pop(number, None)

    def _send(self, request: w.AnyRequest) -> None:
        fault = self._faults.request()
        what = fault.what if fault is not None else ""
        late_ns = fault.delay_ms * MS if fault is not None else 0
        if self._name == TRUSTING and what == "late":
            late_ns = min(late_ns, TRUSTING_LATE_NS)
        if what == "lost":
            return
        if what == "rate_limited":
            text = "too many requests"
            answer = w.Answer(id=request.id, ok=False, at_ns=0, code=Code.RATE_LIMITED, text=text)
            self._world.after(2 * self._way_ns(), self._came, answer)
            return
        there_ns = self._way_ns() + (late_ns if what == "late" else 0)
        # What was sent arrives, whatever becomes of the sender.
        self._world.after(there_ns, self._arrived, request, what, late_ns)

    def _arrived(self, request: w.AnyRequest, what: str, late_ns: int) -> None:
        answer = self._market.handle(request)
        if what != "answer_lost":
            back_ns = self._way_ns() + (late_ns if what == "answer_late" else 0)
            self._world.after(back_ns, self._came, answer)

    def _came(self, answer: w.Answer) -> None:
        if self._open:
            self._loop.enter(self._take, answer)

    def _take(self, answer: w.Answer) -> None:
        waiting = self._waiting.pop(answer.id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    # -- queries -------------------------------------------------------------------------------------------------

    async def _get(self, path: str, _kind: Any, more: dict[str, Any] | None = None) -> Any:
        if not self._open:
            return Failure(True, Code.TIMEOUT, f"no connection to {self._name}")
        fault = self._faults.request()
        what = fault.what if fault is not None else ""
        if what == "rate_limited":
            return Failure(True, Code.VENUE_REJECTED, "status 429")
        if what in ("lost", "answer_lost"):
            await asyncio.sleep(self._timeout_s)
            return Failure(True, Code.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        late_ns = fault.delay_ms * MS if fault is not None else 0
        self._world.after(self._way_ns() + late_ns, self._look, path, more or {}, found)
        return await found

    def _look(self, path: str, more: dict[str, Any], found: asyncio.Future[Any]) -> None:
        """What the venue answers; a replica does not know yet what happened in its last moments."""
        sim, known_ns = self._market.sim, self._world.now_ns - self._faults.behind_ns(self._world.now_ns)
        answer: Any
        if path == "/v1/orders":
            states = sim.open_orders(self._name, self._account)
            answer = [state for state in states if state.created_ns <= known_ns]
        elif path == "/v1/trades":
            trades = sim.trades_since(self._name, self._account, **more)
            answer = [trade for trade in trades if trade.at_ns <= known_ns]
        elif path == "/v1/balances":
            trades = [
                t
                for t in sim.trades_since(self._name, self._account, limit=TRADES_MAX)
                if t.at_ns <= known_ns
            ]
            moved = w.Balances(venue=self._name, account=self._account, balances=self._moved(trades))
            answer = moved
        else:
            assert path.startswith("/v1/orders/"), f"the platform never asks for {path}"
            state = sim.query(self._name, path.rpartition("/")[2], self._account)
            answer = state
            if state is None or state.created_ns > known_ns:
                answer = Failure(True, Code.UNKNOWN_ORDER, "status 404")
        self._world.after(self._way_ns(), self._loop.enter, _settle, found, answer)

    def _moved(self, trades: list[w.Trade]) -> dict[str, Decimal]:
        """What these trades have moved; the venue itself only says what all have."""
        sums: dict[str, Decimal] = {}
        for trade in trades:
            instrument = self._instruments[trade.symbol]
            base, _, quote = trade.symbol.partition("/")
            qty = instrument.qty(trade.qty * trade.side.sign)
            cash = instrument.cash(-trade.qty * trade.side.sign * trade.price)
            for currency, amount in ((base, qty), (quote, cash), (quote, -trade.fee)):
                sums[currency] = total(sums.get(currency, Decimal(0)), amount)
        return sums


def _settle(found: asyncio.Future[Any], answer: Any) -> None:
    if not found.done():
        found.set_result(answer)
