"""The simulated server and the real one are asked the same questions, and must give the same answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats.errors

from bestex import bus, pull, reading
from bestex.asking import ask
from bestex.bus import EXPECTED_SEQ, EXPECTED_SUBJECT
from bestex.errors import BusError
from bestex.server import NatsServer
from bestex.stream_specs import StreamSpec
from tests.faults.simulation.faults import Line, Steps
from tests.faults.simulation.jetstream import Server
from tests.faults.simulation.link import LinkClient
from tests.faults.simulation.world import START_NS, ProcessLoop, World

STREAM, HISTORY = "T", "bestex.v1.parent.X.p1"
SPEC = StreamSpec(STREAM, ("bestex.v1.parent.>",), max_age_ns=0)
LIMITED = StreamSpec("L", ("bestex.v1.control.>",), max_age_ns=0, max_msgs_per_subject=2)
ENOUGH_S = 5.0

Question = Callable[[Any], Awaitable[Any]]


async def make(client: Any) -> None:
    for spec in (SPEC, LIMITED):
        made = await bus.api(client, f"STREAM.CREATE.{spec.name}", spec.config())
        assert "error" not in made, made


async def put(client: Any, event: str, expected: int | None = None, whole: bool = False) -> tuple[int, int]:
    """The sequence, or the error's number."""
    headers = {} if expected is None else {EXPECTED_SEQ: str(expected)}
    if whole:
        headers[EXPECTED_SUBJECT] = f"{HISTORY}.*"
    ack = await bus.publish(client, f"{HISTORY}.{event}", event.encode(), headers)
    return ack.seq, ack.error.err_code if ack.error else 0


async def writes(client: Any) -> Any:
    await make(client)
    return [
        await put(client, "accepted", 0),
        await put(client, "accepted", 0),
        await put(client, "sliced", 0),
        await put(client, "sliced", 1, whole=True),
        await put(client, "settled", 3, whole=True),
        await put(client, "settled", 2, whole=True),
        await put(client, "settled"),
    ]


async def looks(client: Any) -> Any:
    await writes(client)
    found = [
        await bus.read_last(client, STREAM, f"{HISTORY}.*"),
        await bus.read_last(client, STREAM, f"{HISTORY}.sliced"),
        await bus.read_last(client, STREAM, "bestex.v1.parent.X.p2.*"),
        await bus.read_next(client, STREAM, "bestex.v1.parent.>", 2),
        await bus.read_next(client, STREAM, "bestex.v1.parent.>", 9),
    ]
    missing = [
        await bus.api(client, what, {}) for what in ("STREAM.INFO.NONE", f"CONSUMER.INFO.{STREAM}.none")
    ]
    info = await bus.api(client, f"STREAM.INFO.{STREAM}", {})
    state = {key: info["state"][key] for key in ("messages", "first_seq", "last_seq")}
    return [found, [bus.error_code(answer) for answer in missing], state]


async def readings(client: Any) -> Any:
    await writes(client)
    read: list[Any] = []

    def take(kept: reading.Kept) -> None:
        read.append((kept.subject, kept.seq, kept.data))

    await reading.read_all(client, STREAM, ["bestex.v1.parent.>"], take)
    await reading.read_all(client, STREAM, [f"{HISTORY}.settled", f"{HISTORY}.accepted"], take)
    await reading.read_all(client, STREAM, ["bestex.v1.parent.>"], take, start_seq=3)
    await reading.read_all(client, STREAM, [f"{HISTORY}.*"], take, deliver="last_per_subject")
    await reading.read_all(client, STREAM, ["bestex.v1.parent.Y.>"], take)
    await reading.read_each(client, STREAM, [f"{HISTORY}.settled", f"{HISTORY}.none"], take)
    names = await reading.subject_names(client, STREAM, ["bestex.v1.parent.>"])
    read.append(sorted(names.items()))
    for kept in sorted(
        await reading.read_named(client, STREAM, ["bestex.v1.parent.>"], names), key=lambda one: one.seq
    ):
        take(kept)
    second_ns = await reading.stored_ns(client, STREAM, 2)
    read.append(await reading.seq_at(client, STREAM, second_ns, 1))
    read.append(await reading.seq_at(client, STREAM, reading.NEVER_NS, 1))
    read.append(await reading.stored_ns(client, STREAM, 1_000) == reading.NEVER_NS)
    with suppress(BusError):
        await reading.read_named(client, STREAM, [">"], {**names, "bestex.v1.parent.none": 1})
        read.append("no error")
    with suppress(BusError):
        await reading.read_all(client, "NONE", [">"], take)
        read.append("no error")
    return read


