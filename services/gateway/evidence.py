"""What a venue's word means for a child, by the child's status: the table at the end is the whole of it.

A pair that is not in the table teaches nothing (an answer that comes after the stream has told the end).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bestex import messages as m
from bestex.clock import Time
from bestex.core import Effect, Fact, Wake
from bestex.errors import Code
from services.gateway import facts, firm_up
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS, ABSENCE_PAUSE_NS, Chase, key, look, pull
from services.gateway.orders import Child, Status

Out = list[Fact | Effect]
Handler = Callable[[Child, Chase, Any, Time], Out]


def weigh(child: Child, chase: Chase, said: p.VenueSaid, now: Time) -> Out:
    """The facts that follow from `said`, and what to ask because of it."""
    handler = EVIDENCE.get((child.status, type(said)))
    return handler(child, chase, said, now) if handler is not None else []


def _accepted(child: Child, chase: Chase, said: p.VenueAccepted, now: Time) -> Out:
    chase.seen(now)
    out: Out = [facts.about(m.ExecAccepted, child, now, venue_order_id=said.venue_order_id)]
    return [*out, *firm_up.seen(child, said, now), *_behind(child, chase, said)]


def _still_working(child: Child, chase: Chase, said: p.VenueAccepted, now: Time) -> Out:
    chase.seen(now)
    out = [*firm_up.seen(child, said, now), *_behind(child, chase, said)]
    pending = child.replacing
    if pending is not None and said.qty:
        if (said.qty, said.price) == (pending.qty, pending.price):
            out.append(_replaced_to(child, now, said.qty, said.price, said.venue_order_id))
        elif said.asked_ns >= pending.deadline_ns + ABSENCE_MARGIN_NS:
            text = "the venue works the order as it was"
            out.append(facts.about(m.ExecReplaceRejected, child, now, code=Code.TIMEOUT, text=text))
    return out


def _behind(child: Child, chase: Chase, said: p.VenueAccepted) -> Out:
    """Fetch what the venue says has filled and we have not heard of."""
    chase.venue_cum = max(chase.venue_cum, said.cum_qty)
    return [pull(child)] if said.cum_qty > child.cum_qty else []


def _rejected(child: Child, _chase: Chase, said: p.VenueRejected, now: Time) -> Out:
    if said.code is Code.DUPLICATE_ORDER:
        return [facts.unknown(child, now, said.code, f"the venue has this id already: {said.text}")]
    if child.cum_qty:
        return [facts.unknown(child, now, said.code, f"refused though it has filled: {said.text}")]
    how: dict[str, Any] = {"code": said.code, "text": said.text, "evidence": "refused"}
    return [facts.end(m.ExecRejected, child, now, venue_order_id=said.venue_order_id, **how)]


def _rejected_after_all(child: Child, _chase: Chase, said: p.VenueRejected, now: Time) -> Out:
    """A query found it refused. The code says how it was learned, the text why it was refused."""
    if child.cum_qty:
        return []
    text = f"absent at the venue, which refused it ({said.code}): {said.text}"
    how: dict[str, Any] = {"code": Code.TIMEOUT, "text": text, "evidence": "refused"}
    return [facts.end(m.ExecRejected, child, now, venue_order_id=said.venue_order_id, **how)]


def _rejected_late(child: Child, chase: Chase, said: p.VenueRejected, now: Time) -> Out:
    """Accepted, and then refused: some venues do. Believed where the venue's own record says it, and it has not
    filled; the answer to a request alone may be about another one."""
    if not said.found or child.cum_qty or chase.venue_cum:
        return _doubtful(child, chase, said, now)
    text = f"refused after it had been accepted: {said.text}"
    return [facts.end(m.ExecCanceled, child, now, code=said.code, text=text, evidence="refused")]


def _not_sent(child: Child, _chase: Chase, said: p.VenueNotSent, now: Time) -> Out:
    return [facts.end(m.ExecRejected, child, now, code=said.code, text=said.text, evidence="not_sent")]


def _unknown(child: Child, _chase: Chase, said: p.VenueUnknown, now: Time) -> Out:
    return [facts.unknown(child, now, said.code, said.text)]


def _doubtful(child: Child, chase: Chase, _said: p.VenueSaid, _now: Time) -> Out:
    """It contradicts what is known: look."""
    return [look(child, chase)]


def _fill(child: Child, chase: Chase, said: p.VenueFill, now: Time) -> Out:
    """The truth whenever it comes, and whatever it does to our sums."""
    if said.trade_id in child.trades:
        return []
    chase.seen(now)
    out: Out = [facts.fill(child, now, said)]
    if child.ended:
        return out
    cum = child.cum_qty + said.qty
    if chase.closed is not None and chase.closed.cum_qty == cum:
        out.append(facts.closed(child, now, chase.closed, said))
    elif cum >= child.qty_max:
        out.append(facts.end(m.ExecFilled, child, now, said))
    return out


def _closed(child: Child, chase: Chase, said: p.VenueClosed, now: Time) -> Out:
    chase.seen(now)
    if said.cum_qty == child.cum_qty:
        return [facts.closed(child, now, said)]
    # Fills are missing, or the venue's sum is behind its own trades: no end until the two agree.
    chase.closed = said
    out: Out = []
    if said.venue_order_id and child.status is not Status.WORKING:
        # Whose the order is must be known from now on, and not only when its fills are.
        out.append(facts.about(m.ExecAccepted, child, now, venue_order_id=said.venue_order_id))
    return [*out, pull(child), Wake(key(child), now + chase.pause_ns())]


def _absent(child: Child, chase: Chase, said: p.VenueAbsent, now: Time) -> Out:
    """Counts only when asked after everything that was sent must have arrived; ends only when both agree."""
    if chase.closed is not None or chase.venue_cum > child.cum_qty:
        return []  # it told of fills that are still missing; forgetting the order does not undo them
    if said.asked_ns < max(child.deadline, chase.heard_ns) + ABSENCE_MARGIN_NS:
        return []
    others = [at for endpoint, at in chase.absent.items() if endpoint is not said.endpoint]
    if not others:
        chase.absent.setdefault(said.endpoint, said.asked_ns)
        return []
    if said.asked_ns - others[0] < ABSENCE_PAUSE_NS:
        return []
    text = "absent at the venue: neither its order query nor its lists know it"
    how: dict[str, Any] = {"text": text, "evidence": "absent"}
    if child.status is Status.UNKNOWN and not child.cum_qty:
        return [facts.end(m.ExecRejected, child, now, code=Code.TIMEOUT, **how)]
    return [facts.end(m.ExecCanceled, child, now, code=child.cancel or Code.CANCELED, **how)]


def _cancel_rejected(child: Child, chase: Chase, said: p.VenueCancelRejected, now: Time) -> Out:
    """The cancel stays wanted: either the order has ended, which the query tells, or it is sent again."""
    out: Out = [look(child, chase)]
    if child.cancel is not None and not child.cancel_refused:
        out.append(facts.about(m.ExecCancelRejected, child, now, code=said.code, text=said.text))
    return out


def _replaced(child: Child, chase: Chase, said: p.VenueReplaced, now: Time) -> Out:
    chase.seen(now)
    if child.replacing is None:
        return []
    return [_replaced_to(child, now, said.qty, said.price, said.venue_order_id)]


def _replaced_to(child: Child, now: Time, qty: int, price: int, venue_order_id: str) -> Fact:
    terms = {"qty": child.instrument.qty(qty), "price": child.instrument.price(price)}
    return facts.about(m.ExecReplaced, child, now, **terms, venue_order_id=venue_order_id)


def _replace_rejected(child: Child, chase: Chase, said: p.VenueReplaceRejected, now: Time) -> Out:
    if child.replacing is None:
        return []
    refused = facts.about(m.ExecReplaceRejected, child, now, code=said.code, text=said.text)
    return [refused, look(child, chase)]


def _firm_rejected(child: Child, chase: Chase, said: p.VenueFirmRejected, now: Time) -> Out:
    if not child.firming:
        return []
    refused = facts.about(m.ExecFirmRejected, child, now, code=said.code, text=said.text)
    return [refused, look(child, chase)]


S, U, W, E = Status

EVIDENCE: dict[tuple[Status, type[p.VenueSaid]], Handler] = {
    (S, p.VenueAccepted): _accepted,
    (S, p.VenueRejected): _rejected,
    (S, p.VenueNotSent): _not_sent,
    (S, p.VenueUnknown): _unknown,
    (S, p.VenueFill): _fill,
    (S, p.VenueClosed): _closed,
    (U, p.VenueAccepted): _accepted,
    (U, p.VenueRejected): _rejected_after_all,
    (U, p.VenueFill): _fill,
    (U, p.VenueClosed): _closed,
    (U, p.VenueAbsent): _absent,
    (W, p.VenueAccepted): _still_working,
    (W, p.VenueRejected): _rejected_late,
    (W, p.VenueFill): _fill,
    (W, p.VenueClosed): _closed,
    (W, p.VenueAbsent): _absent,
    (W, p.VenueCancelRejected): _cancel_rejected,
    (W, p.VenueReplaced): _replaced,
    (W, p.VenueReplaceRejected): _replace_rejected,
    (W, p.VenueFirmRejected): _firm_rejected,
    (E, p.VenueFill): _fill,
}
