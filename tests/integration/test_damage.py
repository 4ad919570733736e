"""Streams that lost or changed what was in them, and what services make of it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from bestex import bus, codec, log, marks, streams, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.clock import AffineClock
from bestex.errors import StreamDamaged
from bestex.marks import MARKS, DiskFiles, Marks
from bestex.process import EXIT_DAMAGED
from tests.integration.small_rig import PER_ORDER, Rig

CONFIG = configuration.load(None, {})


async def worked(rig: Rig, orders: int, before: int = 0) -> None:
    """A process has worked so many orders after those before, and stopped."""
    small = await (await rig.start()).ready(rig.client)
    for number in range(before, before + orders):
        await rig.order(f"p{number}")
    await rig.acknowledged(before + orders)
    assert await small.stop() == 0


def flip_a_bit(rig: Rig, needle: bytes) -> None:
    """In the file of ROUTE, in the first place where `needle` stands."""
    [block] = (rig.data_dir.parent / "nats").glob("jetstream/*/streams/ROUTE/msgs/1.blk")
    data = bytearray(block.read_bytes())
    data[data.index(needle)] ^= 0x04
    block.write_bytes(data)


def accept(rig: Rig, stream: str) -> None:
    bestex = str(Path(sysconfig.get_path("scripts")) / "bestex")
    command = [bestex, "streams", "accept", stream, "--reason", "a drill"]
    subprocess.run(
        command, check=True, env={**os.environ, "NATS_URL": rig.server.url}, stdout=subprocess.DEVNULL
    )


async def test_one_flipped_bit_in_the_store_of_the_bus_keeps_the_service_down_until_a_person_has_spoken(
    rig: Rig,
) -> None:
    await worked(rig, 20)
    rig.server.kill()
    flip_a_bit(rig, b'"parent_id":"p3"')
    await asyncio.to_thread(rig.server.restart)
    assert await (await rig.start()).end() == EXIT_DAMAGED
    await asyncio.to_thread(accept, rig, subjects.ROUTE)
    again = await (await rig.start()).ready(rig.client)
    await rig.order("after")
    async with asyncio.timeout(30):
        while not any(b'"after"' in item.data for item in await rig.stored()):
            pass  # a stream is asked
    assert await again.stop() == 0
    info = await bus.api(rig.client, "STREAM.INFO.ROUTE", {})
    word = await bus.read_last(rig.client, subjects.CONTROL, subjects.accept(subjects.ROUTE))
    assert word is not None
    assert codec.from_json(word.data, m.StreamAccepted).created == info["created"]


async def test_an_accepted_stream_that_is_damaged_anew_is_refused_anew(rig: Rig) -> None:
    await worked(rig, 3)
    await asyncio.to_thread(accept, rig, subjects.ROUTE)
    await worked(rig, 3, 3)  # its mark is newer than the word
    await damage(rig)
    assert await (await rig.start()).end() == EXIT_DAMAGED


async def damage(rig: Rig) -> None:
    """ROUTE is made anew, as an empty store would have it."""
    assert (await bus.api(rig.client, "STREAM.DELETE.ROUTE", {}))["success"]
    await streams.apply(rig.client, CONFIG)


async def test_a_stream_that_was_made_anew_is_refused(rig: Rig) -> None:
    await worked(rig, 1)
    await damage(rig)
    assert await (await rig.start()).end() == EXIT_DAMAGED


async def test_without_marks_a_service_starts_and_says_so(rig: Rig) -> None:
    await worked(rig, 1)
    for file in (rig.data_dir / MARKS).iterdir():
        file.unlink()
    await worked(rig, 1, 1)
    [kept] = (rig.data_dir / MARKS).iterdir()
    assert json.loads(kept.read_bytes())["ROUTE"]["last"] >= PER_ORDER


async def test_a_stream_that_is_behind_after_a_reconnect_ends_the_process(rig: Rig) -> None:
    small = await (await rig.start()).ready(rig.client)
    await rig.order("p0")
    await rig.acknowledged(1)
    await damage(rig)
    rig.server.kill()
    await asyncio.to_thread(rig.server.restart)
    assert await small.end() == EXIT_DAMAGED


async def test_an_own_history_that_cannot_be_read_is_refused_and_anothers_word_is_left_open(rig: Rig) -> None:
    subject = subjects.route("BTC/USDT", "odd", 1, "decided")
    await bus.publish(rig.client, subject, b'{"event":"decided","symb')
    assert await (await rig.start()).end() == EXIT_DAMAGED


async def seen_marks(rig: Rig, folder: Path) -> Marks:
    made = Marks(rig.client, DiskFiles(folder), "one", AffineClock(), log.configure("test"))
    made.load()
    await made.verify(await streams.verify(rig.client, CONFIG), ["ORDERS"])
    return made


async def test_content_that_changed_is_found_by_its_digest(rig: Rig, tmp_path: Path) -> None:
    before = await seen_marks(rig, tmp_path)
    for number in range(3):
        await rig.order(f"p{number}")
    last = await bus.read_last(rig.client, "ORDERS", ">")
    assert last is not None
    before.saw("ORDERS", last.seq, last.subject, last.data)
    before.save()
    await seen_marks(rig, tmp_path)
    before.saw("ORDERS", last.seq, last.subject, last.data + b" ")
    before.save()
    with pytest.raises(StreamDamaged, match=r"holds something else at 3 .* streams accept ORDERS"):
        await seen_marks(rig, tmp_path)


async def test_a_stream_with_a_hole_is_refused_though_nobody_has_seen_it_before(
    rig: Rig, tmp_path: Path
) -> None:
    spec = next(one for one in streams.specs(CONFIG) if one.name == "ORDERS")
    for number in range(3):
        await rig.order(f"p{number}")
    # The server never takes back that deleting is denied, so the stream is made anew without it.
    await bus.api(rig.client, "STREAM.DELETE.ORDERS", {})
    await bus.api(rig.client, "STREAM.CREATE.ORDERS", {**spec.config(), "deny_delete": False})
    for number in range(3):
        await rig.order(f"p{number}")
    await bus.api(rig.client, "STREAM.MSG.DELETE.ORDERS", {"seq": 2})
    info = await bus.api(rig.client, "STREAM.INFO.ORDERS", {})
    assert marks.holes(info) == 1
    made = Marks(rig.client, DiskFiles(tmp_path), "one", AffineClock(), log.configure("test"))
    with pytest.raises(StreamDamaged, match="has lost 1"):
        await made.verify({"ORDERS": info}, ["ORDERS"])
