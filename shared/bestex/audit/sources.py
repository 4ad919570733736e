"""Where an audit's records come from: the bus, or the recorder's database; and the venues' own journals.

A running platform is audited at one moment: streams are read up to the bus's time at the start, and not
beyond, so that every effect in the picture has its cause in it. The journals are read after that, so that they
hold everything that the streams have heard of.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from nats.aio.client import Client

from bestex import bus, reading, sim_wire, subjects
from bestex.audit.auditor import BOOK_AGE_NS, Auditor, audit
from bestex.audit.report import AuditReport, Record
from bestex.bus_access import Access
from bestex.clock import parse_time
from bestex.errors import BestexError, BusError
from bestex.sim_journal import read_journal


async def run_audit(
    where: str | Access,
    *,
    journals: Path | str | None = None,
    complete: bool = False,
    book_age_ns: int = BOOK_AGE_NS,
) -> AuditReport:
    """Audit what the bus at `where` holds, and the simulated venues' own journals in the folder `journals`.

    `complete` says that nothing is in flight any more. Raises BusError where there is no bus.
    """
    client = await bus.connect(where, "bestex-audit")
    auditor = Auditor(book_age_ns)
    try:
        await read_streams(client, auditor.take)
    finally:
        await client.close()
    return auditor.finish(read_journals(journals), complete=complete)


def audit_database(
    database: Path | str, *, journals: Path | str | None = None, complete: bool = False
) -> AuditReport:
    """Audit what the recorder has stored. Right only once it has caught up with the bus."""
    return audit(read_database(database), read_journals(journals), complete=complete)


async def read_streams(client: Client, take: Callable[[Record], None]) -> int:
    """Hand every message stored up to now to `take`, each stream in its order; how many that were."""
    everything = f"{subjects.ROOT}.>"
    names = await bus.api(client, "STREAM.NAMES", {"subject": everything})
    streams = names.get("streams") or ()
    if not streams:
        raise BusError("the bus has no streams; run `bestex streams apply`")
    info = await bus.api(client, f"STREAM.INFO.{streams[0]}", {})
    now_ns = parse_time(info["ts"])
    count = 0

    def receive(delivery: reading.Kept) -> None:
        nonlocal count
        if delivery.at_ns <= now_ns:
            count += 1
            take(record_of(delivery))

    for stream in sorted(streams):
        await reading.read_all(client, stream, [everything], receive)
    return count


def record_of(delivery: reading.Kept) -> Record:
    """With the headers that tell of its writer."""
    return Record(
        delivery.stream,
        delivery.seq,
        delivery.subject,
        delivery.at_ns,
        delivery.data,
        delivery.headers,
    )


def read_database(database: Path | str) -> Iterator[Record]:
    """The recorder's events, each stream in its order. Raises BestexError where it cannot be read."""
    try:
        connection = sqlite3.connect(f"{Path(database).absolute().as_uri()}?mode=ro", uri=True)
        try:
            query = "SELECT stream, seq, subject, at_ns, data FROM events ORDER BY stream, seq"
            for row in connection.execute(query):
                yield Record(*row)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise BestexError(f"{database}: {error}") from error


def read_journals(folder: Path | str | None) -> Mapping[str, Iterator[sim_wire.JournalLine]]:
    """The journal of every simulated venue in `folder`, by venue; none where no folder is named."""
    if folder is None:
        return {}
    return {path.stem: read_journal(path) for path in sorted(Path(folder).glob("*.jsonl"))}
