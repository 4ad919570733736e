"""One readable line for each message, and which messages a filter of `bestex watch` wants."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from nats.aio.client import Client

from bestex import bus, codec, ids
from bestex import messages as m
from bestex.clock import rfc3339
from bestex.errors import UsageError
from bestex.subjects import ROOT, event_name, kind_of, matches
from bestex.units import from_units

BOOK_PAUSE_S = 0.5  # a person reads two books a second at best
DURABLE = ("parent", "route", "child", "exec", "fill", "control", "metrics", "order")
DEFAULT = ("parent", "route", "child", "exec", "fill", "control")
LIVE = ("book", "stats", "md")


@dataclass(frozen=True)
class Filter:
    """`durable` and `live`: subject patterns. `parent_id` and `symbol`: what the message must speak of."""

    durable: tuple[str, ...]
    live: tuple[str, ...] = ()
    parent_id: str = ""
    symbol: str = ""

    @classmethod
    def parse(cls, text: str, symbols: tuple[str, ...]) -> Filter:
        """UsageError where a pattern is none of ours."""
        everything = tuple(f"{ROOT}.{head}.>" for head in DEFAULT)
        if not text:
            return cls(everything)
        if text in DURABLE:
            return cls((f"{ROOT}.{text}.>",))
        if text in LIVE:
            return cls((), (f"{ROOT}.{text}.>",))
        symbol = next((one for one in symbols if text in (one, ids.token(one))), "")
        if symbol or "/" in text:
            return cls(everything, (f"{ROOT}.book.{ids.token(text)}",), symbol=symbol or text)
        if "." in text or ">" in text or "*" in text:
            pattern = text if text.startswith(f"{ROOT}.") else f"{ROOT}.{text}"
            head = pattern.removeprefix(f"{ROOT}.").partition(".")[0]
            if head in LIVE:
                return cls((), (pattern,))
            if head in DURABLE:
                return cls((pattern,))
            if head in (">", "*"):
                return cls(everything, (f"{ROOT}.book.>",))
            raise UsageError(f'no subject begins with "{head}"; there are {", ".join((*DURABLE, *LIVE))}')
        if not ids.is_parent_id(text):
            raise UsageError(f'"{text}" is no kind, symbol, parent id or subject pattern')
        return cls(everything, parent_id=text)

    async def streams(self, client: Client) -> dict[str, list[str]]:
        """Which streams hold what is wanted, and under which patterns."""
        found: dict[str, list[str]] = {}
        for pattern in self.durable:
            answer = await bus.api(client, "STREAM.NAMES", {"subject": pattern})
            for stream in answer.get("streams") or ():
                found.setdefault(stream, []).append(pattern)
        return found

    def wants(self, subject: str, message: Any) -> bool:
        if self.parent_id:
            return str(getattr(message, "parent_id", "")) == self.parent_id
        if self.symbol:
            return getattr(message, "symbol", self.symbol) == self.symbol
        return any(matches(pattern, subject) for pattern in (*self.durable, *self.live))


def decode(subject: str, data: bytes) -> Any:
    """The message; what users wrote on `order.>`, which may be anything, as text."""
    if subject.startswith(f"{ROOT}.order."):
        return f"{subject.removeprefix(f'{ROOT}.')} {data.decode(errors='replace')}"
    kind, is_msgpack = kind_of(subject)
    return codec.from_msgpack(data, kind) if is_msgpack else codec.from_json(data, kind)


def describe(message: Any) -> str:
    """Time, kind, ids, and what matters of it, in one line."""
    if isinstance(message, str):
        return message
    at = getattr(message, "at", None)
    when = rfc3339(int(at))[11:23] if at is not None else " " * 12
    match message:
        case m.ParentEvent():
            return f"{when} parent {message.parent_id} {_parent(message)}"
        case m.RouteEvent():
            return f"{when} route  {message.parent_id}.{message.slice_no} {_route(message)}"
        case m.ExecEvent():
            return f"{when} exec   {message.child_id} {message.venue} {_execution(message)}"
        case m.Fill():
            return (
                f"{when} fill   {message.child_id} {message.venue} {message.side} {message.qty:f} "
                f"{message.symbol} at {message.price:f}, fee {message.fee:f}, {message.liquidity}"
                f"{', ON PAPER' if message.paper else ''}"
            )
        case m.ChildNew():
            return (
                f"{when} child  {message.child_id} {message.venue} new {message.side} {message.qty:f} "
                f"{message.symbol} at {message.price:f} {message.tif}"
            )
        case m.ChildCancel():
            return f"{when} child  {message.child_id} {message.venue} cancel, {message.reason}"
        case m.ChildReplace():
            return (
                f"{when} child  {message.child_id} {message.venue} replace by {message.qty:f} "
                f"{message.symbol} at {message.price:f}"
            )
        case m.TcaReport():
            return f"{when} tca    {message.parent_id} {_figures(message, 'parent_id', 'arrival_source')}"
        case m.VenueMetrics():
            return f"{when} venue  {message.venue} {_figures(message, 'venue')}"
        case m.AlgoMetrics():
            return f"{when} algo   {message.algo} {_figures(message, 'algo')}"
        case m.PoolFindings():
            found = ", ".join(f"{one.venue} {one.filled:f} of {one.qty:f}" for one in message.trials[-5:])
            return f"{when} pools  {message.symbol} {len(message.trials)} findings, the last ones {found}"
        case m.ConsolidatedBook():
            return f"{rfc3339(message.at_ns)[11:23]} book   {_book(message)}"
        case m.Halt():
            switch = "on" if message.halted else "off"
            return f"{when} halt   {message.scope} {switch} by {message.by}: {message.reason}"
    return f"{when} {type(message).__name__} {message}"


def _parent(event: Any) -> str:
    name = event_name(event)
    match event:
        case m.ParentAccepted(order=order):
            why = f" ({event.reason})" if event.reason else ""
            text = f"{order.side} {order.qty:f} {event.symbol} by {order.algo}{why}"
        case m.ParentRejected():
            return f"rejected {event.request}: {event.text} ({event.code})"
        case m.ParentSliced():
            why = f" ({event.why})" if event.why else ""
            text = f"{event.slice_no}: {event.side} {event.qty:f}{why}"
        case m.ParentRecalled():
            text = f"{event.slice_no}: {event.reason} {event.text}".rstrip()
        case m.ParentSettled():
            text = f"{event.slice_no}: {event.filled_qty:f}, {event.reason}"
        case m.ParentPaused() if event.code is not None:
            text = f"{event.code}: {event.text}"
        case m.ParentTrailed():
            text = f"stop {event.stop_price:f}"
        case m.ParentSwitched():
            text = f"to {event.works_as}: {event.text}"
        case m.ParentDone():
            text = f"{event.reason} {event.text}".strip()
        case _:
            text = str(getattr(event, "text", ""))
    average = "" if event.avg_px is None else f" at {event.avg_px:f}"
    return f"{name} {text} | filled {event.cum_qty:f}{average}, left {event.leaves_qty:f}"


def _route(event: Any) -> str:
    match event:
        case m.RouteDecided():
            legs = ", ".join(f"{leg.venue} {leg.qty:f} at {leg.price:f}" for leg in event.legs)
            why = f" ({event.why})" if event.why else ""
            short = f"; {event.text}" if event.text else ""
            return f"{event_name(event)} by {event.strategy}: {legs or 'nothing'}{why}{short}"
        case m.RouteRepriced():
            return f"repriced: {', '.join(f'{one.child_id} to {one.price:f}' for one in event.children)}"
        case m.RouteWithdrawn():
            return f"withdrawn: {len(event.children)} resting to be routed again"
        case m.RouteDone():
            return f"done {event.filled_qty:f} of {event.qty:f}, {event.reason} {event.text}".rstrip()
    return f"{event_name(event)} {getattr(event, 'reason', '')}"


def _execution(event: Any) -> str:
    match event:
        case m.ExecSubmitting():
            where = " ON PAPER" if event.paper else ""
            return f"submitting{where} {event.side} {event.qty:f} at {event.price:f} {event.tif}"
        case m.ExecAccepted():
            return f"accepted as {event.venue_order_id}"
        case m.ExecInvited(code=None):
            return f"invited until {event.until}, to be firmed up"
        case m.ExecEnded():
            code = getattr(event, "code", "")
            return f"{event_name(event)} {event.cum_qty:f} {code} {getattr(event, 'text', '')}".rstrip()
    return f"{event_name(event)} {getattr(event, 'code', '')} {getattr(event, 'text', '')}".rstrip()


def _figures(message: msgspec.Struct, *but: str) -> str:
    """What is known, name by name, to as many digits as a person reads."""
    shown = []
    for name, value in msgspec.structs.asdict(message).items():
        if name in ("at", *but) or value is None or value == "":
            continue
        text = (
            f"{value:f}"
            if isinstance(value, Decimal)
            else f"{value:.4g}"
            if isinstance(value, float)
            else value
        )
        shown.append(f"{name} {text}")
    return ", ".join(shown)


def _book(book: m.ConsolidatedBook) -> str:
    live = [venue for venue in book.venues if venue.status is m.BookStatus.LIVE]
    bids = [(venue.bid_px[0] - venue.basis, venue.venue) for venue in live if venue.bid_px]
    asks = [(venue.ask_px[0] - venue.basis, venue.venue) for venue in live if venue.ask_px]
    if not bids or not asks:
        return f"{book.symbol} nothing to trade on, {len(live)} of {len(book.venues)} venues live"
    (bid, bid_venue), (ask, ask_venue) = max(bids), min(asks)
    flag = " crossed" if book.crossed else " locked" if book.locked else ""
    return (
        f"{book.symbol} {from_units(bid, book.price_scale):f} {bid_venue} | "
        f"{from_units(ask, book.price_scale):f} {ask_venue}{flag}, "
        f"{len(live)} of {len(book.venues)} venues live"
    )
