"""Releasing effects: calls outside the bus, the live plane's messages, and alarms. Commands are the journal's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client

from bestex.core import Alarm, Call, Effect, Emit
from bestex.footing import Footing
from bestex.metrics import RuntimeMetrics
from bestex.service import Actor
from bestex.tape import encode_live


class Effects:
    def __init__(
        self,
        client: Client,
        actor: Actor | None,
        footing: Footing,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        log: structlog.stdlib.BoundLogger,
        metrics: RuntimeMetrics,
    ) -> None:
        self._client = client
        self._actor = actor
        self._footing = footing
        self._spawn = spawn
        self._log, self._metrics = log, metrics
        self._outbox: deque[Emit] = deque()
        self._held: deque[Call] = deque()

    def release(self, effect: Effect) -> None:
        if isinstance(effect, Call):
            self._call(effect)
        elif isinstance(effect, Emit):
            if not self._outbox:
                self._spawn(self._send_outbox())
            self._outbox.append(effect)
        elif isinstance(effect, Alarm):
            self.alarm(effect)

    def alarm(self, alarm: Alarm) -> None:
        """A log entry with the traceback, and one more on the counter."""
        self._metrics.contained(alarm.code)
        self._log.error("contained", code=str(alarm.code), subject=alarm.subject, exc_info=alarm.error)

    def _call(self, effect: Call) -> None:
        assert self._actor is not None, "a core that calls has an actor"
        if effect.always or (not self._held and self._footing.is_sure()):
            self._actor.call(effect.request)
            return
        if not self._held:
            self._spawn(self._let_go(self._actor))
        self._held.append(effect)

    async def _let_go(self, actor: Actor) -> None:
        """Calls that waited until it was known again that they are ours to make, in order."""
        while self._held:
            await self._footing.confirmed()
            actor.call(self._held.popleft().request)

    async def _send_outbox(self) -> None:
        """One task sends what a burst of inputs emitted, in order."""
        while self._outbox:
            effect = self._outbox[0]
            with suppress(nats.errors.Error):  # live plane: what cannot go now is worth nothing later
                await self._client.publish(effect.subject, encode_live(effect))
            self._outbox.popleft()
