"""Every role against every subject, on a real server: what the table of rights allows works, nothing else does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from bestex import bus_setup, rights
from bestex.rights import Answer, Request
from bestex.subjects import ROOT, STORED, TABLE, Plane
from tests.integration.bus_roles import (
    CONFIG,
    EVIL,
    GOOD,
    ROLES,
    STREAMS,
    VENUES,
    WAIT_S,
    Party,
    accounts,
    concrete,
    durable,
    everybody,
    make_streams,
    may,
    party,
    permissions_alone,
    start,
    tried,
)

TRIED = tried()
WRITERS = [name for name, role in ROLES.items() if role.writes]


@dataclass(frozen=True)
class Bus:
    url: str
    setup: bus_setup.Setup


@pytest.fixture(scope="module")
def roles_bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    """A bus with roles and the platform's streams."""
    server, setup = start(tmp_path_factory.mktemp("rights"))

    async def prepare() -> None:
        async with party(server.url, setup, rights.PROVISIONER) as provisioner:
            await make_streams(provisioner)

    asyncio.run(prepare())
    yield Bus(server.url, setup)
    server.stop()


@pytest.mark.parametrize("name", ROLES)
async def test_a_role_publishes_what_the_table_says_and_nothing_else(roles_bus: Bus, name: str) -> None:
    async with party(roles_bus.url, roles_bus.setup, name) as one:
        for subject in TRIED:
            await one.client.publish(subject, b"not what anybody expects")
        refused = await one.refused()
    forbidden = {subject.lower() for subject in TRIED if not may(one.role.may_publish, subject)}
    assert refused == forbidden


@pytest.mark.parametrize("name", ROLES)
async def test_a_role_hears_what_the_table_says_and_nothing_else(roles_bus: Bus, name: str) -> None:
    async with party(roles_bus.url, roles_bus.setup, name) as one:
        for subject in TRIED:
            await one.client.subscribe(subject)
        refused = await one.refused()
    assert refused == {subject.lower() for subject in TRIED if not may(one.role.may_subscribe, subject)}


async def test_each_subject_is_stored_for_its_writer_and_heard_once_by_people(roles_bus: Bus) -> None:
    async with everybody(roles_bus.url, roles_bus.setup) as parties:
        heard: dict[str, list[str]] = {name: [] for name in rights.PEOPLE}
        for name in rights.PEOPLE:

            async def take(message: Msg, said: list[str] = heard[name]) -> None:
                if GOOD in message.subject or "sim_" in message.subject:
                    said.append(message.subject)

            await parties[name].client.subscribe(f"{ROOT}.>", cb=take)
            assert await parties[name].refused() == set()
        written = []
        for name in WRITERS:
            one = parties[name]
            for row, subject, stream in durable(GOOD):
                if may(one.role.writes, subject):
                    ack = await one.ask(subject, b"{}")
                    assert (ack.get("stream"), ack.get("error")) == (stream, None), (name, row.pattern)
                    written.append(subject)
        assert {subject for _, subject, _ in durable(GOOD)} == set(written)
        for row in TABLE:
            if row.plane is Plane.LIVE:
                subject = concrete(row, GOOD, VENUES[0])
                await parties[row.writer].client.publish(subject, b"{}")
                written.append(subject)
        for name in rights.PEOPLE:
            await _until(lambda said=heard[name]: len(said) >= len(written))
            assert sorted(heard[name]) == sorted(written), name


