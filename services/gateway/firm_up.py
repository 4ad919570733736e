"""Invitations to firm up conditional orders: which are accepted, each by one request at most.

A conditional order's quantity is reserved from its submission on, as if it were firm: firming it up commits nothing
that was not counted, so whatever becomes of the request, no sum is wrong. What is written down before the request
leaves is that it will: whoever comes after a crash knows by that not to send it again. The venue drops an order whose
invitation nobody answers, which costs a chance and never money.

An invitation that is heard while the session is not reconciled, or the bus is lost, waits for that, within its time.
"""

from __future__ import annotations

from typing import Any

from bestex import messages as m
from bestex.clock import Time
from bestex.core import Call, Fact
from bestex.errors import Code
from bestex.halts import Halts
from services.gateway import port as p
from services.gateway.chase import ABSENCE_MARGIN_NS, Chase, closes_ns
from services.gateway.facts import about
from services.gateway.orders import Child, Status


def answer(child: Child, chase: Chase, halts: Halts, ready: bool, timeout_ns: int, now: Time) -> list[Fact]:
    """What is done about the invitation that was heard last, and why not. `ready`: whether anything may be sent."""
    said = chase.invitation
    if said is None or child.status is not Status.WORKING or not child.conditional or child.cancel:
        return []
    if child.invitation == said.invitation or not ready:
        return []
    chase.invitation = None
    deadline = Time(min(said.until_ns, child.good_till, now + timeout_ns))
    what: dict[str, Any] = {"deadline": deadline}
    if scope := halts.covers(child.venue, child.account, child.algo, child.parent_id):
        what = {"code": Code.HALTED, "text": f"{scope} is halted"}
    elif child.firming:
        what = {"code": Code.INVALID_STATE, "text": "an earlier invitation is being answered"}
    elif deadline <= now:
        what = {"code": Code.EXPIRED, "text": f"not to be firmed up after {deadline}"}
    invitation, until = said.invitation, Time(said.until_ns)
    return [about(m.ExecInvited, child, now, invitation=invitation, until=until, **what)]


def request(child: Child, event: m.ExecInvited, capabilities: p.Capabilities) -> list[Call]:
    """The only one that there is for this invitation."""
    if event.deadline is None:
        return []
    firm = p.Firm(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        venue_order_id=child.venue_order_id,
        invitation=event.invitation,
        deadline_ns=int(event.deadline),
        closes_ns=closes_ns(capabilities, event.at),
    )
    return [Call(firm)]


def seen(child: Child, said: p.VenueAccepted, now: Time) -> list[Fact]:
    """What the venue's word on where the order stands tells of it."""
    if not child.conditional:
        return []
    if not said.conditional:
        return [about(m.ExecFirmed, child, now)]
    if child.firming and now >= child.firm_by_ns + ABSENCE_MARGIN_NS:
        text = "the venue works the order as it was"
        return [about(m.ExecFirmRejected, child, now, code=Code.TIMEOUT, text=text)]
    return []
