"""Every subject, its message, its plane, its stream and its writer: the public contract in one table.

Subjects that name an order's history end in an event; `history` is the wildcard over all of them, and the
filter under which a write is compared and set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple, get_args

from bestex import messages as m
from bestex.ids import token

ROOT = "bestex.v1"
STORED = "_BESTEX.stored"  # below it, each message again as soon as its stream holds it

ORDERS, SCHED, ROUTE, METRICS, CONTROL = "ORDERS", "SCHED", "ROUTE", "METRICS", "CONTROL"
EXEC = "EXEC_{venue}"

ParentEvents = (
    m.ParentAccepted
    | m.ParentStarted
    | m.ParentTrailed
    | m.ParentSwitched
    | m.ParentRejected
    | m.ParentSliced
    | m.ParentRecalled
    | m.ParentSettled
    | m.ParentPaused
    | m.ParentResumed
    | m.ParentModified
    | m.ParentReplanned
    | m.ParentCanceling
    | m.ParentDone
)
RouteEvents = (
    m.RouteDecided | m.RouteRerouted | m.RouteRepriced | m.RouteWithdrawn | m.RouteRecalled | m.RouteDone
)
ExecEvents = (
    m.ExecSubmitting
    | m.ExecAccepted
    | m.ExecUnknown
    | m.ExecCanceling
    | m.ExecCancelRejected
    | m.ExecReplacing
    | m.ExecReplaced
    | m.ExecReplaceRejected
    | m.ExecInvited
    | m.ExecFirmed
    | m.ExecFirmRejected
    | m.ExecRejected
    | m.ExecFilled
    | m.ExecCanceled
    | m.ExecExpired
)
HoldingsEvents = m.HoldingsOpened | m.HoldingsAdjusted
ORDER_VERBS: dict[str, type[Any]] = {
    "new": m.ParentOrder,
    "cancel": m.CancelOrder,
    "modify": m.ModifyOrder,
    "pause": m.PauseOrder,
    "resume": m.ResumeOrder,
}


class Plane(StrEnum):
    DURABLE = "durable"
    LIVE = "live"
    REQUEST = "request"


class Row(NamedTuple):
    pattern: str
    message: Any
    plane: Plane
    stream: str
    writer: str


TABLE = (
    Row("order.new.<algo>.<symbol>", m.ParentOrder, Plane.DURABLE, ORDERS, "users"),
    Row("order.cancel.<algo>.<symbol>.<parent_id>", m.CancelOrder, Plane.DURABLE, ORDERS, "users"),
    Row("order.modify.<algo>.<symbol>.<parent_id>", m.ModifyOrder, Plane.DURABLE, ORDERS, "users"),
    Row("order.pause.<algo>.<symbol>.<parent_id>", m.PauseOrder, Plane.DURABLE, ORDERS, "users"),
    Row("order.resume.<algo>.<symbol>.<parent_id>", m.ResumeOrder, Plane.DURABLE, ORDERS, "users"),
    Row("parent.<symbol>.<parent_id>.<event>", ParentEvents, Plane.DURABLE, SCHED, "scheduler"),
    Row("route.<symbol>.<parent_id>.<slice_no>.<event>", RouteEvents, Plane.DURABLE, ROUTE, "router"),
    Row("child.<venue>.<symbol>.<child_id>.new", m.ChildNew, Plane.DURABLE, ROUTE, "router"),
    Row("child.<venue>.<symbol>.<child_id>.cancel", m.ChildCancel, Plane.DURABLE, ROUTE, "router"),
    Row("child.<venue>.<symbol>.<child_id>.replace", m.ChildReplace, Plane.DURABLE, ROUTE, "router"),
    Row("exec.<venue>.<symbol>.<child_id>.<event>", ExecEvents, Plane.DURABLE, EXEC, "gateway"),
    Row("fill.<venue>.<symbol>.<fill_id>", m.Fill, Plane.DURABLE, EXEC, "gateway"),
    Row("holdings.<venue>.<account>.<event>", HoldingsEvents, Plane.DURABLE, EXEC, "gateway"),
    Row("metrics.tca.<parent_id>", m.TcaReport, Plane.DURABLE, METRICS, "recorder"),
    Row("metrics.venue.<venue>", m.VenueMetrics, Plane.DURABLE, METRICS, "recorder"),
    Row("metrics.algo.<algo>", m.AlgoMetrics, Plane.DURABLE, METRICS, "recorder"),
    Row("metrics.volume.<symbol>.<date>", m.VolumeDay, Plane.DURABLE, METRICS, "recorder"),
    Row("metrics.pools.<symbol>", m.PoolFindings, Plane.DURABLE, METRICS, "recorder"),
    Row("control.halt.<scope>", m.Halt, Plane.DURABLE, CONTROL, "operators"),
    Row("control.accept.<stream>", m.StreamAccepted, Plane.DURABLE, CONTROL, "operators"),
    Row("control.volume.<symbol>.<date>", m.VolumeDay, Plane.DURABLE, CONTROL, "operators"),
    Row("epoch.scheduler.<name>", m.Epoch, Plane.DURABLE, SCHED, "scheduler"),
    Row("epoch.router.<name>", m.Epoch, Plane.DURABLE, ROUTE, "router"),
    Row("epoch.gateway.<venue>", m.Epoch, Plane.DURABLE, EXEC, "gateway"),
    Row("epoch.recorder.<name>", m.Epoch, Plane.DURABLE, METRICS, "recorder"),
    Row("md.book.<venue>.<symbol>", m.VenueBook, Plane.LIVE, "", "collector"),
    Row("md.trade.<venue>.<symbol>", m.MarketTrade, Plane.LIVE, "", "collector"),
    Row("md.mark.<venue>.<symbol>", m.MarkPrice, Plane.LIVE, "", "collector"),
    Row("md.bbo.<venue>.<symbol>", m.Bbo, Plane.LIVE, "", "collector"),
    Row("book.<symbol>", m.ConsolidatedBook, Plane.LIVE, "", "aggregator"),
    Row("stats.<symbol>", m.Stats, Plane.LIVE, "", "aggregator"),
    Row("plan", m.PlanRequest, Plane.REQUEST, "", "any"),
    Row("halts", m.HaltQuestion, Plane.REQUEST, "", "any"),
    Row("positions", m.HoldingsQuestion, Plane.REQUEST, "", "any"),
    Row("venues", m.VenuesQuestion, Plane.REQUEST, "", "any"),
)

PLAN = f"{ROOT}.plan"
HALTS = f"{ROOT}.halts"
POSITIONS = f"{ROOT}.positions"
VENUES = f"{ROOT}.venues"
AT_WORK = "_BESTEX.at_work"  # between processes of one service; no part of the public contract


def event_name(event: Any) -> str:
    """The last token of an event's subject: its tag."""
    name: str = type(event).__struct_config__.tag
    return name


