"""How a gateway is put together."""

from __future__ import annotations

import pytest

from bestex.clock import AffineClock
from bestex.config import parse
from bestex.errors import UsageError
from services.gateway.port import Venue
from services.gateway.service import build
from services.gateway.venues._template import TemplateVenue
from services.gateway.venues.sim import SimVenue
from tests.unit.gateway.bench import CONFIG, VENUE


def test_a_gateway_owns_its_venues_streams_and_hears_its_commands_and_all_halts() -> None:
    service = build(CONFIG, (VENUE,))
    assert [read.stream for read in service.journal] == ["EXEC_sim_a"]
    assert service.hears == ("bestex.v1.book.BTC-USDT",), "the collar's references, and nothing else"
    assert list(service.reports) == ["bestex.v1.halts", "bestex.v1.positions", "bestex.v1.venues"]
    assert [(read.stream, read.subjects, read.durable) for read in service.reads] == [
        ("CONTROL", ("bestex.v1.control.halt.>",), ""),
        ("ROUTE", ("bestex.v1.child.sim_a.>",), "gateway-sim_a"),
    ]


def test_no_name_means_every_enabled_venue() -> None:
    service = build(parse("[venues.sim_a]\n[venues.sim_b]\n[venues.sim_c]\nenabled = false\n"), ())
    assert [read.stream for read in service.journal] == ["EXEC_sim_a", "EXEC_sim_b"]


@pytest.mark.parametrize("name", ["sim_z", ""])
def test_a_venue_that_is_not_there_is_named_with_those_that_are(name: str) -> None:
    with pytest.raises(UsageError, match="sim_a"):
        build(CONFIG, (name,))


def test_the_adapters_keep_to_the_port() -> None:
    clock = AffineClock()
    venues: list[Venue] = [SimVenue(VENUE, CONFIG, clock), TemplateVenue(VENUE, CONFIG, clock)]
    assert all(venue.capabilities.in_flight_max > 2 for venue in venues)