async def deliveries(client: Any) -> Any:
    """In order, each once; once more when it is given back; not again when it is acknowledged."""
    await writes(client)
    await pull.ensure_consumer(client, STREAM, "d", ["bestex.v1.parent.>"])
    given: asyncio.Queue[pull.Delivery] = asyncio.Queue()
    failures: list[Exception] = []
    standing = pull.StandingPull(client, STREAM, "d", given.put_nowait, failures.append)
    await standing.start()
    told = []

    async def next_one() -> pull.Delivery:
        one = await asyncio.wait_for(given.get(), ENOUGH_S)
        told.append((one.subject, one.seq, one.number, one.pending))
        return one

    first, second = await next_one(), await next_one()
    for _ in range(2):
        await next_one()
    await first.ack_sync()
    await second.give_back()
    again = await next_one()
    floor = await pull.not_acknowledged(client, STREAM, "d")
    await again.ack_sync()
    await put(client, "done")
    await next_one()
    info = await bus.api(client, f"CONSUMER.INFO.{STREAM}.d", {})
    await standing.stop()
    return [told, floor, info["num_ack_pending"], info["ack_floor"]["stream_seq"], failures]


async def limits(client: Any) -> Any:
    await make(client)
    for number in range(4):
        await bus.publish(client, "bestex.v1.control.halt.global", str(number).encode())
    kept: list[tuple[int, bytes]] = []
    everything = ["bestex.v1.control.>"]
    await reading.read_all(client, "L", everything, lambda one: kept.append((one.seq, one.data)))
    return kept


async def nobody(client: Any) -> Any:
    await make(client)
    try:
        await ask(client, "nobody.listens", b"", ENOUGH_S)
    except nats.errors.NoRespondersError:
        pass
    else:
        return "an answer"
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def take(message: Any) -> None:
        heard.put_nowait((message.subject, message.data))

    for pattern in ("a.*", "a.>", "a.b", "a.c", "*.b"):
        await client.subscribe(pattern, cb=take)
    await client.flush()
    await client.publish("a.b", b"x")
    return sorted([await asyncio.wait_for(heard.get(), ENOUGH_S) for _ in range(4)])


QUESTIONS: tuple[Question, ...] = (writes, looks, readings, deliveries, limits, nobody)


def simulated(question: Question) -> Any:
    world, answers = World(), []
    server, loop = Server(world), ProcessLoop(world)  # type: ignore[abstract]
    steps = Steps([], lambda *_: None, lambda *_: None)
    client = LinkClient(
        server, world, loop, "test", lambda what, act: steps.take(None, what, act), Line([], 0)
    )

    async def run() -> None:
        answers.append(await question(client))

    loop.enter(lambda: loop.create_task(run()))
    world.run(START_NS + 60_000_000_000)
    assert not loop.errors
    return answers[0]


async def real(question: Question, folder: Path) -> Any:
    """By a server of its own: a stream that is made anew right after it was deleted may still find its old files."""
    server = NatsServer(dies_with_parent=True)
    url = await asyncio.to_thread(server.start, folder)
    try:
        client = await bus.connect(url, "test")
        answer = await question(client)
        await client.close()
        return answer
    finally:
        await asyncio.to_thread(server.stop)


async def test_the_simulated_server_answers_as_the_real_one_does(tmp_path: Path) -> None:
    for question in QUESTIONS:
        wanted = await real(question, tmp_path / question.__name__)
        given = await asyncio.to_thread(simulated, question)
        assert given == wanted, question.__name__
