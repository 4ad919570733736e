"""The scheduler's wiring: which algorithms, which inputs."""

from __future__ import annotations

from bestex import fleet, plugins, subjects
from bestex.config import Config
from bestex.errors import UsageError
from bestex.service import Claim, Read, Service
from services.scheduler.core import SchedulerCore
from services.scheduler.intake import Intake

FALLBACK = "market"  # whoever works this algorithm also answers for algorithms that nobody knows


def build(config: Config, names: tuple[str, ...]) -> Service:
    """A scheduler for the algorithms `names`, or for all. Raises UsageError for an unknown one."""
    for name in names:
        if name not in plugins.ALGOS:
            raise UsageError(f"there is no algorithm {name!r}; there are {', '.join(plugins.ALGOS)}")
    mine = frozenset(names or plugins.ALGOS)
    answers_for_unknown = FALLBACK in mine
    algos = {name: plugins.load(plugins.ALGOS, name) for name in plugins.ALGOS}
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    root = subjects.ROOT
    if answers_for_unknown:
        orders: tuple[str, ...] = (f"{root}.order.>",)
    else:
        orders = tuple(f"{root}.order.*.{name}.>" for name in sorted(mine))
    together = "-".join(sorted(names)) or "all"
    durable = f"scheduler-{together}"
    core = SchedulerCore(Intake(config, algos, strategies), config, mine, answers_for_unknown, fleet.build())
    return Service(
        name="scheduler",
        names=names,
        core=core,
        journal=(Read(subjects.SCHED, (f"{root}.parent.>",)),),
        reads=(
            Read(subjects.CONTROL, (f"{root}.control.halt.>",)),
            Read(subjects.ORDERS, orders, durable),
            Read(subjects.ROUTE, (f"{root}.route.*.*.*.done",), durable),
        ),
        # The acceptances of other schedulers, so that an id is used once by all of them together.
        hears=(f"{root}.book.*", f"{root}.parent.*.*.accepted"),
        missing=core.missing,
        claims=(Claim(subjects.epoch("scheduler", together), tuple(sorted(mine))),),
    )