def order(verb: str, algo: str, symbol: str, parent_id: str = "") -> str:
    tail = f".{parent_id}" if parent_id else ""
    return f"{ROOT}.order.{verb}.{token(algo)}.{token(symbol)}{tail}"


def parent(symbol: str, parent_id: str, event: str) -> str:
    return f"{ROOT}.parent.{token(symbol)}.{parent_id}.{event}"


def route(symbol: str, parent_id: str, slice_no: int | str, event: str) -> str:
    return f"{ROOT}.route.{token(symbol)}.{parent_id}.{slice_no}.{event}"


def child(venue: str, symbol: str, child_id: str, command: str) -> str:
    return f"{ROOT}.child.{venue}.{token(symbol)}.{child_id}.{command}"


def execution(venue: str, symbol: str, child_id: str, event: str) -> str:
    return f"{ROOT}.exec.{venue}.{token(symbol)}.{child_id}.{event}"


def fill(venue: str, symbol: str, fill_id: str) -> str:
    return f"{ROOT}.fill.{venue}.{token(symbol)}.{fill_id}"


def holdings(venue: str, account: str, event: str) -> str:
    return f"{ROOT}.holdings.{venue}.{token(account)}.{event}"


def md_book(venue: str, symbol: str) -> str:
    return f"{ROOT}.md.book.{venue}.{token(symbol)}"


def md_trade(venue: str, symbol: str) -> str:
    return f"{ROOT}.md.trade.{venue}.{token(symbol)}"


def md_mark(venue: str, symbol: str) -> str:
    return f"{ROOT}.md.mark.{venue}.{token(symbol)}"


def md_bbo(venue: str, symbol: str) -> str:
    return f"{ROOT}.md.bbo.{venue}.{token(symbol)}"


def book(symbol: str) -> str:
    return f"{ROOT}.book.{token(symbol)}"


