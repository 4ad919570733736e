"""Who may do what on the bus: one table, from which the server's configuration and its test are made.

A role is a key, and an account of its own. What a role may publish towards others is imported into its account,
so that a reply subject of its own choosing leads nowhere but to what it may write anyway: the server's answer to a
publish goes where the publisher says, with the server's rights. The streams live in an account in which nobody
is. What is stored there comes out again below `STORED`, and goes to the accounts that may hear it.

Only the provisioner makes consumers: a request for one may carry the name of another's, and the server takes it
for a change of that one. So a right to read would be a right to stop whoever works. Histories are read without.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from bestex import consumers, stream_specs, subjects
from bestex.config import Config
from bestex.service import Read
from bestex.subjects import AT_WORK, HALTS, POSITIONS, ROOT, STORED, TABLE, VENUES, Plane, Row

BUS = "BUS"  # the account of the streams
API = "$JS.API"  # JetStream's own subjects, as the streams' account knows them
ROLE_API = "$JS.bestex.API"  # and as roles know them: the JetStream domain "bestex" of any client
INBOX = "_INBOX"
HELLO = "_INBOX.hello"  # where the bus answers who one is, whatever role one was taken for
WHOAMI = "$SYS.REQ.USER.INFO"
DISCOVERY = "$SRV.>"

USER, OPERATOR, MONITOR = PEOPLE = ("user", "operator", "monitor")
SERVICES = ("collector", "aggregator", "scheduler", "router", "gateway", "recorder")
PROVISIONER = "provisioner"
EXCHANGE = "exchange"  # stands outside of the bus, and hears there what its venues on paper show
_WRITER_IN_TABLE = {USER: "users", OPERATOR: "operators"}  # elsewhere the writer is the service

# What is heard beyond one's own, by the first words of the subjects. A service hears what it decides on.
_HEARS = {
    "aggregator": ("md.book", "md.trade", "md.mark"),
    "scheduler": ("book", "stats", "md.trade", "control.halt", "metrics.volume", "metrics.pools"),
    "router": ("book", "stats", "metrics.venue", "control.halt"),
    "gateway": ("book", "control.halt"),
    "recorder": ("book", "stats"),
    EXCHANGE: ("md.book", "md.trade"),
}
# The streams that are read beyond one's own, {venue} for each venue.
_READS = {
    "scheduler": (subjects.ORDERS, subjects.ROUTE, subjects.CONTROL, subjects.METRICS),
    "router": (subjects.SCHED, subjects.EXEC, subjects.CONTROL),
    "gateway": (subjects.ROUTE, subjects.CONTROL),
}
_ANSWERS = {"router": (subjects.PLAN, VENUES), "gateway": (HALTS, POSITIONS, VENUES)}  # requests of people
_PROVISIONS = (
    "STREAM.CREATE.*",
    "STREAM.UPDATE.*",
    "STREAM.DELETE.*",
    "STREAM.INFO.*",
    "STREAM.NAMES",
    "STREAM.LIST",
    "CONSUMER.CREATE.>",
    "CONSUMER.DELETE.*.*",
    "CONSUMER.INFO.*.*",
    "CONSUMER.NAMES.*",
    "CONSUMER.LIST.*",
)
_LOOKS = ("INFO", "STREAM.NAMES", "STREAM.LIST", "CONSUMER.NAMES.*", "CONSUMER.LIST.*")


class Answer(StrEnum):
    """How a request is answered: once, or in many messages."""

    ONE = "singleton"
    MANY = "stream"


@dataclass(frozen=True, order=True)
class Request:
    """A subject on which a role asks the account `of`, in the words of that account."""

    of: str
    subject: str
    answer: Answer = Answer.ONE

    @property
    def local(self) -> str:
        """The subject as the role knows it. JetStream's own would be answered by the server's default too."""
        if self.subject.startswith(f"{API}."):
            return f"{ROLE_API}{self.subject[len(API) :]}"
        return self.subject


@dataclass(frozen=True, order=True)
class Source:
    """A subject that a role hears from the account `of`."""

    of: str
    subject: str


@dataclass(frozen=True)
class Role:
    """`service` is the process that takes this key, empty for people and the provisioner."""

    name: str
    service: str = ""
    writes: tuple[str, ...] = ()
    emits: tuple[str, ...] = ()
    hears: tuple[Source, ...] = ()
    requests: tuple[Request, ...] = ()
    answers: tuple[str, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """What processes of one service say to each other; no other account hears it."""
        if not self.service:
            return ()
        return (f"{AT_WORK}.{self.service}.>",)

    @property
    def may_publish(self) -> tuple[str, ...]:
        asked = tuple(request.local for request in self.requests)
        return (*self.writes, *self.emits, *asked, *self.own, WHOAMI)

    @property
    def may_subscribe(self) -> tuple[str, ...]:
        if self.name in PEOPLE:  # `nats sub 'bestex.v1.>'` is fair; their account holds what they may hear
            heard: tuple[str, ...] = (f"{ROOT}.>", f"{STORED}.>")
        else:
            heard = tuple(map(self.heard_as, self.hears))
        return (f"{inbox(self.name)}.>", f"{HELLO}.*", *heard, *self.writes, *self.answers, *self.own)

    def heard_as(self, source: Source) -> str:
        """The name under which `source` arrives: the one that it was written to, unless it is written here. Then
        it is heard here as it is written, and what is stored of it comes under a name of its own."""
        plain = source.subject.removeprefix(f"{STORED}.")
        written_here = any(subject.startswith(plain[:-1]) for subject in self.writes)
        return source.subject if written_here else plain


def pattern(row: Row, venue: str = "*") -> str:
    """A row's subjects, in NATS's own words."""
    tokens = (venue if token == "<venue>" else token for token in row.pattern.split("."))
    return f"{ROOT}.{'.'.join('*' if token.startswith('<') else token for token in tokens)}"


def roles(config: Config) -> tuple[Role, ...]:
    """Every role of a platform with these venues. A gateway of one venue has a role of its own, `gateway` is
    the one of a process that serves them all."""
    venues = config.enabled_venues()
    return (
        *(_person(name, config) for name in PEOPLE),
        Role(
            PROVISIONER,
            requests=(Request(BUS, f"{API}.INFO"), *(Request(BUS, f"{API}.{what}") for what in _PROVISIONS)),
        ),
        Role(EXCHANGE, hears=tuple(_sources(_HEARS[EXCHANGE]))),
        *(_service(name, name, config, venues) for name in SERVICES),
        *(_service(role_of("gateway", (venue,), venues), "gateway", config, (venue,)) for venue in venues),
    )


def inbox(role: str) -> str:
    """Where a role's answers arrive. People keep what every client uses unasked: their account is theirs alone."""
    return INBOX if role in PEOPLE else f"{INBOX}.{role}"


