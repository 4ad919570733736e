"""One account's session at an exchange of ccxt: the exchange with its markets and its clock, its user streams, and
the connection for orders where it has one.

Requests need no stream; so the exchange stays while the streams come and go, and a cancel passes.
What ccxt's handlers raise ends its reading without a word, and a subscription that is refused is often none of its
business: both end the session here, because a stream that is silent for ever looks like one of which nothing is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ccxt
import structlog

from bestex import ccxt_client
from bestex.config import Config
from bestex.keys import Keys
from services.gateway import port as p
from services.gateway.venues.ccxt import outcomes, rights
from services.gateway.venues.ccxt.clocks import VenueClock
from services.gateway.venues.ccxt.limits import Limits
from services.gateway.venues.ccxt.line import Line
from services.gateway.venues.ccxt.quirks.base import Quirk

RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
LINE_S = 1.0  # how long new orders wait for the connection that is theirs, before REST must do
SETTLED_S = 0.1  # a stream that has not failed by then is taken for up: ccxt does not say when it is


class Refused(Exception):
    """The keys are not to be traded with."""

    def __init__(self, problem: rights.Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class Session:
    """`heard` is given every order and every trade of the streams, as ccxt words them."""

    def __init__(
        self,
        venue: str,
        config: Config,
        timeout_s: float,
        keys: Keys,
        quirk: Quirk,
        limits: Limits,
        symbols: Sequence[str],
    ) -> None:
        self.exchange: Any = None
        self.clock = VenueClock(venue)
        self.line: Line | None = None
        self._limits = limits
        if quirk.socket is not None and ccxt_client.order_entry(venue, config) == "websocket":
            self.line = Line(venue, quirk.socket, timeout_s, self.safe)
        self._venue, self._config, self._timeout_s = venue, config, timeout_s
        self._keys, self._quirk, self._symbols = keys, quirk, symbols
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self._keeper: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[None] | None = None

    def start(self, say: p.Say, heard: Callable[[Any], None]) -> None:
        self._say, self._heard = say, heard
        self._keeper = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await self.clock.stop()
        if self.line is not None:
            await self.line.stop()
        if self.exchange is not None:
            await self.exchange.close()
        self._limits.stop()

    def safe(self, error: BaseException) -> str:
        """What an error says, without the keys that a library may quote."""
        return outcomes.text_of(error, str if self._keys is None else self._keys.redact)

    async def _keep_up(self) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            text, was_up = "closed", False
            tasks: list[asyncio.Future[None]] = []
            try:
                exchange = await self._ready()
                self._broken = asyncio.get_running_loop().create_future()
                tasks = [asyncio.create_task(self._watch(watch)) for watch in self._quirk.streams(exchange)]
                tasks.append(self._broken)
                await asyncio.wait(tasks, timeout=SETTLED_S, return_when=asyncio.FIRST_COMPLETED)
                if self.line is not None:
                    await self.line.wait(LINE_S)
                if not any(task.done() for task in tasks):
                    self._say(p.SessionState(self._venue, p.Session.UP))
                    was_up, pause = True, RECONNECT_FIRST_S
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except asyncio.CancelledError:
                raise
            except Refused as refused:
                self._say(p.KeysRefused(self._venue, refused.problem.code, refused.problem.text))
                return
            except Exception as error:  # noqa: BLE001 - whatever it was, the session is down and is made anew
                text = self.safe(error)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            if was_up:
                self._say(p.SessionState(self._venue, p.Session.DOWN, text))
            else:
                self._log.warning("no session", error=text, again_in_s=pause)
            await self._close_streams()
            await asyncio.sleep(pause)
            pause = min(2 * pause, RECONNECT_MAX_S)

    async def _ready(self) -> Any:
        """The exchange with its markets and its clock."""
        if self.exchange is None:
            made = ccxt_client.create(self._venue, self._config, self._timeout_s, self._keys)
            made.options |= self._quirk.options
            self._limits.watch(made)
            try:
                await self.clock.measure(made)
                await made.load_markets()
                await self._check_rights(made)
            except BaseException:
                await made.close()
                raise
            if missing := [symbol for symbol in self._symbols if symbol not in made.markets]:
                self._log.error("the venue does not list what is configured", symbols=missing)
            self._listen_in(made)
            self.exchange = made
            self.clock.start(made)
            if self.line is not None:
                self.line.start(made)
        return self.exchange

    async def _check_rights(self, exchange: Any) -> None:
        """Raises Refused; and what ccxt raises: without an answer there is no session."""
        found = await rights.ask(exchange, self._quirk.market_type)
        if found is None:
            self._log.warning("what the key may do cannot be asked here; look that it may not withdraw")
            return
        for problem in rights.problems(found):
            raise Refused(problem)
        if found.bound is False:
            self._log.warning("the key may be used from anywhere; bind it to this machine's address")

    def _listen_in(self, exchange: Any) -> None:
        handle = exchange.handle_message

        def heard(client: Any, message: Any) -> None:
            try:
                refusal = self._quirk.refusal(message) if isinstance(message, dict) else ""
                if refusal:
                    raise ccxt.ExchangeError(refusal)
                handle(client, message)
            except Exception as error:  # noqa: BLE001 - whatever it was, ccxt would read no further
                if self._broken is not None and not self._broken.done():
                    self._broken.set_exception(error)

        exchange.handle_message = heard

    async def _watch(self, watch: Callable[[], Any]) -> None:
        while True:
            for one in await watch():
                self._heard(one)

    async def _close_streams(self) -> None:
        if self.exchange is not None:
            for client in list(self.exchange.clients.values()):
                with suppress(Exception):
                    await client.close()
