"""One account's session at an exchange of ccxt: the exchange with its markets and its clock, and its user streams.

Requests go over REST and need no stream; so the exchange stays while the streams come and go, and a cancel passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from bestex import ccxt_client
from bestex.config import Config
from bestex.keys import Keys
from services.gateway import port as p
from services.gateway.venues.ccxt import outcomes
from services.gateway.venues.ccxt.quirks.base import Quirk

RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
SETTLED_S = 0.1  # a stream that has not failed by then is taken for up: ccxt does not say when it is


class Session:
    """`heard` is given every order and every trade of the streams, as ccxt words them."""

    def __init__(
        self,
        venue: str,
        config: Config,
        timeout_s: float,
        keys: Keys | None,
        quirk: Quirk,
        symbols: Sequence[str],
    ) -> None:
        self.exchange: Any = None
        self._venue, self._config, self._timeout_s = venue, config, timeout_s
        self._keys, self._quirk, self._symbols = keys, quirk, symbols
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self._keeper: asyncio.Task[None] | None = None

    def start(self, say: p.Say, heard: Callable[[Any], None]) -> None:
        self._say, self._heard = say, heard
        self._keeper = asyncio.create_task(self._keep_up())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self.exchange is not None:
            await self.exchange.close()

    def safe(self, error: BaseException) -> str:
        """What an error says, without the keys that a library may quote."""
        text = outcomes.text_of(error)
        return text if self._keys is None else self._keys.redact(text)

    async def _keep_up(self) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            text, was_up = "closed", False
            tasks: list[asyncio.Task[None]] = []
            try:
                exchange = await self._ready()
                tasks = [asyncio.create_task(self._watch(watch)) for watch in self._quirk.streams(exchange)]
                await asyncio.wait(tasks, timeout=SETTLED_S, return_when=asyncio.FIRST_COMPLETED)
                if not any(task.done() for task in tasks):
                    self._say(p.SessionState(self._venue, p.Session.UP))
                    was_up, pause = True, RECONNECT_FIRST_S
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except asyncio.CancelledError:
                raise
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
            try:
                if made.has.get("fetchTime"):
                    await made.load_time_difference()
                await made.load_markets()
            except BaseException:
                await made.close()
                raise
            if missing := [symbol for symbol in self._symbols if symbol not in made.markets]:
                self._log.error("the venue does not list what is configured", symbols=missing)
            self.exchange = made
        return self.exchange

    async def _watch(self, watch: Callable[[], Any]) -> None:
        while True:
            for one in await watch():
                self._heard(one)

    async def _close_streams(self) -> None:
        if self.exchange is not None:
            for client in list(self.exchange.clients.values()):
                with suppress(Exception):
                    await client.close()
