"""Connections of every role to a real server, and the subjects that they try."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from bestex import bus_accounts, bus_keys, bus_setup, config, consumers, rights, stream_specs
from bestex.rights import Role
from bestex.server import NatsServer
from bestex.subjects import AT_WORK, ROOT, STORED, TABLE, Plane, Row

VENUES = ("sim_a", "sim_b")
CONFIG = config.load(None, {f"BESTEX__VENUES__{venue}__ENABLED": "false" for venue in ("SIM_C", "SIM_D")})
ROLES = {role.name: role for role in rights.roles(CONFIG)}
EVIL = "EVIL"  # a token of every subject that must never be stored
GOOD = "GOOD"
STREAMS = tuple(spec.name for spec in stream_specs.specs(CONFIG))
_REFUSED = re.compile(r"permissions violation for (?:publish|subscription) to \"([^\"]+)\"")
WAIT_S = 10.0


@dataclass
class Party:
    role: Role
    client: Client
    refusals: list[str] = field(default_factory=list)

    async def refused(self) -> set[str]:
        """What the server has refused so far: its errors come before the answer to this question. nats-py's flush
        would not do: its PING overtakes publishes that still wait in the client."""
        await self.ask(rights.WHOAMI, b"")
        found = {match[1] for text in self.refusals if (match := _REFUSED.search(text))}
        self.refusals.clear()
        return found

    async def ask(self, subject: str, data: bytes = b"{}", **options: Any) -> dict[str, Any]:
        reply = await self.client.request(subject, data, timeout=WAIT_S, **options)
        answer: dict[str, Any] = json.loads(reply.data)
        return answer

    async def api(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        return await self.ask(f"{rights.ROLE_API}.{what}", json.dumps(request).encode())


class Fixed(bus_setup.Setup):
    """The setup of a server whose accounts a test has written by hand."""

    text = ""

    @property
    def accounts(self) -> str:
        return self.text


def start(folder: Path, accounts: dict[str, Any] | None = None) -> tuple[NatsServer, bus_setup.Setup]:
    setup = bus_setup.init(folder / "bus", CONFIG)
    if accounts is not None:
        setup = Fixed(setup.folder, (), False)
        object.__setattr__(setup, "text", f"accounts: {json.dumps(accounts)}\n")
    server = NatsServer()
    server.start(folder / "nats", setup=setup)
    return server, setup


def keys(folder: Path) -> dict[str, str]:
    return bus_keys.public_keys(bus_setup.init(folder / "bus", CONFIG).keys_dir, ROLES)


def accounts(folder: Path, roles: Sequence[Role] = tuple(ROLES.values())) -> dict[str, Any]:
    return bus_accounts.accounts_of(tuple(roles), keys(folder))


def permissions_alone(folder: Path) -> dict[str, Any]:
    """One account for all, with the same rights as permissions on subjects."""
    users = []
    for role in ROLES.values():
        allowed = bus_accounts.permissions(role)
        allowed["publish"]["allow"] += [request.subject for request in role.requests]
        users.append({"nkey": keys(folder)[role.name], "permissions": allowed})
    return {"ALL": {"jetstream": "enabled", "users": users}}


@asynccontextmanager
async def party(url: str, setup: bus_setup.Setup, name: str) -> AsyncIterator[Party]:
    refusals: list[str] = []

    async def refuse(error: Exception) -> None:
        refusals.append(str(error))

    client = await nats.connect(
        url,
        nkeys_seed=str(setup.key(name)),
        inbox_prefix=rights.inbox(name).encode(),
        error_cb=refuse,
        allow_reconnect=False,
    )
    try:
        yield Party(ROLES[name], client, refusals)
    finally:
        await client.close()


@asynccontextmanager
async def everybody(url: str, setup: bus_setup.Setup) -> AsyncIterator[dict[str, Party]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(party(url, setup, name)) for name in ROLES}


async def make_streams(provisioner: Party, prefix: str = rights.ROLE_API) -> None:
    for spec in stream_specs.specs(CONFIG):
        made = await provisioner.ask(
            f"{prefix}.STREAM.CREATE.{spec.name}", json.dumps(spec.config()).encode()
        )
        assert "error" not in made, made


def concrete(row: Row, symbol: str, venue: str) -> str:
    """A subject of this row, with `symbol` in it, whatever the row's tokens are."""
    named = [token for token in row.pattern.split(".") if token.startswith("<") and token != "<venue>"]
    filled = {
        "<venue>": venue,
        "<event>": "accepted",
        **{token: symbol if index == 0 else "x" for index, token in enumerate(named)},
    }
    return f"{ROOT}.{'.'.join(filled.get(token, token) for token in row.pattern.split('.'))}"


def durable(symbol: str) -> Iterator[tuple[Row, str, str]]:
    """Every row of the durable plane with each venue: the row, the subject, its stream."""
    for row in TABLE:
        for venue in VENUES if "<venue>" in row.pattern else VENUES[:1]:
            if row.plane is Plane.DURABLE and not (row.pattern == "metrics.venue.<venue>" and EVIL in symbol):
                yield row, concrete(row, symbol, venue), row.stream.format(venue=venue)


def may(allowed: Sequence[str], subject: str) -> bool:
    from bestex.subjects import matches

    return any(matches(pattern, subject) for pattern in allowed)


def tried() -> tuple[str, ...]:
    """Every subject that somebody uses or would like to use, in both names of JetStream's API."""
    named = [subject for _, subject, _ in durable("BTC-USDT")]
    named += [
        concrete(row, "BTC-USDT", venue)
        for row in TABLE
        if row.plane is not Plane.DURABLE
        for venue in VENUES
    ]
    calls = ["INFO", "STREAM.NAMES", "STREAM.LIST", "ACCOUNT.PURGE.BUS", "STREAM.TEMPLATE.CREATE.x"]
    for stream in STREAMS:
        calls += [
            f"{what}.{stream}"
            for what in (
                *(f"STREAM.{verb}" for verb in ("CREATE", "UPDATE", "DELETE", "PURGE", "INFO", "SNAPSHOT")),
                *("STREAM.RESTORE", "STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.LEADER.STEPDOWN"),
                *("DIRECT.GET", "CONSUMER.CREATE", "CONSUMER.NAMES", "CONSUMER.LIST"),
            )
        ]
        calls += [f"CONSUMER.{what}.{stream}.own" for what in ("CREATE", "MSG.NEXT", "INFO", "DELETE")]
        calls += [f"CONSUMER.DURABLE.CREATE.{stream}.own", f"DIRECT.GET.{stream}.{ROOT}.order.new.x.y"]
    acks = []
    for one in consumers.every(CONFIG):
        name = f"{one.read.stream}.{one.read.durable}"
        calls += [f"CONSUMER.{what}.{name}" for what in ("CREATE", "MSG.NEXT", "INFO", "DELETE", "PAUSE")]
        acks.append(f"$JS.ACK.{name}.1.1.1.1.0")
    return tuple(
        dict.fromkeys(
            (
                *named,
                *(f"{api}.{call}" for api in (rights.API, rights.ROLE_API) for call in calls),
                *acks,
                *(f"{STORED}.{subject}" for subject in named),
                *(f"{rights.inbox(name)}.{'x' if name in rights.PEOPLE else 'y'}" for name in ROLES),
                *(f"{AT_WORK}.{service}.all" for service in rights.SERVICES),
                *(f"$SRV.{verb}" for verb in ("PING", "INFO", "STATS")),
                *(f"$SRV.INFO.bestex-{service}" for service in rights.SERVICES),
                *("$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.BUS.INFO", "_R_.x.y"),
            )
        )
    )