def is_role(name: str) -> bool:
    """Whether an account of this name is one of ours, and not of a bus that somebody else has set up."""
    return name in (*PEOPLE, PROVISIONER, EXCHANGE, *SERVICES) or name.startswith("gateway-")


def writer_of(subject: str) -> str:
    """The role that publishes `subject`, however its letters are written; empty where no row of the table has it."""
    small = subject.lower()
    for row in TABLE:
        if subjects.matches(pattern(row), small):
            return next((role for role, word in _WRITER_IN_TABLE.items() if word == row.writer), row.writer)
    return PROVISIONER if small.startswith((API.lower(), ROLE_API.lower())) else ""


def role_of(service: str, names: tuple[str, ...], venues: tuple[str, ...]) -> str:
    """The role of a process that was started for `names`."""
    if service == "gateway" and len(names) == 1 and names[0] in venues:
        return f"gateway-{names[0]}"
    return service


def _person(name: str, config: Config) -> Role:
    writes = tuple(_writes(name))
    every_stream = tuple(spec.name for spec in stream_specs.specs(config))
    return Role(
        name,
        writes=writes,
        hears=tuple(_sources(tuple(dict.fromkeys(row.pattern.partition(".")[0] for row in TABLE)))),
        requests=(
            *_stored(writes),
            *(Request(BUS, f"{API}.{what}") for what in _LOOKS),
            *(request for stream in every_stream for request in _reading(stream)),
            *(Request(BUS, f"{API}.CONSUMER.INFO.{stream}.*") for stream in every_stream),
            Request("router", subjects.PLAN),
            *(Request(account, DISCOVERY, Answer.MANY) for account in _service_roles(config)),
            *(
                Request(account, asked, Answer.MANY)
                for account in _gateway_roles(config)
                for asked in _ANSWERS["gateway"]
            ),
            Request("router", VENUES, Answer.MANY),
        ),
    )