def stats(symbol: str) -> str:
    return f"{ROOT}.stats.{token(symbol)}"


def metrics(kind: str, name: str) -> str:
    return f"{ROOT}.metrics.{kind}.{token(name)}"


def volume(symbol: str, date: str) -> str:
    return f"{ROOT}.metrics.volume.{token(symbol)}.{date}"


def bring_volume(symbol: str, date: str) -> str:
    return f"{ROOT}.control.volume.{token(symbol)}.{date}"


def halt(scope: str) -> str:
    return f"{ROOT}.control.halt.{token(scope)}"


def accept(stream: str) -> str:
    return f"{ROOT}.control.accept.{stream}"


def epoch(service: str, name: str) -> str:
    return f"{ROOT}.epoch.{service}.{token(name)}"


def exec_stream(venue: str) -> str:
    return EXEC.format(venue=venue)


_ALONE = (f"{ROOT}.fill.", f"{ROOT}.epoch.gateway.")


def history(subject: str) -> str:
    """The filter over all events of the order that `subject` speaks of; a fill is a history of its own, and so are
    the claims on a venue."""
    if subject.startswith(_ALONE):
        return subject
    return f"{subject.rpartition('.')[0]}.*"


_OF_VENUE = ("exec", "fill", "holdings")  # whose next word is the venue, and so the stream
_STREAM = {row.pattern.partition(".")[0]: row.stream for row in TABLE if row.plane is Plane.DURABLE}
_EPOCHS = {row.writer: row.stream for row in TABLE if row.pattern.startswith("epoch.")}


def stream_of(subject: str) -> str:
    """The stream that holds a durable subject. KeyError for a subject of the live plane."""
    tokens = subject.split(".")
    head = tokens[2]
    if head == "epoch":
        return exec_stream(tokens[4]) if tokens[3] == "gateway" else _EPOCHS[tokens[3]]
    return exec_stream(tokens[3]) if head in _OF_VENUE else _STREAM[head]


_KIND: dict[str, Any] = {
    "parent": ParentEvents,
    "route": RouteEvents,
    "exec": ExecEvents,
    "fill": m.Fill,
    "holdings": HoldingsEvents,
    "md.book": m.VenueBook,
    "md.trade": m.MarketTrade,
    "md.mark": m.MarkPrice,
    "md.bbo": m.Bbo,
    "book": m.ConsolidatedBook,
    "stats": m.Stats,
    "child.new": m.ChildNew,
    "child.cancel": m.ChildCancel,
    "child.replace": m.ChildReplace,
    "metrics.tca": m.TcaReport,
    "metrics.venue": m.VenueMetrics,
    "metrics.algo": m.AlgoMetrics,
    "metrics.volume": m.VolumeDay,
    "metrics.pools": m.PoolFindings,
    "control.halt": m.Halt,
    "control.accept": m.StreamAccepted,
    "control.volume": m.VolumeDay,
    "epoch": m.Epoch,
}
_MSGPACK = frozenset({"md.book", "md.trade", "md.mark", "md.bbo", "book"})


class Decoded(NamedTuple):
    message: Any
    is_msgpack: bool


def kind_of(subject: str) -> Decoded:
    """The message type of a subject that a service wrote, and its encoding. KeyError where there is none.

    Orders are not among them: what users write is parsed strictly by `bestex.intake`.
    """
    tokens = subject.split(".")
    head = tokens[2]
    if head in ("md", "metrics", "control"):
        head = f"{head}.{tokens[3]}"
    elif head == "child":
        head = f"child.{tokens[6]}"
    return Decoded(_KIND[head], head in _MSGPACK)


def matches(pattern: str, subject: str) -> bool:
    """NATS's own rule: `*` is one token, `>` one or more at the end."""
    wanted, given = pattern.split("."), subject.split(".")
    for i, part in enumerate(wanted):
        if part == ">":
            return len(given) > i
        if i >= len(given) or part not in ("*", given[i]):
            return False
    return len(wanted) == len(given)


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a subject is under any of `patterns`, asked many times."""
    either = "|".join(re.escape(pattern).replace(r"\*", "[^.]+").replace(">", ".+") for pattern in patterns)
    compiled = re.compile(either)
    return lambda subject: compiled.fullmatch(subject) is not None


assert len(get_args(ParentEvents)) == 14, "every parent event is in the union"
