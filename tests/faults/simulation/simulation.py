"""One run of the whole platform: a scenario in, an audit out. The same scenario gives the same messages, always."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec
import structlog

from bestex import codec, footing, recovery, runtime, stream_specs, subjects
from bestex import config as configuration
from bestex.audit import AuditReport, Record, audit
from bestex.clock import MS, SECOND
from bestex.tape import decode_bus
from bestex.units import total
from services.aggregator.service import build as build_aggregator
from services.collector.service import build as build_collector
from services.gateway.core import GatewayCore
from services.gateway.service import build as build_gateway
from services.router.models import queue
from services.router.service import build as build_router
from services.router.strategies import posting
from services.scheduler.service import build as build_scheduler
from tests.faults.simulation.faults import (
    AnyFault,
    BusCrash,
    ClockJump,
    Cut,
    Freeze,
    Kill,
    Lag,
    Line,
    LineFault,
    RequestFault,
    SessionCut,
    UserEventFault,
)
from tests.faults.simulation.jetstream import Server
from tests.faults.simulation.market import VirtualMarket
from tests.faults.simulation.process import BuildService, Process
from tests.faults.simulation.scenario import CONFIG, SYMBOL, VENUES, Act, Scenario
from tests.faults.simulation.stored import Stream
from tests.faults.simulation.venue import VenueFaults
from tests.faults.simulation.world import START_NS, World

BUILDERS: dict[str, BuildService] = {
    "collector": build_collector,
    "aggregator": build_aggregator,
    "gateway": build_gateway,
    "router": build_router,
    "scheduler": build_scheduler,
}
END_NS = (
    300 * SECOND
)  # long after the last doubt can have been cleared up: redelivery takes 30 s, absence 10 s
SETTLE_NS = SECOND  # after the last parent's end: what is still on its way must change nothing
BEAT_S = 0.24  # of a process's look at itself: as seldom as finds a freeze, because each costs time here
WATCHDOG_S = 20.0  # no line here is dead and looks alive
KEPT_MS = 1_600  # when a checkpoint is made, besides those of each start
LOOK_NS = 100 * MS  # how often it is asked whether all is quiet
USER_RETRY_NS = 500 * MS
RECONNECT_NS = 150 * MS

CONFIGURATION = configuration.parse(CONFIG, "the simulation", {})
EXEC = subjects.exec_stream("")
DEPOSITS: dict[str, dict[str, str]] = {
    name: venue.options["deposits"]
    for name, venue in CONFIGURATION.venues.items()
    if "deposits" in venue.options
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`faults`: how many of each kind have struck; of those that were planned some come too late."""

    seed: int
    faults: dict[str, int]
    digest: str
    messages: int
    children: int
    violations: tuple[str, ...]


