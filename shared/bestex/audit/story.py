"""One order's story: all that was stored of it, in all streams, in the order in which it was stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nats.aio.client import Client

from bestex import reading, subjects
from bestex.audit.report import Record
from bestex.audit.sources import record_of

_RANK = {subjects.ORDERS: 0, subjects.SCHED: 1, subjects.ROUTE: 2}  # at one instant: causes before effects
_ORDER_SEQ = re.compile(rb'"order_seq":(\d+)')


def story_of(records: Iterable[Record], parent_id: str) -> list[Record]:
    """What of `records` speaks of the parent: what was asked of it, and all that came of it. Nothing is decoded, so
    that a long history is searched fast."""
    name, dotted = f'"parent_id":"{parent_id}"'.encode(), f".{parent_id}"
    asked: list[Record] = []
    told: list[Record] = []
    answered: set[int] = set()
    for record in records:
        if record.stream == subjects.ORDERS:
            asked.append(record)
        elif name in record.data:
            told.append(record)
            answered.update(int(number) for number in _ORDER_SEQ.findall(record.data))
    wanted = [one for one in asked if one.seq in answered or one.subject.endswith(dotted)]
    return sorted(
        [*wanted, *told], key=lambda one: (one.at_ns, _RANK.get(one.stream, 3), one.stream, one.seq)
    )


async def read_story(client: Client, parent_id: str) -> list[Record]:
    """The story as the bus holds it; empty where there was never such an order."""
    own = f"{subjects.ROOT}.parent.*.{parent_id}.*"
    records = await _read(client, subjects.SCHED, own)
    if not records:
        return []
    symbol = records[0].subject.split(".")[3]
    records += await _read(client, subjects.ORDERS, f"{subjects.ROOT}.order.>")
    records += await _read(client, subjects.ROUTE, f"{subjects.ROOT}.route.{symbol}.{parent_id}.>")
    records += await _read(client, subjects.ROUTE, f"{subjects.ROOT}.child.*.{symbol}.>")
    records += await _read(client, subjects.METRICS, f"{subjects.ROOT}.metrics.tca.{parent_id}")
    venues = {one.subject.split(".")[3] for one in records if one.subject.startswith(_CHILD)}
    for stream in sorted(subjects.exec_stream(venue) for venue in venues):
        for head in ("exec", "fill"):
            records += await _read(client, stream, f"{subjects.ROOT}.{head}.*.{symbol}.>")
    return story_of(records, parent_id)


_CHILD = f"{subjects.ROOT}.child."


async def _read(client: Client, stream: str, pattern: str) -> list[Record]:
    found: list[Record] = []
    await reading.read_all(client, stream, [pattern], lambda kept: found.append(record_of(kept)))
    return found
