"""What each role may write, read and hear, said once more by hand: the table must not be its own judge."""

from __future__ import annotations

import pytest

from bestex import config, rights
from bestex.rights import Role
from bestex.subjects import matches

CONFIG = config.load(None, {})
ROLES = {role.name: role for role in rights.roles(CONFIG)}

WRITES = {
    "user": ("order.new.twap.BTC-USDT", "order.cancel.twap.BTC-USDT.p1"),
    "operator": ("control.halt.global", "control.volume.BTC-USDT.2026-11-27"),
    "monitor": (),
    "provisioner": (),
    "exchange": (),
    "collector": tuple(f"md.{kind}.sim_a.BTC-USDT" for kind in ("book", "trade", "mark", "bbo")),
    "aggregator": ("book.BTC-USDT", "stats.BTC-USDT"),
    "scheduler": ("parent.BTC-USDT.p1.sliced",),
    "router": ("route.BTC-USDT.p1.1.decided", "child.sim_a.BTC-USDT.c1.new"),
    "gateway": ("exec.sim_a.BTC-USDT.c1.filled", "fill.sim_b.BTC-USDT.t1"),
    "gateway-sim_a": ("exec.sim_a.BTC-USDT.c1.filled", "fill.sim_a.BTC-USDT.t1"),
    "gateway-sim_b": ("exec.sim_b.BTC-USDT.c1.filled", "fill.sim_b.BTC-USDT.t1"),
    "recorder": (
        "metrics.tca.p1",
        "metrics.venue.sim_a",
        "metrics.algo.twap",
        "metrics.volume.BTC-USDT.2026-11-27",
        "metrics.pools.BTC-USDT",
    ),
}
EVERYTHING = {subject for subjects in WRITES.values() for subject in subjects}
READS = {
    "scheduler": {"ORDERS", "SCHED", "ROUTE", "CONTROL", "METRICS"},
    "gateway-sim_a": {"EXEC_sim_a", "ROUTE", "CONTROL"},
    "exchange": set(),
    "collector": set(),
    "aggregator": set(),
    "provisioner": set(),
}


def may(role: Role, subject: str) -> bool:
    return any(matches(pattern, f"bestex.v1.{subject}") for pattern in (*role.writes, *role.emits))


@pytest.mark.parametrize("name", WRITES)
def test_a_role_writes_its_own_subjects_and_no_others(name: str) -> None:
    allowed = {subject for subject in EVERYTHING if may(ROLES[name], subject)}
    more = {"gateway": EVERYTHING & {s for s in EVERYTHING if s.startswith(("exec.", "fill."))}}
    assert allowed == more.get(name, set(WRITES[name]))


@pytest.mark.parametrize("name", READS)
def test_a_role_reads_the_streams_that_it_needs(name: str) -> None:
    prefix = f"{rights.API}.DIRECT.GET."
    asked = [request.subject for request in ROLES[name].requests]
    assert {subject.removeprefix(prefix) for subject in asked if subject.startswith(prefix)} == READS[name]


def test_the_exchange_hears_what_collectors_tell_and_nothing_else() -> None:
    heard = {(source.of, source.subject) for source in ROLES["exchange"].hears}
    assert heard == {("collector", "bestex.v1.md.book.>"), ("collector", "bestex.v1.md.trade.>")}
    assert not ROLES["exchange"].requests


def test_only_the_provisioner_makes_and_deletes() -> None:
    for role in ROLES.values():
        making = [
            request.subject
            for request in role.requests
            if any(verb in request.subject for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE"))
        ]
        assert bool(making) == (role.name == "provisioner"), role.name


def test_no_two_roles_share_a_consumer_except_gateways_of_one_venue() -> None:
    holders: dict[str, set[str]] = {}
    for role in ROLES.values():
        for request in role.requests:
            if "CONSUMER.MSG.NEXT" in request.subject:
                holders.setdefault(request.subject, set()).add(role.service)
    assert holders
    assert all(len(services) == 1 for services in holders.values())


def test_people_can_tell_who_is_meant_by_a_refusal() -> None:
    assert rights.writer_of("bestex.v1.fill.sim_a.btc-usdt.x") == "gateway"
    assert rights.writer_of("bestex.v1.order.new.twap.BTC-USDT") == "user"
    assert rights.writer_of("$js.bestex.api.stream.delete.orders") == "provisioner"
    assert rights.writer_of("somewhere.else") == ""


@pytest.mark.parametrize(
    ("service", "names", "role"),
    [
        ("gateway", ("sim_a",), "gateway-sim_a"),
        ("gateway", ("sim_a", "sim_b"), "gateway"),
        ("gateway", (), "gateway"),
        ("scheduler", ("twap",), "scheduler"),
        ("router", (), "router"),
    ],
)
def test_a_process_takes_the_role_of_what_it_serves(service: str, names: tuple[str, ...], role: str) -> None:
    assert rights.role_of(service, names, CONFIG.enabled_venues()) == role
    assert role in ROLES
