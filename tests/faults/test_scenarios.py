"""Faults that need a stage of their own: frozen processes, a full disk, a lying disk, a cluster in parts.

Each ends in the campaign's judgement: nothing acknowledged is lost, no promise is broken, every order has ended.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import nats.errors
import pytest

from bestex import bus, streams, subjects
from tests.faults.bits import flip_a_bit
from tests.faults.campaign import verdict
from tests.faults.campaign.plan import Settings
from tests.faults.campaign.run import PROBE, Rig, finish, rig
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # half a minute each; a machine under load starts processes slowly

NO_FAULTS = Settings(service_kills=0, server_kills=0, minutes=0)
DISK_BYTES = 48_000_000
BALLAST_BYTES = 1_000_000
PROGRESS_S_MAX = 90.0  # what a frozen process had been given comes again after 30 s
FROZEN_S = 3.0
PARTED_S = 4.0
PROBE_S = 2.0
MESSAGES_MIN = 300  # enough that a bit in the middle of the file is of an old message


async def progress(work: Rig, parents: int = 3) -> None:
    """Returns when this many more orders have ended."""
    goal = work.load.ended.total() + parents
    await until(lambda: work.load.ended.total() >= goal, PROGRESS_S_MAX)


async def assert_all_is_kept(work: Rig) -> None:
    problems = await finish(work)
    result = await verdict.judge(work, NO_FAULTS, verdict.Counts(), problems)
    assert result.ok, result


# -- SIGSTOP -----------------------------------------------------------------------------------------------


@pytest.mark.campaign
async def test_what_freezes_and_wakes_a_gateway_beside_its_successor_too_breaks_no_promise() -> None:
    async with rig(split=False, in_flight=8) as work:
        await progress(work)
        for name in ("router", "scheduler"):
            await work.processes.freeze(name, FROZEN_S)
            await progress(work, 1)
        work.servers.freeze(0)
        await asyncio.sleep(FROZEN_S)
        work.servers.thaw(0)
        await progress(work, 1)
        await work.processes.replace("gateway", FROZEN_S)
        await work.processes.all_ready()
        await asyncio.sleep(FROZEN_S)
        await assert_all_is_kept(work)
        assert work.processes.freezes == 3


# -- a full disk -------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES; skips, with the reason, where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left of the disk; the file that does."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(BALLAST_BYTES))
            file.flush()
    return ballast


@pytest.mark.campaign
async def test_a_bus_whose_disk_is_full_refuses_and_goes_on_when_there_is_space(small_disk: Path) -> None:
    async with rig(split=False, in_flight=8, store=small_disk) as work:
        await progress(work)
        ballast = await asyncio.to_thread(fill, small_disk)

        async def refuses() -> bool:
            before = len(work.load.ledger.acknowledged)
            await asyncio.sleep(1.0)
            return len(work.load.ledger.acknowledged) == before

        await until(refuses)
        ballast.unlink()
        assert await refuses(), "a stream that once had no space stays mute until its server is started again"
        await work.servers.restart(0)
        await work.takes_writes()
        await progress(work)
        await assert_all_is_kept(work)


# -- a lying disk ------------------------------------------------------------------------------------------


@pytest.mark.campaign
async def test_a_flipped_bit_is_recovered_from_or_refused_and_never_passed_over_in_silence() -> None:
    async with rig(split=False, in_flight=8) as work:
        await until(lambda: len(work.load.notes.seen.get(subjects.SCHED, ())) > MESSAGES_MIN, PROGRESS_S_MAX)
        await finish(work)
        await work.processes.pause()
        await work.servers.kill(0)
        flip_a_bit(work.folder / "bus", subjects.SCHED)
        await work.servers.restart(0)
        await work.processes.resume()
        await work.processes.settled()
        kept = not await verdict.compare(work)
        refused = [work.processes.slots[name].last_words() for name in work.processes.refused]
        assert kept or any(subjects.SCHED in words for words in refused)


# -- a cluster in parts ------------------------------------------------------------------------------------


async def is_alone(url: str) -> bool:
    """Whether this server, of three, can store nothing because it hears from no other."""
    client = await bus.connect(url, "test")
    try:
        return (await bus.publish(client, PROBE, b"", timeout=PROBE_S)).error is not None
    except (nats.errors.Error, TimeoutError):
        return True
    finally:
        await client.close()


@pytest.mark.campaign
async def test_three_servers_of_which_each_is_parted_from_the_others_once_break_no_promise() -> None:
    async with rig(split=False, in_flight=8, replicas=3) as work:
        await progress(work)
        for number in range(3):
            work.servers.part(number)
            await until(partial(is_alone, work.servers.servers[number].url))
            await asyncio.sleep(PARTED_S)
            work.servers.join(number)
            await work.takes_writes()
        await work.servers.kill(0)
        await progress(work, 1)
        await work.servers.restart(0)
        await progress(work, 1)
        await streams.verify(work.client, work.config)
        info = await bus.api(work.client, f"STREAM.INFO.{subjects.SCHED}", {})
        assert len(info["cluster"]["replicas"]) == 2
        await assert_all_is_kept(work)
