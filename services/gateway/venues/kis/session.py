"""One venue's session at KIS: a token that is kept fresh, and the notices of the account's orders.

It is up once both are there; requests need the token alone, so that a cancel passes while the websocket is down.
"""

from __future__ import annotations

import asyncio

import structlog

from bestex.errors import ConfigError
from bestex.kis.client import KisClient, NoAnswer
from bestex.kis.socket import Hear, KisSocket, Topic, socket_of
from bestex.kis.token import TokenError
from services.gateway import port as p

AGAIN_S = 2.0  # after a token that could not be had
CHECK_S = 5.0  # how often it is looked whether KIS has refused the token meanwhile


class Session:
    """`hear` is given the notices' records."""

    def __init__(self, venue: str, client: KisClient, hear: Hear) -> None:
        """ConfigError where notices are wanted and the user's name, by which they are had, is not in the keys."""
        self.hears = False
        self._venue, self._client, self._hear = venue, client, hear
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue=venue)
        self._keeper: asyncio.Task[None] | None = None
        self._topic: Topic | None = None
        self._socket: KisSocket | None = None
        self._is_up = False
        self._user = client.keys.optional("hts_id")
        if client.host.notices and not self._user:
            raise ConfigError(
                f"{client.keys.path}: has no hts_id, by which notices are had; or notices = false"
            )

    async def start(self, say: p.Say) -> None:
        self._say = say
        await self._client.start()
        self._keeper = asyncio.create_task(self._keep_token())

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if self._topic is not None and self._socket is not None:
            await self._socket.leave(self._topic)
        await self._client.close()

    async def _keep_token(self) -> None:
        while True:
            try:
                pause = await self._client.token.keep()
                await self._ready()
            except (TokenError, NoAnswer, OSError, ValueError) as error:
                self._log.warning("no token", error=self._client.keys.redact(str(error)), again_in_s=AGAIN_S)
                pause = AGAIN_S
            await asyncio.sleep(min(pause, CHECK_S))

    async def _ready(self) -> None:
        """There is a token."""
        if self._client.host.notices and self._topic is None:
            topic = Topic(self._client, self._client.host.notice_id, self._user, self._hear, self._told)
            self._socket = socket_of(self._client)
            await self._socket.join(topic)
            self._topic = topic
        elif not self._client.host.notices and not self._is_up:
            self._is_up = True
            self._say(p.SessionState(self._venue, p.Session.UP))

    def _told(self, is_on: bool, text: str) -> None:
        self.hears = is_on
        self._say(p.SessionState(self._venue, p.Session.UP if is_on else p.Session.DOWN, text))
