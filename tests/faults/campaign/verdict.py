"""The judgement: the audit of the streams, the venues' journals, the client's ledger and what was seen."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bestex import bus, subjects
from bestex.audit import audit_database, run_audit
from bestex.audit.report import Record
from bestex.audit.sources import read_streams
from tests.faults.campaign.load import Ledger, Notes
from tests.faults.campaign.plan import Kind, Settings

if TYPE_CHECKING:
    from tests.faults.campaign.run import Rig

PROBLEMS_SHOWN = 50
NUMBER = re.compile(r"\b[\w.-]*\d[\w.-]*")  # and ids, so that the same reason counts as one


@dataclass
class Counts:
    """Faults of servers, and how long each kill kept the client waiting."""

    servers: Counter[Kind] = field(default_factory=Counter)
    bus_recoveries_s: list[float] = field(default_factory=list)


class Result(msgspec.Struct, kw_only=True):
    """The figures, and what is wrong: an empty list of problems and no anomaly is success."""

    seed: int
    version: str
    replicas: int
    service_kills: dict[str, int]
    service_kills_total: int
    freezes: int
    server_kills: int
    server_faults: dict[str, int]
    restarts: int
    ended_by_themselves: dict[str, int]  # why, by the last words of their logs
    parents: int
    parents_by_algo: dict[str, int]
    children: int
    fills: int
    acknowledged: int
    unknown: int
    messages: int
    audited: dict[str, int]  # how much of what the audit has looked at
    recovery_p50_s: float
    recovery_max_s: float
    bus_recovery_p50_s: float
    bus_recovery_max_s: float
    anomalies: int
    found: list[Any]
    problems: list[str]
    venues: str = "sim"
    venue_faults: dict[str, int] = {}
    became: dict[str, dict[str, int]] = {}  # by venue: how often which event of an order
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.anomalies and not self.problems


async def judge(work: Rig, settings: Settings, counts: Counts, problems: list[str]) -> Result:
    """Call it when all orders have ended and nothing is broken any more."""
    happened = Counter[str]()
    if work.emulated is not None:
        await work.emulated.export(work.journals)
        happened = await work.emulated.happened()
    report = await run_audit(work.servers.url, journals=work.journals, complete=True)
    recorded = audit_database(work.database, journals=work.journals, complete=True)
    if not recorded.ok:
        problems.append(f"the recorder's database: {recorded.text()}")
    problems += await compare(work)
    problems += work.processes.bad_exits()
    processes, load = work.processes, work.load
    return Result(
        venues=settings.venues,
        venue_faults=dict(sorted(happened.items())),
        became={venue: dict(sorted(counts.items())) for venue, counts in sorted(load.became.items())},
        seed=settings.seed,
        version=version(),
        replicas=settings.replicas,
        service_kills=dict(sorted(processes.kills.items())),
        service_kills_total=processes.kills.total(),
        freezes=processes.freezes,
        server_kills=counts.servers[Kind.KILL],
        server_faults={str(kind): count for kind, count in sorted(counts.servers.items())},
        restarts=processes.restarts,
        ended_by_themselves=dict(Counter(NUMBER.sub("N", one.why) for one in processes.exits)),
        parents=len(load.ledger.parents),
        parents_by_algo=dict(sorted(load.ended.items())),
        children=load.children,
        fills=load.fills,
        acknowledged=len(load.ledger.acknowledged),
        unknown=load.ledger.unknown,
        messages=report.checked.get("messages", 0),
        audited=dict(report.checked),
        recovery_p50_s=_quantile(processes.recoveries_s, 0.5),
        recovery_max_s=_quantile(processes.recoveries_s, 1.0),
        bus_recovery_p50_s=_quantile(counts.bus_recoveries_s, 0.5),
        bus_recovery_max_s=_quantile(counts.bus_recoveries_s, 1.0),
        anomalies=report.count,
        found=report.builtins()["found"][:PROBLEMS_SHOWN],
        problems=problems[:PROBLEMS_SHOWN],
    )


async def compare(work: Rig) -> list[str]:
    """The ledger and the notes against what the streams hold."""
    stored: dict[str, list[tuple[int, str, bytes]]] = {}

    def take(record: Record) -> None:
        stored.setdefault(record.stream, []).append((record.seq, record.subject, record.data))

    client = await bus.connect(work.servers.url, "campaign-compare")
    try:
        await read_streams(client, take)
    finally:
        await client.close()
    return disagreements(work.load.ledger, work.load.notes, stored)


def disagreements(ledger: Ledger, notes: Notes, stored: dict[str, list[tuple[int, str, bytes]]]) -> list[str]:
    """What was acknowledged or seen and is not in `stored`, and parents without an end."""
    wrong = [text for stream in notes.seen for text in notes.differences(stream, stored.get(stream, ()))]
    orders = {seq: (subject, data) for seq, subject, data in stored.get(subjects.ORDERS, ())}
    for seq, message in ledger.acknowledged.items():
        if orders.get(seq) != (message.subject, message.body):
            wrong.append(f"the bus acknowledged {message.subject} as {seq}, and holds {orders.get(seq)}")
    events: dict[str, set[str]] = {}
    for _, subject, _ in stored.get(subjects.SCHED, ()):
        tokens = subject.split(".")
        if tokens[2] == "parent":
            events.setdefault(tokens[4], set()).add(tokens[5])
    for parent_id in sorted(ledger.parents):
        had = events.get(parent_id, set())
        if not {"accepted", "done"} <= had:
            wrong.append(f"{parent_id} was acknowledged, and its history has only {sorted(had)}")
    return wrong


def version() -> str:
    """The commit that runs; `-dirty` where it was changed."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0