async def _until(done: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        while not done():  # noqa: ASYNC110 - several lists are waited for
            await asyncio.sleep(0.005)


# -- what a reply subject can do -------------------------------------------------------------------------------


async def attack(one: Party, *, api: str, evil: str = EVIL) -> None:
    """Everything that this role may ask, each time with a reply subject (and a trace's destination) that it may not
    write, and each of those subjects directly."""
    targets = [subject for _, subject, _ in durable(evil) if not may(one.role.writes, subject)]
    carriers = [_carrier(pattern) for pattern in one.role.writes]
    carriers += [_carrier(request.local) for request in one.role.requests if "DELETE" not in request.subject]
    carriers = [
        carrier.replace(rights.ROLE_API, api) for carrier in dict.fromkeys((*carriers, rights.WHOAMI))
    ]
    for target in targets:
        await one.client.publish(target, b"{}")
        for carrier in carriers:
            body = b"{}" if carrier.startswith(ROOT) else b""
            await one.client.publish(carrier, body, reply=target)
            if carrier.startswith(ROOT):
                await one.client.publish(carrier, body, headers={"Nats-Trace-Dest": target})
    # Whatever the server answered to the above has gone out when it answers this.
    for carrier in carriers:
        if carrier.startswith(f"{ROOT}.") and may(one.role.writes, carrier):
            await one.ask(carrier)
    await one.refused()


def _carrier(pattern: str) -> str:
    return pattern.replace("*", "x").replace(">", "new.x.x" if pattern.startswith(f"{ROOT}.order") else "x")


async def stored_evil(parties: dict[str, Party], *, api: str) -> set[str]:
    """The subjects with EVIL in them that a stream holds, after everything before has been stored."""
    for _, subject, stream in durable("LAST"):
        writer = next(name for name in WRITERS if may(ROLES[name].writes, subject))
        assert (await parties[writer].ask(subject)).get("stream") == stream
    found: set[str] = set()
    for stream in STREAMS:
        request = json.dumps({"subjects_filter": ">"}).encode()
        info = await parties[rights.MONITOR].ask(f"{api}.STREAM.INFO.{stream}", request)
        found |= {subject for subject in info["state"].get("subjects") or {} if EVIL in subject}
    return found


@pytest.mark.parametrize("with_permissions", [True, False], ids=["whole", "accounts_alone"])
async def test_no_reply_subject_stores_anything_that_the_role_may_not_write(
    tmp_path: Path, with_permissions: bool
) -> None:
    """The accounts hold by themselves; the permissions only turn silence into an error."""
    table = accounts(tmp_path)
    if not with_permissions:
        for account in table.values():
            for user in account.get("users", ()):
                del user["permissions"]
    server, setup = start(tmp_path, table)
    try:
        async with everybody(server.url, setup) as parties:
            await make_streams(parties[rights.PROVISIONER])
            for one in parties.values():
                await attack(one, api=rights.ROLE_API)
            assert await stored_evil(parties, api=rights.ROLE_API) == set()
    finally:
        server.stop()


async def test_with_permissions_alone_every_writer_stores_what_it_may_not(tmp_path: Path) -> None:
    """Why there are accounts: the acknowledgement of a command is stored as a fill."""
    server, setup = start(tmp_path, permissions_alone(tmp_path))
    try:
        async with everybody(server.url, setup) as parties:
            await make_streams(parties[rights.PROVISIONER], rights.API)
            for name in WRITERS:
                evil = f"{EVIL}-{name}"
                await attack(parties[name], api=rights.API, evil=evil)
                named = (
                    subject for _, subject, _ in durable(evil) if evil in subject
                )  # a venue's claims are not
                others = {subject for subject in named if not may(ROLES[name].writes, subject)}
                stored = await stored_evil(parties, api=rights.API)
                assert others == {subject for subject in stored if f"{evil}." in f"{subject}."}, name
    finally:
        server.stop()


async def test_whoever_may_make_a_consumer_changes_that_of_another_so_only_the_provisioner_may(
    tmp_path: Path,
) -> None:
    """A request for a consumer of one's own may carry the scheduler's name."""
    creating = Request(rights.BUS, f"{rights.API}.CONSUMER.CREATE.ORDERS", Answer.ONE)
    monitor = ROLES[rights.MONITOR]
    careless = replace(monitor, requests=(*monitor.requests, creating))
    table = accounts(tmp_path, [role for role in ROLES.values() if role is not monitor] + [careless])
    server, setup = start(tmp_path, table)
    durable_name = "scheduler-all"
    try:
        async with everybody(server.url, setup) as parties:
            provisioner = parties[rights.PROVISIONER]
            await make_streams(provisioner)
            config = {"durable_name": durable_name, "name": durable_name, "ack_policy": "explicit"}
            made = await provisioner.api(
                f"CONSUMER.CREATE.ORDERS.{durable_name}", {"stream_name": "ORDERS", "config": config}
            )
            assert made["config"]["durable_name"] == durable_name
            mine = {"name": durable_name, "ack_policy": "explicit", "max_ack_pending": 1}
            await parties[rights.MONITOR].api(
                "CONSUMER.CREATE.ORDERS", {"stream_name": "ORDERS", "config": mine}
            )
            now = await parties["scheduler"].api(f"CONSUMER.INFO.ORDERS.{durable_name}", {})
            assert now["config"]["max_ack_pending"] == 1
    finally:
        server.stop()
    makers = [
        role.name
        for role in ROLES.values()
        if any("CONSUMER.CREATE" in request.subject for request in role.requests)
    ]
    assert makers == [rights.PROVISIONER]


async def test_only_the_provisioner_deletes_a_stream_and_no_flag_of_the_stream_stops_it(
    tmp_path: Path,
) -> None:
    server, setup = start(tmp_path)
    try:
        async with everybody(server.url, setup) as parties:
            await make_streams(parties[rights.PROVISIONER])
            call = f"{rights.ROLE_API}.STREAM.DELETE.METRICS"
            for name, one in parties.items():
                if name != rights.PROVISIONER:
                    await one.client.publish(call, b"")
                    assert await one.refused() == {call.lower()}, name
            there = await parties[rights.MONITOR].api("STREAM.INFO.METRICS", {})
            assert there["config"]["deny_delete"]
            assert (await parties[rights.PROVISIONER].ask(call, b""))["success"]
    finally:
        server.stop()


async def test_a_role_that_reads_has_its_own_consumer_and_no_other(roles_bus: Bus) -> None:
    role = ROLES["gateway-sim_a"]
    assert may(role.may_publish, f"{rights.ROLE_API}.CONSUMER.MSG.NEXT.ROUTE.gateway-sim_a")
    assert not may(role.may_publish, f"{rights.ROLE_API}.CONSUMER.MSG.NEXT.ROUTE.gateway-sim_b")
    assert not may(role.may_publish, "$JS.ACK.ROUTE.gateway-sim_b.1.1.1.1.0")
    async with party(roles_bus.url, roles_bus.setup, "gateway-sim_a") as one:
        await one.client.publish(f"{ROOT}.fill.sim_b.BTC-USDT.x", b"{}")
        assert await one.refused() == {f"{ROOT}.fill.sim_b.btc-usdt.x"}


def test_the_streams_account_has_nobody_in_it(tmp_path: Path) -> None:
    assert "users" not in accounts(tmp_path)[rights.BUS]
    assert "no_auth_user" not in json.dumps(accounts(tmp_path))


def test_every_export_names_who_may_import_it(tmp_path: Path) -> None:
    for name, account in accounts(tmp_path).items():
        for export in account["exports"]:
            assert export["accounts"], (name, export)


def test_what_is_stored_is_published_by_nobody() -> None:
    for role in ROLES.values():
        assert not may(role.may_publish, f"{STORED}.{ROOT}.fill.sim_a.BTC-USDT.x"), role.name


def test_this_configuration_has_two_gateways_of_one_venue() -> None:
    assert CONFIG.enabled_venues() == VENUES
