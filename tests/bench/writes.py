"""One acknowledged write with compare-and-set, on a bus with roles and on one without: what the accounts cost.

    python -m tests.bench.writes

The two are measured in turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import uvloop
from nats.aio.client import Client

from bestex import bus, bus_setup, config, rights, streams, subjects
from bestex.bus_access import Access
from bestex.journal import Journal
from bestex.server import NatsServer
from bestex.subjects import stream_of

ROUNDS, WRITES = 20, 100
BODY = b"x" * 400  # about a parent's event


async def measure(journal: Journal, name: str) -> list[float]:
    """Microseconds of each write."""
    taken = []
    for number in range(WRITES):
        subject = subjects.parent("BTC/USDT", name, f"e{number}")
        began = time.perf_counter()
        await journal.append(subject, BODY)
        taken.append((time.perf_counter() - began) * 1e6)
    return taken


async def run(folder: Path) -> None:
    settings = config.load(None, {})
    setup = bus_setup.init(folder / "bus", settings)
    servers = {"open": NatsServer(), "roles": NatsServer()}
    clients: list[Client] = []
    journals: dict[str, Journal] = {}
    try:
        for kind, server in servers.items():
            url = server.start(folder / kind, setup=setup if kind == "roles" else None)
            for role in (rights.PROVISIONER, "scheduler"):
                key = setup.key(role) if kind == "roles" else None
                clients.append(await bus.connect(Access(url, role, key), "bench"))
                if role == rights.PROVISIONER:
                    await streams.apply(clients[-1], settings)
            journals[kind] = Journal(clients[-1], "bench", stream_of)
        taken: dict[str, list[float]] = {kind: [] for kind in journals}
        for number in range(ROUNDS):
            for kind, journal in journals.items():
                taken[kind] += await measure(journal, f"p{number}")
        for kind, values in taken.items():
            p10, p50, p90 = (statistics.quantiles(values, n=10)[i] for i in (0, 4, 8))
            print(f"{kind:<6} {len(values)} writes, p10 {p10:.0f} us, p50 {p50:.0f} us, p90 {p90:.0f} us")
    finally:
        for client in clients:
            await client.close()
        for server in servers.values():
            server.stop()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bestex-writes-") as temporary:
        uvloop.run(run(Path(temporary)))
