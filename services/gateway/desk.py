"""Performs the core's Calls through the venue adapters: a bounded number at once, cancels before all else."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import structlog

from bestex.clock import MS, SECOND
from bestex.errors import Code
from bestex.keys import hide
from services.gateway import port as p

QUEUED_MAX = 10_000  # requests waiting per venue; as many as there may be open children
CANCEL_RESERVE = 2  # places in flight that only a cancel may take, so that slow queries never hold one up
QUERY_RESERVE = 2  # and those that no new order may take, which may have to wait for the venue's limits
RECONCILE_PAUSE_S, RECONCILE_PAUSE_MAX_S = 0.5, 8.0  # who asks on and on after "too many requests" is banned
PULL_PAUSE_S = 0.25  # between two pulls: exchanges count most for lists, and one answers for all who wait
NO_BUS = "the bus is lost: no new risk before it is back"
HOLD_NS_MAX = 100 * MS  # a child is held for others this long at most, whatever two clocks say
START_WAIT_S = 2.0  # commands that waited for us are refused without a session, so it is given this long

_RANK: dict[type[p.Request], int] = {
    p.Cancel: 0,
    p.Arm: 0,
    p.MassStatus: 1,
    p.PullFills: 1,
    p.AskHoldings: 1,
    p.QueryOrder: 1,
    p.Firm: 2,
    p.Replace: 2,
    p.Submit: 2,
}


class Lane:
    """The requests of one venue."""

    def __init__(self, venue: p.Venue) -> None:
        self.venue = venue
        self.in_flight = 0
        self.reconciled = asyncio.Event()
        self.state, self.text, self.since_ns = p.Session.DOWN, "", 0
        self.session = 0  # counts connections and losses: an answer about an older one says nothing
        # By rank: how many places must stay free. A venue with few of them has one for everybody.
        reserved = (0, CANCEL_RESERVE, CANCEL_RESERVE + QUERY_RESERVE)
        self._reserved = [min(places, venue.capabilities.in_flight_max - 1) for places in reserved]
        self.failures = 0  # of reconciling, one after the other
        self.pulling = False
        self._pull_next: p.PullFills | None = None
        self._queue: list[tuple[int, int, p.Request]] = []
        self._count = 0

    def put(self, request: p.Request) -> bool:
        """False where the queue is full. Cancels always fit: there are no more of them than open orders."""
        rank = _RANK[type(request)]
        if len(self._queue) >= QUEUED_MAX and rank:
            return False
        self._count += 1
        heapq.heappush(self._queue, (rank, self._count, request))
        return True

    def must_wait(self, pull: p.PullFills) -> bool:
        """Whether it waits for the pull that is under way, as one with all others that do."""
        if self.pulling:
            waiting = self._pull_next
            since_ns = pull.since_ns if waiting is None else min(pull.since_ns, waiting.since_ns)
            self._pull_next = p.PullFills(venue=pull.venue, since_ns=since_ns)
            return True
        self.pulling = True
        return False

    def pulled(self) -> p.PullFills | None:
        """The pull is over; the next one."""
        self.pulling, waiting, self._pull_next = False, self._pull_next, None
        return waiting

    def take(self) -> p.Request | None:
        """The next request that may go now."""
        if not self._queue:
            return None
        room = self.venue.capabilities.in_flight_max - self.in_flight
        if room <= self._reserved[self._queue[0][0]]:
            return None
        self.in_flight += 1
        return heapq.heappop(self._queue)[2]


class Desk:
    """The gateway's actor. `anomalies` are the core's counts, logged when they grow; `halted` names the scope
    that halts a child now. `sending` counts the orders that have left and were not answered yet. A session with one
    of the `tracked` venues is good once it has said what its account holds."""

    def __init__(
        self,
        venues: Mapping[str, p.Venue],
        anomalies: Counter[str],
        halted: Callable[[str], str],
        tracked: Collection[str] = (),
    ) -> None:
        self._lanes = {name: Lane(venue) for name, venue in venues.items()}
        self._anomalies, self._logged = anomalies, Counter[str]()
        self._halted, self._tracked = halted, tracked
        self.sending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(service="gateway")

    async def start(
        self,
        deliver: Callable[[Any], None],
        now_ns: Callable[[], int],
        may_send: Callable[[], Awaitable[bool]],
    ) -> None:
        """Connects; returns when every session is good, or at the latest after a while without."""
        self._deliver, self._now_ns, self._may_send = deliver, now_ns, may_send
        for lane in self._lanes.values():
            await lane.venue.connect(lambda said, lane=lane: self._say(lane, said), now_ns)
        with suppress(TimeoutError):
            async with asyncio.timeout(START_WAIT_S):
                for lane in self._lanes.values():
                    await lane.reconciled.wait()

    def health(self, venue: str) -> tuple[p.Session, str, int, float | None]:
        """The session, its last word and since when, and by how many ms the venue's clock is ahead, if known."""
        lane = self._lanes[venue]
        return lane.state, lane.text, lane.since_ns, getattr(lane.venue, "clock_ahead_ms", None)

    @property
    def in_flight(self) -> int:
        """Requests that were taken up and are not answered yet."""
        return sum(lane.in_flight for lane in self._lanes.values())

    async def stop(self) -> None:
        """Let go of what is in flight: its outcome is asked for at the next start."""
        self._stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes.values():
            await lane.venue.disconnect()

    def call(self, request: p.Request) -> None:
        lane = self._lanes[request.venue]
        if isinstance(request, p.PullFills) and lane.must_wait(request):
            return
        if not lane.put(request):
            if isinstance(request, p.PullFills):
                self._pull_later(lane)
            self._log.warning("too many requests wait", venue=request.venue, request=type(request).__name__)
            if isinstance(request, p.Submit):
                text = f"{QUEUED_MAX} requests wait for {request.venue}"
                full = p.VenueNotSent(child_id=request.child_id, code=Code.RATE_LIMITED, text=text)
                # Not from within the call: the core is in the middle of a decision.
                asyncio.get_running_loop().call_soon(self._deliver, full)
        self._pump(lane)

    def _pull_later(self, lane: Lane) -> None:
        def again() -> None:
            waiting = lane.pulled()
            if waiting is not None and not self._stopping:
                self.call(waiting)

        asyncio.get_running_loop().call_later(PULL_PAUSE_S, again)

    def _pump(self, lane: Lane) -> None:
        while not self._stopping and (request := lane.take()) is not None:
            task = asyncio.get_running_loop().create_task(self._perform(lane, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _perform(self, lane: Lane, request: p.Request) -> None:
        try:
            await self._act(lane, request)
        except Exception as error:  # noqa: BLE001 - an adapter's bug loses no order: what it did is unknown
            self._log.error("an adapter failed", request=repr(request), exc_info=True)
            if isinstance(request, p.Submit):
                text = hide(f"the adapter failed: {error!r}")
                self._say(lane, p.VenueUnknown(child_id=request.child_id, code=Code.TIMEOUT, text=text))
            elif isinstance(request, p.MassStatus):
                await self._reconcile_again(lane, request, lane.session)
        finally:
            lane.in_flight -= 1
            if isinstance(request, p.PullFills):
                self._pull_later(lane)
            self._pump(lane)

    async def _act(self, lane: Lane, request: p.Request) -> None:
        venue, asked_ns = lane.venue, self._now_ns()
        said: Any = ()
        match request:
            case p.Submit():
                said = await self._submit(venue, request)
            case p.Cancel():
                said = await venue.cancel(request)
            case p.Replace():
                said = await self._modify(venue, request)
            case p.Firm():
                said = await self._firm(venue, request)
            case p.QueryOrder():
                said = await venue.query_order(request)
            case p.PullFills():
                fills = await venue.fills_since(request.since_ns)
                if fills is not None:
                    said = [*fills, p.VenuePulled(request.venue, asked_ns)]
                self._report()
            case p.AskHoldings():
                found = await self._holdings(lane, request.venue)
                said = [found] if found is not None else ()
            case p.MassStatus():
                await self._reconcile(lane, request)
            case p.Arm():
                if not await venue.arm(request.timeout_ns):
                    self._log.warning("the dead-man switch was not armed", venue=request.venue)
        for one in said:
            # Of an order's first words none is older than the order.
            self._say(lane, one if isinstance(request, p.Submit) else p.answered(one, asked_ns))

    async def _submit(self, venue: p.Venue, order: p.Submit) -> Any:
        hold_ns = order.send_at_ns - self._now_ns()
        if hold_ns > 0:
            await asyncio.sleep(min(hold_ns, HOLD_NS_MAX) / SECOND)
        if isinstance(venue, p.Admits) and (refused := await venue.admit(order)):
            return refused
        if not await self._may_send():
            return [p.VenueNotSent(child_id=order.child_id, code=Code.NOT_READY, text=NO_BUS)]
        # The last look; from here to the send nothing is awaited.
        if why := too_late(order, self._now_ns(), self._halted):
            return [p.VenueNotSent(child_id=order.child_id, code=why[0], text=why[1])]
        self.sending += 1
        try:
            return await venue.submit(order)
        finally:
            self.sending -= 1

    async def _modify(self, venue: p.Venue, order: p.Replace) -> Any:
        if isinstance(venue, p.Admits) and (refused := await venue.admit(order)):
            return refused
        if not await self._may_send():
            return [p.VenueReplaceRejected(child_id=order.child_id, code=Code.NOT_READY, text=NO_BUS)]
        if why := too_late(order, self._now_ns(), self._halted):
            return [p.VenueReplaceRejected(child_id=order.child_id, code=why[0], text=why[1])]
        self.sending += 1
        try:
            return await venue.modify(order)
        finally:
            self.sending -= 1

    async def _firm(self, venue: p.Venue, order: p.Firm) -> Any:
        if not await self._may_send():
            return [p.VenueFirmRejected(child_id=order.child_id, code=Code.NOT_READY, text=NO_BUS)]
        if why := too_late(order, self._now_ns(), self._halted):
            return [p.VenueFirmRejected(child_id=order.child_id, code=why[0], text=why[1])]
        self.sending += 1
        try:
            return await venue.firm(order)
        finally:
            self.sending -= 1

    async def _reconcile(self, lane: Lane, ask: p.MassStatus) -> None:
        """Trades and orders as the venue has them, and only then is the session good for new orders."""
        session, asked_ns = lane.session, self._now_ns()
        said: Any = await lane.venue.mass_status(ask)
        if said is not None:
            said = [*said, p.VenuePulled(ask.venue, asked_ns)]
            if ask.venue in self._tracked:
                said = await self._with_holdings(lane, ask, said)
        if said is None:
            await self._reconcile_again(lane, ask, session)
            return
        if lane.session != session:
            return  # the connection that was asked over is gone; the next one asks anew
        for one in said:
            self._say(lane, p.answered(one, asked_ns))
        self._say(lane, p.SessionState(ask.venue, p.Session.RECONCILED))

    async def _with_holdings(self, lane: Lane, ask: p.MassStatus, said: list[Any]) -> list[Any] | None:
        """What was said, what the account holds, and the trades until then; None where any part went unanswered."""
        held = await self._holdings(lane, ask.venue)
        asked_ns = self._now_ns()
        fills = await lane.venue.fills_since(ask.since_ns) if held is not None else None
        if held is None or fills is None:
            return None
        return [*said, held, *fills, p.VenuePulled(ask.venue, asked_ns)]

    async def _holdings(self, lane: Lane, venue: str) -> p.VenueHoldings | None:
        """None where any part went unanswered."""
        asked_ns = self._now_ns()
        balances, positions = await lane.venue.balances(), await lane.venue.positions()
        if balances is None or positions is None:
            return None
        return p.VenueHoldings(
            venue=venue,
            asked_ns=asked_ns,
            answered_ns=self._now_ns(),
            balances=balances,
            positions=positions,
        )

    async def _reconcile_again(self, lane: Lane, ask: p.MassStatus, session: int) -> None:
        pause_s = min(RECONCILE_PAUSE_S * 2**lane.failures, RECONCILE_PAUSE_MAX_S)
        lane.failures = min(lane.failures + 1, 10)
        await asyncio.sleep(pause_s)
        if lane.session == session:
            text = "the last reconciliation was not answered"
            self._say(lane, p.SessionState(ask.venue, p.Session.UP, text))

    def _say(self, lane: Lane, said: Any) -> None:
        if isinstance(said, p.SessionState):
            lane.session += 1
            lane.state, lane.text, lane.since_ns = said.state, said.text, self._now_ns()
            if said.state is p.Session.RECONCILED:
                lane.reconciled.set()
                lane.failures = 0
            self._log.info("session", venue=said.venue, state=said.state, text=said.text)
        elif isinstance(said, p.VenueUnknown | p.VenueUnanswered):
            kind = type(said).__name__
            self._log.warning("no answer", kind=kind, child=said.child_id, code=said.code, text=said.text)
        self._deliver(said)

    def _report(self) -> None:
        if self._anomalies != self._logged:
            self._log.error("anomalies", **self._anomalies)
            self._logged = self._anomalies.copy()


def too_late(
    order: p.Submit | p.Replace | p.Firm, now_ns: int, halted: Callable[[str], str]
) -> tuple[Code, str] | None:
    """The last look, at the clock, the halts and the session. From here to the send nothing is awaited."""
    if now_ns >= order.deadline_ns:
        return Code.EXPIRED, "its time passed before it could be sent"
    if scope := halted(order.child_id):
        return Code.HALTED, f"{scope} was halted before it could be sent"
    if order.closes_ns and now_ns >= order.closes_ns:
        return Code.MARKET_CLOSED, "the session ended before it could be sent"
    return None
