"""The runtime on a real bus, with a small service that is killed at the worst moments."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import pytest
from nats.aio.client import Client

from bestex import bus, codec, reading, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.bus import Stored
from bestex.ids import child_id
from bestex.process import DOUBT, EXIT_FENCED, EXIT_MISCONFIGURED
from bestex.server import NatsServer
from bestex.supervisor import answering_pids
from tests.integration.small_service import DECISIONS, LEGS, MOMENTS, SYMBOL, VENUE

READY_S = ENDS_S = 30.0  # a busy machine starts a process in a few seconds
LOOK_S = 0.05


class Small:
    """One process of the small service."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, url: str, durable: str, options: Sequence[str]) -> Small:
        command = [sys.executable, "-m", "tests.integration.small_service", *options, durable]
        environment = {**os.environ, "NATS_URL": url}
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

    def __init__(self, url: str, client: Client, stack: AsyncExitStack) -> None:
        self.url, self.client, self._stack = url, client, stack

    async def start(self, *options: str, durable: str = "one") -> Small:
        small = await Small.start(self.url, durable, options)
        self._stack.push_async_callback(small.close)
        return small

    async def order(self, parent_id: str) -> None:
        body = json.dumps({"parent_id": parent_id}).encode()
        ack = await bus.publish(self.client, subjects.order("new", "market", SYMBOL), body)
        assert ack.error is None

    async def stored(self) -> list[Stored]:
        """All of ROUTE, in order."""
        found: list[Stored] = []
        await reading.read_all(
            self.client,
            subjects.ROUTE,
            [f"{subjects.ROOT}.>"],
            lambda delivery: found.append(Stored(delivery.subject, delivery.seq, delivery.data, {})),
        )
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


@pytest.fixture
async def rig(nats_server: NatsServer) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        client = await bus.connect(nats_server.url, "test")
        stack.push_async_callback(client.close)
        await streams.apply(client, configuration.load(None, {}))
        yield Rig(nats_server.url, client, stack)


PER_ORDER = DECISIONS * (1 + LEGS)


def parent_of(item: Stored) -> str:
    return str(json.loads(item.data)["parent_id"])


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


async def test_facts_are_stored_in_the_order_of_their_lane_each_with_its_commands(rig: Rig) -> None:
    small = await (await rig.start()).ready(rig.client)
    parents = [f"p{number:03}" for number in range(40)]
    await asyncio.gather(*(rig.order(parent_id) for parent_id in parents))
    stored = await rig.until(len(parents) * PER_ORDER)
    for parent_id in parents:
        check_history(stored, parent_id)
    await rig.acknowledged(len(parents))
    assert await small.stop() == 0


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_process_killed_at_the_worst_moment_leaves_each_fact_and_command_once(
    rig: Rig, moment: str
) -> None:
    small = await (await rig.start("--die", moment)).ready(rig.client)
    await rig.order("before")
    await rig.acknowledged(1)
    await rig.order("fatal")
    assert await small.end() == -signal.SIGKILL
    # "before" is whole; of "fatal" there is what was written when it died. The commands of a decision that was
    # written come from recovery alone: the input, when it comes again, finds that decision made.
    written = {"before_store": 0, "after_store": 1, "before_ack": PER_ORDER}[moment]
    assert len(await rig.stored()) == PER_ORDER + written
    again = await (await rig.start()).ready(rig.client)
    stored = await rig.until(2 * PER_ORDER)
    check_history(stored, "before")
    check_history(stored, "fatal")
    await rig.acknowledged(2)  # the bus brings it again, and nothing more follows from it
    assert len(await rig.stored()) == 2 * PER_ORDER
    assert await again.stop() == 0


async def test_of_two_instances_one_is_fenced_and_says_so_by_its_exit_code(rig: Rig) -> None:
    both = [await rig.start(durable=durable) for durable in ("one", "two")]
    for small in both:
        await small.ready(rig.client)
    await rig.order("contested")
    waits = {asyncio.create_task(small.end()): small for small in both}
    done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [EXIT_FENCED]
    check_history(await rig.until(PER_ORDER), "contested")
    [survivor] = [waits[task] for task in pending]
    assert await survivor.stop() == 0
    await asyncio.gather(*pending)


async def test_sigterm_stores_and_releases_what_was_decided_before_the_process_ends(rig: Rig) -> None:
    small = await (await rig.start("--slow")).ready(rig.client)
    parents = [f"p{number}" for number in range(20)]
    await asyncio.gather(*(rig.order(parent_id) for parent_id in parents))
    await rig.until(1)
    assert await small.stop() == 0
    stored = await rig.stored()
    for parent_id in {parent_of(item) for item in stored}:
        check_history(stored, parent_id)


async def test_a_stream_that_is_not_as_it_must_be_is_refused(rig: Rig) -> None:
    spec = next(s for s in streams.specs(configuration.load(None, {})) if s.name == subjects.ROUTE)
    changed = {**spec.config(), "max_msgs_per_subject": 5}
    assert "error" not in await bus.api(rig.client, f"STREAM.UPDATE.{subjects.ROUTE}", changed)
    small = await rig.start()
    assert await small.end() == EXIT_MISCONFIGURED


async def test_a_frozen_process_that_wakes_beside_its_successor_makes_both_read_again(rig: Rig) -> None:
    frozen = await (await rig.start()).ready(rig.client)
    frozen.process.send_signal(signal.SIGSTOP)
    successor = await (await rig.start()).ready(rig.client)
    parents = [f"p{number}" for number in range(4)]  # the bus deals them out to both
    for parent_id in parents:
        await rig.order(parent_id)
    await rig.until(PER_ORDER * len(parents))
    frozen.process.send_signal(signal.SIGCONT)
    assert [await frozen.end(), await successor.end()] == [EXIT_FENCED, EXIT_FENCED]
    again = await (await rig.start()).ready(rig.client)
    await rig.acknowledged(len(parents))
    for parent_id in parents:
        check_history(await rig.stored(), parent_id)
    assert await again.stop() == 0


async def test_the_doubt_of_a_process_at_other_work_concerns_nobody(rig: Rig) -> None:
    small = await (await rig.start()).ready(rig.client)
    await rig.client.publish(f"{DOUBT}.small", b"two")
    await rig.order("mine")
    await rig.acknowledged(1)
    assert small.process.returncode is None
    await rig.client.publish(f"{DOUBT}.small", b"two,one")
    assert await small.end() == EXIT_FENCED
