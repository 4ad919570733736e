"""The whole pipeline in one thread, on virtual time: recordings or the market model in, fills out.

Collector, aggregator, scheduler, router and gateway are the live ones; the bus is `bestex.replay`, the venues
the simulated exchange. The same configuration, parents and seed give the same messages every time, wherever it
runs: everything random is drawn from the seed, and nothing depends on the machine.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bestex import codec, replay_config, subjects
from bestex import config as configuration
from bestex import messages as m
from bestex.audit import AuditReport, Record, audit
from bestex.clock import HOUR, MS, SECOND
from bestex.config import Config
from bestex.errors import ConfigError, UsageError
from bestex.execution import Execution, execution_of
from bestex.interval import Interval
from bestex.memory_bus import StoredMessage
from bestex.replay import World
from bestex.replay_node import VirtualActor
from bestex.service import Service
from services.aggregator.service import build as build_aggregator
from services.backtester.actors import VirtualDesk, VirtualFeeds
from services.backtester.exchange import VirtualExchange
from services.collector.service import build as build_collector
from services.gateway.core import GatewayCore
from services.gateway.service import build as build_gateway
from services.router.service import build as build_router
from services.scheduler.service import build as build_scheduler

START_NS = 1_750_000_000 * SECOND  # of a session on the market model that names none
DOWNTIME_NS = SECOND  # of a crashed service: the supervisor's pause and a process's start
LOOK_NS = 100 * MS  # how often `finish` looks whether everything has ended
WARM_UP_NS = 3 * SECOND  # until every venue's book and the first statistics are there
GC_THRESHOLDS = (50_000, 20, 100)  # what is collected in between is some ten MB at the most
EXECUTE_NS_MAX = 48 * HOUR  # of virtual time; an order that has not ended by then has no end

BUILDERS: dict[str, Callable[[Config, tuple[str, ...]], Service]] = {
    "collector": build_collector,
    "aggregator": build_aggregator,
    "router": build_router,
    "gateway": build_gateway,
    "scheduler": build_scheduler,
}


class VirtualSession:
    """One run. Every venue of `config` is simulated, around `recordings` (files by venue) where it has some,
    around the market model elsewhere. Raises ConfigError as live, RecordingError for a file that is none.

    `step_by_step` is the slow path, which leaves nothing out and takes nothing at once: the fast one's oracle."""

    def __init__(
        self,
        config: Config,
        *,
        start_ns: int = START_NS,
        seed: int = 0,
        recordings: Mapping[str, Sequence[str]] | None = None,
        step_by_step: bool = False,
    ) -> None:
        self.config = _simulated(config, seed, recordings)
        self.world = World(start_ns, seed)
        self.world.step_by_step = step_by_step
        self.exchange = VirtualExchange(self.config, self.world, step_by_step=step_by_step)
        self._orders: dict[str, m.ParentOrder] = {}
        self._ended: set[str] = set()
        self._looked = 0  # how many stored messages were looked at for ends
        self._services: dict[str, Service] = {}
        self._began_ns = start_ns
        self._intervals = {one.symbol: Interval() for one in self.config.make_instruments().all}
        self._traded_as = {
            (listing.venue, listing.symbol): one.symbol
            for one in self.config.make_instruments().all
            for listing in one.listings
            if not listing.inverse
        }
        self.world.listeners.append(self._listen)
        for name in BUILDERS:
            self._start(name)

    @classmethod
    def on_recordings(
        cls,
        paths: Sequence[Path],
        cache_dir: Path,
        *,
        seed: int = 0,
        config_text: str = "",
        step_by_step: bool = False,
    ) -> VirtualSession:
        """As `bestex up --replay`: the venues and instruments are the recordings', or those of `config_text`.

        Raw frames are converted into `cache_dir` first. The session begins with the first message.
        """
        text, start_ns = replay_config.derive(paths, config_text, cache_dir)
        config = configuration.parse(text, "the recordings")
        return cls(config, start_ns=start_ns, seed=seed, step_by_step=step_by_step)

    # -- services --------------------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        service = self._services[name] = BUILDERS[name](self.config, ())
        actors: dict[str, Callable[[], VirtualActor]] = {
            "collector": lambda: VirtualFeeds(self.exchange),
            "gateway": lambda: VirtualDesk(self.config, self.exchange, _halted(service)),
        }
        self.world.add(service, actors[name]() if name in actors else None)

    def core(self, name: str) -> Any:
        """The core of a service as it is now."""
        return self._services[name].core

    def service(self, name: str) -> Service:
        """The service as it is now."""
        return self._services[name]

    def crash(self, name: str, at_ns: int, downtime_ns: int = DOWNTIME_NS) -> None:
        """`kill -9` of one service, which starts again from what is stored."""

        def kill() -> None:
            self.world.crash(self._services[name])
            self.world.after(downtime_ns, lambda: self._start(name))

        self.world.at(at_ns, kill)

    # -- users -----------------------------------------------------------------------------------------------

    def submit(self, order: m.ParentOrder, at_ns: int | None = None) -> str:
        """Publish a parent order at `at_ns`, or now; its id."""
        if not order.parent_id:
            order = msgspec.structs.replace(order, parent_id=f"p{len(self._orders) + 1}")
        self._orders[order.parent_id] = order
        self._publish(subjects.order("new", order.algo, order.symbol), order, at_ns)
        return order.parent_id

    def cancel(self, parent_id: str, at_ns: int | None = None, reason: str = "") -> None:
        self._command("cancel", parent_id, m.CancelOrder(reason=reason), at_ns)

    def modify(self, parent_id: str, change: m.ModifyOrder, at_ns: int | None = None) -> None:
        self._command("modify", parent_id, change, at_ns)

    def pause(self, parent_id: str, at_ns: int | None = None) -> None:
        self._command("pause", parent_id, m.PauseOrder(), at_ns)

    def resume(self, parent_id: str, at_ns: int | None = None) -> None:
        self._command("resume", parent_id, m.ResumeOrder(), at_ns)

    def halt(self, halt: m.Halt, at_ns: int | None = None) -> None:
        at_ns = self.now_ns if at_ns is None else at_ns
        self.world.at(at_ns, lambda: self.world.publish(subjects.halt(halt.scope), halt))

    def _command(self, verb: str, parent_id: str, message: Any, at_ns: int | None) -> None:
        order = self._orders.get(parent_id)
        if order is None:
            raise UsageError(f"no order {parent_id} was submitted in this session")
        self._publish(subjects.order(verb, order.algo, order.symbol, parent_id), message, at_ns)

    def _publish(self, subject: str, message: Any, at_ns: int | None) -> None:
        body = codec.to_json(message)
        self.world.at(self.now_ns if at_ns is None else at_ns, lambda: self.world.order(subject, body))

    # -- time ------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        return self.world.now_ns

    def run(self, until_ns: int) -> None:
        with _rare_collections():
            self.world.run(until_ns)

    def finish(self, until_ns: int) -> bool:
        """Run until every order that was submitted has ended, or until `until_ns`; whether all have.

        The commands that ended orders still owe an answer are answered too.
        """
        while not (done := self._all_ended()) and self.now_ns < until_ns:
            self.run(min(self.now_ns + LOOK_NS, until_ns))
        if done:
            self.run(self.now_ns + SECOND)
        return done

    def _has_ended(self, parent_id: str) -> bool:
        self._all_ended()
        return parent_id in self._ended

    def _all_ended(self) -> bool:
        for stored in self.world.stored[self._looked :]:
            event = stored.message
            if isinstance(event, m.ParentDone) or (
                isinstance(event, m.ParentRejected) and event.request == "new"
            ):
                self._ended.add(event.parent_id)
        self._looked = len(self.world.stored)
        return self._orders.keys() <= self._ended

    # -- what came of it ---------------------------------------------------------------------------------------

    async def execute(self, order: m.ParentOrder) -> Execution:
        """Work an order to its end from now on, as `bestex.Client` does live: `execute_twap(..., client=session)`.

        Virtual time passes for all that is in the session; nothing is really waited for. OrderRejected as live.
        """
        self.run(max(self.now_ns, self._began_ns + WARM_UP_NS))
        parent_id = self.submit(order)
        last_ns = self.now_ns + EXECUTE_NS_MAX
        while not self._has_ended(parent_id) and self.now_ns < last_ns:
            self.run(self.now_ns + LOOK_NS)
        return self.execution(parent_id)

    def execution(self, parent_id: str) -> Execution:
        """What came of an order that has ended, with its benchmarks. OrderRejected where it was refused; UsageError
        where there is none of this id, or where it has not ended."""
        if parent_id not in self._orders:
            raise UsageError(f"no order {parent_id} was submitted in this session")
        told: list[Any] = [
            stored.message
            for stored in self.world.stored
            if isinstance(stored.message, m.ParentEvent | m.Fill) and stored.message.parent_id == parent_id
        ]
        return execution_of(told, self._intervals.get(told[0].symbol) if told else None)

    def _listen(self, _: str, message: Any) -> None:
        kind = type(message)  # most are of other kinds, and there are many
        if kind is m.MarketTrade:
            symbol = self._traded_as.get((message.venue, message.symbol))
            if symbol is not None:
                self._intervals[symbol].trade(message)
        elif kind is m.Stats:
            self._intervals[message.symbol].stats(message)

    def fills(self) -> list[m.Fill]:
        return [stored.message for stored in self.world.stored if isinstance(stored.message, m.Fill)]

    def events(self, pattern: str = ">") -> list[StoredMessage]:
        """What was stored under a subject pattern (NATS's wildcards, from `bestex.v1.` on), in order."""
        return list(self.world.messages(f"{subjects.ROOT}.{pattern}"))

    def digest(self) -> str:
        """A hash of every stored message, its place and its time: equal only for equal runs."""
        found = hashlib.blake2b(digest_size=16)
        for stored in self.world.stored:
            found.update(f"{stored.stream} {stored.seq} {stored.subject} {stored.at_ns} ".encode())
            found.update(stored.data)
        return found.hexdigest()

    def audit(self, *, complete: bool = False) -> AuditReport:
        """Every promise, checked on what was stored and on the venues' own journals."""
        records = (
            Record(stored.stream, stored.seq, stored.subject, stored.at_ns, stored.data)
            for stored in self.world.stored
        )
        return audit(records, self.exchange.journals, complete=complete)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """A run makes messages by the hundred thousand and next to no cycles: the search for them is a tenth of it."""
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _halted(gateway: Service) -> Callable[[str], str]:
    core = gateway.core
    assert isinstance(core, GatewayCore), "only a gateway knows of children"
    return core.halted


def _simulated(config: Config, seed: int, recordings: Mapping[str, Sequence[str]] | None) -> Config:
    venues = {name: msgspec.structs.replace(venue, adapter="sim") for name, venue in config.venues.items()}
    files = config.exchange.recordings
    if recordings is not None:
        unknown = recordings.keys() - venues.keys()
        if unknown:
            raise ConfigError(
                f"recordings of {', '.join(sorted(unknown))}: the configuration has no such venue"
            )
        files = {venue: list(paths) for venue, paths in recordings.items()}
    exchange = msgspec.structs.replace(config.exchange, seed=seed, recordings=files)
    return msgspec.structs.replace(config, venues=venues, exchange=exchange)
