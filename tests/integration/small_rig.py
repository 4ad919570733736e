"""The small service as processes on a bus of their own, and what their histories must be."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from nats.aio.client import Client

from bestex import bus, codec, reading, subjects
from bestex import messages as m
from bestex.bus import Stored
from bestex.ids import child_id
from bestex.journal import WRITER
from bestex.server import NatsServer
from bestex.supervisor import answering_pids
from tests.integration.small_service import DECISIONS, LEGS, SYMBOL, VENUE

READY_S = ENDS_S = 30.0  # a busy machine starts a process in a few seconds
LOOK_S = 0.05


class Small:
    """One process of the small service."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, url: str, durable: str, options: Sequence[str], data_dir: Path) -> Small:
        command = [sys.executable, "-m", "tests.integration.small_service", *options, durable]
        environment = {**os.environ, "NATS_URL": url, "BESTEX__DATA_DIR": str(data_dir)}
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
        )

    async def ready(self, client: Client) -> Small:
        async with asyncio.timeout(READY_S):
            while self.process.pid not in await answering_pids(client, LOOK_S):
                assert self.process.returncode is None, f"ended with code {self.process.returncode}"
        return self

    async def end(self) -> int:
        """Its exit code, when it has ended by itself."""
        return await asyncio.wait_for(self.process.wait(), ENDS_S)

    async def stop(self) -> int:
        self.process.terminate()
        return await self.end()

    async def close(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


class Rig:
    """A bus with its streams, and the processes that a test started."""

    def __init__(self, server: NatsServer, client: Client, stack: AsyncExitStack, data_dir: Path) -> None:
        self.server, self.client, self._stack, self.data_dir = server, client, stack, data_dir

    async def start(self, *options: str, durable: str = "one") -> Small:
        small = await Small.start(self.server.url, durable, options, self.data_dir)
        self._stack.push_async_callback(small.close)
        return small

    async def order(self, parent_id: str) -> None:
        body = json.dumps({"parent_id": parent_id}).encode()
        ack = await bus.publish(self.client, subjects.order("new", "market", SYMBOL), body)
        assert ack.error is None

    async def stored(self) -> list[Stored]:
        """All that ROUTE holds of orders, in order."""
        found: list[Stored] = []
        await reading.read_all(
            self.client,
            subjects.ROUTE,
            [f"{subjects.ROOT}.route.>", f"{subjects.ROOT}.child.>"],
            lambda delivery: found.append(Stored(delivery.subject, delivery.seq, delivery.data, {})),
        )
        return found

    async def with_headers(self) -> list[Stored]:
        """All of ROUTE, claims included, in order."""
        found: list[Stored] = []
        while (one := await bus.read_next(self.client, subjects.ROUTE, ">", len(found) + 1)) is not None:
            found.append(one)
        return found

    async def until(self, messages: int) -> list[Stored]:
        async with asyncio.timeout(READY_S):
            while len(found := await self.stored()) < messages:  # noqa: ASYNC110 - a stream is asked
                await asyncio.sleep(LOOK_S)
        return found

    async def acknowledged(self, orders: int, durable: str = "one") -> None:
        """Returns when the consumer has acknowledged this many orders, and all that it was given."""
        async with asyncio.timeout(READY_S):
            while True:
                info = await bus.api(self.client, f"CONSUMER.INFO.{subjects.ORDERS}.small-{durable}", {})
                if info["num_ack_pending"] == 0 and info["ack_floor"]["stream_seq"] == orders:
                    return
                await asyncio.sleep(LOOK_S)


PER_ORDER = DECISIONS * (1 + LEGS)


def parent_of(item: Stored) -> str:
    return str(json.loads(item.data)["parent_id"])


def writer_pid(item: Stored) -> int:
    """The process that wrote a message of an order."""
    return int(item.headers[WRITER].split(".")[1])


def check_history(stored: list[Stored], parent_id: str) -> None:
    """Both decisions in their order, each before its own commands, all of the first before the second; once."""
    mine = [item for item in stored if parent_of(item) == parent_id]
    decisions = [
        (item.seq, codec.from_json(item.data, m.RouteDecided | m.RouteRerouted))  # type: ignore[arg-type]
        for item in mine
        if ".route." in item.subject
    ]
    assert [event.decision_no for _, event in decisions] == list(range(DECISIONS))
    seqs = {item.subject: item.seq for item in mine}
    assert len(seqs) == len(mine) == PER_ORDER
    for number, (seq, _) in enumerate(decisions):
        for leg in range(LEGS):
            child = child_id(SYMBOL, parent_id, 1, number, leg)
            command_seq = seqs[subjects.child(VENUE, SYMBOL, child, "cancel")]
            assert command_seq > seq, "a command leaves after its decision is stored"
            if number + 1 < DECISIONS:
                assert command_seq < decisions[number + 1][0]
