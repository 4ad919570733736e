"""What the router writes, made from what it has decided."""

from __future__ import annotations

from decimal import Decimal

from bestex import ids, subjects
from bestex import messages as m
from bestex.clock import Time
from bestex.core import Publish
from bestex.errors import Code
from bestex.instruments import Instrument
from bestex.ladder import Ladder
from services.router.state import SliceState
from services.router.strategies.base import Allocation


def leg(
    sliced: m.ParentSliced,
    decision_no: int,
    leg_no: int,
    allocation: Allocation,
    instrument: Instrument,
    now_ns: int,
    hold_ns: int,
) -> m.Leg:
    """`hold_ns`: how long what crosses is held back, so that all parts arrive together."""
    holds = hold_ns and not allocation.rests
    listing = instrument.listing(allocation.venue)
    in_the_dark = listing is not None and listing.kind == "dark" and allocation.rests
    return m.Leg(
        child_id=ids.child_id(sliced.symbol, sliced.parent_id, sliced.slice_no, decision_no, leg_no),
        venue=allocation.venue,
        qty=instrument.qty(allocation.qty),
        price=instrument.price(allocation.price),
        tif=allocation.tif,
        post_only=allocation.post_only,
        reason=allocation.reason,
        send_at=Time(now_ns + hold_ns) if holds else None,
        display_qty=instrument.qty(allocation.display) if allocation.display else None,
        min_fill_qty=instrument.qty(allocation.min_qty) if allocation.min_qty else None,
        conditional=sliced.conditional and in_the_dark,
    )


def child(sliced: m.ParentSliced, event: m.RouteDecided, leg: m.Leg) -> m.ChildNew:
    return m.ChildNew(
        child_id=leg.child_id,
        parent_id=event.parent_id,
        slice_no=event.slice_no,
        venue=leg.venue,
        symbol=event.symbol,
        side=event.side,
        qty=leg.qty,
        price=leg.price,
        tif=leg.tif,
        post_only=leg.post_only,
        expires_at=event.expires_at,
        good_till=event.good_till,
        account=event.account,
        algo=event.algo,
        parent_qty=sliced.parent_qty,
        build=event.build,
        slice_build=sliced.build,
        send_at=leg.send_at,
        display_qty=leg.display_qty,
        min_fill_qty=leg.min_fill_qty,
        conditional=leg.conditional,
    )


def cancel(state: SliceState, child_id: str, reason: Code) -> Publish:
    venue = state.children[child_id].venue
    command = m.ChildCancel(
        child_id=child_id,
        parent_id=state.slice.parent_id,
        venue=venue,
        symbol=state.slice.symbol,
        reason=reason,
    )
    return Publish(subjects.child(venue, state.slice.symbol, child_id, "cancel"), command)


def replace(state: SliceState, one: m.Repriced, event: m.RouteRepriced) -> Publish:
    venue = state.children[one.child_id].venue
    command = m.ChildReplace(
        child_id=one.child_id,
        parent_id=event.parent_id,
        venue=venue,
        symbol=event.symbol,
        qty=one.qty,
        price=one.price,
        expires_at=event.expires_at,
    )
    return Publish(subjects.child(venue, event.symbol, one.child_id, "replace"), command)


def average(instrument: Instrument, notional: int, qty: int) -> Decimal | None:
    if not qty:
        return None
    exact = instrument.cash(notional) / instrument.qty(qty)
    return exact.quantize(Decimal(1).scaleb(-instrument.price_scale - 6))


def mid(instrument: Instrument, book: m.ConsolidatedBook | None) -> Decimal | None:
    double = None if book is None else Ladder(book).mid_half_units
    return None if double is None else instrument.price(double) / 2
