"""The router's wiring."""

from __future__ import annotations

from functools import partial

from bestex import consumers, fleet, plugins, subjects
from bestex.config import Config
from bestex.errors import UsageError
from bestex.service import Claim, Read, Service
from bestex.sessions import calendar
from services.router import health, plan
from services.router.core import RouterCore


def build(config: Config, names: tuple[str, ...]) -> Service:
    """One router for all symbols. Raises UsageError where names are given."""
    if names:
        raise UsageError("the router takes no names: it routes every symbol")
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    instruments = config.make_instruments()
    for venue in config.enabled_venues():
        calendar(config.venues[venue].hours)  # loaded now, and not while a slice waits
    core = RouterCore(instruments, config, strategies, fleet.build())
    root = subjects.ROOT
    return Service(
        name="router",
        names=names,
        core=core,
        journal=(
            Read(
                subjects.ROUTE,
                (f"{root}.route.>",),
                begins=(f"{root}.route.*.*.*.decided",),
                ends=(f"{root}.route.*.*.*.done",),
            ),
        ),
        past=core.past,
        reads=(Read(subjects.CONTROL, (f"{root}.control.halt.>",)), *consumers.router(config)),
        hears=(f"{root}.book.*", f"{root}.stats.*", f"{root}.metrics.venue.*"),
        missing=core.missing,
        claims=(Claim(subjects.epoch("router", "all"), ("all",)),),
        answers={
            subjects.PLAN: partial(
                plan.answer, market=plan.Market(instruments, config, strategies, core.books, core.stats)
            )
        },
        reports={
            subjects.VENUES: partial(health.answer, names=config.enabled_venues(), venues=core.venues),
        },
    )
