"""What a gateway is made of: the core, the venue adapters, its journal and its inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from msgspec.structs import replace

from bestex import consumers, fleet, live, subjects
from bestex.clock import AffineClock
from bestex.config import Config
from bestex.config_venue import VenueConfig
from bestex.errors import UsageError
from bestex.plugins import GATEWAYS, load
from bestex.service import Claim, Read, Service
from bestex.sessions import calendar
from services.gateway.answers import answer, answer_holdings
from services.gateway.core import GatewayCore
from services.gateway.desk import Desk
from services.gateway.health import answer as health
from services.gateway.port import Capabilities, Venue
from services.gateway.venues.paper import PaperVenue


def build(config: Config, names: tuple[str, ...]) -> Service:
    """The gateway of the venues `names`; none means every enabled one.

    Raises UsageError for a venue that is not there or not enabled, and for an unknown adapter; ConfigError for one
    that is to trade for real and lacks what that needs (`bestex.live`).
    """
    served = config.chosen_venues(names)
    if not served:
        raise UsageError("no venue is enabled; enable one in the configuration")
    clock = AffineClock.from_environment()
    venues: dict[str, Venue] = {name: _adapter(name, config, clock)(name, config, clock) for name in served}
    capabilities = {name: _timed(venue, config.venues[name]) for name, venue in venues.items()}
    instruments = config.make_instruments()
    core = GatewayCore(capabilities, instruments, config, fleet.build())
    desk = Desk(venues, core.anomalies, core.halted, core.holdings.by_venue)
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
        reports={
            subjects.HALTS: partial(answer, venues=served, core=core, desk=desk),
            subjects.POSITIONS: partial(answer_holdings, core=core),
            subjects.VENUES: partial(
                health, venues={name: config.venues[name] for name in served}, core=core, desk=desk
            ),
        },
        actor=desk,
        keeps=core,
        claims=tuple(Claim(subjects.epoch("gateway", name), (name,)) for name in served),
    )


def _timed(venue: Venue, settings: VenueConfig) -> Capabilities:
    """What the venue can do, in its sessions: as configured, or else as the adapter knows them."""
    known = settings.calendar or venue.capabilities.calendar
    calendar(known)  # loaded now, and not while an order waits
    return replace(venue.capabilities, calendar=known)


def _adapter(name: str, config: Config, clock: AffineClock) -> Any:
    """What speaks for the venue; ConfigError where it is to trade for real and may not."""
    settings = config.venues[name]
    live.check(name, config, clock)
    if settings.is_live or settings.is_paper:
        how = "orders go to the venue" if settings.is_live else "nothing goes to the venue"
        structlog.get_logger(service="gateway").warning(f"{settings.kind}: {how}", venue=name)
    return PaperVenue if settings.is_paper else load(GATEWAYS, settings.adapter)


def _histories(venue: str) -> tuple[str, ...]:
    return tuple(f"{subjects.ROOT}.{head}.{venue}.>" for head in ("exec", "fill", "holdings"))
