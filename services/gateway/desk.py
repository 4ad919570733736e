"""Performs the core's Calls through the venue adapters: a bounded number at once, cancels before all else."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from bestex.clock import MS, SECOND
from bestex.errors import Code
from services.gateway import port as p

QUEUED_MAX = 10_000  # requests waiting per venue; as many as there may be open children
CANCEL_RESERVE = 2  # places in flight that only a cancel may take, so that slow queries never hold one up
RECONCILE_PAUSE_S = 0.5
NO_BUS = "the bus is lost: no new risk before it is back"
HOLD_NS_MAX = 100 * MS  # a child is held for others this long at most, whatever two clocks say
START_WAIT_S = 2.0  # commands that waited for us are refused without a session, so it is given this long

_RANK: dict[type[p.Request], int] = {
    p.Cancel: 0,
    p.Arm: 0,
    p.MassStatus: 1,
    p.PullFills: 1,
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
        self.session = 0  # counts connections and losses: an answer about an older one says nothing
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

    def take(self) -> p.Request | None:
        """The next request that may go now."""
        if not self._queue:
            return None
        room = self.venue.capabilities.in_flight_max - self.in_flight
        if room <= (CANCEL_RESERVE if self._queue[0][0] else 0):
            return None
        self.in_flight += 1
        return heapq.heappop(self._queue)[2]


class Desk:
    """The gateway's actor. `anomalies` are the core's counts, logged when they grow; `halted` names the scope
    that halts a child now. `sending` counts the orders that have left and were not answered yet."""

    def __init__(
        self, venues: Mapping[str, p.Venue], anomalies: Counter[str], halted: Callable[[str], str]
    ) -> None:
        self._lanes = {name: Lane(venue) for name, venue in venues.items()}
        self._anomalies, self._logged = anomalies, Counter[str]()
        self._halted = halted
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
        if not lane.put(request):
            self._log.warning("too many requests wait", venue=request.venue, request=type(request).__name__)
            if isinstance(request, p.Submit):
                text = f"{QUEUED_MAX} requests wait for {request.venue}"
                full = p.VenueNotSent(child_id=request.child_id, code=Code.RATE_LIMITED, text=text)
                # Not from within the call: the core is in the middle of a decision.
                asyncio.get_running_loop().call_soon(self._deliver, full)
        self._pump(lane)

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
                text = f"the adapter failed: {error!r}"
                self._say(lane, p.VenueUnknown(child_id=request.child_id, code=Code.TIMEOUT, text=text))
            elif isinstance(request, p.MassStatus):
                await self._reconcile_again(lane, request, lane.session)
        finally:
            lane.in_flight -= 1
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
        said = await lane.venue.mass_status(ask)
        if said is None:
            await self._reconcile_again(lane, ask, session)
            return
        if lane.session != session:
            return  # the connection that was asked over is gone; the next one asks anew
        for one in said:
            self._say(lane, p.answered(one, asked_ns))
        self._say(lane, p.VenuePulled(ask.venue, asked_ns))
        self._say(lane, p.SessionState(ask.venue, p.Session.RECONCILED))

    async def _reconcile_again(self, lane: Lane, ask: p.MassStatus, session: int) -> None:
        await asyncio.sleep(RECONCILE_PAUSE_S)
        if lane.session == session:
            text = "the last reconciliation was not answered"
            self._say(lane, p.SessionState(ask.venue, p.Session.UP, text))

    def _say(self, lane: Lane, said: Any) -> None:
        if isinstance(said, p.SessionState):
            lane.session += 1
            if said.state is p.Session.RECONCILED:
                lane.reconciled.set()
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
    """The last look, at the clock and at the halts. From here to the send nothing is awaited."""
    if now_ns >= order.deadline_ns:
        return Code.EXPIRED, "its time passed before it could be sent"
    if scope := halted(order.child_id):
        return Code.HALTED, f"{scope} was halted before it could be sent"
    return None
