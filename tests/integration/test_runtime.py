"""The runtime on a real bus, with a small service that is killed at the worst moments."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bestex import bus, codec, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import Time
from bestex.footing import STILL_S_MAX
from bestex.journal import EPOCH, WRITER
from bestex.process import EXIT_FENCED, EXIT_MISCONFIGURED
from tests.integration.small_rig import PER_ORDER, Rig, check_history, parent_of, writer_pid
from tests.integration.small_service import MOMENTS


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


async def test_a_process_that_is_asked_to_end_while_the_bus_is_away_ends_as_it_was_asked(
    rig: Rig,
) -> None:
    small = await (await rig.start()).ready(rig.client)
    rig.server.kill()
    assert await small.stop() == 0


async def test_a_stream_that_is_not_as_it_must_be_is_refused(rig: Rig) -> None:
    spec = next(s for s in streams.specs(configuration.load(None, {})) if s.name == subjects.ROUTE)
    changed = {**spec.config(), "max_msgs_per_subject": 5}
    assert "error" not in await bus.api(rig.client, f"STREAM.UPDATE.{subjects.ROUTE}", changed)
    small = await rig.start()
    assert await small.end() == EXIT_MISCONFIGURED


async def test_a_frozen_process_that_wakes_beside_its_successor_ends_and_gives_back_what_it_was_dealt(
    rig: Rig,
) -> None:
    frozen = await (await rig.start()).ready(rig.client)
    frozen.process.send_signal(signal.SIGSTOP)
    successor = await (await rig.start()).ready(rig.client)
    parents = [f"p{number}" for number in range(4)]  # the bus deals them out to both
    for parent_id in parents:
        await rig.order(parent_id)
    frozen.process.send_signal(signal.SIGCONT)
    assert await frozen.end() == EXIT_FENCED
    stored = await rig.until(PER_ORDER * len(parents))
    await rig.acknowledged(len(parents))
    for parent_id in parents:
        check_history(stored, parent_id)
    written = [item for item in await rig.with_headers() if ".epoch." not in item.subject]
    assert {writer_pid(item) for item in written} == {successor.process.pid}
    assert await successor.stop() == 0


async def test_a_frozen_process_that_wakes_alone_goes_on(rig: Rig) -> None:
    small = await (await rig.start()).ready(rig.client)
    small.process.send_signal(signal.SIGSTOP)
    await rig.order("mine")
    await asyncio.sleep(2 * STILL_S_MAX)  # it is to notice that it stood still
    small.process.send_signal(signal.SIGCONT)
    check_history(await rig.until(PER_ORDER), "mine")
    assert await small.stop() == 0


async def test_a_second_process_does_not_start_while_the_first_answers(rig: Rig) -> None:
    first = await (await rig.start()).ready(rig.client)
    second = await rig.start()
    assert await second.end() == EXIT_FENCED
    await rig.order("mine")
    await rig.acknowledged(1)
    assert await first.stop() == 0


async def test_of_processes_that_start_at_once_one_stays(rig: Rig) -> None:
    several = [await rig.start() for _ in range(3)]
    waits = {asyncio.create_task(small.end()): small for small in several}
    pending = set(waits)
    while len(pending) > 1:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result() for task in done} == {EXIT_FENCED}
    [survivor] = [waits[task] for task in pending]
    await survivor.ready(rig.client)
    await rig.order("mine")
    await rig.acknowledged(1)
    assert await survivor.stop() == 0
    await asyncio.gather(*pending)


async def test_a_claim_ends_whoever_was_at_that_work_at_once_and_nobody_else(rig: Rig) -> None:
    small = await (await rig.start()).ready(rig.client)

    async def claim(work: str) -> None:
        subject = subjects.epoch("router", "other")
        last = await bus.read_last(rig.client, subjects.ROUTE, subjects.history(subject))
        assert last is not None
        other = m.Epoch(service="router", works=[work], writer="other", after=last.seq, at=Time(0))
        await bus.publish(rig.client, subject, codec.to_json(other))

    await claim("small-two")
    await rig.order("mine")
    await rig.acknowledged(1)
    assert small.process.returncode is None
    await claim("small-one")
    assert await small.end() == EXIT_FENCED


async def test_every_write_names_the_claim_by_which_its_process_is_at_work(rig: Rig) -> None:
    for number in range(2):
        small = await (await rig.start()).ready(rig.client)
        await rig.order(f"p{number}")
        await rig.acknowledged(number + 1)
        assert await small.stop() == 0
    claims = {}
    for item in await rig.with_headers():
        if ".epoch." in item.subject:
            claims[item.seq] = codec.from_json(item.data, m.Epoch).writer
        else:
            assert claims[int(item.headers[EPOCH])] == item.headers[WRITER]
    assert len(claims) == 2
