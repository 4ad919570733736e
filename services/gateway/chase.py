"""What to ask, and when to ask again, until a child's end is known. Bounded by backoff, never given up."""

from __future__ import annotations

from dataclasses import dataclass, field

from bestex import messages as m
from bestex.clock import DAY, MS, SECOND, Time
from bestex.core import Call, Effect, Fact, Wake
from bestex.errors import Code
from bestex.messages import Tif
from bestex.sessions import ALWAYS, calendar
from services.gateway import port as p
from services.gateway.claims import Claims
from services.gateway.facts import about, unknown
from services.gateway.orders import Child, Status

FIRST_PAUSE_NS = 250 * MS
PAUSE_MAX_NS = (
    5 * SECOND
)  # 10,000 children in doubt ask 2,000 times a second at most, and the actor bounds that
STATUS_EVERY_NS = 30 * SECOND  # a calm order is looked at though the stream should have told
DOWN_PAUSE_NS = SECOND
NATIVE_GRACE_NS = 2 * SECOND  # how long a venue with GTD may take before we cancel ourselves
ABSENCE_MARGIN_NS = (
    5 * SECOND
)  # bytes that left at the deadline have reached the venue by then, or never will
ABSENCE_PAUSE_NS = SECOND  # between two absences that are to agree: longer than a venue's replicas lag
OVERLAP_NS = 15 * SECOND  # how far back a pull goes: three times the clock skew that the defaults allow

_AT_ONCE = (Tif.IOC, Tif.FOK)


@dataclass(slots=True)
class Chase:
    """What was merely heard of one child. Lost at a restart, and then asked for again. `claims` are its venue's,
    where that takes no client ids."""

    claims: Claims | None = None
    attempts: int = 0
    heard_ns: int = 0  # the last sign that the venue has it
    venue_cum: int = 0  # the most that the venue said has filled
    absent: dict[p.Endpoint, int] = field(default_factory=dict)
    closed: p.VenueClosed | None = None
    invitation: p.VenueInvited | None = None  # not answered yet

    def seen(self, now: int) -> None:
        """The venue has it: absences begin anew."""
        self.heard_ns = now
        self.absent.clear()

    def pause_ns(self) -> int:
        return min(FIRST_PAUSE_NS << min(self.attempts, 10), PAUSE_MAX_NS)


def key(child: Child) -> str:
    return f"child:{child.child_id}"


def submit(child: Child, event: m.ExecSubmitting, capabilities: p.Capabilities) -> Call:
    display, least = event.display_qty, event.min_fill_qty
    return Call(
        p.Submit(
            venue=child.venue,
            symbol=child.symbol,
            child_id=child.child_id,
            side=child.side,
            qty=child.qty,
            price=child.price,
            tif=child.tif,
            post_only=child.post_only,
            deadline_ns=int(child.deadline),
            good_till_ns=int(child.good_till),
            send_at_ns=int(event.send_at or 0),
            display_qty=0 if display is None else child.instrument.qty_units(display),
            min_qty=0 if least is None else child.instrument.qty_units(least),
            conditional=event.conditional,
            closes_ns=closes_ns(capabilities, event.at),
        )
    )


def replace(child: Child, event: m.ExecReplacing, capabilities: p.Capabilities) -> Call:
    return Call(
        p.Replace(
            venue=child.venue,
            symbol=child.symbol,
            child_id=child.child_id,
            venue_order_id=child.venue_order_id,
            side=child.side,
            qty=child.instrument.qty_units(event.qty),
            price=child.instrument.price_units(event.price),
            deadline_ns=int(event.deadline),
            closes_ns=closes_ns(capabilities, event.at),
        )
    )


# Cancels and questions make no new risk, whoever asks: they pass though the bus is lost.


def cancel(child: Child) -> Call:
    return Call(
        p.Cancel(
            venue=child.venue,
            symbol=child.symbol,
            child_id=child.child_id,
            venue_order_id=child.venue_order_id,
        ),
        always=True,
    )


def look(child: Child, chase: Chase) -> Call:
    return Call(query(child, chase), always=True)


