"""What each service says that it reads, hears and answers is what its role may: a service that asks for more would
end at its start, on a bus with roles only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bestex import config, consumers, plugins, rights
from bestex.config import Config
from bestex.rights import Role
from bestex.service import Service
from bestex.subjects import matches
from services.aggregator import service as aggregator
from services.collector import service as collector
from services.gateway import service as gateway
from services.recorder import service as recorder
from services.router import service as router
from services.scheduler import service as scheduler

CONFIG = config.load(None, {})
ROLES = {role.name: role for role in rights.roles(CONFIG)}
BUILDS: dict[str, Callable[[Config, tuple[str, ...]], Service]] = {
    "aggregator": aggregator.build,
    "collector": collector.build,
    "gateway": gateway.build,
    "recorder": recorder.build,
    "router": router.build,
    "scheduler": scheduler.build,
}
STARTS = [
    *((name, ()) for name in BUILDS),
    *(("gateway", (venue,)) for venue in CONFIG.enabled_venues()),
    *(("scheduler", (algo,)) for algo in plugins.ALGOS),
    *(("aggregator", (symbol,)) for symbol in CONFIG.instruments),
]


def started(name: str, names: tuple[str, ...]) -> tuple[Service, Role]:
    return BUILDS[name](CONFIG, names), ROLES[rights.role_of(name, names, CONFIG.enabled_venues())]


def may_hear(role: Role, subject: str) -> bool:
    """A filter's own wildcards stand for any token, so they match the table's."""
    return any(matches(pattern, subject) for pattern in role.may_subscribe)


def test_every_service_of_the_table_is_looked_at() -> None:
    assert set(BUILDS) == set(rights.SERVICES)


@pytest.mark.parametrize(("name", "names"), STARTS)
def test_a_service_hears_and_answers_what_its_role_may(name: str, names: tuple[str, ...]) -> None:
    service, role = started(name, names)
    settings = [pattern for read in service.reads if not read.durable for pattern in read.subjects]
    for subject in (*service.hears, *settings, *service.answers):
        assert may_hear(role, subject), f"{role.name} may not hear {subject}: add it in bestex/rights.py"


@pytest.mark.parametrize(("name", "names"), STARTS)
def test_a_service_reads_the_streams_that_its_role_may(name: str, names: tuple[str, ...]) -> None:
    service, role = started(name, names)
    asked = {request.subject for request in role.requests}
    for stream in service.streams:
        for what in ("STREAM.INFO", "DIRECT.GET"):
            assert f"{rights.API}.{what}.{stream}" in asked, f"{role.name} may not read {stream}"


@pytest.mark.parametrize(("name", "names"), STARTS)
def test_a_services_consumers_are_among_those_that_are_made(name: str, names: tuple[str, ...]) -> None:
    service, role = started(name, names)
    made = {one.read for one in consumers.every(CONFIG) if one.service == name}
    asked = {request.subject for request in role.requests}
    for read in service.reads:
        if read.durable:
            assert read in made
            assert f"{rights.API}.CONSUMER.MSG.NEXT.{read.stream}.{read.durable}" in asked
