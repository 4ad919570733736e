"""The scheduler's wiring: which algorithms, which inputs."""

from __future__ import annotations

from bestex import consumers, fleet, plugins, subjects
from bestex.config import Config
from bestex.service import Claim, Read, Service
from services.scheduler.core import SchedulerCore
from services.scheduler.intake import Intake


def build(config: Config, names: tuple[str, ...]) -> Service:
    """A scheduler for the algorithms `names`, or for all. Raises UsageError for an unknown one."""
    reads = consumers.scheduler(names)
    mine = frozenset(names or plugins.ALGOS)
    answers_for_unknown = consumers.FALLBACK in mine
    algos = {name: plugins.load(plugins.ALGOS, name) for name in plugins.ALGOS}
    strategies = {name: plugins.load(plugins.STRATEGIES, name) for name in plugins.STRATEGIES}
    root = subjects.ROOT
    core = SchedulerCore(Intake(config, algos, strategies), config, mine, answers_for_unknown, fleet.build())
    return Service(
        name="scheduler",
        names=names,
        core=core,
        journal=(
            Read(
                subjects.SCHED,
                (f"{root}.parent.>",),
                begins=(f"{root}.parent.*.*.accepted",),
                ends=(f"{root}.parent.*.*.done",),
            ),
        ),
        past=core.past,
        reads=(
            Read(subjects.CONTROL, (f"{root}.control.halt.>",)),
            Read(subjects.METRICS, (f"{root}.metrics.volume.>", f"{root}.metrics.pools.>")),
            *reads,
        ),
        # The acceptances of other schedulers, so that an id is used once by all of them together.
        hears=(f"{root}.book.*", f"{root}.stats.*", f"{root}.parent.*.*.accepted"),
        missing=core.missing,
        claims=(Claim(subjects.epoch("scheduler", "-".join(sorted(names)) or "all"), tuple(sorted(mine))),),
    )