class Simulation:
    """`history` is what happened besides messages: lives, deaths, faults, with their times."""

    def __init__(self, scenario: Scenario) -> None:
        _keep_quiet()
        self.scenario = scenario
        self.world = World()
        self.server = Server(self.world)
        self.history: list[tuple[int, str, str]] = []
        config = CONFIGURATION
        for spec in stream_specs.specs(config):
            self.server.streams[spec.name] = Stream(spec.config(), START_NS)
        self.market = VirtualMarket(config, self.world, scenario.seed)
        self.venues = venues = {venue: self._venue_faults(venue) for venue in VENUES}
        self.processes = {
            name: Process(
                name,
                build,
                config,
                self.world,
                self.server,
                self.market,
                venues,
                [f for f in scenario.faults if isinstance(f, Kill | Freeze) and f.process == name],
                Line(
                    [f for f in scenario.faults if isinstance(f, LineFault) and f.process == name],
                    scenario.seed,
                ),
                self._note,
            )
            for name, build in BUILDERS.items()
        }
        self._wanted = {act.parent_id for act in scenario.acts if act.verb == "new"}
        self._unsaid = len(scenario.acts)
        self._accepted: set[str] = set()
        self._ended: set[str] = set()
        self._looked = 0
        for process in self.processes.values():
            self.world.at(START_NS, process.start)
        for act in scenario.acts:
            self.world.at(START_NS + act.at_ms * MS, self._publish, act)
        for fault in scenario.faults:
            self._schedule(fault)
        self.world.at(START_NS + KEPT_MS * MS, self.processes["gateway"].keep)

    @property
    def said(self) -> int:
        """How much users have said so far."""
        return len(self.scenario.acts) - self._unsaid

    def _note(self, who: str, what: str) -> None:
        self.history.append((self.world.now_ns, who, what))

    def _venue_faults(self, venue: str) -> VenueFaults:
        faults = [f for f in self.scenario.faults if getattr(f, "venue", "") == venue]
        return VenueFaults(
            requests={f.number: f for f in faults if isinstance(f, RequestFault)},
            events={f.number: f for f in faults if isinstance(f, UserEventFault)},
            lags=[f for f in faults if isinstance(f, Lag)],
        )

    # -- users and faults ------------------------------------------------------------------------------------------

    def _publish(self, act: Act) -> None:
        """Until the bus has it: a user who gets no acknowledgement sends again."""
        if not self.server.up:
            self.world.after(USER_RETRY_NS, self._publish, act)
            return
        parent_id = "" if act.verb == "new" else act.parent_id
        subject = subjects.order(act.verb, act.algo, SYMBOL, parent_id)
        self.server.publish(subject, codec.to_json(act.body))
        self._unsaid -= 1

    def _schedule(self, fault: AnyFault) -> None:
        at = partial(self.world.at, START_NS + getattr(fault, "at_ms", 0) * MS)
        for_ns = getattr(fault, "for_ms", 0) * MS
        match fault:
            case Freeze() if fault.step < 0:
                at(self.processes[fault.process].freeze, fault)
            case ClockJump():
                at(self._jump, fault)
            case Cut():
                at(self._during, fault, for_ns, *self._line_of(fault.process))
            case BusCrash():
                at(self._during, fault, for_ns, partial(self._crash_bus, fault), self._restart_bus)
            case SessionCut():
                gateway = self.processes["gateway"]
                ways = partial(gateway.cut_venue, fault.venue), partial(gateway.mend_venue, fault.venue)
                at(self._during, fault, for_ns, *ways)

    def _during(
        self, fault: AnyFault, for_ns: int, begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        self._note("world", repr(fault))
        begin()
        self.world.after(for_ns, end)

    def _line_of(self, name: str) -> tuple[Callable[[], None], Callable[[], None]]:
        process = self.processes[name]
        return process.cut_line, process.mend_line

    def _jump(self, fault: ClockJump) -> None:
        self._note("world", repr(fault))
        self.processes[fault.process].clock.offset_ns += fault.by_ms * MS

    def _crash_bus(self, fault: BusCrash) -> None:
        self.server.crash(fault.forgotten_acks)
        for process in self.processes.values():
            process.cut_line()

    def _restart_bus(self) -> None:
        self.server.restart()
        for number, process in enumerate(self.processes.values()):
            self.world.after(RECONNECT_NS * (1 + number), process.mend_line)

    def _struck(self) -> Iterator[AnyFault]:
        for process in self.processes.values():
            yield from (*process.steps.struck, *process.line.struck)
        for venue in self.venues.values():
            yield from venue.struck
        for fault in self.scenario.faults:
            at_ms = getattr(fault, "at_ms", 0)
            if at_ms and START_NS + at_ms * MS <= self.world.now_ns:
                yield fault

    # -- the run ---------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        collecting = gc.isenabled()
        gc.disable()
        try:
            # A process is known by its number and its start; here the start is enough, and the same every time.
            with (
                patch.object(footing, "BEAT_S", BEAT_S),
                patch.object(footing, "WATCHDOG_INTERVAL_S", WATCHDOG_S),
                patch.object(os, "getpid", lambda: 1),
                # Here is one clock, and histories are short: what a start leaves out is to be left out.
                patch.object(recovery, "CLOCKS_APART_S", 0.0),
                patch.object(recovery, "SAMPLED", 1),
                patch.object(runtime, "EVERY", 1),  # a checkpoint at every start
                # There is no time to watch queues, and little to wait: those that post are to post nevertheless.
                patch.object(queue, "SURE_SECONDS", 0.0),
                patch.object(queue.QueueModel, "of", _hopeful),
                patch.object(posting, "CROSS_NS", 300 * MS),
            ):
                self._go()
            report = self.audit()
        finally:
            for process in self.processes.values():
                process.end()
            if collecting:
                gc.enable()
        violations = [f"promise {a.promise}: {a.code}: {a.text}" for a in report.anomalies]
        violations += [f"a core failed: {text}" for text in self._bugs()]
        violations += [f"holdings: {text}" for text in self._holdings()]
        return Outcome(
            seed=self.scenario.seed,
            faults=dict(Counter(type(fault).__name__ for fault in self._struck())),
            digest=self.digest(),
            messages=len(self.server.stored),
            children=sum(1 for _, stored in self.server.stored if stored.subject.endswith(".new")),
            violations=tuple(violations),
        )

    def _go(self) -> None:
        """Until nothing is under way any more, and then a while longer."""
        end_ns = START_NS + END_NS
        while not self._is_over() and self.world.now_ns < end_ns:
            self.world.run(self.world.now_ns + LOOK_NS)
        self._close_market()
        while not self._is_acknowledged() and self.world.now_ns < end_ns:
            self.world.run(self.world.now_ns + LOOK_NS)
        late_ms = max((getattr(fault, "delay_ms", 0) for fault in self.scenario.faults), default=0)
        self.world.run(self.world.now_ns + SETTLE_NS + late_ms * MS)

    def _close_market(self) -> None:
        """Nobody needs a price any more."""
        self.market.close()
        for name in ("collector", "aggregator"):
            self.processes[name].life.end()

    def _is_over(self) -> bool:
        """Whether users have said all that they say, and every order has ended."""
        return not self._unsaid and self._all_ended()

    def _is_acknowledged(self) -> bool:
        return not any(
            consumer.pending or consumer.unseen
            for stream in self.server.streams.values()
            for consumer in stream.consumers.values()
            if consumer.durable
        )

    def _all_ended(self) -> bool:
        stored = self.server.stored
        while self._looked < len(stored):
            message = stored[self._looked][1]
            tokens = message.subject.split(".")
            if tokens[2] == "parent":
                refused = (
                    tokens[5] == "rejected" and b'"request":' not in message.data
                )  # an order, not a request
                if tokens[5] == "done" or (refused and tokens[4] not in self._accepted):
                    self._ended.add(tokens[4])
                elif tokens[5] == "accepted":
                    self._accepted.add(tokens[4])
            self._looked += 1
        return self._wanted <= self._ended

    def _bugs(self) -> list[str]:
        """Processes end in doubt, fenced, without a bus; never for an assertion or a wrong type."""
        return [
            f"{process.name}: {bug}"
            for process in self.processes.values()
            for bug in (*process.bugs, *process.life.loop.errors)
        ]

    def _holdings(self) -> list[str]:
        """Where the gateway's streams say that an account holds what its venue does not."""
        core = build_gateway(CONFIGURATION, ()).core
        assert isinstance(core, GatewayCore), "a gateway's core"
        for name, stored in self.server.stored:
            if name.startswith(EXEC) and ".epoch." not in stored.subject:
                core.apply(decode_bus(stored.subject, stored.data, stored.seq))
        wrong = []
        for account in core.holdings.accounts.values():
            held = {name: Decimal(much) for name, much in DEPOSITS[account.home].items()}
            for name, moved in self.market.sim.balances(account.home).balances.items():
                held[name] = total(held.get(name, Decimal(0)), moved)
            ours = {name: account.wallet.of(name) for name in held}
            if account.wallet.word_ns and ours != held:
                wrong.append(f"{account.name} holds {held}, and the streams say {ours}")
            if min(held.values()) < 0:
                wrong.append(f"{account.name} owes: {held}")
        return wrong

    def audit(self) -> AuditReport:
        records = (
            Record(name, stored.seq, stored.subject, stored.at_ns, stored.data)
            for name, stored in self.server.stored
        )
        return audit(records, self.market.journals, complete=True)

    def digest(self) -> str:
        """A hash of every stored message, its place and its time, and of all that the venues did."""
        found = hashlib.blake2b(digest_size=16)
        for name, stored in self.server.stored:
            found.update(f"{name} {stored.seq} {stored.subject} {stored.at_ns} ".encode())
            found.update(stored.data)
        for lines in self.market.journals.values():
            for line in lines:
                found.update(codec.to_json(line))
        return found.hexdigest()


def _hopeful(known: Any, ahead: int, seconds: float, unit: float) -> queue.QueueModel | None:
    """As if little of what stands ahead were ahead."""
    return _queue_of(known, ahead // 10, seconds, unit)


_queue_of = queue.QueueModel.of


def simulate(scenario: Scenario) -> Outcome:
    return Simulation(scenario).run()


def _ignore(_: Any) -> None:
    """What a killed process would still have said."""


def _keep_quiet() -> None:
    """Processes die in the middle of everything here; what Python says of that is of no interest, nor are logs."""
    sys.unraisablehook = _ignore
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
