"""KIS's websocket: one for each key in a process, for whoever wants to hear something of it.

Subscriptions belong to a connection; after a loss they are made again, and what happened meanwhile was not heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import structlog

from bestex.kis import frames
from bestex.kis.client import KisClient, NoAnswer
from bestex.kis.frames import FrameError
from bestex.kis.token import TokenError

RECONNECT_FIRST_S, RECONNECT_MAX_S = 0.25, 30.0
SILENCE_S = 60.0  # they send a PINGPONG every few seconds
ANSWER_S = 10.0  # for a subscription
REGISTERED_MAX = 40  # all of them on one websocket
ALREADY_ON = "OPSP0002"

Hear = Callable[[str, list[list[str]]], None]
Told = Callable[[bool, str], None]


@dataclass(eq=False)
class Topic:
    """`hear` gets the records, `told` whether they come now, and why not. `client`: of the same key for all."""

    client: KisClient
    tr_id: str
    tr_key: str
    hear: Hear
    told: Told
    is_on: bool = False


class KisSocket:
    """Begins with its first topic and ends with its last one."""

    def __init__(self) -> None:
        self._topics: list[Topic] = []
        self._secrets: dict[str, tuple[str, str]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._approval = ""
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(venue="kis")

    async def join(self, topic: Topic) -> None:
        """ValueError where one websocket takes no more."""
        if len({(one.tr_id, one.tr_key) for one in self._topics}) >= REGISTERED_MAX:
            raise ValueError(f"a websocket of KIS takes {REGISTERED_MAX} subscriptions")
        self._topics.append(topic)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_up())
        elif self._socket is not None:
            await self._subscribe(self._socket, topic)

    async def leave(self, topic: Topic) -> None:
        self._topics.remove(topic)
        others = any((one.tr_id, one.tr_key) == (topic.tr_id, topic.tr_key) for one in self._topics)
        if self._socket is not None and not others and self._topics:
            with suppress(ConnectionError, aiohttp.ClientError):
                off = frames.subscription(self._approval, topic.tr_id, topic.tr_key, on=False)
                await self._socket.send_str(off)
        if not self._topics and self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def _keep_up(self) -> None:
        pause = RECONNECT_FIRST_S
        while True:
            text, client = "closed by KIS", self._topics[0].client
            try:
                self._approval = await client.approval()
                async with client.session.ws_connect(
                    client.host.socket,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                    max_msg_size=4_000_000,
                ) as socket:
                    self._socket = socket
                    for topic in list(self._topics):
                        await self._subscribe(socket, topic)
                    await self._read(socket)
            except (aiohttp.ClientError, NoAnswer, TokenError, TimeoutError, OSError, FrameError) as error:
                text = client.keys.redact(f"{type(error).__name__}: {error}")
            finally:
                self._socket = None
                self._secrets.clear()
            was_up = [topic for topic in self._topics if topic.is_on]
            for topic in was_up:
                topic.is_on = False
                topic.told(False, text)
            if was_up:
                pause = RECONNECT_FIRST_S
            else:
                self._log.warning("no websocket", error=text, again_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RECONNECT_MAX_S)

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse, topic: Topic) -> None:
        """Its answer is heard by whoever reads."""
        twin = next((o for o in self._topics if o is not topic and _same(o, topic) and o.is_on), None)
        if twin is not None:
            self._switch_on(topic)
            return
        await socket.send_str(frames.subscription(self._approval, topic.tr_id, topic.tr_key))

    def _switch_on(self, topic: Topic) -> None:
        if not topic.is_on:
            topic.is_on = True
            topic.told(True, "")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            waits = any(not topic.is_on for topic in self._topics)
            message = await socket.receive(ANSWER_S if waits else SILENCE_S)
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            heard = frames.parse(message.data)
            if isinstance(heard, frames.Data):
                self._pass_on(heard)
            elif heard.get("header", {}).get("tr_id") == "PINGPONG":
                await socket.send_str(message.data)
            else:
                self._answered(heard)

    def _pass_on(self, data: frames.Data) -> None:
        try:
            records = data.records(self._secrets.get(data.tr_id))
        except FrameError as error:  # one frame: what it said is asked for
            self._log.error("a frame of KIS cannot be read", error=str(error))
            return
        for topic in list(self._topics):
            if topic.tr_id == data.tr_id:
                topic.hear(data.tr_id, records)

    def _answered(self, message: dict[str, Any]) -> None:
        header, body = message.get("header") or {}, message.get("body") or {}
        tr_id, tr_key, code = header.get("tr_id"), header.get("tr_key"), body.get("msg_cd")
        output = body.get("output") or {}
        if output.get("key") and output.get("iv"):
            self._secrets[str(tr_id)] = (str(output["key"]), str(output["iv"]))
        if str(body.get("rt_cd")) != "0" and code != ALREADY_ON:
            raise FrameError(f"{tr_id} is not to be had: {code} {body.get('msg1')}")
        for topic in self._topics:
            if (topic.tr_id, topic.tr_key) == (tr_id, tr_key) and code != "OPSP0001":
                self._switch_on(topic)


def _same(one: Topic, other: Topic) -> bool:
    return (one.tr_id, one.tr_key) == (other.tr_id, other.tr_key)


_SOCKETS: WeakValueDictionary[tuple[int, str, str], KisSocket] = WeakValueDictionary()


def socket_of(client: KisClient) -> KisSocket:
    """The process's one websocket of this key at this address."""
    key = (id(asyncio.get_running_loop()), client.host.socket, client.owner)
    found = _SOCKETS.get(key)
    if found is None:
        found = _SOCKETS[key] = KisSocket()
    return found
