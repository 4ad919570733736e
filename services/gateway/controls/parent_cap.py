"""The hard cap of a parent, whatever the router believes: filled + may still fill + this <= the parent's quantity.

It holds over the venues of this gateway process. What other gateways' venues filled it cannot know, so it is the
last of several walls (the scheduler's and the router's sums come before it), and no substitute for them.
"""

from __future__ import annotations

from bestex.errors import Code
from bestex.limits import ParentLimits
from services.gateway.controls.ledger import Ledger
from services.gateway.controls.wanted import Refusal, Wanted


def check(wanted: Wanted, ledger: Ledger, limits: ParentLimits) -> Refusal | None:
    sums = ledger.parent(wanted.symbol, wanted.parent_id)
    cap = sums.cap(wanted.slice_no, wanted.parent_qty)
    if cap <= 0:
        return Refusal(Code.PARENT_CAP, f"nobody has said how much {wanted.parent_id} is for")
    if sums.filled + sums.reserved + wanted.more > cap:
        parts = (wanted.shown(qty) for qty in (sums.filled, sums.reserved, wanted.more, cap))
        text = "{} filled, {} may still fill and {} more: beyond the parent's {}".format(*parts)
        return Refusal(Code.PARENT_CAP, text)
    if not wanted.replaces and sums.children >= limits.max_children:
        return Refusal(Code.PARENT_CAP, f"{wanted.parent_id} has had {sums.children} children here")
    return None
