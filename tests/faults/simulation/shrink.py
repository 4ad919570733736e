"""The shortest scenario that still goes wrong, and its history for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bestex.clock import MS
from bestex.sim_wire import CancelAllAfter
from tests.faults.simulation.scenario import Scenario
from tests.faults.simulation.simulation import Simulation, simulate
from tests.faults.simulation.world import START_NS

RUNS_MAX = 400  # of one shrinking: a scenario has some twenty parts
DATA_CHARS_MAX = 400


def kinds(scenario: Scenario) -> set[str]:
    """What goes wrong, without its particulars: promise and code."""
    return {":".join(text.split(":")[:2]) for text in simulate(scenario).violations}


def shrink(scenario: Scenario) -> Scenario:
    """Leave out faults, then acts, one by one, as long as what is left goes wrong in the same way."""
    wanted = kinds(scenario)
    runs = 0
    again = True
    while again and runs < RUNS_MAX:
        again = False
        for field in ("faults", "acts"):
            parts: Sequence[Any] = getattr(scenario, field)
            for number in reversed(range(len(parts))):
                fewer = msgspec.structs.replace(scenario, **{field: (*parts[:number], *parts[number + 1 :])})
                runs += 1
                if kinds(fewer) & wanted:
                    scenario, parts, again = fewer, getattr(fewer, field), True
    return scenario


def narrate(scenario: Scenario) -> Iterator[str]:
    """Everything that happened in a run, in order: lives and deaths, messages, what the venues did."""
    run = Simulation(scenario)
    outcome = run.run()
    lines: list[tuple[int, int, str]] = []
    for at_ns, who, what in run.history:
        lines.append((at_ns, 0, f"** {who} {what}"))
    for stream, stored in run.server.stored:
        text = stored.data.decode(errors="replace")[:DATA_CHARS_MAX]
        lines.append(
            (stored.at_ns, 2, f"{stream} {stored.seq} {stored.subject.removeprefix('bestex.v1.')} {text}")
        )
    for venue, journal in run.market.journals.items():
        for entry in journal[1:]:
            request = entry.request  # type: ignore[union-attr]
            if entry.orders or not isinstance(request, CancelAllAfter | None):  # type: ignore[union-attr]
                lines.append((entry.at_ns, 1, f"   {venue} did {entry_text(entry)}"))
    yield f"seed {scenario.seed}: {len(scenario.acts)} acts, {len(scenario.faults)} faults"
    yield from (f"  {part}" for part in (*scenario.acts, *scenario.faults))
    for at_ns, _, text in sorted(lines, key=lambda line: line[:2]):
        yield f"{(at_ns - START_NS) / MS:10.3f} {text}"
    yield from (f"VIOLATION {text}" for text in outcome.violations)


def entry_text(entry: Any) -> str:
    what = type(entry.request).__name__ if entry.request is not None else "by itself"
    client = getattr(entry.request, "client_id", "")
    states = "; ".join(f"{s.client_id} {s.state} {s.cum_qty} of {s.qty}" for s in entry.orders)
    trades = "; ".join(f"trade {t.trade_id} of {t.client_id}: {t.qty} at {t.price}" for t in entry.trades)
    return f"{what} {client} {entry.code or 'ok'} {states} {trades}".strip()