def query(child: Child, chase: Chase) -> p.QueryOrder:
    """The next question: where an absence was heard at the first endpoint, the other one is asked."""
    return p.QueryOrder(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        venue_order_id=child.venue_order_id,
        endpoint=p.Endpoint.LISTS if p.Endpoint.ORDER in chase.absent else p.Endpoint.ORDER,
        since_ns=child.submitted_at - OVERLAP_NS,
        side=child.side,
        qty=child.qty,
        price=child.price,
        tif=child.tif,
        submitted_ns=int(child.submitted_at),
        claimed=chase.claims.others(child) if chase.claims and not child.venue_order_id else (),
        cum_qty=child.cum_qty,
        notional=child.notional,
    )


def closes_ns(capabilities: p.Capabilities, at_ns: int) -> int:
    """When the session ends that the venue is in at `at_ns`; 0 where it does not within a day, `at_ns` where it is in
    none."""
    if capabilities.calendar == ALWAYS:
        return 0
    closes = calendar(capabilities.calendar).until(at_ns, at_ns + DAY)
    return closes if closes < at_ns + DAY else 0


def pull(child: Child) -> Call:
    return Call(p.PullFills(venue=child.venue, since_ns=child.submitted_at - OVERLAP_NS), always=True)


def may_cancel(child: Child, capabilities: p.Capabilities) -> bool:
    """Whether a cancel is wanted and can be sent."""
    return child.cancel is not None and can_cancel(child, capabilities)


def can_cancel(child: Child, capabilities: p.Capabilities) -> bool:
    """Canceling what may not be there is safe where it is named by an id that only this child has."""
    if child.status not in (Status.WORKING, Status.UNKNOWN):
        return False
    return bool(child.venue_order_id or capabilities.client_id_length)


def again(child: Child, chase: Chase, capabilities: p.Capabilities, now: int) -> Wake:
    """When to look at an open child next."""
    in_doubt = (
        child.status is not Status.WORKING
        or child.cancel is not None
        or child.replacing is not None
        or child.firming
        or child.tif in _AT_ONCE
        or chase.closed is not None
        or chase.venue_cum > child.cum_qty
    )
    if in_doubt:
        return Wake(key(child), now + chase.pause_ns())
    return Wake(key(child), max(now + MS, min(_good_till(child, capabilities), now + STATUS_EVERY_NS)))


def pursue(
    child: Child, chase: Chase, capabilities: p.Capabilities, session: p.Session, now: Time
) -> list[Fact | Effect]:
    """The child's timer: write down what time has decided, then ask for what is not known."""
    if child.ended:
        return []
    if child.status is Status.SUBMITTING and chase.closed is None:
        return [unknown(child, now, Code.TIMEOUT, "no answer to the submission within its time")]
    if child.cancel is None and child.tif not in _AT_ONCE and now >= _good_till(child, capabilities):
        reason = Code.EXPIRED if now >= child.good_till else Code.MARKET_CLOSED
        return [about(m.ExecCanceling, child, now, reason=reason)]
    if session is p.Session.DOWN:
        return [Wake(key(child), now + DOWN_PAUSE_NS)]
    asks: list[Fact | Effect] = []
    if may_cancel(child, capabilities):
        asks.append(cancel(child))
    asks.append(look(child, chase))
    if chase.closed is not None or chase.venue_cum > child.cum_qty:
        asks.append(pull(child))
    chase.attempts += 1
    return [*asks, again(child, chase, capabilities, now)]


def after_restart(child: Child, now: Time) -> Fact | Wake:
    """An open child of the journal."""
    if child.status is Status.SUBMITTING:
        return unknown(child, now, Code.TIMEOUT, "the gateway restarted before the answer came")
    return Wake(key(child), now)


def _good_till(child: Child, capabilities: p.Capabilities) -> int:
    """When we end it ourselves. No order outlives the session that it was sent in: whether the venue ended it by
    itself is what is asked then."""
    closes = closes_ns(capabilities, child.submitted_at)
    if closes and closes < child.good_till:
        return closes
    native = child.tif is Tif.GTD and Tif.GTD in capabilities.tifs
    return child.good_till + NATIVE_GRACE_NS if native else child.good_till