def _service(name: str, service: str, config: Config, venues: tuple[str, ...]) -> Role:
    written = venues if service == "gateway" else ("*",)
    writes = tuple(subject for venue in written for subject in _writes(service, venue))
    own_streams = {row.stream.format(venue=venue) for row in _rows(service) if row.stream for venue in venues}
    others = {stream.format(venue=venue) for stream in _READS.get(service, ()) for venue in venues}
    if service == "recorder":
        others = {spec.name for spec in stream_specs.specs(config)}
    mine = [one for one in consumers.every(config) if one.service == service]
    if service == "gateway":
        mine = [one for one in mine if one.venue in venues]
    return Role(
        name,
        service=service,
        writes=writes,
        emits=tuple(pattern(row) for row in _rows(service, Plane.LIVE)),
        hears=tuple(_sources(_HEARS.get(service, ()))),
        requests=(
            Request(BUS, f"{API}.INFO"),
            *_stored(writes),
            *(request for stream in sorted(own_streams | others) for request in _reading(stream)),
            *(request for one in mine for request in _consuming(one.read)),
        ),
        answers=(*_ANSWERS.get(service, ()), DISCOVERY),
    )


def _gateway_roles(config: Config) -> tuple[str, ...]:
    return ("gateway", *(f"gateway-{venue}" for venue in config.enabled_venues()))


def _service_roles(config: Config) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*SERVICES, *_gateway_roles(config))))


def _rows(service: str, plane: Plane = Plane.DURABLE) -> Iterator[Row]:
    writer = _WRITER_IN_TABLE.get(service, service)
    return (row for row in TABLE if row.writer == writer and row.plane is plane)


def _writes(name: str, venue: str = "*") -> Iterator[str]:
    if name == USER:
        # All below `order`: a misspelt verb is answered with a sentence, not with a violation.
        yield f"{ROOT}.order.>"
    else:
        yield from (pattern(row, venue) for row in _rows(name))


def _stored(writes: tuple[str, ...]) -> Iterator[Request]:
    """A durable write is a request to the stream, whose answer is the acknowledgement."""
    return (Request(BUS, subject) for subject in writes)


def _sources(heads: tuple[str, ...]) -> Iterator[Source]:
    """Where what begins with each of `heads` comes from. What is asked is not heard."""
    for head in heads:
        row = next(row for row in TABLE if f"{row.pattern}.".startswith(f"{head}."))
        if row.plane is Plane.LIVE:
            yield Source(row.writer, f"{ROOT}.{head}.>")
        elif row.plane is Plane.DURABLE:
            yield Source(BUS, f"{STORED}.{ROOT}.{head}.>")


def _reading(stream: str) -> Iterator[Request]:
    yield Request(BUS, f"{API}.STREAM.INFO.{stream}")
    yield Request(BUS, f"{API}.STREAM.MSG.GET.{stream}")
    yield Request(BUS, f"{API}.DIRECT.GET.{stream}", Answer.MANY)


def _consuming(read: Read) -> Iterator[Request]:
    name = f"{read.stream}.{read.durable}"
    yield Request(BUS, f"{API}.CONSUMER.INFO.{name}")
    yield Request(BUS, f"{API}.CONSUMER.MSG.NEXT.{name}", Answer.MANY)
    yield Request(BUS, f"$JS.ACK.{name}.>")
