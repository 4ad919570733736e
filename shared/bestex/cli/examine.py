"""The examination behind `bestex doctor`: one finding per thing looked at, and how to repair it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from bestex import bus, codec, fleet, halting, streams, subjects
from bestex import messages as m
from bestex.bus import api
from bestex.bus_access import Access
from bestex.clock import SECOND, AffineClock, parse_time
from bestex.config import Config
from bestex.errors import BusError, StreamMismatch
from bestex.human import Duration

LISTEN_S = 1.2  # services answer in milliseconds, stats come once a second
SERVICES = ("collector", "aggregator", "router", "gateway", "scheduler", "recorder")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    what: str
    ok: bool
    text: str
    remedy: str = ""


class Endpoint(msgspec.Struct, frozen=True):
    subject: str = ""


class Info(msgspec.Struct, frozen=True):
    """What a service says of itself on $SRV.INFO (the answer of NATS's micro protocol)."""

    name: str
    id: str
    version: str = ""
    metadata: dict[str, str] = {}
    endpoints: list[Endpoint] = []


class Stats(msgspec.Struct, frozen=True):
    """What we read of the answer on $SRV.STATS."""

    id: str
    started: str = ""


async def examine(config: Config, access: Access, clock: AffineClock) -> list[Finding]:
    """Look at everything; never raises for what it finds."""
    try:
        client = await bus.connect(access, "bestex-doctor")
    except BusError as error:
        return [Finding(what="bus", ok=False, text=str(error), remedy="run `bestex up`, or set NATS_URL")]
    try:
        found = [Finding(what="bus", ok=True, text=f"{access.url}, nats-server {_version(client)}")]
        found.append(await _jetstream(client))
        found.append(await _streams(client, config))
        infos, stats, books = await asyncio.gather(
            ask(client, "$SRV.INFO", Info), ask(client, "$SRV.STATS", Stats), _listen(client)
        )
        uptimes = {one.id: one.started for one in stats}
        found.extend(_services(infos, uptimes))
        found.append(_fleet(infos))
        found.append(await _halts(client))
        found.extend(_books(config, books, clock.now_ns()))
    finally:
        await client.close()
    return found


async def ask(client: Client, subject: str, kind: type[msgspec.Struct], wait_s: float = LISTEN_S) -> list:  # type: ignore[type-arg]
    """Everything that services answer on `subject` within `wait_s`."""
    decoder = msgspec.json.Decoder(kind)
    found = []

    async def take(message: Msg) -> None:
        if message.data:  # an account without that service says so with an empty message
            found.append(decoder.decode(message.data))

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=take)
    await client.publish(subject, b"", reply=inbox)
    await asyncio.sleep(wait_s)
    await subscription.unsubscribe()
    return found


async def _jetstream(client: Client) -> Finding:
    try:
        account = await api(client, "INFO", {})
    except BusError as error:
        return Finding(
            what="JetStream", ok=False, text=str(error), remedy="start nats-server with JetStream on (-js)"
        )
    if "error" in account:
        return Finding(
            what="JetStream",
            ok=False,
            text=str(account["error"].get("description")),
            remedy="allow JetStream for this account",
        )
    text = f"{account['streams']} streams, {account['storage'] / 1e6:.1f} MB on disk"
    return Finding(what="JetStream", ok=True, text=text)


async def _streams(client: Client, config: Config) -> Finding:
    try:
        await streams.verify(client, config)
    except StreamMismatch as error:
        return Finding(what="streams", ok=False, text=str(error), remedy="run `bestex streams apply`")
    except BusError as error:
        return Finding(what="streams", ok=False, text=str(error), remedy="see JetStream above")
    return Finding(what="streams", ok=True, text=", ".join(spec.name for spec in streams.specs(config)))


