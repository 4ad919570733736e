"""The floor of `orders`: the same durable publishes and hops with nothing decided in between.

`venue` is a bare TCP server that answers every line with itself and notes when it came. `stage JSON` is one
process of the chain: a standing pull, then its publishes one after the other, each with compare-and-set on the
order's history, then the acknowledgement. Both go on until their stdin ends; the venue then prints its times.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any, cast

import msgspec
import uvloop
from nats.aio.client import Client

from bestex import bus, pull
from bestex.streams import StreamSpec

ROOT = "floor"
STREAMS = {
    "F_ORDERS": (f"{ROOT}.order.>",),
    "F_SCHED": (f"{ROOT}.parent.>",),
    "F_ROUTE": (f"{ROOT}.route.>", f"{ROOT}.child.>"),
    "F_EXEC": (f"{ROOT}.exec.>", f"{ROOT}.fill.>"),
}
MAX_AGE_NS = 3600 * 10**9


class Write(msgspec.Struct, frozen=True):
    """A publish of `size` bytes on `floor.<head>.<order>.<event>`. `to_venue`: then to the venue and back."""

    head: str
    event: str
    size: int
    to_venue: bool = False

    def subject(self, order: str) -> str:
        return f"{ROOT}.{self.head}.{order}.{self.event}"


class Stage(msgspec.Struct, frozen=True):
    stream: str
    subject: str
    writes: list[Write]
    venue_port: int = 0


def stages(sizes: dict[str, int], venue_port: int) -> dict[str, Stage]:
    """The chain behind the client's own publish, by the service whose place each takes."""
    return {
        "scheduler": Stage(
            "F_ORDERS",
            f"{ROOT}.order.>",
            [Write("parent", "accepted", sizes["accepted"]), Write("parent", "sliced", sizes["sliced"])],
        ),
        "router": Stage(
            "F_SCHED",
            f"{ROOT}.parent.*.sliced",
            [Write("route", "decided", sizes["decided"]), Write("child", "new", sizes["new"])],
        ),
        "gateway": Stage(
            "F_ROUTE",
            f"{ROOT}.child.>",
            [
                Write("exec", "submitting", sizes["submitting"], to_venue=True),
                Write("fill", "fill", sizes["fill"]),
            ],
            venue_port,
        ),
    }


async def make_streams(client: Client) -> None:
    for name, subjects in STREAMS.items():
        made = await bus.api(client, f"STREAM.CREATE.{name}", StreamSpec(name, subjects, MAX_AGE_NS).config())
        assert "error" not in made, made


async def write(client: Client, step: Write, order: str, expected: int) -> int:
    headers = {
        bus.EXPECTED_SEQ: str(expected),
        bus.EXPECTED_SUBJECT: f"{ROOT}.{step.head}.{order}.*",
    }
    ack = await bus.publish(client, step.subject(order), bytes(step.size), headers)
    assert ack.error is None, ack.error
    return ack.seq


class Venue:
    """One connection, many questions at once: a line for each."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._listening = asyncio.create_task(self._listen())

    async def ask(self, order: str) -> None:
        line = f"{order}\n".encode()
        self._waiting[line] = answered = asyncio.get_running_loop().create_future()
        self._writer.write(line)
        await answered

    async def _listen(self) -> None:
        while line := await self._reader.readline():
            self._waiting.pop(line).set_result(None)


async def run_stage(stage: Stage) -> None:
    client = await bus.connect(os.environ["NATS_URL"], "floor")
    venue = Venue(*await asyncio.open_connection("127.0.0.1", stage.venue_port)) if stage.venue_port else None
    tasks: set[asyncio.Task[None]] = set()
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def pass_on(delivery: pull.Delivery) -> None:
        order = delivery.subject.split(".")[2]
        last: dict[str, int] = {}
        for step in stage.writes:
            last[step.head] = await write(client, step, order, last.get(step.head, 0))
            if step.to_venue:
                assert venue is not None, "this stage has a venue"
                await venue.ask(order)
        await delivery.ack_sync()

    def done(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not broken.done():
            broken.set_exception(error)

    def take(delivery: pull.Delivery) -> None:
        task = asyncio.get_running_loop().create_task(pass_on(delivery))
        tasks.add(task)
        task.add_done_callback(done)

    await pull.ensure_consumer(client, stage.stream, "floor", [stage.subject])
    await pull.StandingPull(client, stage.stream, "floor", take, broken.set_exception).start()
    print(json.dumps("ready"), flush=True)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait([end, broken], return_when=asyncio.FIRST_COMPLETED)
    if broken.done():
        broken.result()


class Echo(asyncio.Protocol):
    """Notes in `seen` when each line came, and sends it back."""

    def __init__(self, seen: dict[str, int]) -> None:
        self._seen = seen
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        now_ns = time.time_ns()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._seen[line.decode()] = now_ns
            self._transport.write(line + b"\n")


async def run_venue() -> None:
    seen: dict[str, int] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Echo(seen), "127.0.0.1", 0)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print(json.dumps(seen), flush=True)


def main() -> None:
    role: Any = (
        run_venue() if sys.argv[1] == "venue" else run_stage(msgspec.json.decode(sys.argv[2], type=Stage))
    )
    uvloop.run(role)


if __name__ == "__main__":
    main()
