"""The floor of `books`: bare nats-py with uvloop. `publish FILE` and `relay FILE`, a process each.

A file holds [subject, bytes] pairs. The publisher takes lines `<count> <per second>` from its stdin and answers
each with the list of its send times in ns. The relay answers the i-th message with its own i-th pair.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

from tests.bench.books_collector import BURST

IN = "floor.in"
OUT = "floor.out"


async def publish(pairs: list[bytes]) -> None:
    client = await nats.connect(os.environ["NATS_URL"])
    print(json.dumps("ready"), flush=True)
    payloads = iter(pairs)
    while line := await asyncio.to_thread(sys.stdin.readline):
        count, per_s = map(int, line.split())
        sent = []
        began = time.monotonic()
        for i in range(count):
            if per_s:
                await asyncio.sleep(began + i / per_s - time.monotonic())
            elif i % BURST == 0:
                await asyncio.sleep(0)
            sent.append(time.time_ns())
            await client.publish(IN, next(payloads))
        print(json.dumps(sent), flush=True)


async def relay(pairs: list[bytes]) -> None:
    client = await nats.connect(os.environ["NATS_URL"])
    payloads = iter(pairs)

    async def pass_on(_: Msg) -> None:
        await client.publish(OUT, next(payloads))

    await client.subscribe(IN, cb=pass_on)
    await client.flush()
    print(json.dumps("ready"), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    role = publish if sys.argv[1] == "publish" else relay
    uvloop.run(role(msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes())))
