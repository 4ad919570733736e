"""What a gateway is made of: the core, the venue adapters, its journal and its inputs."""

from __future__ import annotations

from functools import partial

from bestex import consumers, fleet, subjects
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.errors import UsageError
from bestex.plugins import GATEWAYS, load
from bestex.service import Claim, Read, Service
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk
from services.gateway.halting import answer
from services.gateway.port import Venue


def build(config: Config, names: tuple[str, ...]) -> Service:
    """The gateway of the venues `names`; none means every enabled one.

    Raises UsageError for a venue that is not there or not enabled, and for an unknown adapter.
    """
    served = config.chosen_venues(names)
    if not served:
        raise UsageError("no venue is enabled; enable one in the configuration")
    clock = AffineClock.from_environment()
    venues: dict[str, Venue] = {
        name: load(GATEWAYS, config.venues[name].adapter)(name, config, clock) for name in served
    }
    capabilities = {name: venue.capabilities for name, venue in venues.items()}
    instruments = config.make_instruments()
    core = GatewayCore(capabilities, instruments, config, fleet.build())
    desk = Desk(venues, core.anomalies, core.halted)
    traded = [one.symbol for one in instruments.all if any(one.listing(name) for name in served)]
    return Service(
        name="gateway",
        names=names,
        core=core,
        journal=tuple(Read(subjects.exec_stream(name), _histories(name)) for name in served),
        reads=(
            Read(subjects.CONTROL, (f"{subjects.ROOT}.control.halt.>",)),
            *(consumers.gateway(name) for name in served),
        ),
        # The references of the price collar: of what is traded here, and no more.
        hears=tuple(subjects.book(symbol) for symbol in traded),
        reports={subjects.HALTS: partial(answer, venues=served, core=core, desk=desk)},
        actor=desk,
        keeps=core,
        claims=tuple(Claim(subjects.epoch("gateway", name), (name,)) for name in served),
    )


def _histories(venue: str) -> tuple[str, ...]:
    return tuple(f"{subjects.ROOT}.{head}.{venue}.>" for head in ("exec", "fill"))
