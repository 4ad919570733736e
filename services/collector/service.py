"""The collector's wiring: one source for each venue, all into one core."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from bestex.clock import AffineClock
from bestex.config import Config
from bestex.config_venue import REAL
from bestex.plugins import COLLECTORS, load
from bestex.service import Service
from services.collector.core import CollectorCore, SourceFailed
from services.collector.sources import Source
from services.collector.sources.renamed import Renamed
from services.collector.sources.sim import SimSource


def build(config: Config, names: tuple[str, ...]) -> Service:
    """The collector of the venues `names`; none means every enabled one.

    A venue on paper is what the simulated exchange makes of it: the real market with our orders in it. That is told
    under the venue's name, and the real market, which the exchange hears, under one of its own.

    Raises UsageError for a venue that is not there or not enabled, and for an unknown adapter.
    """
    clock = AffineClock.from_environment()
    sources: dict[str, Source] = {}
    for name in config.chosen_venues(names):
        adapter = load(COLLECTORS, config.venues[name].adapter)
        if config.venues[name].is_paper:
            if name not in config.exchange.recordings:  # which the exchange reads itself
                sources[f"{name}{REAL}"] = Renamed(adapter(name, config, clock), f"{name}{REAL}")
            adapter = SimSource
        sources[name] = adapter(name, config, clock)
    market_data = config.market_data
    return Service(
        name="collector",
        names=names,
        core=CollectorCore(market_data.levels, market_data.down_after),
        actor=Feeds(sources),
    )


class Feeds:
    """Runs the sources side by side from start to stop."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._tasks: list[asyncio.Task[None]] = []

    async def start(
        self,
        deliver: Callable[[Any], None],
        now_ns: Callable[[], int],
        may_send: Callable[[], Awaitable[bool]],  # noqa: ARG002 - it sends nothing
    ) -> None:
        for venue, source in self._sources.items():
            self._tasks.append(asyncio.create_task(_watched(venue, source.run(deliver, now_ns), deliver)))

    def call(self, request: Any) -> None:
        raise AssertionError(f"a collector calls nobody, and so not with {type(request).__name__}")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _watched(venue: str, work: Coroutine[Any, Any, None], deliver: Callable[[Any], None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it is, it must end the process, not only this task
        deliver(SourceFailed(venue, repr(error)))
