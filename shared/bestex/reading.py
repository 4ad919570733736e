"""Reading what a stream holds, without a consumer: whole histories, and the last word on each subject.

Whoever may make a consumer may change that of another, by its name. A direct read can do nothing but read. It may
be answered by a replica that is behind, so the end of what there is comes from the leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex.bus import api, read_next
from bestex.bus_access import api_subject
from bestex.clock import parse_time, rfc3339
from bestex.errors import BusError, StreamMismatch
from bestex.pull import refusal
from bestex.subjects import matcher

PAGE = 1024  # messages asked for at once; the most subjects that the server answers for
SUBJECTS_AT_ONCE = 512  # names in one request: 40 kB of them
SILENCE_S = 5.0  # a page comes in milliseconds; when nothing more of it has come for so long, nothing will
SUBJECT_COST = 25  # to read a subject of its own takes as long as so many messages in a row
READERS = 16  # of one stream, where histories are read one by one
LAG_S, LAGS_MAX = 0.05, 200  # a replica that is behind is asked again, for ten seconds
NO_MESSAGE, TOO_MANY, NO_RESPONDERS = "404", "413", "503"
EVERYTHING = ">"
NEVER_NS = 1 << 62  # later than any message
SEQUENCE = "Nats-Sequence"
PENDING = "Nats-Num-Pending"
BEFORE = "Nats-Last-Sequence"  # what was sent before this on the same page: a message that was lost shows


class Kept:
    """One message as a stream holds it."""

    __slots__ = ("_at", "_headers", "data", "seq", "stream", "subject")

    def __init__(self, message: Msg) -> None:
        headers = message.headers or {}
        self.stream: str = headers["Nats-Stream"]
        self.subject: str = headers["Nats-Subject"]
        self.seq = int(headers[SEQUENCE])
        self.data = message.data
        self._at: str = headers["Nats-Time-Stamp"]
        self._headers = headers

    @property
    def headers(self) -> dict[str, str]:
        """Those that it was stored with; what the server adds to its answer is among them."""
        return self._headers

    @property
    def at_ns(self) -> int:
        """When the stream stored it."""
        return parse_time(self._at)


class Reader:
    """Pages of one stream, answered into an inbox of its own."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream
        self._inbox = client.new_inbox()
        self._asked = 0
        self._page: list[Kept] = []
        self._whole = True
        self._ended: asyncio.Future[str] | None = None
        self.more = False  # whether the stream has more than the last page held

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Reader]:
        subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        try:
            yield self
        finally:
            if self._client.is_connected:
                await subscription.unsubscribe()

    async def page(self, request: dict[str, Any]) -> tuple[str, list[Kept]]:
        """The status at the end of the answer, and the messages before it. BusError where none comes."""
        self._page, self._whole = [], True
        self._asked += 1
        self._ended = asyncio.get_running_loop().create_future()
        subject = api_subject(self._client, f"DIRECT.GET.{self._stream}")
        silent = BusError(f"stream {self._stream} fell silent while it was read")
        try:
            await self._client.publish(
                subject, msgspec.json.encode(request), reply=f"{self._inbox}.{self._asked}"
            )
        except nats.errors.Error as error:
            raise silent from error
        seen = 0
        while not (await asyncio.wait([self._ended], timeout=SILENCE_S))[0]:
            if len(self._page) == seen:
                raise silent
            seen = len(self._page)
        status = self._ended.result()
        if not self._whole:
            raise BusError(f"stream {self._stream}: something was lost on the way while it was read")
        if status == NO_RESPONDERS:
            raise BusError(f"nobody answers for stream {self._stream}; is the bus still starting?")
        return status, self._page

    async def _take(self, message: Msg) -> None:
        if self._ended is None or self._ended.done() or not message.subject.endswith(f".{self._asked}"):
            return  # of a page that was given up
        headers = message.headers or {}
        before = self._page[-1].seq if self._page else 0
        self._whole &= headers.get(BEFORE, str(before)) == str(before)
        status = headers.get("Status", "")
        if status:
            self.more = headers.get(PENDING, "0") != "0"
            self._ended.set_result(status)
        else:
            self._page.append(Kept(message))


async def read_all(
    client: Client,
    stream: str,
    subjects: Sequence[str],
    on_message: Callable[[Kept], None],
    *,
    deliver: str = "all",
    start_seq: int = 0,
) -> int:
    """Read what the stream holds under `subjects` up to now, in order; the number of messages.

    `deliver` may be "last_per_subject". Raises BusError where the stream falls silent before its end.
    """
    extent = await find_extent(client, stream)
    count = 0

    def take(kept: Kept) -> None:
        nonlocal count
        count += 1
        on_message(kept)

    async with Reader(client, stream).open() as reader:
        if deliver == "last_per_subject":
            for kept in await _last_words(client, reader, stream, subjects, extent.end):
                take(kept)
        else:
            await read_range(client, reader, stream, subjects, max(start_seq, 1), extent, take)
    return count


async def read_each(
    client: Client, stream: str, subjects: Sequence[str], on_message: Callable[[Kept], None]
) -> None:
    """Read what the stream holds under each of `subjects`, each in its own order: cheaper than `read_all` where they
    are a small part of a stream. Raises as that."""
    if not subjects:
        return
    extent = await find_extent(client, stream)
    left = iter(subjects)

    async def read() -> None:
        async with Reader(client, stream).open() as reader:
            for subject in left:
                await read_range(client, reader, stream, [subject], 1, extent, on_message)

    await asyncio.gather(*(read() for _ in range(min(READERS, len(subjects)))))


