"""A gateway's own core and desk over a venue's adapter, without a bus, on a clock that can be moved.

What takes seconds of patience (an absence that two endpoints must agree on) is skipped: when nothing is in flight,
the clock goes to the core's next timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from bestex import fleet
from bestex import messages as m
from bestex.clock import MINUTE, SECOND, Time
from bestex.core import Alarm, Call, Fact, Recovered, Wake, Wakeup
from bestex.messages import Tif
from bestex.sessions import ALWAYS
from services.gateway import port as p
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk as Actor
from tests.contract.rigs import CLOCK, Desk
from tests.unit.gateway.bench import child_new
from tests.waiting import until

PATIENCE_S = 20.0
STEPS_MAX = 400
QUIET_S = 0.02  # nothing in flight for so long is quiet: answers on loopback take a millisecond


class Live:
    """Drives the venue of `desk`, which must not be connected by anybody else."""

    def __init__(self, desk: Desk, journal: list[Any] | None = None, *, dead_man: bool = False) -> None:
        self.desk, self.name = desk, desk.rig.venue
        self.ahead_ns = 0
        config = desk.config
        # The emulators keep no hours, and what is tested here is to be the same on every day. A dead-man switch that
        # is set anew at every leap of the clock uses up what a venue lets be asked: only who tests it has one.
        able = desk.venue.capabilities
        able = replace(able, calendar=ALWAYS, dead_man=able.dead_man and dead_man)
        capabilities = {self.name: able}
        self.core = GatewayCore(capabilities, config.make_instruments(), config, fleet.build())
        core = self.core
        self.actor = Actor(
            {self.name: desk.venue}, core.anomalies, core.halted, tracked=core.holdings.by_venue
        )
        self.alarms: list[Alarm] = []
        self.journal: list[Any] = list(journal or [])
        self.wakes: dict[str, int] = {}
        for event in self.journal:
            self.core.apply(event)

    def now_ns(self) -> int:
        return CLOCK.now_ns() + self.ahead_ns

    async def __aenter__(self) -> Live:
        async def may_send() -> bool:
            return True

        await self.actor.start(self.deliver, self.now_ns, may_send)
        self.deliver(Recovered())
        await until(lambda: self.core.sessions[self.name] is p.Session.RECONCILED, PATIENCE_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.actor.stop()

    def deliver(self, message: Any) -> None:
        for out in self.core.decide(message, self.now_ns()):
            effects: Any = [out]
            if isinstance(out, Fact):
                effects = self.core.apply(out.event)
                self.journal.append(out.event)
            for effect in effects:
                if isinstance(effect, Call):
                    self.actor.call(effect.request)
                elif isinstance(effect, Alarm):
                    self.alarms.append(effect)
                elif isinstance(effect, Wake):
                    self.wakes.pop(effect.key, None)
                    if effect.at_ns:
                        self.wakes[effect.key] = effect.at_ns

    def new(self, child_id: str, **changed: Any) -> None:
        now_ns, rig = self.now_ns(), self.desk.rig
        usual: dict[str, Any] = {
            "venue": rig.venue,
            "qty": rig.qty,
            "price": rig.price,
            "tif": Tif.GTC,
            "expires_at": Time(now_ns + 4 * SECOND),
            "good_till": Time(now_ns + 10 * MINUTE),
        }
        self.deliver(child_new(child_id, now_ns, **{**usual, **changed}))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Lets answers come and, where none is on its way, time pass. AssertionError where it never holds."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(STEPS_MAX):
                await self._quiet(holds)
                if holds():
                    return
                key, at_ns = min(self.wakes.items(), key=lambda wake: wake[1])
                del self.wakes[key]
                self.ahead_ns = max(self.ahead_ns, at_ns - CLOCK.now_ns())
                self.deliver(Wakeup(key))
        raise AssertionError(f"it did not come to that in {STEPS_MAX} steps: {self.journal[-3:]}")

    async def _quiet(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(QUIET_S)
            if not self.actor.in_flight:
                return

    # -- what became of a child ----------------------------------------------------------------------------------

    def tags(self, child_id: str) -> list[str]:
        return [type(one).__name__.removeprefix("Exec") for one in self._of(child_id)]

    def _of(self, child_id: str) -> list[Any]:
        return [one for one in self.journal if getattr(one, "child_id", "") == child_id]

    def end(self, child_id: str) -> m.ExecEnded | None:
        return next((one for one in self._of(child_id) if isinstance(one, m.ExecEnded)), None)

    def decided(self, child_id: str) -> bool:
        """Whether it is known where the child stands."""
        return "Accepted" in self.tags(child_id) or self.end(child_id) is not None

    def became(self, child_id: str) -> str:
        """In words: what the gateway's history says of it."""
        tags, end = self.tags(child_id), self.end(child_id)
        first = "unknown, then " if "Unknown" in tags else ""
        if end is None:
            return f"{first}working"
        if isinstance(end, m.ExecRejected):
            return first + {"absent": "absent", "not_sent": "not sent"}.get(
                end.evidence, f"refused: {end.code}"
            )
        return first + type(end).__name__.removeprefix("Exec").lower()
