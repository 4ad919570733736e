"""Does this process stand where it thinks it stands? Asked before anything leaves it.

It does not where the connection to the bus is down, where it is new, or where the process stood still for so long
that another may have taken over. Then nothing leaves until the bus has been asked. A beat notices all of it; but
whatever runs first after a freeze may run before the beat, so the time since the last one is looked at each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import nats.errors
import structlog
from nats.aio.client import Client

from bestex.asking import ask
from bestex.bus_access import api_subject
from bestex.clock import AffineClock
from bestex.epochs import ANOTHER_ANSWERS_S
from bestex.errors import BusError, Fenced, StreamDamaged
from bestex.journal import GIVE_UP_S, RETRY_S

BEAT_S = 0.05  # twenty wake-ups a second cost a thousandth of a processor
STILL_S_MAX = ANOTHER_ANSWERS_S / 2  # nobody takes over before a process has not answered for twice as long
WATCHDOG_INTERVAL_S = 2.0
WATCHDOG_FAILURES_MAX = 5  # connected, but no answer five times: the connection is dead and does not know


class Asked(NamedTuple):
    """When the bus was asked, and how many doubts there were."""

    doubts: int
    at_s: float


class Footing:
    """`check` asks the bus whether all is as this process believes, and raises where it is not. `lost` and `back`
    are called once each time; `fail` ends the process. Starts in doubt."""

    def __init__(
        self,
        client: Client,
        clock: AffineClock,
        log: structlog.stdlib.BoundLogger,
        *,
        check: Callable[[], Awaitable[None]],
        epoch: Callable[[str], int],
        fail: Callable[[Exception], None],
        lost: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._log = log
        self._check = check
        self._fail = fail
        self._lost = lost
        self._back = back
        self.epoch = epoch
        self._beat_s = self._now_s()
        self._doubts = 1
        self._settled = 0  # doubts that were settled
        self._away = False
        self._sure_s = self._now_s()  # when it was last known that all is well
        self._error: Exception | None = None
        self._checking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._next_beat: asyncio.TimerHandle | None = None

    def start(self, asked: Asked | None = None) -> None:
        """`asked`: where the bus has been asked all that `check` asks, since then."""
        loop = asyncio.get_running_loop()
        now_s = self._beat_s = self._sure_s = self._now_s()
        if asked is not None and now_s - asked.at_s <= STILL_S_MAX:
            self._settled = asked.doubts
        self._watching = loop.create_task(self._watchdog())
        self._beat()

    def stop(self) -> None:
        for one in (self._watching, self._checking, self._next_beat):
            if one is not None:
                one.cancel()

    def asks(self) -> Asked:
        """The bus is being asked from now on."""
        return Asked(self._doubts, self._now_s())

    def doubt(self) -> None:
        """Something happened after which the bus is to be asked."""
        self._doubts += 1

    @property
    def is_away(self) -> bool:
        """Whether the connection to the bus is down, or has been and nothing is confirmed yet."""
        return self._away or not self._client.is_connected

    def is_sure(self) -> bool:
        if self._now_s() - self._beat_s > STILL_S_MAX:
            self.doubt()
        return self._settled == self._doubts and self._client.is_connected and self._error is None

    async def confirmed(self) -> None:
        """Returns at once where all is well; else when the bus has said so. Raises what ends the process."""
        while not self.is_sure():
            if self._error is not None:
                raise self._error
            await asyncio.shield(self._ask())

    async def may_send(self) -> bool:
        """Whether a new order may leave now; waits for the bus's word, but not for a bus that is away."""
        while not self.is_sure():
            if self._error is not None or self.is_away:
                return False
            await asyncio.wait([self._ask()], timeout=BEAT_S)
        return True

    def _ask(self) -> asyncio.Task[None]:
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._settle())
        return self._checking

    async def _settle(self) -> None:
        """Ask until there is an answer and nothing new to doubt. Its failure ends the process, by `fail`."""
        while self._error is None:
            self._beat_s = self._now_s()
            doubts = self._doubts
            try:
                if self._client.is_connected:
                    await self._check()
                    if self._client.is_connected and self._now_s() - self._beat_s <= STILL_S_MAX:
                        self._settled = doubts
                    if self._settled == self._doubts:
                        return
                    continue
            except (Fenced, StreamDamaged) as error:
                self._error = error
            except (BusError, nats.errors.Error, TimeoutError) as error:
                self._log.warning("the bus cannot say yet who is at work", error=repr(error))
            except Exception as error:  # noqa: BLE001 - a bug here must not look like a bus that is away
                self._error = error
            if self._error is not None:
                self._fail(self._error)
                return
            await asyncio.sleep(RETRY_S)

    def _beat(self) -> None:
        now_s = self._now_s()
        if now_s - self._beat_s > STILL_S_MAX:
            self._log.warning("stood still", seconds=round(now_s - self._beat_s, 3))
            self.doubt()
            self._sure_s = now_s  # a process that was frozen for long is given the time to ask
        self._beat_s = now_s
        if not self._client.is_connected:
            self.doubt()
            if not self._away:
                self._away = True
                self._lost()
        elif not self.is_sure():
            self._ask()
        else:
            self._sure_s = now_s
            if self._away:
                self._away = False
                self._back()
        if now_s - self._sure_s > GIVE_UP_S:
            self._fail(
                BusError(f"the bus has been away, or could not say who is at work, for {GIVE_UP_S:.0f} s")
            )
        self._next_beat = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    async def _watchdog(self) -> None:
        """nats-py can look connected while every request hangs; then only a new process helps."""
        failures = 0
        while True:
            await asyncio.sleep(WATCHDOG_INTERVAL_S)
            if not self._client.is_connected:
                failures = 0
                continue
            try:
                await ask(self._client, api_subject(self._client, "INFO"), b"", WATCHDOG_INTERVAL_S)
                failures = 0
            except (nats.errors.Error, TimeoutError):
                failures += 1
                self._log.warning("the bus does not answer", failures=failures)
                if failures >= WATCHDOG_FAILURES_MAX:
                    self._fail(TimeoutError("the bus does not answer though it looks connected"))

    def _now_s(self) -> float:
        return self._clock.wall_seconds(self._clock.now_ns())