async def read_named(
    client: Client, stream: str, under: Sequence[str], names: Mapping[str, int]
) -> list[Kept]:
    """All that the stream holds of these subjects, of which the numbers of messages are given, all `under` some
    patterns. BusError where it holds less: a replica may be behind."""
    extent = await find_extent(client, stream)
    once = [name for name, count in names.items() if count == 1]
    more = {name for name, count in names.items() if count > 1}
    async with Reader(client, stream).open() as reader:
        found = await _newest(reader, once, extent.end)
        start = min((kept.seq for kept in found), default=1)  # what begins a history is there once

        def take(kept: Kept) -> None:
            if kept.subject in more:
                found.append(kept)

        if extent.end - start < SUBJECT_COST * len(more):
            await read_range(client, reader, stream, under, start, extent, take)
        else:
            await read_each(client, stream, sorted(more), take)
    if len(found) < sum(names.values()):
        raise BusError(f"stream {stream}: {len(found)} messages came where {sum(names.values())} are held")
    return found


class Extent(NamedTuple):
    """Up to where a stream is read, and how it is configured."""

    end: int
    config: dict[str, Any]

    @property
    def alone(self) -> bool:
        """Whether one server alone has it, which then knows all of it."""
        return bool(self.config.get("num_replicas", 1) == 1)


async def find_extent(client: Client, stream: str) -> Extent:
    """As the stream's leader has it. BusError where it does not answer, StreamMismatch where it cannot be read."""
    info = await api(client, f"STREAM.INFO.{stream}", {})
    if "error" in info:
        raise refusal(stream, info)
    if not info["config"].get("allow_direct"):
        raise StreamMismatch(f"stream {stream}: allow_direct is false; run `bestex streams apply`")
    return Extent(int(info["state"]["last_seq"]), info["config"])


async def stored_ns(client: Client, stream: str, seq: int) -> int:
    """When the first message from `seq` on was stored; `NEVER_NS` where there is none, 0 where that is not sure."""
    async with Reader(client, stream).open() as reader:
        _, page = await reader.page({"seq": seq, "batch": 1, "next_by_subj": EVERYTHING})
    if page:
        return page[0].at_ns
    extent = await find_extent(client, stream)
    return NEVER_NS if seq > extent.end else 0


async def seq_at(client: Client, stream: str, at_ns: int, newest: int) -> int:
    """From where a stream is to be read to have all that was stored at `at_ns` or later, and its `newest` messages in
    any case."""
    extent = await find_extent(client, stream)
    start = max(extent.end - newest + 1, 1)
    if at_ns >= NEVER_NS:
        return start
    async with Reader(client, stream).open() as reader:
        at = rfc3339(max(at_ns, 0))
        _, page = await reader.page({"start_time": at, "batch": 1, "next_by_subj": EVERYTHING})
    if not page and not extent.alone:
        return 1  # the replica that answered may be behind
    return min(start, page[0].seq) if page else start


async def read_range(
    client: Client,
    reader: Reader,
    stream: str,
    subjects: Sequence[str],
    start: int,
    extent: Extent,
    take: Callable[[Kept], None],
) -> None:
    """Hand over what stands from `start` to the end, which the leader has."""
    # Several filters at once are ours to apply: the server reads under one.
    wanted = subjects[0] if len(subjects) == 1 else EVERYTHING
    is_wanted = matcher(subjects) if wanted == EVERYTHING else None
    end, lags = extent.end, 0
    while start <= end:
        _, page = await reader.page({"seq": start, "batch": PAGE, "next_by_subj": wanted})
        for kept in page:
            if kept.seq > end:
                return
            if is_wanted is None or is_wanted(kept.subject):
                take(kept)
            start = kept.seq + 1
        if reader.more or start > end:
            continue
        if extent.alone:
            return
        following = await read_next(client, stream, wanted, start)
        if following is None or following.seq > end:
            return
        lags += 1
        if lags > LAGS_MAX:
            raise BusError(f"stream {stream}: a replica stays behind {following.seq}")
        await asyncio.sleep(LAG_S)


async def _last_words(
    client: Client, reader: Reader, stream: str, subjects: Sequence[str], end: int
) -> list[Kept]:
    """The last message of each subject, in the stream's order."""
    status, found = await reader.page({"multi_last": list(subjects), "batch": PAGE, "up_to_seq": end})
    if status == TOO_MANY:
        found = []
        found = await _newest(reader, list(await subject_names(client, stream, subjects)), end)
    return sorted(found, key=lambda kept: kept.seq)


async def _newest(reader: Reader, names: Sequence[str], end: int) -> list[Kept]:
    """The last message of each of these subjects, which the stream holds."""
    found: list[Kept] = []
    for first in range(0, len(names), SUBJECTS_AT_ONCE):
        some = names[first : first + SUBJECTS_AT_ONCE]
        _, page = await reader.page({"multi_last": some, "batch": PAGE, "up_to_seq": end})
        found += page
    return found


async def subject_names(client: Client, stream: str, subjects: Sequence[str]) -> dict[str, int]:
    """Every subject under `subjects` that the stream holds, and how many messages it has."""
    names: dict[str, int] = {}
    for pattern in subjects:
        offset, total = 0, 1
        while offset < total:
            info = await api(client, f"STREAM.INFO.{stream}", {"subjects_filter": pattern, "offset": offset})
            if "error" in info:
                raise refusal(stream, info)
            there = info["state"].get("subjects") or {}
            names.update(there)
            offset, total = offset + len(there), int(info.get("total", 0))
            if not there:
                break
    return names
