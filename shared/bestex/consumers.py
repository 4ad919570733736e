"""The durable consumers: what each service is given of the streams, each message until it is acknowledged.

`bestex streams apply` makes them: whoever may make a consumer may change everybody's, so on a bus with roles only
the provisioner does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bestex import plugins, stream_specs, subjects
from bestex.config import Config
from bestex.errors import UsageError
from bestex.service import Read
from bestex.subjects import ROOT

FALLBACK = "market"  # whoever works this algorithm also answers for algorithms that nobody knows
CHILD_ENDS = ("canceled", "expired", "filled", "rejected")


@dataclass(frozen=True)
class Consumer:
    """A durable of `service`; a gateway's belongs to one `venue`."""

    service: str
    read: Read
    venue: str = ""


def scheduler(names: tuple[str, ...]) -> tuple[Read, ...]:
    """For the algorithms `names`; none means all. UsageError for an unknown one."""
    for name in names:
        if name not in plugins.ALGOS:
            raise UsageError(f"there is no algorithm {name!r}; there are {', '.join(plugins.ALGOS)}")
    durable = f"scheduler-{'-'.join(sorted(names)) or 'all'}"
    if not names or FALLBACK in names:
        orders: tuple[str, ...] = (f"{ROOT}.order.>",)
    else:
        orders = tuple(f"{ROOT}.order.*.{name}.>" for name in sorted(names))
    return (
        Read(subjects.ORDERS, orders, durable),
        Read(subjects.ROUTE, (f"{ROOT}.route.*.*.*.done",), durable),
    )


def router(config: Config) -> tuple[Read, ...]:
    slices = Read(
        subjects.SCHED, (f"{ROOT}.parent.*.*.recalled", f"{ROOT}.parent.*.*.sliced"), durable="router"
    )
    ends = (
        Read(
            subjects.exec_stream(venue),
            tuple(f"{ROOT}.exec.{venue}.*.*.{event}" for event in CHILD_ENDS),
            durable="router",
        )
        for venue in config.enabled_venues()
    )
    return (slices, *ends)


def gateway(venue: str) -> Read:
    """One per venue, so that a venue can move to another process with its place kept."""
    return Read(subjects.ROUTE, (f"{ROOT}.child.{venue}.>",), durable=f"gateway-{venue}")


def recorder(config: Config) -> tuple[Read, ...]:
    """Every stream but the recorder's own."""
    return tuple(
        Read(spec.name, spec.subjects, durable="recorder")
        for spec in stream_specs.specs(config)
        if spec.name != subjects.METRICS
    )


def whole(config: Config) -> tuple[Consumer, ...]:
    """Those of a platform with one process a service."""
    return (
        *_of("scheduler", scheduler(())),
        *_of("router", router(config)),
        *(Consumer("gateway", gateway(venue), venue) for venue in config.enabled_venues()),
        *_of("recorder", recorder(config)),
    )


def split(config: Config) -> tuple[Consumer, ...]:
    """Those of a platform with one scheduler an algorithm."""
    schedulers = tuple(one for name in plugins.ALGOS for one in _of("scheduler", scheduler((name,))))
    return (*schedulers, *(one for one in whole(config) if one.service != "scheduler"))


def every(config: Config) -> tuple[Consumer, ...]:
    return tuple(dict.fromkeys((*whole(config), *split(config))))


def _of(service: str, reads: tuple[Read, ...]) -> Iterator[Consumer]:
    return (Consumer(service, read) for read in reads)