def _services(infos: Iterable[Info], started: dict[str, str]) -> list[Finding]:
    by_name: dict[str, list[Info]] = {}
    for info in infos:
        by_name.setdefault(info.name.removeprefix("bestex-"), []).append(info)
    found = []
    for name in (*SERVICES, *sorted(set(by_name) - set(SERVICES))):
        if name not in by_name:
            found.append(
                Finding(
                    what=name,
                    ok=False,
                    text="does not answer",
                    remedy=f"start it with `bestex up` or `python -m services.{name}`; "
                    f"its last words are in <data dir>/logs/{name}.log",
                )
            )
        for info in by_name.get(name, ()):
            serves = info.metadata.get("names", "")
            subjects_served = ", ".join(endpoint.subject for endpoint in info.endpoints)
            text = f"version {info.version}, process {info.metadata.get('pid', '?')}, {serves}"
            if uptime := _uptime(started.get(info.id, "")):
                text += f", up {uptime}"
            if subjects_served:
                text += f", answers {subjects_served}"
            found.append(Finding(what=name, ok=True, text=text))
    return found


def _fleet(infos: Iterable[Info]) -> Finding:
    """Whether all services are of one build, and this command too."""
    builds: dict[str, set[str]] = {fleet.build(): {"this command"}}
    for info in infos:
        name = info.name.removeprefix("bestex-")
        builds.setdefault(info.metadata.get("build", "an unknown build"), set()).add(name)
    if len(builds) == 1:
        return Finding(what="builds", ok=True, text=fleet.build())
    text = "; ".join(f"{', '.join(sorted(names))}: {build}" for build, names in sorted(builds.items()))
    remedy = "start all services from one release: gateways refuse what another build has decided"
    return Finding(what="builds", ok=False, text=text, remedy=remedy)


async def _halts(client: Client) -> Finding:
    try:
        words = [word for word in await halting.words(client) if word.halted]
    except BusError as error:
        return Finding(what="halts", ok=False, text=str(error), remedy="see streams above")
    if not words:
        return Finding(what="halts", ok=True, text="nothing is halted")
    text = "; ".join(f"{word.scope} by {word.by}: {word.reason}" for word in words)
    remedy = "nothing goes out there until `bestex unhalt`; see `bestex halts`"
    return Finding(what="halts", ok=False, text=text, remedy=remedy)


def _uptime(started: str) -> str:
    if not started:
        return ""
    try:
        seconds = (time.time_ns() - parse_time(started)) // SECOND
    except ValueError:
        return ""
    return str(Duration(max(seconds, 0) * SECOND))


async def _listen(client: Client) -> dict[str, m.ConsolidatedBook]:
    """The newest consolidated book of each symbol that comes while we listen."""
    newest: dict[str, m.ConsolidatedBook] = {}

    async def take(message: Msg) -> None:
        book = codec.from_msgpack(message.data, m.ConsolidatedBook)
        newest[book.symbol] = book

    subscription = await client.subscribe(f"{subjects.ROOT}.book.*", cb=take)
    await asyncio.sleep(LISTEN_S)
    await subscription.unsubscribe()
    return newest


def _books(config: Config, books: dict[str, m.ConsolidatedBook], now_ns: int) -> list[Finding]:
    found = []
    for symbol in config.instruments:
        what = f"book {symbol}"
        book = books.get(symbol)
        if book is None:
            found.append(
                Finding(
                    what=what,
                    ok=False,
                    text=f"nothing heard for {LISTEN_S:g} s",
                    remedy="look at the collector and the aggregator above",
                )
            )
            continue
        live = [venue for venue in book.venues if venue.status is m.BookStatus.LIVE]
        ages = ", ".join(_venue_age(venue, now_ns) for venue in book.venues)
        remedy = "" if live else "no venue's book is live: look at the collector's log"
        if book.crossed:
            ages += "; crossed"
        found.append(Finding(what=what, ok=bool(live), text=ages, remedy=remedy))
    return found


def _venue_age(venue: m.VenueColumn, now_ns: int) -> str:
    if not venue.recv_ns:
        return f"{venue.venue} {venue.status}"
    age_ms = max(now_ns - venue.recv_ns, 0) / 1e6
    return f"{venue.venue} {venue.status} {age_ms:.0f} ms"


def _version(client: Client) -> str:
    found = client.connected_server_version
    return f"{found.major}.{found.minor}.{found.patch}"
