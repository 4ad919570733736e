"""What is asked of a venue because of an event of a child: each event makes its request, once."""

from __future__ import annotations

from bestex import messages as m
from services.gateway import port as p
from services.gateway.orders import Child


def submit(child: Child, event: m.ExecSubmitting) -> p.Submit:
    units = child.instrument.qty_units
    return p.Submit(
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
        display_qty=0 if event.display_qty is None else units(event.display_qty),
        min_qty=0 if event.min_fill_qty is None else units(event.min_fill_qty),
        conditional=event.conditional,
    )


def firm(child: Child, event: m.ExecFirming) -> p.Firm:
    return p.Firm(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        venue_order_id=child.venue_order_id,
        deadline_ns=int(event.deadline),
    )


def replace(child: Child, event: m.ExecReplacing) -> p.Replace:
    return p.Replace(
        venue=child.venue,
        symbol=child.symbol,
        child_id=child.child_id,
        venue_order_id=child.venue_order_id,
        side=child.side,
        qty=child.instrument.qty_units(event.qty),
        price=child.instrument.price_units(event.price),
        deadline_ns=int(event.deadline),
    )
